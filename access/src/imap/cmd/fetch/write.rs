//! Writing one FETCH response.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use imap_proto::response::word;
use imap_proto::{DateTime, FetchItem, Partial, Section, SectionText};
use store::{Entry, Uid};

use super::super::super::answer::Stop;
use super::super::super::connection::End;
use super::super::super::section::{Place, cut, fields, locate};
use super::super::super::session::Session;
use super::super::super::{flags, structure};
use super::load::{Data, Loaded, Parsed};

/// How much of a large message is read and sent at once.
const PIECE: u64 = 128 * 1024;

/// The longest header that is filtered by HEADER.FIELDS; what is behind is not looked at.
const HEADER_MAX: u64 = 1024 * 1024;

const CUT_SHORT: &str = "The message can't be read to its end";

/// `* n FETCH (…)`. `seen` is the entry after the message became `\Seen` by this command.
pub(super) async fn write(
    session: &mut Session,
    message: &Loaded,
    items: &[FetchItem],
    seen: Option<&Entry>,
) -> Result<(), Stop> {
    let selected = session.state.selected()?;
    let entry = seen.unwrap_or(&message.entry);
    let recent = selected.is_recent(entry.uid);
    if seen.is_some() || items.contains(&FetchItem::Flags) {
        selected.tell_keywords(&[(message.index, entry.clone())], &mut session.connection.out);
    }
    if seen.is_some() {
        selected.note_flags(entry.uid, Arc::clone(&entry.flags));
    }
    let out = &mut session.connection.out;
    out.extend_from_slice(b"* ");
    word::number(message.index as u64 + 1, out);
    out.extend_from_slice(b" FETCH (");
    let mut between = "";
    for item in items {
        session.connection.out.extend_from_slice(std::mem::replace(&mut between, " ").as_bytes());
        if let Some((label, section, partial)) = text_of(item) {
            write_text(session, message, &label, &section, partial).await?;
        } else {
            write_fact(message, entry, recent, item, &mut session.connection.out);
        }
    }
    if seen.is_some() && !items.contains(&FetchItem::Flags) {
        session.connection.out.extend_from_slice(b" FLAGS ");
        flags::encode(&entry.flags, recent, &mut session.connection.out);
    }
    session.connection.out.extend_from_slice(b")\r\n");
    Ok(session.connection.flush_if_full().await?)
}

/// Items that the index knows.
fn write_fact(message: &Loaded, entry: &Entry, recent: bool, item: &FetchItem, out: &mut Vec<u8>) {
    match item {
        FetchItem::Uid => {
            out.extend_from_slice(b"UID ");
            word::number(entry.uid.0.into(), out);
        }
        FetchItem::Flags => {
            out.extend_from_slice(b"FLAGS ");
            flags::encode(&entry.flags, recent, out);
        }
        FetchItem::InternalDate => {
            let seconds = i64::try_from(entry.internal_date.unix_seconds()).unwrap_or(i64::MAX);
            let text = format!("INTERNALDATE \"{}\"", DateTime::from_unix_seconds(seconds));
            out.extend_from_slice(text.as_bytes());
        }
        FetchItem::Rfc822Size => {
            out.extend_from_slice(b"RFC822.SIZE ");
            word::number(entry.size, out);
        }
        FetchItem::ModSeq => {
            out.extend_from_slice(format!("MODSEQ ({})", entry.mod_seq.0).as_bytes());
        }
        FetchItem::Envelope => {
            out.extend_from_slice(b"ENVELOPE ");
            match &message.parsed {
                Parsed::Envelope(envelope) => out.extend_from_slice(envelope),
                Parsed::Whole(summary) => structure::encode_envelope(&summary.fields, out),
                Parsed::Nothing => out.extend_from_slice(b"NIL"),
            }
        }
        FetchItem::Body | FetchItem::BodyStructure => {
            let extension = *item == FetchItem::BodyStructure;
            out.extend_from_slice(if extension { b"BODYSTRUCTURE ".as_slice() } else { b"BODY " });
            match message.parsed.whole() {
                Some(summary) => structure::encode_structure(&summary.structure, extension, out),
                None => out.extend_from_slice(b"NIL"),
            }
        }
        _ => {}
    }
}

/// Items that are text of the message: the name in the response, and the section meant.
fn text_of(item: &FetchItem) -> Option<(String, Cow<'_, Section>, Option<Partial>)> {
    let plain =
        |label: &str, text| Some((label.to_owned(), Cow::Owned(Section { part: Vec::new(), text }), None));
    match item {
        FetchItem::BodySection { section, partial, .. } => {
            let origin = partial.map_or_else(String::new, |partial| format!("<{}>", partial.offset));
            Some((format!("BODY[{section}]{origin}"), Cow::Borrowed(section), *partial))
        }
        FetchItem::Rfc822 => plain("RFC822", SectionText::Everything),
        FetchItem::Rfc822Header => plain("RFC822.HEADER", SectionText::Header),
        FetchItem::Rfc822Text => plain("RFC822.TEXT", SectionText::Text),
        _ => None,
    }
}

async fn write_text(
    session: &mut Session,
    message: &Loaded,
    label: &str,
    section: &Section,
    partial: Option<Partial>,
) -> Result<(), Stop> {
    session.connection.out.extend_from_slice(label.as_bytes());
    session.connection.out.push(b' ');
    let place = match (message.parsed.whole(), &message.data) {
        _ if *section == Section::default() => {
            let length = match &message.data {
                Data::Read(data) => data.len() as u64,
                Data::Pieces => message.entry.size,
            };
            Some(Place::Octets(0..length))
        }
        (Some(summary), _) => locate(summary, section),
        (None, _) => None,
    };
    match place {
        None => {
            session.connection.out.extend_from_slice(b"NIL");
            Ok(())
        }
        Some(Place::Octets(range)) => write_octets(session, message, &cut(&range, partial)).await,
        Some(Place::Fields { header, names, not }) => {
            let length = (header.end - header.start).min(HEADER_MAX);
            let header = match &message.data {
                Data::Read(data) => slice(data, &header),
                Data::Pieces => piece(session, message.entry.uid, header.start, length).await?,
            };
            let text = fields(&header, names, not);
            let range = cut(&(0..text.len() as u64), partial);
            let text = slice(&Bytes::from(text), &range);
            word::literal_head(text.len() as u64, &mut session.connection.out);
            word::literal_octets(&text, &mut session.connection.out);
            Ok(())
        }
    }
}

/// A literal with octets of the message.
async fn write_octets(session: &mut Session, message: &Loaded, range: &Range<u64>) -> Result<(), Stop> {
    if let Data::Read(data) = &message.data {
        let text = slice(data, range);
        word::literal_head(text.len() as u64, &mut session.connection.out);
        word::literal_octets(&text, &mut session.connection.out);
        return Ok(());
    }
    word::literal_head(range.end - range.start, &mut session.connection.out);
    let mut at = range.start;
    while at < range.end {
        let text = match piece(session, message.entry.uid, at, PIECE.min(range.end - at)).await? {
            text if !text.is_empty() => text,
            _ => return Err(End::Refused(CUT_SHORT).into()),
        };
        at += text.len() as u64;
        word::literal_octets(&text, &mut session.connection.out);
        session.connection.flush_if_full().await?;
    }
    Ok(())
}

/// Reads octets of a large message. Where that fails, a response is half written and nothing else can be said on this
/// connection.
async fn piece(session: &mut Session, uid: Uid, offset: u64, length: u64) -> Result<Bytes, Stop> {
    let mailbox = Arc::clone(&session.state.selected()?.mailbox);
    session.server.deps.work(move || mailbox.content_range(uid, offset, length)).await.map_err(|error| {
        tracing::warn!(uid = uid.0, error = ?error, "a message could not be read while it was sent");
        End::Refused(CUT_SHORT).into()
    })
}

/// As much of the range as is there.
fn slice(data: &Bytes, range: &Range<u64>) -> Bytes {
    let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
    let (start, end) = (clip(range.start), clip(range.end));
    data.slice(start..end.max(start))
}
