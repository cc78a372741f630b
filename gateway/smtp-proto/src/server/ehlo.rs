//! EHLO and HELO (RFC 5321 §4.1.1.1), LHLO (RFC 2033 §4.1).

use std::borrow::Cow;

use super::{Action, Client, Refusal, Service, Session, State, refuse};
use crate::{ClientName, CommandError, Reply};

/// What LIMITS can say at most: six digits (RFC 9422 §3).
const LIMIT_MAX: u64 = 999_999;

/// Which of the three it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    Ehlo,
    Helo,
    Lhlo,
}

impl Session {
    /// Greets. A transaction under way is forgotten (RFC 5321 §4.1.4).
    ///
    /// ```abnf
    /// ehlo-ok-rsp = "250-" Domain CRLF *( "250-" ehlo-line CRLF ) "250 " ehlo-line CRLF
    /// ```
    pub(super) fn hello(&self, state: State, name: ClientName, hello: Hello) -> (State, Action) {
        // RFC 2033 §4.1: LHLO is the only one of LMTP, and of nothing else.
        if self.offer.service.is_lmtp() != (hello == Hello::Lhlo) {
            return refuse(state, Refusal::Command(CommandError::Unknown));
        }
        // RFC 6531 §3.7.1: a mail system names itself in ASCII. Quirk `client-name`: people's computers need not.
        if !name.is_ascii() && self.offer.service != Service::Submission {
            return refuse(state, Refusal::ClientName);
        }
        let extended = hello != Hello::Helo;
        let mut lines: Vec<Cow<'static, str>> = vec![self.offer.name.as_str().to_owned().into()];
        if extended {
            lines.extend(self.extensions());
        }
        let client = Client { name, extended };
        (State::Ready(client), Action::Reply(Reply { code: 250, enhanced: None, lines }))
    }

    /// What a client hears that has not said its name.
    pub(super) const fn hello_first(&self) -> Refusal {
        Refusal::Sequence(if self.offer.service.is_lmtp() { "Send LHLO first" } else { "Send EHLO first" })
    }

    /// ```abnf
    /// limits-line = "LIMITS" SP "MAILMAX=" limit SP "RCPTMAX=" limit     ; RFC 9422 §3, §4
    /// limit       = %x31-39 *5DIGIT
    /// ```
    fn limits(&self) -> String {
        let said = |limit: u64| limit.clamp(1, LIMIT_MAX);
        let transactions = said(u64::from(self.limits.transactions_max));
        let recipients = said(self.limits.recipients_max as u64);
        format!("LIMITS MAILMAX={transactions} RCPTMAX={recipients}")
    }

    fn extensions(&self) -> Vec<Cow<'static, str>> {
        let mut lines: Vec<Cow<'static, str>> = vec![
            "PIPELINING".into(),                                // RFC 2920
            format!("SIZE {}", self.limits.message_max).into(), // RFC 1870
        ];
        if self.offer.starttls && !self.tls {
            lines.push("STARTTLS".into()); // RFC 3207
        }
        if self.offer.auth_possible(self.tls) && !self.authenticated {
            lines.push(format!("AUTH {}", self.offer.mechanisms.join(" ")).into()); // RFC 4954
        }
        if self.tls {
            lines.push("REQUIRETLS".into()); // RFC 8689
        }
        if self.offer.dsn {
            lines.push("DSN".into()); // RFC 3461
        }
        lines.extend([
            "ENHANCEDSTATUSCODES".into(), // RFC 2034
            "8BITMIME".into(),            // RFC 6152
            "CHUNKING".into(),            // RFC 3030
        ]);
        if self.offer.service.takes_binary() {
            lines.push("BINARYMIME".into()); // RFC 3030
        }
        lines.extend([
            self.limits().into(), // RFC 9422
            "SMTPUTF8".into(),    // RFC 6531
            "HELP".into(),
        ]);
        lines
    }
}
