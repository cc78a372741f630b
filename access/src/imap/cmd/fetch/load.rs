//! Reading what a batch of messages needs. Runs on the store's threads.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use imap_proto::{FetchItem, SectionText};
use store::{Entry, FlagChange, Flags, Mailbox, StoreError, Summary, Uid};

/// A message up to this size is read whole; of larger ones, what is asked for is read piece by piece.
const WHOLE_MAX: u64 = 256 * 1024;

/// Messages in a batch that reads no files.
const BATCH_SUMMARIES: usize = 256;

/// Messages in a batch that reads a file for each.
const BATCH_FILES: usize = 32;

/// What must be read of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    summary: bool,
    text: Text,
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

/// A message of a batch.
pub(super) struct Loaded {
    pub(super) index: usize,
    pub(super) entry: Entry,
    pub(super) summary: Option<Arc<Summary>>,
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
        let mut need = Self { summary: false, text: Text::None };
        for item in items {
            let (summary, text) = match item {
                FetchItem::Body | FetchItem::BodyStructure | FetchItem::Envelope => (true, Text::None),
                FetchItem::BodySection { section, .. } if section.part.is_empty() => match section.text {
                    SectionText::Everything => (false, Text::Whole),
                    SectionText::Text | SectionText::Mime => (true, Text::Whole),
                    _ => (true, Text::Header),
                },
                FetchItem::BodySection { .. } | FetchItem::Rfc822Text => (true, Text::Whole),
                FetchItem::Rfc822 => (false, Text::Whole),
                FetchItem::Rfc822Header => (true, Text::Header),
                _ => continue,
            };
            need.summary |= summary;
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
    let mut summaries: HashMap<Uid, Arc<Summary>> = HashMap::new();
    if need.summary {
        let uids: Vec<Uid> = wanted.iter().map(|(_, entry)| entry.uid).collect();
        summaries.extend(mailbox.summaries(&uids)?);
    }
    let mut loaded = Vec::with_capacity(wanted.len());
    for (index, entry) in wanted {
        let summary = summaries.remove(&entry.uid);
        let missing = need.summary && summary.is_none();
        let (data, gone) = match read(mailbox, &entry, summary.as_deref(), need.text) {
            _ if missing => (Data::Pieces, true),
            Ok(data) => (data, false),
            Err(StoreError::NoSuchMessage) => (Data::Pieces, true),
            Err(error) => return Err(error),
        };
        loaded.push(Loaded { index, entry, summary, data, gone });
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
