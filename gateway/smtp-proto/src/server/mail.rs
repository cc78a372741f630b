//! MAIL (RFC 5321 §4.1.1.2).

use super::{Action, Refusal, Session, State, refuse};
use crate::{BodyType, Mail};

impl Session {
    pub(super) fn mail(&mut self, state: State, mail: Mail) -> (State, Action) {
        let client = match state {
            State::Ready(client) => client,
            State::Transaction(..) | State::Chunks(..) => {
                return refuse(state, Refusal::Sequence("Sender already given"));
            }
            state => return refuse(state, self.hello_first()),
        };
        if let Some(refusal) = self.sender_refused(&mail, client.extended) {
            return refuse(State::Ready(client), refusal);
        }
        // RFC 9422 §4.1: every MAIL counts, whatever becomes of it; one that is malformed costs an error.
        if self.transactions >= self.limits.transactions_max {
            return refuse(State::Ready(client), Refusal::TooManyTransactions);
        }
        self.transactions += 1;
        (State::SenderAsked(client, mail.clone()), Action::CheckSender(mail))
    }

    fn sender_refused(&self, mail: &Mail, extended: bool) -> Option<Refusal> {
        if let Err(refusal) = self.may_send() {
            return Some(refusal);
        }
        let binary = mail.body == Some(BodyType::BinaryMime) && !self.offer.service.takes_binary();
        let dsn = mail.ret.is_some() || mail.envelope_id.is_some();
        if binary || dsn && !(self.offer.dsn && extended) {
            return Some(Refusal::ParameterNotOffered);
        }
        // RFC 8689 §4.2.1: it is offered over TLS only.
        if mail.require_tls && !(self.tls && extended) {
            return Some(Refusal::ParameterNotOffered);
        }
        if mail.auth.is_some() && self.offer.mechanisms.is_empty() {
            return Some(Refusal::ParameterNotOffered);
        }
        if !extended && (mail.size.is_some() || mail.body.is_some() || mail.smtp_utf8) {
            return Some(Refusal::ParameterNotOffered);
        }
        if mail.size.is_some_and(|size| size > self.limits.message_max) {
            return Some(Refusal::MessageTooBig);
        }
        let utf8 = mail.reverse_path.address().is_some_and(envelope::Address::needs_utf8);
        (utf8 && !mail.smtp_utf8).then_some(Refusal::Utf8Sender)
    }
}
