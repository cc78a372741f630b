//! The addresses of our pages. Mailbox names stand at the end of the path, percent-encoded, `/` as it is.

use std::fmt::Write as _;

use store::{MailboxName, Uid, UidValidity};

/// One message of the session's own account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageRef {
    pub(super) mailbox: MailboxName,
    pub(super) uid_validity: UidValidity,
    pub(super) uid: Uid,
}

impl MessageRef {
    /// `/<what>/<validity>/<uid>/<mailbox>`.
    pub(super) fn link(&self, what: &str) -> String {
        format!("/{what}/{}/{}/{}", self.uid_validity.0, self.uid.0, encode(self.mailbox.as_str(), b"/"))
    }

    /// As a form's hidden field: `<validity>/<uid>/<mailbox>`.
    pub(super) fn to_field(&self) -> String {
        format!("{}/{}/{}", self.uid_validity.0, self.uid.0, self.mailbox.as_str())
    }

    /// Reads what [`Self::to_field`] wrote.
    pub(super) fn from_field(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let uid_validity = UidValidity(parts.next()?.parse().ok()?);
        let uid = Uid(parts.next()?.parse().ok()?);
        Some(Self { mailbox: MailboxName::parse(parts.next()?).ok()?, uid_validity, uid })
    }
}

/// A mailbox's list.
pub(super) fn folder(mailbox: &str) -> String {
    format!("/folder/{}", encode(mailbox, b"/"))
}

/// A page of a mailbox's list.
pub(super) fn folder_page(mailbox: &str, page: usize) -> String {
    if page <= 1 { folder(mailbox) } else { format!("{}?page={page}", folder(mailbox)) }
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3) and those of `kept`.
pub(super) fn encode(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes() {
        let check = |input: &str, expected: &str| assert_eq!(encode(input, b"/"), expected);
        check("INBOX", "INBOX");
        check("Work/2024 Q1", "Work/2024%20Q1");
        check("a?b#c&d=e%\"<", "a%3Fb%23c%26d%3De%25%22%3C");
        check("Entwürfe", "Entw%C3%BCrfe");
        check("\r\n", "%0D%0A");
    }
}
