//! A summary as bytes in the cache.

use super::{MailAddress, Part, PartKind, Summary};
use crate::codec::{Reader, Writer};

/// Nesting that is read back; more than the parser makes.
const DEPTH_MAX: u32 = 256;

pub(crate) fn encode(summary: &Summary, writer: &mut Writer) {
    for field in
        [&summary.date, &summary.subject, &summary.in_reply_to, &summary.message_id, &summary.references]
    {
        writer.optional(field.as_deref());
    }
    for list in [&summary.from, &summary.sender, &summary.reply_to, &summary.to, &summary.cc, &summary.bcc] {
        writer.len(list.len());
        for address in list {
            for field in [&address.name, &address.mailbox, &address.host] {
                writer.optional(field.as_deref());
            }
        }
    }
    writer.u8(u8::from(summary.sent_at.is_some()));
    writer.signed(summary.sent_at.unwrap_or_default());
    writer.bytes(summary.preview.as_bytes());
    encode_part(&summary.structure, writer);
}

pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Summary> {
    decode_summary(reader, 0)
}

fn decode_summary(reader: &mut Reader<'_>, depth: u32) -> Option<Summary> {
    let date = optional(reader)?;
    let subject = optional(reader)?;
    let in_reply_to = optional(reader)?;
    let message_id = optional(reader)?;
    let references = optional(reader)?;
    let from = addresses(reader)?;
    let sender = addresses(reader)?;
    let reply_to = addresses(reader)?;
    let to = addresses(reader)?;
    let cc = addresses(reader)?;
    let bcc = addresses(reader)?;
    let has_date = reader.u8()? != 0;
    let sent_at = Some(reader.signed()?).filter(|_| has_date);
    let preview = reader.text()?.to_owned();
    let structure = decode_part(reader, depth + 1)?;
    Some(Summary {
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
        references,
        sent_at,
        preview,
        structure,
    })
}

fn optional(reader: &mut Reader<'_>) -> Option<Option<Vec<u8>>> {
    reader.optional().map(|field| field.map(<[u8]>::to_vec))
}

fn addresses(reader: &mut Reader<'_>) -> Option<Vec<MailAddress>> {
    let count = reader.len()?;
    let one = |reader: &mut Reader<'_>| {
        Some(MailAddress { name: optional(reader)?, mailbox: optional(reader)?, host: optional(reader)? })
    };
    (0..count).map(|_| one(reader)).collect()
}

fn encode_part(part: &Part, writer: &mut Writer) {
    writer.bytes(&part.media_type);
    writer.bytes(&part.media_subtype);
    encode_parameters(&part.parameters, writer);
    for field in [&part.id, &part.description, &part.md5, &part.location] {
        writer.optional(field.as_deref());
    }
    writer.bytes(&part.encoding);
    match &part.disposition {
        None => writer.u8(0),
        Some((disposition, parameters)) => {
            writer.u8(1);
            writer.bytes(disposition);
            encode_parameters(parameters, writer);
        }
    }
    writer.len(part.language.len());
    for language in &part.language {
        writer.bytes(language);
    }
    for number in [part.header_start, part.body_start, part.end, part.lines] {
        writer.var(number);
    }
    match &part.kind {
        PartKind::Leaf => writer.u8(0),
        PartKind::Multipart(parts) => {
            writer.u8(1);
            writer.len(parts.len());
            for part in parts {
                encode_part(part, writer);
            }
        }
        PartKind::Message(summary) => {
            writer.u8(2);
            encode(summary, writer);
        }
    }
}

fn decode_part(reader: &mut Reader<'_>, depth: u32) -> Option<Part> {
    if depth > DEPTH_MAX {
        return None;
    }
    let media_type = reader.bytes()?.to_vec();
    let media_subtype = reader.bytes()?.to_vec();
    let parameters = decode_parameters(reader)?;
    let id = optional(reader)?;
    let description = optional(reader)?;
    let md5 = optional(reader)?;
    let location = optional(reader)?;
    let encoding = reader.bytes()?.to_vec();
    let disposition = match reader.u8()? {
        0 => None,
        1 => Some((reader.bytes()?.to_vec(), decode_parameters(reader)?)),
        _ => return None,
    };
    let languages = reader.len()?;
    let language = (0..languages).map(|_| reader.bytes().map(<[u8]>::to_vec)).collect::<Option<_>>()?;
    let (header_start, body_start) = (reader.var()?, reader.var()?);
    let (end, lines) = (reader.var()?, reader.var()?);
    let kind = match reader.u8()? {
        0 => PartKind::Leaf,
        1 => {
            let count = reader.len()?;
            PartKind::Multipart((0..count).map(|_| decode_part(reader, depth + 1)).collect::<Option<_>>()?)
        }
        2 => PartKind::Message(Box::new(decode_summary(reader, depth)?)),
        _ => return None,
    };
    Some(Part {
        media_type,
        media_subtype,
        parameters,
        id,
        description,
        encoding,
        md5,
        disposition,
        language,
        location,
        header_start,
        body_start,
        end,
        lines,
        kind,
    })
}

fn encode_parameters(parameters: &[(Vec<u8>, Vec<u8>)], writer: &mut Writer) {
    writer.len(parameters.len());
    for (name, value) in parameters {
        writer.bytes(name);
        writer.bytes(value);
    }
}

fn decode_parameters(reader: &mut Reader<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let count = reader.len()?;
    (0..count).map(|_| Some((reader.bytes()?.to_vec(), reader.bytes()?.to_vec()))).collect()
}
