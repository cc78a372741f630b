//! Framing: where a command ends.
//!
//! A command is a line; a line that ends in `{n}` or `{n+}` is followed by n octets and another line
//! (RFC 3501 §4.3, RFC 7888). The framer cuts the stream there and knows every octet limit; what the text
//! means is the parser's business.
//!
//! ```text
//!            line without literal → Frame
//!  Line ──┬─ {n}  → Continue ─┐
//!   ↑     └─ {n+} ────────────┴→ Literal ── n octets ──┐
//!   └──────────────────────────────────────────────────┘
//!  over a limit, NUL, lone CR → Discard: to the end of the command, announced literals too → Refused
//!  no end to be found          → Refused with `close`
//! ```
//!
//! Memory: at most the command's own limit; while discarding, a few octets.

mod announcement;
mod discard;

use std::fmt;

use announcement::Announcement;
use discard::{Discard, Discarded};

use crate::{FrameLimits, Tag};

/// One complete command, not yet parsed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// The lines, CRLF between them, none at the end. Each line but the last ends in a literal's announcement.
    pub(crate) text: Vec<u8>,
    /// The literals in order.
    pub(crate) literals: Vec<Vec<u8>>,
}

/// What the session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A command with its literals.
    Command,
    /// One line as it stands: the answers to AUTHENTICATE's continuations, and IDLE's `DONE`.
    Line,
}

/// What the octets so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameEvent {
    /// All input is consumed and more is needed.
    Incomplete,
    /// The client waits for a continuation request before it sends a literal. Answer
    /// `+ OK`, or refuse the command with its tag and call [`Framer::abandon`].
    Continue {
        /// The literal's length.
        octets: u64,
        /// Whether the command is APPEND.
        append: bool,
    },
    /// A command.
    Frame(Frame),
    /// A line, asked for by [`Expect::Line`], without its line end.
    Line(Line),
    /// A command that was dropped whole.
    Refused(Refusal),
}

/// A line of an exchange inside a command. It may hold a password and never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(pub(crate) Vec<u8>);

/// Why a command was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The tag, when the line has one.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub error: FrameError,
    /// The command's end is unknown or too far: the connection must close (`* BYE`).
    pub close: bool,
}

/// What is wrong with a command's octets. `Display` is fit for the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A line is longer than [`FrameLimits::line_max`].
    #[error("the line is longer than {max} octets")]
    LineTooLong {
        /// The limit.
        max: usize,
    },
    /// A literal is larger than its limit.
    #[error("the literal is larger than {max} octets")]
    LiteralTooLarge {
        /// The limit that was broken.
        max: u64,
        /// Whether it is APPEND's: answer `NO [TOOBIG]` or `NO [LIMIT]` rather than `BAD`.
        append: bool,
    },
    /// `{-1}`, `{x}`, `{}`, `{99999999999999999999}`.
    #[error("the literal's length is not a number")]
    LiteralLength,
    /// More than [`FrameLimits::literals_max`] literals.
    #[error("the command has more than {max} literals")]
    TooManyLiterals {
        /// The limit.
        max: usize,
    },
    /// More than [`FrameLimits::command_max`] octets.
    #[error("the command is longer than {max} octets")]
    CommandTooLong {
        /// The limit.
        max: u64,
    },
    /// A line feed without a carriage return.
    #[error("lines end with CR LF; a lone LF is not allowed")]
    LoneLineFeed,
    /// A carriage return without a line feed.
    #[error("a CR is followed by LF; a lone CR is not allowed")]
    LoneCarriageReturn,
    /// NUL in a line.
    #[error("NUL is not allowed in a command")]
    Nul,
}

/// Cuts a stream of octets into commands. Owns the octets of the command at hand and nothing else.
#[derive(Default)]
pub struct Framer {
    frame: Frame,
    /// Where the line at hand begins in the frame's text.
    line_start: usize,
    /// Octets of the command so far.
    spent: u64,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Line,
    Literal {
        remaining: u64,
    },
    Discard(Discard),
}

impl Framer {
    /// A framer at the beginning of a command.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no octet of a command is held: the connection may be closed here without harm.
    pub const fn is_idle(&self) -> bool {
        self.spent == 0 && matches!(self.state, State::Line)
    }

    /// Forgets the command at hand, after a [`FrameEvent::Continue`] that the session answers with a refusal.
    pub fn abandon(&mut self) {
        *self = Self::default();
    }

    /// The tag of the command at hand, once its first word is here.
    pub fn tag(&self) -> Option<Tag> {
        tag_of(&self.frame.text)
    }

    /// The command at hand as far as it is here, for a refusal before a large literal: parses what
    /// stands before the literal. None when it makes no sense yet.
    pub fn announced_append(&self, limits: &crate::ParseLimits) -> Option<crate::Mailbox> {
        crate::parse::append_target(&self.frame, limits)
    }

    /// Takes octets from the front of `input`; gives how many were taken and what they amount to. Call
    /// again with the rest until [`FrameEvent::Incomplete`]. Input behind the event is left alone, so that a
    /// session can throw it away at STARTTLS.
    ///
    /// ```abnf
    /// command = tag SP (…) CRLF
    /// literal = "{" number ["+"] "}" CRLF *CHAR8     ; RFC 3501 §9, RFC 7888 §8
    /// ```
    pub fn push(&mut self, input: &[u8], expect: Expect, limits: &FrameLimits) -> (usize, FrameEvent) {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            if rest.is_empty() && !matches!(self.state, State::Literal { remaining: 0 }) {
                return (taken, FrameEvent::Incomplete);
            }
            let (count, event) = match &mut self.state {
                State::Line => self.take_line(rest, expect, limits),
                State::Literal { .. } => (self.take_literal(rest), None),
                State::Discard(discard) => match discard.take(rest, expect, limits) {
                    (count, Discarded::More) => (count, None),
                    (count, Discarded::Done { close }) => (count, Some(self.finish_discard(close))),
                },
            };
            taken += count;
            if let Some(event) = event {
                return (taken, event);
            }
        }
    }

    /// Takes octets up to a line end.
    fn take_line(
        &mut self,
        input: &[u8],
        expect: Expect,
        limits: &FrameLimits,
    ) -> (usize, Option<FrameEvent>) {
        let held = self.frame.text.len() - self.line_start;
        let room_in_line = (limits.line_max + 2).saturating_sub(held) as u64;
        let room_in_command = (self.command_max(limits).saturating_add(2)).saturating_sub(self.spent);
        let end = memchr::memchr(b'\n', input);
        let count = end.map_or(input.len(), |at| at + 1);
        if count as u64 > room_in_line.min(room_in_command) {
            let error = if room_in_line <= room_in_command {
                FrameError::LineTooLong { max: limits.line_max }
            } else {
                FrameError::CommandTooLong { max: limits.command_max }
            };
            // What fits is taken: the tag is in it, and the end of the line may be behind it.
            let count = usize::try_from(room_in_line.min(room_in_command)).unwrap_or(count);
            self.frame.text.extend_from_slice(input.get(..count).unwrap_or_default());
            self.discard(error, 0);
            return (count, None);
        }
        self.frame.text.extend_from_slice(input.get(..count).unwrap_or_default());
        self.spent += count as u64;
        (count, end.and_then(|_| self.end_line(expect, limits)))
    }

    /// A line feed has come.
    fn end_line(&mut self, expect: Expect, limits: &FrameLimits) -> Option<FrameEvent> {
        self.frame.text.pop();
        if self.frame.text.len() > self.line_start && self.frame.text.last() == Some(&b'\r') {
            self.frame.text.pop();
        } else if !limits.lone_line_feed {
            return Some(self.refuse(FrameError::LoneLineFeed, true));
        }
        let line = self.frame.text.get(self.line_start..).unwrap_or_default();
        let announcement =
            if expect == Expect::Line { Announcement::None } else { Announcement::at_end_of(line) };
        let error = if line.len() > limits.line_max {
            Some(FrameError::LineTooLong { max: limits.line_max })
        } else {
            match memchr::memchr2(0, b'\r', line).and_then(|at| line.get(at)) {
                Some(0) => Some(FrameError::Nul),
                Some(_) => Some(FrameError::LoneCarriageReturn),
                None => None,
            }
        };
        match (announcement, error) {
            (Announcement::None, None) => Some(self.complete(expect)),
            (Announcement::None, Some(error)) => Some(self.refuse(error, false)),
            (Announcement::Malformed { waits }, error) => {
                Some(self.refuse(error.unwrap_or(FrameError::LiteralLength), !waits))
            }
            (Announcement::Literal { octets, waits }, error) => {
                let error = error.or_else(|| self.literal_error(octets, waits, limits));
                self.begin_literal(octets, waits, error, limits)
            }
        }
    }

    fn begin_literal(
        &mut self,
        octets: u64,
        waits: bool,
        error: Option<FrameError>,
        limits: &FrameLimits,
    ) -> Option<FrameEvent> {
        match error {
            // A client that waits sends nothing more of this command once it is refused.
            Some(error) if waits => return Some(self.refuse(error, false)),
            // Too much to read on: no need to wait for more before saying so.
            Some(error) if octets > limits.discard_max => return Some(self.refuse(error, true)),
            Some(error) => {
                self.discard(error, octets);
                return None;
            }
            None => {}
        }
        let append = self.is_append();
        self.frame.text.extend_from_slice(b"\r\n");
        self.frame.literals.push(Vec::new());
        self.state = State::Literal { remaining: octets };
        waits.then_some(FrameEvent::Continue { octets, append })
    }

    /// Which limit a literal breaks.
    fn literal_error(&self, octets: u64, waits: bool, limits: &FrameLimits) -> Option<FrameError> {
        let append = self.is_append() && limits.message_max > 0;
        let max = if append { limits.message_max.max(limits.literal_max) } else { limits.literal_max };
        let max = if waits { max } else { max.min(limits.non_sync_literal_max) };
        let command_max = self.command_max(limits);
        if self.frame.literals.len() >= limits.literals_max {
            Some(FrameError::TooManyLiterals { max: limits.literals_max })
        } else if octets > max {
            Some(FrameError::LiteralTooLarge { max, append })
        } else if self.spent.saturating_add(octets) > command_max {
            Some(FrameError::CommandTooLong { max: limits.command_max })
        } else {
            None
        }
    }

    /// Takes octets of a literal. The buffer grows with what has come, not with what was announced.
    fn take_literal(&mut self, input: &[u8]) -> usize {
        let State::Literal { remaining } = &mut self.state else { return 0 };
        let count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
        if let Some(literal) = self.frame.literals.last_mut() {
            if literal.capacity() - literal.len() < count {
                let whole = usize::try_from(*remaining).unwrap_or(usize::MAX);
                literal.reserve_exact(whole.min(count.max(literal.capacity())));
            }
            literal.extend_from_slice(input.get(..count).unwrap_or_default());
        }
        self.spent += count as u64;
        *remaining -= count as u64;
        if *remaining == 0 {
            self.line_start = self.frame.text.len();
            self.state = State::Line;
        }
        count
    }

    fn is_append(&self) -> bool {
        let mut words = self.frame.text.split(|octet| matches!(octet, b' ' | b'\r'));
        words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(b"APPEND"))
    }

    fn command_max(&self, limits: &FrameLimits) -> u64 {
        let more = if self.is_append() { limits.message_max } else { 0 };
        limits.command_max.saturating_add(more)
    }

    fn complete(&mut self, expect: Expect) -> FrameEvent {
        let frame = std::mem::take(self).frame;
        match expect {
            Expect::Command => FrameEvent::Frame(frame),
            Expect::Line => FrameEvent::Line(Line(frame.text)),
        }
    }

    fn refuse(&mut self, error: FrameError, close: bool) -> FrameEvent {
        let tag = self.tag();
        self.abandon();
        FrameEvent::Refused(Refusal { tag, error, close })
    }

    /// Drops what is held and goes on to the end of the command, `skip` octets of a literal first.
    fn discard(&mut self, error: FrameError, skip: u64) {
        let line = self.frame.text.get(self.line_start..).unwrap_or_default();
        let discard = Discard::new(self.tag(), error, skip, line);
        *self = Self { state: State::Discard(discard), ..Self::default() };
    }

    fn finish_discard(&mut self, close: bool) -> FrameEvent {
        let (tag, error) = match std::mem::take(self).state {
            State::Discard(discard) => discard.into_parts(),
            State::Line | State::Literal { .. } => (None, FrameError::LiteralLength),
        };
        FrameEvent::Refused(Refusal { tag, error, close })
    }
}

/// The first word, when it is complete and a tag.
pub(crate) fn tag_of(text: &[u8]) -> Option<Tag> {
    let word = text.split(|octet| matches!(octet, b' ' | b'\r' | b'\n')).next()?;
    Tag::parse(word)
}

impl Line {
    /// Whether this is IDLE's `DONE` (RFC 2177 §3).
    pub fn is_done(&self) -> bool {
        self.0.eq_ignore_ascii_case(b"DONE")
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({} octets)", self.0.len())
    }
}

/// Commands hold passwords: only sizes print.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} octets, {} literals)", self.text.len(), self.literals.len())
    }
}

#[cfg(test)]
mod tests;
