//! LOGOUT (RFC 3501 §6.1.3).

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::{Session, State};

pub(crate) fn run(session: &mut Session) -> Answer {
    session.connection.out.extend_from_slice(b"* BYE Logging out\r\n");
    session.state = State::Logout;
    Ok(Reply::ok("LOGOUT completed"))
}
