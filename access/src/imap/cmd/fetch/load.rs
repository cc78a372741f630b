//! Reading what a batch of messages needs. Runs on the store's threads.

use std::sync::Arc;

use bytes::Bytes;
use imap_proto::{FetchItem, SectionText};
use store::{Entry, FlagChange, Flags, Mailbox, StoreError, Summary, Uid};

use super::super::super::structure;

/// A message up to this size is read whole; of larger ones, what is asked for is read piece by piece.
const WHOLE_MAX: u64 = 256 * 1024;

/// Messages in a batch that reads no files.
const BATCH_SUMMARIES: usize = 256;

/// Octets that are made room for beforehand, for each ENVELOPE: most take less, and memory that is asked for in steps costs more than the octets.
const ENVELOPE_USUAL: usize = 512;

/// Messages in a batch that reads a file for each.
const BATCH_FILES: usize = 32;

/// What must be read of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    parsed: Depth,
    text: Text,
}

/// How much of the message's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Nothing,
    Envelope,
    Whole,
}

/// How much of the message's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Text {
    None,
    Header,
    Whole,
}

/// The text of a message as far as it was read.
#[derive(Debug)]
pub(super) enum Data {
    /// Octets from the message's beginning on; all that the items need.
    Read(Bytes),
    /// The message is large: to be read in pieces.
    Pieces,
}

/// As much of the message's summary as is needed.
#[derive(Debug)]
pub(super) enum Parsed {
    /// None of it.
    Nothing,
    /// ENVELOPE as it is sent: it is written where it is read, so that nothing else of it passes to another thread.
    Envelope(Bytes),
    /// All.
    Whole(Arc<Summary>),
}

impl Parsed {
    pub(super) fn whole(&self) -> Option<&Summary> {
        match self {
            Self::Whole(summary) => Some(summary),
            Self::Nothing | Self::Envelope(_) => None,
        }
    }
}

/// A message of a batch.
pub(super) struct Loaded {
    pub(super) index: usize,
    pub(super) entry: Entry,
    pub(super) parsed: Parsed,
    pub(super) data: Data,
    pub(super) gone: bool,
}

/// What was read.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) loaded: Vec<Loaded>,
    /// Messages that became `\Seen` by this.
    pub(super) seen: Vec<Entry>,
}

impl Need {
    pub(super) fn of(items: &[FetchItem]) -> Self {
        let mut need = Self { parsed: Depth::Nothing, text: Text::None };
        for item in items {
            let (parsed, text) = match item {
                FetchItem::Envelope => (Depth::Envelope, Text::None),
                FetchItem::Body | FetchItem::BodyStructure => (Depth::Whole, Text::None),
                FetchItem::BodySection { section, .. } if section.part.is_empty() => match section.text {
                    SectionText::Everything => (Depth::Nothing, Text::Whole),
                    SectionText::Text | SectionText::Mime => (Depth::Whole, Text::Whole),
                    _ => (Depth::Whole, Text::Header),
                },
                FetchItem::BodySection { .. } | FetchItem::Rfc822Text => (Depth::Whole, Text::Whole),
                FetchItem::Rfc822 => (Depth::Nothing, Text::Whole),
                FetchItem::Rfc822Header => (Depth::Whole, Text::Header),
                _ => continue,
            };
            need.parsed = need.parsed.max(parsed);
            need.text = need.text.max(text);
        }
        need
    }

    /// Whether a batch has enough messages.
    pub(super) fn is_full(self, messages: usize, octets: u64) -> bool {
        match self.text {
            Text::None => messages >= BATCH_SUMMARIES,
            Text::Header => messages >= BATCH_FILES,
            Text::Whole => messages >= BATCH_FILES || octets >= WHOLE_MAX,
        }
    }
}

pub(super) fn load(
    mailbox: &Mailbox,
    wanted: Vec<(usize, Entry)>,
    need: Need,
    unseen: &[Uid],
) -> Result<Batch, StoreError> {
    let known = parsed(mailbox, &wanted, need.parsed)?;
    let mut loaded = Vec::with_capacity(wanted.len());
    for ((index, entry), parsed) in wanted.into_iter().zip(known) {
        let missing = need.parsed > Depth::Nothing && matches!(parsed, Parsed::Nothing);
        let (data, gone) = match read(mailbox, &entry, parsed.whole(), need.text) {
            _ if missing => (Data::Pieces, true),
            Ok(data) => (data, false),
            Err(StoreError::NoSuchMessage) => (Data::Pieces, true),
            Err(error) => return Err(error),
        };
        loaded.push(Loaded { index, entry, parsed, data, gone });
    }
    let mut seen = Vec::new();
    if !unseen.is_empty() {
        let flags = Flags { seen: true, ..Flags::default() };
        match mailbox.store(unseen, FlagChange::Add, &flags, None) {
            Ok(stored) => seen = stored.changed,
            // The message can be read all the same.
            Err(error) => tracing::warn!(error = ?error, "a message could not be marked as seen"),
        }
    }
    Ok(Batch { loaded, seen })
}

/// One for each of `wanted`; nothing of messages that are gone.
fn parsed(mailbox: &Mailbox, wanted: &[(usize, Entry)], depth: Depth) -> Result<Vec<Parsed>, StoreError> {
    let mut parsed: Vec<Parsed> = wanted.iter().map(|_| Parsed::Nothing).collect();
    let uids = || wanted.iter().map(|(_, entry)| entry.uid).collect::<Vec<Uid>>();
    match depth {
        Depth::Nothing => {}
        Depth::Envelope => {
            let mut text = Vec::with_capacity(wanted.len() * ENVELOPE_USUAL);
            let mut places = Vec::with_capacity(wanted.len());
            mailbox.fields(&uids(), |at, fields| {
                let from = text.len();
                structure::encode_envelope(fields, &mut text);
                places.push((at, from..text.len()));
            })?;
            let text = Bytes::from(text);
            for (at, place) in places {
                if let Some(slot) = parsed.get_mut(at) {
                    *slot = Parsed::Envelope(text.slice(place));
                }
            }
        }
        Depth::Whole => {
            let mut summaries = mailbox.summaries(&uids())?.into_iter().peekable();
            for ((_, entry), slot) in wanted.iter().zip(&mut parsed) {
                if let Some((_, summary)) = summaries.next_if(|(uid, _)| *uid == entry.uid) {
                    *slot = Parsed::Whole(summary);
                }
            }
        }
    }
    Ok(parsed)
}

fn read(mailbox: &Mailbox, entry: &Entry, summary: Option<&Summary>, text: Text) -> Result<Data, StoreError> {
    match (text, summary) {
        (Text::None, _) => Ok(Data::Read(Bytes::new())),
        (Text::Header, Some(summary)) => {
            let length = summary.structure.body_start;
            if length > WHOLE_MAX {
                return Ok(Data::Pieces);
            }
            mailbox.content_range(entry.uid, 0, length).map(Data::Read)
        }
        _ if entry.size > WHOLE_MAX => Ok(Data::Pieces),
        _ => mailbox.content(entry.uid).map(Data::Read),
    }
}
