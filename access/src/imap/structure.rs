//! ENVELOPE and BODYSTRUCTURE (RFC 3501 §7.4.2): the store's summary as the encoders want to see it.

use imap_proto::response::body::{self, BodyContent, BodyPart};
use imap_proto::response::envelope::{Address, Envelope};
use store::{MailAddress, Part, PartKind, Summary};

/// Writes ENVELOPE's value.
pub(crate) fn encode_envelope(summary: &Summary, out: &mut Vec<u8>) {
    envelope(summary).write(&address, out);
}

/// Writes the value of BODYSTRUCTURE, or of BODY.
pub(crate) fn encode_structure(root: &Part, extended: bool, out: &mut Vec<u8>) {
    body::write(root, &part, &address, extended, out);
}

fn address(address: &MailAddress) -> Address<'_> {
    Address {
        name: address.name.as_deref(),
        mailbox: address.mailbox.as_deref(),
        host: address.host.as_deref(),
    }
}

fn envelope(summary: &Summary) -> Envelope<'_, MailAddress> {
    Envelope {
        date: summary.date.as_deref(),
        subject: summary.subject.as_deref(),
        from: &summary.from,
        sender: &summary.sender,
        reply_to: &summary.reply_to,
        to: &summary.to,
        cc: &summary.cc,
        bcc: &summary.bcc,
        in_reply_to: summary.in_reply_to.as_deref(),
        message_id: summary.message_id.as_deref(),
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
                BodyContent::Message { envelope: envelope(inner), structure: &inner.structure }
            }
        },
    }
}
