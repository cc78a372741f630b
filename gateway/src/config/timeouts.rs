//! How long one peer may take.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// How long clients wait for the answer to a message (RFC 5321 section 4.5.3.2.6).
const CLIENTS_WAIT: Duration = Duration::from_mins(10);

/// Deadlines. RFC 5321 section 4.5.3.2 gives the least for most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// How long the greeting waits, on listeners that do not begin with TLS: a client that speaks within that time
    /// does not wait for its turn and is refused. Zero greets at once and refuses nobody for it.
    pub greeting_pause: Span,
    /// Wait for a command.
    pub command: Span,
    /// Wait for the next octets of a message.
    pub data_block: Span,
    /// How long a message may take beyond what the least data rate allows it.
    pub data_grace: Span,
    /// A whole session, however busy.
    pub session: Span,
    /// Wait for the client to take an answer.
    pub reply: Span,
    /// Wait for the directory; then the client gets a temporary refusal.
    pub directory: Span,
    /// How long all checks of a whole message may take together, with the reading and writing that they need; then the client gets
    /// 421, and sends the message again.
    pub check: Span,
    /// Wait for the queue to make a message durable, and for its disk in each step before that; then the client gets a temporary
    /// refusal. Together with `check` below the ten minutes for which RFC 5321 lets a client wait.
    pub publish: Span,
    /// Wait for memory when `limits.message_memory_max` is taken.
    pub message_memory: Span,
    /// How late an unknown recipient is answered to a client that asked for many.
    pub unknown_recipient_delay: Span,
    /// How late a client that made many errors is told of the next.
    pub error_delay: Span,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting_pause: Span::millis(10),
            command: Span::mins(5),
            data_block: Span::mins(3),
            data_grace: Span::secs(60),
            session: Span::hours(2),
            reply: Span::mins(1),
            directory: Span::secs(20),
            check: Span::mins(7),
            publish: Span::mins(2),
            message_memory: Span::secs(10),
            unknown_recipient_delay: Span::secs(1),
            error_delay: Span::secs(1),
        }
    }
}

impl Timeouts {
    /// What is wrong with the values.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let positive = [
            ("command", self.command),
            ("data_block", self.data_block),
            ("session", self.session),
            ("reply", self.reply),
            ("directory", self.directory),
            ("check", self.check),
            ("publish", self.publish),
        ];
        for (key, span) in positive {
            if span.as_duration().is_zero() {
                faults.push((key.to_owned(), "must be longer than nothing".to_owned()));
            }
        }
        if self.check.as_duration().saturating_add(self.publish.as_duration()) >= CLIENTS_WAIT {
            let problem = "must be under 10m together with `publish`: then clients give up and send again";
            faults.push(("check".to_owned(), problem.to_owned()));
        }
        faults
    }
}
