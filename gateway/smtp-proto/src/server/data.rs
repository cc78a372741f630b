//! DATA (RFC 5321 §4.1.1.4).

use super::{Action, Refusal, Session, State, refuse};
use crate::{BodyType, Reply};

impl Session {
    pub(super) fn data(&self, state: State) -> (State, Action) {
        match state {
            State::Transaction(client, transaction) if transaction.recipients.is_empty() => {
                refuse(State::Transaction(client, transaction), self.no_recipients())
            }
            // RFC 3030 §3: such a message comes with BDAT only.
            State::Transaction(client, transaction)
                if transaction.mail.body == Some(BodyType::BinaryMime) =>
            {
                let refusal = Refusal::Sequence("A binary message comes with BDAT");
                refuse(State::Transaction(client, transaction), refusal)
            }
            State::Transaction(client, transaction) => {
                let reply = Reply::new(354, None, "End data with <CR><LF>.<CR><LF>");
                (State::Receiving(client, transaction), Action::ReceiveMessage(reply))
            }
            // RFC 3030 §2: the two ways of sending are never mixed in one transaction.
            state @ State::Chunks(..) => refuse(state, Refusal::Sequence("The message comes with BDAT")),
            state => refuse(state, Refusal::Sequence("Send MAIL and RCPT first")),
        }
    }

    /// RFC 2033 §4.2: in LMTP the answer is 503.
    pub(super) const fn no_recipients(&self) -> Refusal {
        if self.offer.service.is_lmtp() {
            Refusal::Sequence("No valid recipients")
        } else {
            Refusal::NoRecipients
        }
    }
}
