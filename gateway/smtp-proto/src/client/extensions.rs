//! What a server offers.

use crate::Reply;

/// The extensions that the client makes use of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) auth_plain: bool,
    pub(super) chunking: bool,
    pub(super) dsn: bool,
    pub(super) eight_bit: bool,
    pub(super) pipelining: bool,
    pub(super) require_tls: bool,
    pub(super) size: bool,
    pub(super) size_max: Option<u64>,
    pub(super) smtp_utf8: bool,
    pub(super) starttls: bool,
}

impl Extensions {
    /// ```abnf
    /// ehlo-line    = ehlo-keyword *( SP ehlo-param )     ; RFC 5321 §4.1.1.1
    /// ```
    ///
    /// Quirk `auth-equals`: `AUTH=PLAIN`, as old servers write it, counts.
    pub(super) fn from_reply(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("AUTH") => extensions.auth_plain |= words.any(|word| word == "PLAIN"),
                Some("8BITMIME") => extensions.eight_bit = true,
                Some("CHUNKING") => extensions.chunking = true,
                Some("DSN") => extensions.dsn = true,
                Some("PIPELINING") => extensions.pipelining = true,
                Some("REQUIRETLS") => extensions.require_tls = true,
                Some("SIZE") => {
                    extensions.size = true;
                    extensions.size_max = words.next().and_then(|max| max.parse().ok());
                }
                Some("SMTPUTF8") => extensions.smtp_utf8 = true,
                Some("STARTTLS") => extensions.starttls = true,
                _ => {}
            }
        }
        extensions
    }
}
