//! ENABLE (RFC 5161). No extension that needs enabling is offered yet: names that are not known are ignored (§3.1).

use imap_proto::response::data;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) fn run(session: &mut Session, _names: &[String]) -> Answer {
    session.state.person()?;
    data::enabled(&[], &mut session.connection.out);
    Ok(Reply::ok("ENABLE completed"))
}
