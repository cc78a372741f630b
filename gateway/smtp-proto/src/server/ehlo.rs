//! EHLO and HELO (RFC 5321 §4.1.1.1).

use std::borrow::Cow;

use super::{Action, Client, Session, State};
use crate::{ClientName, Reply};

impl Session {
    /// Greets. A transaction under way is forgotten (RFC 5321 §4.1.4).
    ///
    /// ```abnf
    /// ehlo-ok-rsp = "250-" Domain CRLF *( "250-" ehlo-line CRLF ) "250 " ehlo-line CRLF
    /// ```
    pub(super) fn hello(&mut self, name: ClientName, extended: bool) -> (State, Action) {
        let mut lines: Vec<Cow<'static, str>> = vec![self.offer.name.as_str().to_owned().into()];
        if extended {
            lines.extend(self.extensions());
        }
        let client = Client { name, extended };
        (State::Ready(client), Action::Reply(Reply { code: 250, enhanced: None, lines }))
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
            "SMTPUTF8".into(),            // RFC 6531
            "HELP".into(),
        ]);
        lines
    }
}
