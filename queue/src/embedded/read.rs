//! Reads one message from where it is.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use envelope::{Envelope, MessageId};

use super::record::{Found, Header, parse};
use super::scan::Segment;
use super::state::{Place, spool_path};
use crate::body::read_whole;
use crate::files::Files;

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// Trying again brings nothing.
    #[error("the queue's copy of the message is damaged: {0}")]
    Damaged(&'static str),
    /// The file with the body is away or has changed.
    #[error("the body file `{path}` is damaged")]
    Body {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The disk does not answer as it should.
    #[error("failed to read the message")]
    Io(#[source] io::Error),
}

/// Envelope with the recipients that still wait.
pub(super) fn read_envelope(segment: &Segment, id: MessageId, place: &Place) -> Result<Envelope, Unreadable> {
    let (header, record) = read_record(segment, id, place)?;
    envelope(&header, &record, place)
}

/// Envelope and body.
pub(super) fn read_message(
    files: &dyn Files,
    directory: &Path,
    segment: &Segment,
    id: MessageId,
    place: &Place,
) -> Result<(Envelope, Bytes), Unreadable> {
    let (header, record) = read_record(segment, id, place)?;
    let envelope = envelope(&header, &record, place)?;
    let Some((crc, name)) = header.reference(&record) else {
        return Ok((envelope, record.slice(header.body_range())));
    };
    let path = spool_path(directory, &place.segment.writer, id, name);
    let body = match read_whole(files, &path, header.body) {
        Ok(body) => body,
        Err(source) if lasting(&source) => return Err(Unreadable::Body { path, source }),
        Err(source) => return Err(Unreadable::Io(source)),
    };
    if crc32c::crc32c(&body) != crc {
        let source = io::Error::new(io::ErrorKind::InvalidData, "the checksum is another");
        return Err(Unreadable::Body { path, source });
    }
    Ok((envelope, body))
}

fn lasting(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

fn read_record(segment: &Segment, id: MessageId, place: &Place) -> Result<(Header, Bytes), Unreadable> {
    let mut record = vec![0; place.size as usize];
    let count = segment.handle.read_at(&mut record, place.offset.get()).map_err(Unreadable::Io)?;
    match parse(record.get(..count).unwrap_or_default(), segment.header.salt) {
        Found::Record(header) if header.id == id => Ok((header, record.into())),
        Found::Record(_) => Err(Unreadable::Damaged("another message is in its place")),
        Found::Bad(_) | Found::Blank | Found::Short(_) => Err(Unreadable::Damaged("the checksum is another")),
    }
}

fn envelope(header: &Header, record: &[u8], place: &Place) -> Result<Envelope, Unreadable> {
    let json = record.get(header.envelope_range()).unwrap_or_default();
    let mut envelope: Envelope =
        serde_json::from_slice(json).map_err(|_| Unreadable::Damaged("the envelope cannot be parsed"))?;
    if let Some(recipients) = place.recipients() {
        envelope.recipients = recipients.to_vec();
    }
    Ok(envelope)
}
