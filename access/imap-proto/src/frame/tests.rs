use proptest::prelude::{prop, proptest};

use super::{Expect, FrameEvent, Framer, Line, Refusal};
use crate::FrameLimits;

pub(crate) const LIMITS: FrameLimits = FrameLimits {
    line_max: 100,
    literal_max: 50,
    message_max: 200,
    non_sync_literal_max: u64::MAX,
    literals_max: 3,
    command_max: 300,
    discard_max: 1000,
    lone_line_feed: false,
};

/// Feeds `input` in pieces of `size` and shows what comes out.
fn run(input: &[u8], size: usize, limits: &FrameLimits) -> Vec<String> {
    let mut framer = Framer::new();
    let mut shown = Vec::new();
    for piece in input.chunks(size) {
        let mut rest = piece;
        loop {
            let (taken, event) = framer.push(rest, Expect::Command, limits);
            rest = &rest[taken..];
            match event {
                FrameEvent::Incomplete => break,
                FrameEvent::Continue { octets, append } => {
                    shown.push(format!("continue {octets}{}", if append { " append" } else { "" }));
                }
                FrameEvent::Frame(frame) => {
                    let literals: Vec<_> =
                        frame.literals.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
                    shown.push(format!("{:?} {literals:?}", String::from_utf8_lossy(&frame.text)));
                }
                FrameEvent::Line(_) => unreachable!(),
                FrameEvent::Refused(refusal) => {
                    let tag = refusal.tag.map_or("-".to_owned(), |tag| tag.to_string());
                    shown.push(format!("{tag} {}", refusal.error));
                    if refusal.close {
                        shown.push("close".to_owned());
                        return shown;
                    }
                }
            }
        }
    }
    if !framer.is_idle() {
        shown.push("more".to_owned());
    }
    shown
}

/// The same for every way to cut the input.
fn check_with(limits: &FrameLimits, input: impl AsRef<[u8]>, expected: &[&str]) {
    let input = input.as_ref();
    for size in [1, 2, 3, 7, 4096] {
        assert_eq!(run(input, size, limits), expected, "{:?} by {size}", String::from_utf8_lossy(input));
    }
}

fn check(input: impl AsRef<[u8]>, expected: &[&str]) {
    check_with(&LIMITS, input, expected);
}

#[test]
fn lines_and_literals() {
    check("A1 NOOP\r\n", &[r#""A1 NOOP" []"#]);
    check("A1 NOOP\r\nA2 NOOP\r\nA3", &[r#""A1 NOOP" []"#, r#""A2 NOOP" []"#, "more"]);
    check("\r\n", &[r#""" []"#]);
    check(
        "A1 LOGIN {3}\r\nbob {3}\r\na\r\n\r\n",
        &["continue 3", "continue 3", r#""A1 LOGIN {3}\r\n {3}\r\n" ["bob", "a\r\n"]"#],
    );
    check(
        "A1 LOGIN {3+}\r\nbob {0+}\r\n\r\nA2 NOOP\r\n",
        &[r#""A1 LOGIN {3+}\r\n {0+}\r\n" ["bob", ""]"#, r#""A2 NOOP" []"#],
    );
    check("A1 LOGIN {0}\r\n", &["continue 0", "more"]);
    check("A1 APPEND x {4}\r\nabcd\r\n", &["continue 4 append", r#""A1 APPEND x {4}\r\n" ["abcd"]"#]);
}

#[test]
fn a_literal_may_hold_what_looks_like_a_command() {
    check(
        "A1 X {17+}\r\n\r\nA2 DELETE INBOX\r\nA3 NOOP\r\n",
        &[r#""A1 X {17+}\r\n" ["\r\nA2 DELETE INBOX"]"#, r#""A3 NOOP" []"#],
    );
}

#[test]
fn lengths_that_are_no_length() {
    let no = "A1 the literal's length is not a number";
    check("A1 LOGIN {-1}\r\nA2 NOOP\r\n", &[no, r#""A2 NOOP" []"#]);
    check("A1 LOGIN {}\r\n", &[no]);
    check("A1 LOGIN {18446744073709551616}\r\n", &[no]);
    check("A1 LOGIN {-1+}\r\nA2 NOOP\r\n", &[no, "close"]);
    check("A1 LOGIN {18446744073709551616+}\r\n", &[no, "close"]);
}

#[test]
fn a_literal_over_the_limit() {
    let large = "A1 the literal is larger than 50 octets";
    let literal = |n: usize| "x".repeat(n);
    check(
        format!("A1 X {{49+}}\r\n{}\r\n", literal(49)),
        &[&format!(r#""A1 X {{49+}}\r\n" ["{}"]"#, literal(49))],
    );
    check(
        format!("A1 X {{50+}}\r\n{}\r\n", literal(50)),
        &[&format!(r#""A1 X {{50+}}\r\n" ["{}"]"#, literal(50))],
    );
    // The literal goes, and so does the rest of the command: nothing of it is read as commands.
    let hidden = "A2 DELETE INBOX\r\n".repeat(3);
    check(format!("A1 X {{51+}}\r\n{hidden} {{4+}}\r\nA3 \r z\r\nA4 NOOP\r\n"), &[large, r#""A4 NOOP" []"#]);
    // A client that waits sends nothing after the refusal.
    check("A1 X {51}\r\nA2 NOOP\r\n", &[large, r#""A2 NOOP" []"#]);
    check("A1 X {4294967296}\r\n", &[large]);
    check("A1 X {18446744073709551615}\r\n", &[large]);
    check("A1 X {999}\r\n", &[large]);
    // More than discard_max will not be waited for.
    check("A1 X {4294967296+}\r\nA2 NOOP\r\n", &[large, "close"]);
    check(format!("A1 X {{1000+}}\r\n{}\r\nA2 NOOP\r\n", literal(1000)), &[large, "close"]);
}

#[test]
fn append_has_a_limit_of_its_own() {
    let message = "x".repeat(200);
    check(
        format!("A1 append x {{200}}\r\n{message}\r\n"),
        &["continue 200 append", &format!(r#""A1 append x {{200}}\r\n" ["{message}"]"#)],
    );
    check("A1 append x {201}\r\n", &["A1 the literal is larger than 200 octets"]);
    let before_login = FrameLimits { message_max: 0, ..LIMITS };
    check_with(&before_login, "A1 append x {51}\r\n", &["A1 the literal is larger than 50 octets"]);
}

#[test]
fn literal_minus() {
    let limits = FrameLimits { non_sync_literal_max: 5, ..LIMITS };
    check_with(&limits, "A1 X {5+}\r\nabcde\r\n", &[r#""A1 X {5+}\r\n" ["abcde"]"#]);
    check_with(
        &limits,
        "A1 X {6+}\r\nabcdef\r\nA2 NOOP\r\n",
        &["A1 the literal is larger than 5 octets", r#""A2 NOOP" []"#],
    );
    check_with(&limits, "A1 X {6}\r\nabcdef\r\n", &["continue 6", r#""A1 X {6}\r\n" ["abcdef"]"#]);
}

#[test]
fn number_of_literals() {
    let with = |n: usize| format!("A1 X{}\r\nA2 NOOP\r\n", " {1+}\r\na".repeat(n));
    for good in [2, 3] {
        assert_eq!(run(with(good).as_bytes(), 5, &LIMITS).len(), 2);
        assert!(run(with(good).as_bytes(), 5, &LIMITS)[0].starts_with("\"A1 X"));
    }
    let many = "A1 the command has more than 3 literals";
    check(with(4), &[many, r#""A2 NOOP" []"#]);
    check(with(90), &[many, r#""A2 NOOP" []"#]);
    check(with(1_000), &[many, "close"]);
}

#[test]
fn length_of_a_line() {
    let line = |n: usize| format!("A1 {}\r\nA2 NOOP\r\n", "x".repeat(n - 3));
    let long = "A1 the line is longer than 100 octets";
    for good in [99, 100] {
        assert_eq!(run(line(good).as_bytes(), 3, &LIMITS).len(), 2);
        assert!(run(line(good).as_bytes(), 3, &LIMITS)[0].starts_with("\"A1 xx"));
    }
    for bad in [101, 102, 103, 500] {
        check(line(bad), &[long, r#""A2 NOOP" []"#]);
    }
    check(line(1_200), &[long, "close"]);
    // The literal at the end of a long line is thrown away with it.
    check(
        format!("A1 {} {{17+}}\r\nA2 DELETE INBOX\r\n more\r\nA3 NOOP\r\n", "x".repeat(200)),
        &[long, r#""A3 NOOP" []"#],
    );
    check(
        format!("{}\r\nA2 NOOP\r\n", "(".repeat(200)),
        &["- the line is longer than 100 octets", r#""A2 NOOP" []"#],
    );
}

#[test]
fn length_of_a_command() {
    let limits = FrameLimits { literals_max: 100, ..LIMITS };
    let literals = format!(" {{40+}}\r\n{}", "x".repeat(40)).repeat(6);
    let command = |n: usize| format!("A1 X{literals}{}\r\nA2 NOOP\r\n", " ".repeat(n - 4 - literals.len()));
    for good in [299, 300] {
        assert!(run(command(good).as_bytes(), 3, &limits)[0].starts_with("\"A1 X"));
    }
    for bad in [301, 302, 303, 320] {
        check_with(&limits, command(bad), &["A1 the command is longer than 300 octets", r#""A2 NOOP" []"#]);
    }
    let with = |n: usize| format!("A1 X{literals} {{{n}+}}\r\n{}\r\nA2 NOOP\r\n", "x".repeat(n));
    check_with(&limits, with(2), &["A1 the command is longer than 300 octets", r#""A2 NOOP" []"#]);
}

#[test]
fn line_ends() {
    let lone_lf = "A1 lines end with CR LF; a lone LF is not allowed";
    check("A1 NOOP\nA2 NOOP\r\n", &[lone_lf, "close"]);
    check(
        "A1 NO\rOP\r\nA2 NOOP\r\n",
        &["A1 a CR is followed by LF; a lone CR is not allowed", r#""A2 NOOP" []"#],
    );
    check("A1 NO\0OP\r\nA2 NOOP\r\n", &["A1 NUL is not allowed in a command", r#""A2 NOOP" []"#]);
    check(
        "A1 \"\0\" {3+}\r\nX\r\n\r\nA2 NOOP\r\n",
        &["A1 NUL is not allowed in a command", r#""A2 NOOP" []"#],
    );
    let quirk = FrameLimits { lone_line_feed: true, ..LIMITS };
    check_with(&quirk, "A1 NOOP\nA2 NOOP\r\n", &[r#""A1 NOOP" []"#, r#""A2 NOOP" []"#]);
    check_with(&quirk, "A1 X {1+}\na\n", &[r#""A1 X {1+}\r\n" ["a"]"#]);
}

#[test]
fn before_login_eight_kibibytes() {
    let limits = &FrameLimits::BEFORE_LOGIN;
    let parens = format!("A1 LIST {}\r\nA2 NOOP\r\n", "(".repeat(60_000));
    check_with(limits, parens, &["A1 the line is longer than 8192 octets", r#""A2 NOOP" []"#]);
    let million = "(".repeat(1_000_000);
    let mut framer = Framer::new();
    let (_, event) = framer.push(million.as_bytes(), Expect::Command, limits);
    assert!(matches!(event, FrameEvent::Refused(Refusal { close: true, .. })));
    let literals = "A1 LOGIN ".to_owned() + &"{1+}\r\na ".repeat(1_000_000);
    assert_eq!(run(literals.as_bytes(), 4096, limits), ["A1 the command has more than 4 literals", "close"]);
}

#[test]
fn a_session_may_refuse_before_the_literal() {
    let mut framer = Framer::new();
    let input = b"A1 APPEND \"some box\" (\\Seen) {20}\r\n";
    let (taken, event) = framer.push(input, Expect::Command, &LIMITS);
    assert_eq!((taken, event), (input.len(), FrameEvent::Continue { octets: 20, append: true }));
    assert_eq!(framer.tag().unwrap().as_str(), "A1");
    let limits = crate::parse::tests::LIMITS;
    assert_eq!(framer.announced_append(&limits).unwrap().as_str(), "some box");
    framer.abandon();
    assert!(framer.is_idle());
    let (_, event) = framer.push(b"A2 NOOP\r\n", Expect::Command, &LIMITS);
    assert!(matches!(event, FrameEvent::Frame(_)));
}

#[test]
fn lines_of_an_exchange() {
    let mut framer = Framer::new();
    let (taken, event) = framer.push(b"done\r\nA2 NOOP\r\n", Expect::Line, &LIMITS);
    let FrameEvent::Line(line) = event else { panic!("{event:?}") };
    assert_eq!((taken, line.is_done()), (6, true));
    // Braces mean nothing here.
    let (_, event) = framer.push(b"{5}\r\n", Expect::Line, &LIMITS);
    assert_eq!(event, FrameEvent::Line(Line(b"{5}".to_vec())));
    let long = [b"x".repeat(200), b"{9+}\r\nDONE\r\n".to_vec()].concat();
    let (taken, event) = framer.push(&long, Expect::Line, &LIMITS);
    assert!(matches!(event, FrameEvent::Refused(Refusal { close: false, .. })), "{event:?}");
    assert_eq!(&long[taken..], b"DONE\r\n");
}

#[test]
fn nothing_of_a_password_prints() {
    let mut framer = Framer::new();
    let (_, event) = framer.push(b"A1 LOGIN bob hunter2\r\n", Expect::Command, &LIMITS);
    assert!(!format!("{event:?}").contains("hunter2"));
    let (_, event) = framer.push(b"aHVudGVyMg==\r\n", Expect::Line, &LIMITS);
    assert!(!format!("{event:?}").contains("aHV"));
}

#[test]
fn a_large_message_is_held_once() {
    let limits = FrameLimits { message_max: 10 << 20, command_max: 1 << 16, ..LIMITS };
    let mut framer = Framer::new();
    framer.push(b"A1 APPEND x {8388608}\r\n", Expect::Command, &limits);
    for _ in 0..2048 {
        framer.push(&[b'm'; 4096], Expect::Command, &limits);
        let literal = &framer.frame.literals[0];
        assert!(literal.capacity() <= 2 * literal.len());
    }
    let literal = &framer.frame.literals[0];
    assert_eq!((literal.len(), literal.capacity()), (8 << 20, 8 << 20));
}

proptest! {
    #[test]
    fn any_octets(pieces in prop::collection::vec("[ -~]{0,8}|\\r\\n|\\{[0-9]{1,3}\\+?\\}\\r\\n|\\x00|\\r|\\n", 0..40)) {
        crate::fuzz::fuzz_frame(pieces.concat().as_bytes());
    }
}
