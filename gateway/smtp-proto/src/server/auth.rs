//! AUTH (RFC 4954).

use envelope::Secret;

use super::{Action, Client, Refusal, Session, State, refuse};
use crate::{Auth, Reply};

impl Session {
    pub(super) fn auth(&self, state: State, auth: Auth) -> (State, Action) {
        let client = match state {
            state if self.offer.mechanisms.is_empty() => return refuse(state, Refusal::NotOffered("AUTH")),
            State::Ready(client) if client.extended => client,
            // RFC 4954 §4: not during a mail transaction.
            state @ (State::Transaction(..) | State::Chunks(..)) => {
                return refuse(state, Refusal::Sequence("Finish the transaction first"));
            }
            state => return refuse(state, self.hello_first()),
        };
        let refusal = if self.authenticated {
            Refusal::AuthTwice
        } else if !self.offer.auth_possible(self.tls) {
            Refusal::EncryptionRequired
        } else if !self.offer.mechanisms.contains(&auth.mechanism.as_str()) {
            Refusal::AuthMechanism
        } else {
            return (State::AuthJudged(client), Action::AuthStart(auth));
        };
        refuse(State::Ready(client), refusal)
    }

    /// A line within an exchange (RFC 4954 §4): `*` breaks it off.
    pub(super) fn auth_line(&mut self, client: Client, line: &[u8]) -> (State, Action) {
        if line == b"*" {
            return self.auth_broken(client);
        }
        (State::AuthJudged(client), Action::AuthResponse(Secret::new(line.to_vec())))
    }

    fn auth_broken(&mut self, client: Client) -> (State, Action) {
        self.auth_failures += 1;
        refuse(State::Ready(client), Refusal::AuthCancelled)
    }

    /// ```abnf
    /// continue-req = "334" SP [base64] CRLF           ; RFC 4954 §8
    /// ```
    pub(super) fn challenge(state: State, challenge: &str) -> (State, Action) {
        match state {
            State::AuthJudged(client) => {
                (State::AuthAwaited(client), Action::Reply(Reply::new(334, None, challenge.to_owned())))
            }
            state => refuse(state, Refusal::OutOfStep),
        }
    }

    pub(super) fn auth_done(&mut self, state: State, reply: Reply) -> (State, Action) {
        let State::AuthJudged(client) = state else { return refuse(state, Refusal::OutOfStep) };
        if reply.is_positive() {
            self.authenticated = true;
        } else if reply.is_permanent() {
            self.auth_failures += 1;
        }
        (State::Ready(client), Action::Reply(reply))
    }
}
