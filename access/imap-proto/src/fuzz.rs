//! Entries for fuzzing: any octets, no panic, and what must hold afterwards.

use crate::{Expect, FrameEvent, FrameLimits, Framer, ParseLimits, frame::Frame, parse_command};

const FRAME_LIMITS: FrameLimits = FrameLimits {
    line_max: 200,
    literal_max: 100,
    message_max: 1000,
    non_sync_literal_max: 50,
    literals_max: 5,
    command_max: 400,
    discard_max: 2000,
    lone_line_feed: false,
};

const PARSE_LIMITS: ParseLimits =
    ParseLimits { nesting_max: 10, ranges_max: 20, search_keys_max: 50, list_max: 20, utf8_mailboxes: false };

/// Frames `input` whole and octet by octet: both see the same, no event holds more than was fed, and
/// what a frame holds is within its limits.
pub fn fuzz_frame(input: &[u8]) {
    assert_eq!(frames(input, input.len().max(1)), frames(input, 1));
}

fn frames(input: &[u8], size: usize) -> Vec<FrameEvent> {
    let mut framer = Framer::new();
    let mut events = Vec::new();
    let mut held = 0;
    for piece in input.chunks(size) {
        let mut rest = piece;
        loop {
            let (taken, event) = framer.push(rest, Expect::Command, &FRAME_LIMITS);
            assert!(taken <= rest.len(), "no more is taken than there is");
            rest = rest.get(taken..).unwrap_or_default();
            match event {
                FrameEvent::Incomplete => {
                    assert!(rest.is_empty(), "incomplete means that all was taken");
                    break;
                }
                FrameEvent::Frame(frame) => {
                    held += frame.octets();
                    assert!(frame.octets() as u64 <= FRAME_LIMITS.command_max + FRAME_LIMITS.message_max + 2);
                    // Parsing must hold too, whatever it says.
                    drop(parse_command(frame.clone(), &PARSE_LIMITS));
                    events.push(FrameEvent::Frame(frame));
                }
                FrameEvent::Refused(refusal) if refusal.close => {
                    events.push(FrameEvent::Refused(refusal));
                    return events;
                }
                event => events.push(event),
            }
        }
    }
    assert!(held <= input.len() + 2 * events.len(), "frames hold no more than was fed");
    events
}

/// Parses `input` as the text of one command. What parses is within its limits and prints without panic.
pub fn fuzz_command(input: &[u8]) {
    let mut parts = input.split(|octet| *octet == b'\n');
    let frame = Frame {
        text: parts.next().unwrap_or_default().to_vec(),
        literals: parts.map(<[u8]>::to_vec).collect(),
    };
    let whole = frame.octets();
    if let Ok(command) = parse_command(frame, &PARSE_LIMITS) {
        let shown = format!("{command:?}");
        assert!(shown.len() <= 64 * whole + 4096, "a command is not much larger than its text");
        assert!(!command.tag.as_str().is_empty());
    }
}

pub use crate::mutf7::fuzz_mutf7;

impl Frame {
    /// Octets of text and literals.
    pub(crate) fn octets(&self) -> usize {
        self.text.len() + self.literals.iter().map(Vec::len).sum::<usize>()
    }
}
