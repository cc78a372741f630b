//! STARTTLS (RFC 3207).

use super::{Action, Refusal, Session, State, refuse};
use crate::Reply;

impl Session {
    /// Everything learnt so far is forgotten once the handshake is done (RFC 3207 §4.2).
    pub(super) fn start_tls(&self, state: State) -> (State, Action) {
        match state {
            state if !self.offer.starttls => refuse(state, Refusal::NotOffered("STARTTLS")),
            state if self.tls => refuse(state, Refusal::Sequence("Already encrypted")),
            State::Ready(_) => {
                (State::Handshake, Action::StartTls(Reply::enhanced(220, (2, 0, 0), "Ready to start TLS")))
            }
            state @ (State::Transaction(..) | State::Chunks(..)) => {
                refuse(state, Refusal::Sequence("Finish the transaction first"))
            }
            state => refuse(state, self.hello_first()),
        }
    }

    /// The handshake succeeded: the session begins anew, without a greeting. The budgets stay used.
    pub(super) fn tls_started(&mut self, state: State) -> (State, Action) {
        match state {
            State::Handshake => {
                self.tls = true;
                self.authenticated = false;
                // Nothing to say: the client speaks next. An empty reply writes nothing.
                (State::Start, Action::Reply(Reply { code: 220, enhanced: None, lines: Vec::new() }))
            }
            state => refuse(state, Refusal::OutOfStep),
        }
    }
}
