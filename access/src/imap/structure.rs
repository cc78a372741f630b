//! ENVELOPE and BODYSTRUCTURE (RFC 3501 §7.4.2): the store's summary as the encoders want to see it.

use imap_proto::response::body::{self, BodyContent, BodyPart};
use imap_proto::response::envelope::{Address, Envelope};
use store::{Fields, MailAddress, Part, PartKind};

/// Writes ENVELOPE's value.
pub(crate) fn encode_envelope<T: AsRef<[u8]> + PartialEq>(fields: &Fields<T>, out: &mut Vec<u8>) {
    envelope(fields).write(&address, out);
}

/// Writes the value of BODYSTRUCTURE, or of BODY.
pub(crate) fn encode_structure(root: &Part, extended: bool, out: &mut Vec<u8>) {
    body::write(root, &part, &address, extended, out);
}

fn octets<T: AsRef<[u8]>>(text: &Option<T>) -> Option<&[u8]> {
    text.as_ref().map(AsRef::as_ref)
}

fn address<T: AsRef<[u8]>>(address: &MailAddress<T>) -> Address<'_> {
    Address { name: octets(&address.name), mailbox: octets(&address.mailbox), host: octets(&address.host) }
}

fn envelope<T: AsRef<[u8]> + PartialEq>(fields: &Fields<T>) -> Envelope<'_, MailAddress<T>> {
    // Most are as From is: what was written once is copied then.
    let differs = |list: &Vec<MailAddress<T>>| *list != fields.from;
    Envelope {
        date: octets(&fields.date),
        subject: octets(&fields.subject),
        from: &fields.from,
        sender: if differs(&fields.sender) { &fields.sender } else { &[] },
        reply_to: if differs(&fields.reply_to) { &fields.reply_to } else { &[] },
        to: &fields.to,
        cc: &fields.cc,
        bcc: &fields.bcc,
        in_reply_to: octets(&fields.in_reply_to),
        message_id: octets(&fields.message_id),
    }
}

fn part(part: &Part) -> BodyPart<'_, Part, MailAddress> {
    BodyPart {
        media_type: &part.media_type,
        media_subtype: &part.media_subtype,
        parameters: &part.parameters,
        id: part.id.as_deref(),
        description: part.description.as_deref(),
        encoding: &part.encoding,
        octets: part.end.saturating_sub(part.body_start),
        lines: part.lines,
        md5: part.md5.as_deref(),
        disposition: part.disposition.as_ref().map(|(kind, values)| (&**kind, values.as_slice())),
        language: &part.language,
        location: part.location.as_deref(),
        content: match &part.kind {
            PartKind::Leaf => BodyContent::Leaf,
            PartKind::Multipart(parts) => BodyContent::Multipart(parts),
            PartKind::Message(inner) => {
                BodyContent::Message { envelope: envelope(&inner.fields), structure: &inner.structure }
            }
        },
    }
}
