//! STARTTLS (RFC 3501 §6.2.1). What the client sent behind the command is thrown away before the handshake.

use super::super::answer::Answer;
use super::super::reply::{Reply, WRONG_STATE};
use super::super::session::{Session, State};

pub(crate) fn run(session: &mut Session) -> Answer {
    if !matches!(session.state, State::NotAuthenticated) {
        return Err(Reply::bad(WRONG_STATE).into());
    }
    if session.connection.is_tls() {
        return Err(Reply::bad("TLS is already in use").into());
    }
    if session.server.tls.is_none() {
        return Err(Reply::bad("TLS is not available").into());
    }
    session.tls_follows = true;
    Ok(Reply::ok("Begin TLS now"))
}
