//! DATA (RFC 5321 §4.1.1.4).

use super::{Action, Refusal, Session, State, refuse};
use crate::Reply;

impl Session {
    pub(super) fn data(&self, state: State) -> (State, Action) {
        match state {
            State::Transaction(client, transaction) if transaction.recipients.is_empty() => {
                refuse(State::Transaction(client, transaction), Refusal::NoRecipients)
            }
            State::Transaction(client, transaction) => {
                let reply = Reply::new(354, None, "End data with <CR><LF>.<CR><LF>");
                (State::Receiving(client, transaction), Action::ReceiveMessage(reply))
            }
            state => refuse(state, Refusal::Sequence("Send MAIL and RCPT first")),
        }
    }
}
