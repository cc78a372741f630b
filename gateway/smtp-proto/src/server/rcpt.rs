//! RCPT (RFC 5321 §4.1.1.3).

use super::{Action, Refusal, Session, State, refuse};
use crate::{ForwardPath, Rcpt};

impl Session {
    pub(super) fn rcpt(&self, state: State, rcpt: Rcpt) -> (State, Action) {
        let (client, transaction) = match state {
            State::Transaction(client, transaction) => (client, transaction),
            state @ State::Chunks(..) => return refuse(state, Refusal::Sequence("The message is under way")),
            state => return refuse(state, Refusal::Sequence("Send MAIL first")),
        };
        let utf8 = match &rcpt.forward_path {
            ForwardPath::Address(address) => address.needs_utf8(),
            ForwardPath::Postmaster => false,
        };
        let dsn = rcpt.notify.is_some() || rcpt.original_recipient.is_some();
        let refusal = if dsn && !(self.offer.dsn && client.extended) {
            Some(Refusal::ParameterNotOffered)
        } else if utf8 && !transaction.mail.smtp_utf8 {
            Some(Refusal::Utf8)
        } else if transaction.recipients.len() >= self.limits.recipients_max {
            Some(Refusal::TooManyRecipients)
        } else {
            None
        };
        match refusal {
            Some(refusal) => refuse(State::Transaction(client, transaction), refusal),
            None => (State::RecipientAsked(client, transaction, rcpt.clone()), Action::CheckRecipient(rcpt)),
        }
    }
}
