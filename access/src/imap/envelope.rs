//! ENVELOPE (RFC 3501 §7.4.2), from what was parsed at delivery.

use store::{MailAddress, Summary};

use super::words::nstring;

/// ```abnf
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc
///            SP env-in-reply-to SP env-message-id ")"
/// ```
pub(crate) fn encode(summary: &Summary, out: &mut Vec<u8>) {
    out.push(b'(');
    nstring(summary.date.as_deref(), out);
    out.push(b' ');
    nstring(summary.subject.as_deref(), out);
    // RFC 3501 §7.4.2: Sender and Reply-To are those of From when they are missing.
    let sender = if summary.sender.is_empty() { &summary.from } else { &summary.sender };
    let reply_to = if summary.reply_to.is_empty() { &summary.from } else { &summary.reply_to };
    for addresses in [&summary.from, sender, reply_to, &summary.to, &summary.cc, &summary.bcc] {
        out.push(b' ');
        address_list(addresses, out);
    }
    out.push(b' ');
    nstring(summary.in_reply_to.as_deref(), out);
    out.push(b' ');
    nstring(summary.message_id.as_deref(), out);
    out.push(b')');
}

/// `env-from = "(" 1*address ")" / nil`
fn address_list(addresses: &[MailAddress], out: &mut Vec<u8>) {
    if addresses.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in addresses {
        out.push(b'(');
        nstring(address.name.as_deref(), out);
        // The source route is obsolete and never shown.
        out.extend_from_slice(b" NIL ");
        nstring(address.mailbox.as_deref(), out);
        out.push(b' ');
        nstring(address.host.as_deref(), out);
        out.push(b')');
    }
    out.push(b')');
}
