//! What all checks of one message came to.

use bytes::Bytes;
use envelope::Address;

use crate::authentication::Authentication;
use crate::policy::Fired;
use crate::{Action, Change, apply};

/// The decision, and all that belongs to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// What becomes of the message.
    pub action: Action,
    /// What is changed in it when it is not refused, in this order.
    pub changes: Vec<Change>,
    /// Who decided, and why.
    pub reasons: Vec<String>,
    /// Archives that get a report of it.
    pub journals: Vec<Address>,
    /// Rules that fitted.
    pub fired: Vec<Fired>,
    /// Points.
    pub score: f64,
    /// Who wrote it, where that was looked at.
    pub authentication: Option<Authentication>,
    /// Which text of the rules judged it.
    pub rules: String,
    /// The message as far as it is changed.
    pub so_far: SoFar,
}

/// A message with the first of its changes made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SoFar {
    message: Bytes,
    made: usize,
}

impl Judged {
    pub(super) fn of(message: &Bytes) -> Self {
        Self { so_far: SoFar { message: message.clone(), made: 0 }, ..Self::default() }
    }

    /// The message with all its changes. Each is made once, however often this is asked.
    pub fn message(&mut self) -> Bytes {
        let SoFar { message, made } = &mut self.so_far;
        if let Some(rest @ [_, ..]) = self.changes.get(*made..) {
            *message = apply(message, rest);
            *made = self.changes.len();
        }
        message.clone()
    }

    /// The graver action stands; reasons gather.
    pub(super) fn decide(&mut self, action: Action, reasons: impl IntoIterator<Item = String>) {
        if gravity(&action) > gravity(&self.action) {
            self.action = action;
        }
        self.reasons.extend(reasons);
    }

    /// Whether it was refused, for now or for good.
    pub const fn is_refused(&self) -> bool {
        matches!(self.action, Action::Refuse(_))
    }

    /// SPF, DKIM and DMARC in one line, for the log.
    pub fn authentication_line(&self) -> String {
        let Some(found) = &self.authentication else { return String::new() };
        let dkim = found.dkim.iter().find(|one| one.result.as_str() == "pass").or_else(|| found.dkim.first());
        let dkim = dkim.map_or("none", |one| one.result.as_str());
        format!("spf={} dkim={dkim} dmarc={}", found.spf.result, found.dmarc.result)
    }
}

/// Which of two decisions stands.
const fn gravity(action: &Action) -> u8 {
    match action {
        Action::Accept => 0,
        Action::Quarantine => 1,
        Action::Discard => 2,
        Action::Refuse(refusal) if refusal.is_temporary() => 3,
        Action::Refuse(_) => 4,
    }
}
