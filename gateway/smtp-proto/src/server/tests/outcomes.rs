//! What whoever drives the machine says of a message, and what the client hears of it.

use super::{at, say};
use crate::Reply;
use crate::server::{Action, Input};

#[test]
fn a_message_that_is_not_wanted_at_all() {
    let no = |code| Input::NotBegun(Reply::enhanced(code, (code as u8 / 100, 7, 1), "no"));
    for state in ["rcpt", "lmtp rcpt"] {
        let mut session = at(state);
        say(&mut session, "DATA");
        assert!(matches!(session.step(no(451)), Action::Reply(reply) if reply.code == 451), "one answer");
        // The text comes all the same: its lines are no commands.
        assert_eq!(say(&mut session, "Subject: hi"), "554 closed", "{state}");
        let mut session = at(state);
        say(&mut session, "DATA");
        session.step(no(550));
        assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "250");
        let mut session = at(state);
        say(&mut session, "DATA");
        assert!(matches!(session.step(no(421)), Action::ReplyAndClose(_)));
        assert!(session.client().is_none());
    }
}

#[test]
fn four_hundred_and_twenty_one_closes() {
    let closing = || Input::Verdict(Reply::enhanced(421, (4, 7, 0), "closing"));
    for (state, line) in [
        ("ready", "MAIL FROM:<a@b.test>"),
        ("mail", "RCPT TO:<c@d.test>"),
        ("rcpt", "DATA"),
        ("rcpt", "BDAT 1"),
        ("rcpt", "BDAT 1 LAST"),
    ] {
        let mut session = at(state);
        session.step(Input::Line { line: line.as_bytes(), more: false });
        assert!(matches!(session.step(closing()), Action::ReplyAndClose(_)), "{line}");
        assert!(session.client().is_none());
    }
    let mut session = at("lmtp rcpt");
    say(&mut session, "DATA");
    assert!(matches!(session.step(closing()), Action::ReplyToEach { count: 2, close: true, .. }));
}
