//! Reading on to the end of a command that is already refused, holding almost nothing.

use super::{Announcement, Expect, FrameError};
use crate::{FrameLimits, Tag};

/// How much of a line's end is kept: enough for `~{18446744073709551615+}` and the line end.
const TAIL_MAX: usize = 32;

/// A command on its way out.
pub(super) struct Discard {
    tag: Option<Tag>,
    error: FrameError,
    /// Octets of an announced literal still to come.
    skip: u64,
    /// Octets thrown away so far.
    thrown: u64,
    /// The last octets of the line at hand.
    tail: Vec<u8>,
}

/// How far the discarding is.
pub(super) enum Discarded {
    More,
    Done { close: bool },
}

impl Discard {
    /// `line` is what is known of the line at hand, empty when a literal of `skip` octets comes first.
    pub(super) fn new(tag: Option<Tag>, error: FrameError, skip: u64, line: &[u8]) -> Self {
        let mut discard = Self { tag, error, skip, thrown: 0, tail: Vec::with_capacity(2 * TAIL_MAX) };
        if skip == 0 {
            discard.keep(line);
        }
        discard
    }

    pub(super) fn into_parts(self) -> (Option<Tag>, FrameError) {
        (self.tag, self.error)
    }

    /// Takes octets; the command ends at a line end without a literal, or with a literal that the client
    /// does not send unasked.
    pub(super) fn take(&mut self, input: &[u8], expect: Expect, limits: &FrameLimits) -> (usize, Discarded) {
        if self.thrown.saturating_add(self.skip) > limits.discard_max {
            return (0, Discarded::Done { close: true });
        }
        if self.skip > 0 {
            let count = usize::try_from(self.skip).unwrap_or(usize::MAX).min(input.len());
            self.skip -= count as u64;
            self.thrown += count as u64;
            return (count, Discarded::More);
        }
        let end = memchr::memchr(b'\n', input);
        let count = end.map_or(input.len(), |at| at + 1);
        self.thrown += count as u64;
        if self.thrown > limits.discard_max {
            return (count, Discarded::Done { close: true });
        }
        self.keep(input.get(..count).unwrap_or_default());
        if end.is_none() {
            return (count, Discarded::More);
        }
        let line = match self.tail.strip_suffix(b"\r\n") {
            Some(line) => line,
            None if limits.lone_line_feed => self.tail.strip_suffix(b"\n").unwrap_or_default(),
            None => return (count, Discarded::More),
        };
        let announcement =
            if expect == Expect::Line { Announcement::None } else { Announcement::at_end_of(line) };
        self.tail.clear();
        match announcement {
            Announcement::None
            | Announcement::Literal { waits: true, .. }
            | Announcement::Malformed { waits: true } => (count, Discarded::Done { close: false }),
            Announcement::Malformed { waits: false } => (count, Discarded::Done { close: true }),
            Announcement::Literal { octets, waits: false } => {
                self.skip = octets;
                (count, Discarded::More)
            }
        }
    }

    /// Keeps the last octets of the line.
    fn keep(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets.get(octets.len().saturating_sub(TAIL_MAX)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(TAIL_MAX);
        self.tail.drain(..excess);
    }
}
