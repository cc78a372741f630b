use super::parse_command;
use crate::{
    CommandBody, CommandError, Expect, Flag, Frame, FrameEvent, FrameLimits, Framer, ParseError, ParseLimits,
    Tag,
};

mod commands;
mod hostile;
mod lists;
mod searches;

pub(crate) const LIMITS: ParseLimits = ParseLimits {
    nesting_max: 50,
    ranges_max: 1000,
    search_keys_max: 1000,
    list_max: 100,
    utf8_mailboxes: false,
};

pub(crate) const FRAME_LIMITS: FrameLimits = FrameLimits {
    line_max: 1 << 20,
    literal_max: 1 << 20,
    message_max: 1 << 20,
    non_sync_literal_max: u64::MAX,
    literals_max: 1000,
    command_max: 1 << 24,
    discard_max: 1 << 24,
    lone_line_feed: false,
};

/// The frame of `input`, which has no line end.
pub(crate) fn frame_of(input: &[u8]) -> Frame {
    let mut framer = Framer::new();
    let whole = [input, b"\r\n"].concat();
    let mut rest = whole.as_slice();
    loop {
        let (taken, event) = framer.push(rest, Expect::Command, &FRAME_LIMITS);
        rest = &rest[taken..];
        match event {
            FrameEvent::Frame(frame) => {
                assert!(rest.is_empty());
                return frame;
            }
            FrameEvent::Continue { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn parse_with(limits: &ParseLimits, body: &[u8]) -> Result<CommandBody, ParseError> {
    match parse_command(frame_of(&[b"A1 ", body].concat()), limits) {
        Ok(command) => {
            assert_eq!(command.tag.as_str(), "A1");
            Ok(command.body)
        }
        Err(error) => {
            assert_eq!(error.tag.map(|tag| tag.to_string()).as_deref(), Some("A1"));
            Err(error.error)
        }
    }
}

pub(crate) fn parse(body: &str) -> Result<CommandBody, ParseError> {
    parse_with(&LIMITS, body.as_bytes())
}

/// The command's `Debug` text, spelled as values are in the code.
fn check(body: &str, expected: CommandBody) {
    assert_eq!(parse(body).unwrap(), expected, "{body}");
}

fn refused(body: &str, expected: ParseError) {
    assert_eq!(parse(body).unwrap_err(), expected, "{body}");
}

#[test]
fn tags() {
    let bad = |input: &str| parse_command(frame_of(input.as_bytes()), &LIMITS).unwrap_err();
    for input in ["", " ", "+ NOOP", "* OK", "(", "\"a\" NOOP", "é NOOP", "a\t NOOP"] {
        assert_eq!(bad(input), CommandError { tag: None, error: ParseError::Tag }, "{input:?}");
    }
    for input in ["a1", "a1 ", "a1  "] {
        let error = CommandError { tag: Tag::parse(b"a1"), error: ParseError::MissingCommand };
        assert_eq!(bad(input), error, "{input:?}");
    }
    for input in ["a1 FROB", "a1 XLIST \"\" *", "a1 UID NOOP x"] {
        let error = CommandError { tag: Tag::parse(b"a1"), error: ParseError::UnknownCommand };
        assert_eq!(bad(input), error, "{input:?}");
    }
}

#[test]
fn flags() {
    let flags = |text: &str| {
        let CommandBody::Store(store) = parse(&format!("STORE 1 FLAGS {text}"))? else { panic!() };
        Ok::<_, ParseError>(store.flags)
    };
    assert_eq!(flags("()").unwrap(), []);
    assert_eq!(flags("\\Seen").unwrap(), [Flag::Seen]);
    assert_eq!(flags("(\\SEEN \\seen $Junk)").unwrap().len(), 2);
    assert_eq!(flags("\\Seen \\Deleted").unwrap(), [Flag::Seen, Flag::Deleted]);
    assert_eq!(flags("(\\Recent \\Draft)").unwrap(), [Flag::Draft]);
    assert_eq!(flags("(\\Frob)").unwrap_err(), ParseError::SystemFlag);
    assert_eq!(flags("(\\*)").unwrap_err(), ParseError::Expected("a flag"));
    assert_eq!(flags("( \\Seen)").unwrap_err(), ParseError::Expected("a flag"));
    assert_eq!(flags("(\\Seen").unwrap_err(), ParseError::Expected("a space"));
    assert_eq!(flags(&"k".repeat(129)).unwrap_err(), ParseError::WordTooLong);
}
