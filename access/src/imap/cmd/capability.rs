//! CAPABILITY (RFC 3501 §6.1.1).

use directory::LoginOffer;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::{Session, State};
use crate::login;

/// What is there in every state.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE";

/// What is there once somebody is logged in.
const LOGGED_IN: &str = "NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN SPECIAL-USE ESEARCH SEARCHRES WITHIN LIST-EXTENDED \
                         LIST-STATUS STATUS=SIZE";

pub(crate) fn run(session: &mut Session) -> Answer {
    let line = format!("* CAPABILITY {}\r\n", capabilities(session));
    session.connection.out.extend_from_slice(line.as_bytes());
    Ok(Reply::ok("CAPABILITY completed"))
}

/// What the server can do for this client now.
pub(crate) fn capabilities(session: &Session) -> String {
    if !matches!(session.state, State::NotAuthenticated) {
        return format!("{ALWAYS} {LOGGED_IN}");
    }
    let mut capabilities = ALWAYS.to_owned();
    if session.server.tls.is_some() && !session.connection.is_tls() {
        capabilities.push_str(" STARTTLS");
    }
    if may_log_in(session) {
        let offer = login_offer(session);
        for name in offer.names() {
            capabilities.push_str(" AUTH=");
            capabilities.push_str(name);
        }
        if !offer.takes_passwords() {
            capabilities.push_str(" LOGINDISABLED");
        }
    } else {
        // RFC 3501 §6.2.3
        capabilities.push_str(" LOGINDISABLED");
    }
    capabilities
}

/// How this client can log in now.
pub(super) fn login_offer(session: &Session) -> LoginOffer {
    let server = &session.server;
    let (tls, stream) = (server.tls.as_ref(), session.connection.stream());
    login::login_offer(&server.deps, &server.config.mechanisms, tls, stream)
}

/// Whether a password may be sent over this connection.
pub(crate) fn may_log_in(session: &Session) -> bool {
    session.server.config.plaintext_login.permits(session.peer.ip(), session.connection.is_tls())
}
