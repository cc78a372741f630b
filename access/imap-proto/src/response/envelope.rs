//! ENVELOPE (RFC 3501 §7.4.2).

use super::word;

/// One address. A group begins with `host` none and ends with all none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Address<'a> {
    /// The display name as in the header.
    pub name: Option<&'a [u8]>,
    /// The local part, or the group's name.
    pub mailbox: Option<&'a [u8]>,
    /// The domain.
    pub host: Option<&'a [u8]>,
}

/// The fields of a header that ENVELOPE shows, as in the header: encoded words stay encoded. `A` is the
/// caller's own kind of address, shown by a function, so that nothing is copied to be written.
#[derive(Debug)]
pub struct Envelope<'a, A> {
    /// `Date`
    pub date: Option<&'a [u8]>,
    /// `Subject`
    pub subject: Option<&'a [u8]>,
    /// `From`
    pub from: &'a [A],
    /// `Sender`; empty shows `from`.
    pub sender: &'a [A],
    /// `Reply-To`; empty shows `from`.
    pub reply_to: &'a [A],
    /// `To`
    pub to: &'a [A],
    /// `Cc`
    pub cc: &'a [A],
    /// `Bcc`
    pub bcc: &'a [A],
    /// `In-Reply-To`
    pub in_reply_to: Option<&'a [u8]>,
    /// `Message-ID`
    pub message_id: Option<&'a [u8]>,
}

impl<'a, A> Envelope<'a, A> {
    /// ```abnf
    /// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP
    ///            env-bcc SP env-in-reply-to SP env-message-id ")"      ; RFC 3501 §9
    /// ```
    ///
    /// The server fills in Sender and Reply-To from From (RFC 3501 §7.4.2).
    pub fn write(&self, address: &impl Fn(&'a A) -> Address<'a>, out: &mut Vec<u8>) {
        out.push(b'(');
        word::nstring(self.date, out);
        out.push(b' ');
        word::nstring(self.subject, out);
        let begin = out.len();
        out.push(b' ');
        addresses(self.from.iter().map(address), out);
        let from = begin..out.len();
        for field in [self.sender, self.reply_to] {
            if field.is_empty() {
                out.extend_from_within(from.clone());
            } else {
                out.push(b' ');
                addresses(field.iter().map(address), out);
            }
        }
        for field in [self.to, self.cc, self.bcc] {
            out.push(b' ');
            addresses(field.iter().map(address), out);
        }
        out.push(b' ');
        word::nstring(self.in_reply_to, out);
        out.push(b' ');
        word::nstring(self.message_id, out);
        out.push(b')');
    }
}

/// ```abnf
/// address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
/// ```
///
/// A list without addresses is NIL; the source route (adl) is always NIL.
pub fn addresses<'a>(addresses: impl Iterator<Item = Address<'a>>, out: &mut Vec<u8>) {
    let start = out.len();
    for address in addresses {
        out.extend_from_slice(if out.len() == start { b"((" } else { b"(" });
        word::nstring(address.name, out);
        out.extend_from_slice(b" NIL ");
        word::nstring(address.mailbox, out);
        out.push(b' ');
        word::nstring(address.host, out);
        out.push(b')');
    }
    out.extend_from_slice(if out.len() == start { b"NIL" } else { b")" });
}
