//! NAMESPACE (RFC 2342): one personal namespace without a prefix.

use imap_proto::response::data;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::list::DELIMITER;

pub(crate) fn run(session: &mut Session) -> Answer {
    session.state.person()?;
    data::namespace([&[("", DELIMITER)], &[], &[]], &mut session.connection.out);
    Ok(Reply::ok("NAMESPACE completed"))
}
