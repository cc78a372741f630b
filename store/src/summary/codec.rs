//! A summary as bytes in the cache.

use bytes::Bytes;

use super::{Fields, MailAddress, Part, PartKind, Summary};
use crate::codec::{Reader, Writer};

/// Nesting that is read back; more than the parser makes.
const DEPTH_MAX: u32 = 256;
/// Memory for so many is taken at once, whatever a record announces.
const LIST_START: usize = 8;

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

/// Everything in the summary is a part of `record`: it costs one piece of memory, not one for each text.
pub(crate) fn decode(record: &Bytes) -> Option<Summary> {
    Decoder { reader: Reader(record), take: |octets: &[u8]| record.slice_ref(octets) }.summary(0)
}

/// Its fields alone, which come first; they stay where they are.
pub(crate) fn decode_fields(record: &[u8]) -> Option<Fields<&[u8]>> {
    Decoder { reader: Reader(record), take: std::convert::identity }.fields()
}

/// `take` makes of octets of the record what is given out.
struct Decoder<'a, F> {
    reader: Reader<'a>,
    take: F,
}

impl<'a, T, F: Fn(&'a [u8]) -> T> Decoder<'a, F> {
    fn optional(&mut self) -> Option<Option<T>> {
        self.reader.optional().map(|field| field.map(&self.take))
    }

    /// As many as are announced, and no more memory than there can be.
    fn list<One>(&mut self, mut one: impl FnMut(&mut Self) -> Option<One>) -> Option<Vec<One>> {
        let count = self.reader.len()?;
        let mut list = Vec::with_capacity(count.min(LIST_START));
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }

    fn addresses(&mut self) -> Option<Vec<MailAddress<T>>> {
        self.list(|decoder| {
            Some(MailAddress {
                name: decoder.optional()?,
                mailbox: decoder.optional()?,
                host: decoder.optional()?,
            })
        })
    }

    fn fields(&mut self) -> Option<Fields<T>> {
        let date = self.optional()?;
        let subject = self.optional()?;
        let in_reply_to = self.optional()?;
        let message_id = self.optional()?;
        let references = self.optional()?;
        let from = self.addresses()?;
        let sender = self.addresses()?;
        let reply_to = self.addresses()?;
        let to = self.addresses()?;
        let cc = self.addresses()?;
        let bcc = self.addresses()?;
        let has_date = self.reader.u8()? != 0;
        let sent_at = Some(self.reader.signed()?).filter(|_| has_date);
        Some(Fields {
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
        })
    }
}

impl<'a, F: Fn(&'a [u8]) -> Bytes> Decoder<'a, F> {
    fn bytes(&mut self) -> Option<Bytes> {
        self.reader.bytes().map(&self.take)
    }

    fn parameters(&mut self) -> Option<Vec<(Bytes, Bytes)>> {
        self.list(|decoder| Some((decoder.bytes()?, decoder.bytes()?)))
    }

    fn summary(&mut self, depth: u32) -> Option<Summary> {
        let fields = self.fields()?;
        let preview = self.reader.text()?.to_owned();
        let structure = self.part(depth + 1)?;
        Some(Summary { fields, preview, structure })
    }

    fn part(&mut self, depth: u32) -> Option<Part> {
        if depth > DEPTH_MAX {
            return None;
        }
        let media_type = self.bytes()?;
        let media_subtype = self.bytes()?;
        let parameters = self.parameters()?;
        let id = self.optional()?;
        let description = self.optional()?;
        let md5 = self.optional()?;
        let location = self.optional()?;
        let encoding = self.bytes()?;
        let disposition = match self.reader.u8()? {
            0 => None,
            1 => Some((self.bytes()?, self.parameters()?)),
            _ => return None,
        };
        let language = self.list(Self::bytes)?;
        let (header_start, body_start) = (self.reader.var()?, self.reader.var()?);
        let (end, lines) = (self.reader.var()?, self.reader.var()?);
        let kind = match self.reader.u8()? {
            0 => PartKind::Leaf,
            1 => PartKind::Multipart(self.list(|decoder| decoder.part(depth + 1))?),
            2 => PartKind::Message(Box::new(self.summary(depth)?)),
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

fn encode_parameters(parameters: &[(Bytes, Bytes)], writer: &mut Writer) {
    writer.len(parameters.len());
    for (name, value) in parameters {
        writer.bytes(name);
        writer.bytes(value);
    }
}
