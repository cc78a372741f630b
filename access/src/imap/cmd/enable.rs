//! ENABLE (RFC 5161). No extension that needs enabling is offered yet: names that are not known are ignored (§3.1).

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) fn run(session: &mut Session, _names: &[String]) -> Answer {
    session.state.person()?;
    session.connection.out.extend_from_slice(b"* ENABLED\r\n");
    Ok(Reply::ok("ENABLE completed"))
}
