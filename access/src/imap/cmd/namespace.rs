//! NAMESPACE (RFC 2342): one personal namespace without a prefix.

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) fn run(session: &mut Session) -> Answer {
    session.state.person()?;
    session.connection.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    Ok(Reply::ok("NAMESPACE completed"))
}
