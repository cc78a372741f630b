//! Each state × each command, and each state × each input that is not its own.

mod outcomes;

use super::{Action, Input, Offer, Refusal, Service, Session, fuzz};
use crate::{CommandError, FrameError, ParameterError, Reply, SessionLimits};

const LIMITS: SessionLimits = SessionLimits {
    recipients_max: 2,
    transactions_max: 1000,
    errors_max: 1000,
    idle_commands_max: 1000,
    message_max: 1000,
    auth_failures_max: 1000,
};

fn session(service: Service) -> Session {
    let mechanisms = if service == Service::Submission { vec!["PLAIN", "LOGIN"] } else { Vec::new() };
    let (name, dsn) = ("mx.test".parse().unwrap(), service == Service::Submission);
    let offer = Offer { name, service, starttls: true, mechanisms, dsn, plaintext_auth: true };
    Session::new(offer, LIMITS, false)
}

fn ok() -> Reply {
    Reply::enhanced(250, (2, 0, 0), "OK")
}

/// Gives a line; questions are answered with yes. Gives the reply's code, or what else is wanted.
fn say(session: &mut Session, line: &str) -> String {
    let mut action = session.step(Input::Line { line: line.as_bytes(), more: false });
    loop {
        action = match action {
            Action::Reply(reply) => return reply.code.to_string(),
            Action::ReplyAndClose(reply) => return format!("{} closed", reply.code),
            Action::CheckSender(_) | Action::CheckRecipient(_) => session.step(Input::Verdict(ok())),
            Action::ReplyToEach { reply, count, close } => {
                return format!("{} x{count}{}", reply.code, if close { " closed" } else { "" });
            }
            Action::ReceiveMessage(reply) => return format!("{} message", reply.code),
            Action::ReceiveChunk(_) => return "chunk".to_owned(),
            Action::SkipChunk(size, reply) => return format!("{} skip {size}", reply.code),
            Action::StartTls(reply) => return format!("{} handshake", reply.code),
            Action::AuthStart(_) | Action::AuthResponse(_) => return "auth".to_owned(),
        };
    }
}

/// A session in the named state.
fn at(state: &str) -> Session {
    let service = match state.split(' ').next() {
        Some("submission") => Service::Submission,
        Some("lmtp") => Service::Lmtp,
        _ => Service::Mx,
    };
    let mut session = session(service);
    let lines: &[&str] = match state {
        "start" => &[],
        "helo" => &["HELO c.test"],
        "ready" | "submission" => &["EHLO c.test"],
        "mail" => &["EHLO c.test", "MAIL FROM:<a@b.test>"],
        "rcpt" => &["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>"],
        "chunks" => &["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "BDAT 1"],
        "lmtp" => &["LHLO c.test"],
        "lmtp mail" => &["LHLO c.test", "MAIL FROM:<a@b.test>"],
        "lmtp rcpt" => &["LHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "RCPT TO:<c@d.test>"],
        "full" => &["EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "RCPT TO:<e@d.test>"],
        "submission logged in" => &["EHLO c.test", "AUTH PLAIN AGEAYg=="],
        other => panic!("{other}"),
    };
    for line in lines {
        say(&mut session, line);
    }
    if state == "chunks" {
        session.step(Input::Verdict(ok()));
    }
    if state == "submission logged in" {
        session.step(Input::AuthDone(Reply::enhanced(235, (2, 7, 0), "welcome")));
    }
    session
}

#[test]
fn each_state_and_each_command() {
    #[rustfmt::skip]
    let table = [
        // command                   start         helo          ready          mail           rcpt           full           submission     logged in
        ("EHLO x.test",              ["250",        "250",        "250",         "250",         "250",         "250",         "250",         "250"]),
        ("HELO x.test",              ["250",        "250",        "250",         "250",         "250",         "250",         "250",         "250"]),
        ("MAIL FROM:<a@b.test>",     ["503",        "250",        "250",         "503",         "503",         "503",         "530",         "250"]),
        ("MAIL FROM:<> SIZE=1000",   ["503",        "555",        "250",         "503",         "503",         "503",         "530",         "250"]),
        ("MAIL FROM:<> SIZE=1001",   ["503",        "555",        "552",         "503",         "503",         "503",         "530",         "552"]),
        ("MAIL FROM:<> AUTH=<>",     ["503",        "555",        "555",         "503",         "503",         "503",         "530",         "250"]),
        ("RCPT TO:<x@d.test>",       ["503",        "503",        "503",         "250",         "250",         "452",         "503",         "503"]),
        ("RCPT TO:<ü@d.test>",       ["503",        "503",        "503",         "553",         "553",         "553",         "503",         "503"]),
        ("DATA",                     ["503",        "503",        "503",         "554",         "354 message", "354 message", "503",         "503"]),
        ("BDAT 1 LAST",              ["503 skip 1", "503 skip 1", "503 skip 1",  "554 skip 1",  "chunk",       "chunk",       "503 skip 1",  "503 skip 1"]),
        ("BDAT 0",                   ["503 skip 0", "503 skip 0", "503 skip 0",  "554 skip 0",  "chunk",       "chunk",       "503 skip 0",  "503 skip 0"]),
        ("BDAT -1",                  ["501 closed", "501 closed", "501 closed",  "501 closed",  "501 closed",  "501 closed",  "501 closed",  "501 closed"]),
        ("LHLO x.test",              ["500",        "500",        "500",         "500",         "500",         "500",         "500",         "500"]),
        ("EHLO \u{fc}.test",           ["501",        "501",        "501",         "501",         "501",         "501",         "250",         "250"]),
        ("RSET",                     ["250",        "250",        "250",         "250",         "250",         "250",         "250",         "250"]),
        ("NOOP",                     ["250",        "250",        "250",         "250",         "250",         "250",         "250",         "250"]),
        ("VRFY x",                   ["252",        "252",        "252",         "252",         "252",         "252",         "252",         "252"]),
        ("VRFY",                     ["501",        "501",        "501",         "501",         "501",         "501",         "501",         "501"]),
        ("VRFY \u{fc}",                ["553",        "553",        "553",         "553",         "553",         "553",         "553",         "553"]),
        ("VRFY \u{fc} SMTPUTF8",       ["252",        "252",        "252",         "252",         "252",         "252",         "252",         "252"]),
        ("ETRN #x'y",                ["502",        "502",        "502",         "502",         "502",         "502",         "502",         "502"]),
        ("XCLIENT ADDR=127.0.0.1",   ["502",        "502",        "502",         "502",         "502",         "502",         "502",         "502"]),
        ("XFORWARD NAME=x",          ["502",        "502",        "502",         "502",         "502",         "502",         "502",         "502"]),
        ("EXPN x",                   ["502",        "502",        "502",         "502",         "502",         "502",         "502",         "502"]),
        ("HELP",                     ["214",        "214",        "214",         "214",         "214",         "214",         "214",         "214"]),
        ("STARTTLS",                 ["503",        "220 handshake", "220 handshake", "503",    "503",         "503",         "220 handshake", "220 handshake"]),
        ("AUTH PLAIN AGEAYg==",      ["502",        "502",        "502",         "502",         "502",         "502",         "auth",        "503"]),
        ("AUTH GSSAPI",              ["502",        "502",        "502",         "502",         "502",         "502",         "504",         "503"]),
        ("QUIT",                     ["221 closed", "221 closed", "221 closed",  "221 closed",  "221 closed",  "221 closed",  "221 closed",  "221 closed"]),
        ("GET / HTTP/1.1",           ["554 closed", "554 closed", "554 closed",  "554 closed",  "554 closed",  "554 closed",  "554 closed",  "554 closed"]),
        ("WHAT",                     ["500",        "500",        "500",         "500",         "500",         "500",         "500",         "500"]),
        ("",                         ["500",        "500",        "500",         "500",         "500",         "500",         "500",         "500"]),
    ];
    let states = ["start", "helo", "ready", "mail", "rcpt", "full", "submission", "submission logged in"];
    for (line, expected) in table {
        for (state, expected) in states.iter().zip(expected) {
            assert_eq!(say(&mut at(state), line), expected, "{line} in {state}");
        }
    }
}

#[test]
fn each_state_of_chunks_and_of_lmtp_and_each_command() {
    #[rustfmt::skip]
    let table = [
        // command                 chunks        lmtp           lmtp mail     lmtp rcpt
        ("EHLO x.test",            ["250",        "500",         "500",        "500"]),
        ("HELO x.test",            ["250",        "500",         "500",        "500"]),
        ("LHLO x.test",            ["500",        "250",         "250",        "250"]),
        ("MAIL FROM:<a@b.test>",   ["503",        "250",         "503",        "503"]),
        ("RCPT TO:<x@d.test>",     ["503",        "503",         "250",        "452"]),
        ("DATA",                   ["503",        "503",         "503",        "354 message"]),
        ("BDAT 5",                 ["chunk",      "503 skip 5",  "503 skip 5", "chunk"]),
        ("BDAT 0 LAST",            ["chunk",      "503 skip 0",  "503 skip 0", "chunk"]),
        ("BDAT 18446744073709551616", ["chunk",   "503 skip 18446744073709551615", "503 skip 18446744073709551615", "chunk"]),
        ("BDAT x",                 ["501 closed", "501 closed",  "501 closed", "501 closed"]),
        ("RSET",                   ["250",        "250",         "250",        "250"]),
        ("NOOP",                   ["250",        "250",         "250",        "250"]),
        ("STARTTLS",               ["503",        "220 handshake", "503",      "503"]),
        ("AUTH PLAIN AGEAYg==",    ["502",        "502",         "502",        "502"]),
        ("QUIT",                   ["221 closed", "221 closed",  "221 closed", "221 closed"]),
    ];
    for (line, expected) in table {
        for (state, expected) in ["chunks", "lmtp", "lmtp mail", "lmtp rcpt"].iter().zip(expected) {
            assert_eq!(say(&mut at(state), line), expected, "{line} in {state}");
        }
    }
}

#[test]
fn a_chunk_and_what_becomes_of_the_transaction() {
    let no = || Reply::enhanced(550, (5, 6, 0), "no");
    // Refused in the middle: the transaction is over, the chunks behind it are skipped, the next message is taken.
    let mut session = at("rcpt");
    assert_eq!(say(&mut session, "BDAT 10"), "chunk");
    assert!(session.in_chunks());
    session.step(Input::Verdict(no()));
    assert!(!session.in_chunks() && session.transaction().is_none());
    assert_eq!(say(&mut session, "BDAT 10 LAST"), "503 skip 10");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "250");
    // Between two chunks the transaction stands, and RSET or EHLO drops it.
    for (line, stands) in
        [("NOOP", true), ("DATA", true), ("RCPT TO:<x@d.test>", true), ("RSET", false), ("EHLO x", false)]
    {
        let mut session = at("chunks");
        say(&mut session, line);
        assert_eq!(session.in_chunks(), stands, "{line}");
    }
    // Whatever is pipelined behind a chunk is fine.
    let action = at("rcpt").step(Input::Line { line: b"BDAT 1 LAST", more: true });
    assert!(matches!(action, Action::ReceiveChunk(_)));
    let action = at("ready").step(Input::Line { line: b"BDAT 1 LAST", more: true });
    assert!(matches!(action, Action::SkipChunk(1, _)));
    // Nothing was offered to who said HELO.
    let mut session = at("helo");
    say(&mut session, "MAIL FROM:<a@b.test>");
    say(&mut session, "RCPT TO:<c@d.test>");
    assert_eq!(say(&mut session, "BDAT 3"), "502 skip 3");
}

#[test]
fn chunks_of_nothing_and_refused_ones_cost() {
    let mut session = at("rcpt");
    session.limits.idle_commands_max = 3;
    for _ in 0..2 {
        assert_eq!(say(&mut session, "BDAT 0"), "chunk");
        session.step(Input::Verdict(ok()));
    }
    assert_eq!(say(&mut session, "BDAT 0"), "421 closed");
    let mut session = at("ready");
    session.limits.errors_max = 1;
    assert_eq!(say(&mut session, "BDAT 3"), "503 skip 3");
    assert_eq!(say(&mut session, "BDAT 3"), "421 closed");
}

#[test]
fn in_lmtp_each_recipient_gets_an_answer() {
    let last = |session: &mut Session, reply: Reply| match session.step(Input::Verdict(reply)) {
        Action::ReplyToEach { reply, count, close } => (reply.code, count, close),
        other => panic!("{other:?}"),
    };
    for line in ["DATA", "BDAT 0 LAST"] {
        // One who is named twice hears twice (RFC 2033 §4.2).
        let mut session = at("lmtp rcpt");
        say(&mut session, line);
        assert_eq!(last(&mut session, ok()), (250, 2, false));
        assert_eq!(say(&mut session, "MAIL FROM:<>"), "250");
        // The answers are given though the budget is spent.
        let mut session = at("lmtp rcpt");
        session.limits.errors_max = 0;
        say(&mut session, line);
        assert_eq!(last(&mut session, Reply::enhanced(550, (5, 6, 0), "no")), (550, 2, true));
    }
    // A chunk that is not the last has one answer.
    let mut session = at("lmtp rcpt");
    say(&mut session, "BDAT 1");
    assert!(matches!(session.step(Input::Verdict(ok())), Action::Reply(_)));
}

#[test]
fn what_limits_says_holds() {
    let mut session = at("ready");
    session.limits.transactions_max = 3;
    let Action::Reply(reply) = session.step(Input::Line { line: b"EHLO c.test", more: false }) else {
        panic!("a reply")
    };
    assert!(reply.lines.contains(&"LIMITS MAILMAX=3 RCPTMAX=2".into()), "{reply}");
    for _ in 0..3 {
        assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "250");
        assert_eq!(say(&mut session, "RSET"), "250");
    }
    assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "421 closed");
    for (transactions, recipients, said) in
        [(0, 0, "1 RCPTMAX=1"), (u32::MAX, usize::MAX, "999999 RCPTMAX=999999")]
    {
        let mut session = at("start");
        session.limits.transactions_max = transactions;
        session.limits.recipients_max = recipients;
        let Action::Reply(reply) = session.step(Input::Line { line: b"EHLO c.test", more: false }) else {
            panic!("a reply")
        };
        assert!(reply.lines.contains(&format!("LIMITS MAILMAX={said}").into()), "{reply}");
    }
}

#[test]
fn what_a_command_does_to_the_transaction() {
    let recipients =
        |session: &Session| session.transaction().map(|transaction| transaction.recipients.len());
    for (line, before, after) in [
        ("RSET", Some(1), None),
        ("EHLO x.test", Some(1), None),
        ("HELO x.test", Some(1), None),
        ("NOOP", Some(1), Some(1)),
        ("VRFY x", Some(1), Some(1)),
        ("MAIL FROM:<>", Some(1), Some(1)),
        ("STARTTLS", Some(1), Some(1)),
        ("WHAT", Some(1), Some(1)),
        ("RCPT TO:<>", Some(1), Some(1)),
        ("RCPT TO:<x@y.test>", Some(1), Some(2)),
    ] {
        let mut session = at("rcpt");
        assert_eq!(recipients(&session), before);
        say(&mut session, line);
        assert_eq!(recipients(&session), after, "{line}");
    }
}

#[test]
fn refused_answers_keep_the_state_before() {
    let no = || Reply::enhanced(550, (5, 1, 1), "no");
    let mut session = at("ready");
    session.step(Input::Line { line: b"MAIL FROM:<a@b.test>", more: false });
    session.step(Input::Verdict(no()));
    assert!(session.transaction().is_none());

    let mut session = at("mail");
    session.step(Input::Line { line: b"RCPT TO:<c@d.test>", more: false });
    session.step(Input::Verdict(no()));
    assert_eq!(say(&mut session, "DATA"), "554");

    // A message that was refused ends its transaction all the same (RFC 5321 §4.1.1.4).
    let mut session = at("rcpt");
    assert_eq!(say(&mut session, "DATA"), "354 message");
    session.step(Input::Verdict(Reply::enhanced(451, (4, 3, 0), "later")));
    assert_eq!(say(&mut session, "RCPT TO:<c@d.test>"), "503");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "250");
}

#[test]
fn a_handshake_forgets_everything() {
    for state in ["helo", "ready", "submission", "submission logged in"] {
        let mut session = at(state);
        assert_eq!(say(&mut session, "STARTTLS"), "220 handshake");
        session.step(Input::TlsStarted);
        assert!(session.is_tls() && !session.is_authenticated() && session.client().is_none(), "{state}");
        assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "503");
        assert_eq!(say(&mut session, "STARTTLS"), "503");
    }
}

#[test]
fn an_exchange_takes_any_line_as_its_own() {
    let mut session = at("submission");
    assert_eq!(say(&mut session, "AUTH LOGIN"), "auth");
    session.step(Input::Challenge("VXNlcm5hbWU6"));
    assert!(session.in_auth());
    assert_eq!(say(&mut session, "QUIT"), "auth");
    session.step(Input::Challenge("UGFzc3dvcmQ6"));
    assert_eq!(say(&mut session, "*"), "501");
    assert!(!session.in_auth());
    assert_eq!(say(&mut session, "MAIL FROM:<>"), "530");

    say(&mut session, "AUTH LOGIN");
    session.step(Input::Challenge("VXNlcm5hbWU6"));
    let Action::Reply(reply) = session.step(Input::BadLine(FrameError::TooLong)) else { panic!("a reply") };
    assert_eq!((reply.code, session.in_auth()), (500, false));
}

#[test]
fn answers_nobody_asked_for_close_the_session() {
    for state in ["start", "ready", "mail", "rcpt", "submission"] {
        let inputs: [fn() -> Input<'static>; 4] = [
            || Input::Verdict(ok()),
            || Input::Challenge(""),
            || Input::AuthDone(ok()),
            || Input::TlsStarted,
        ];
        for input in inputs {
            let mut session = at(state);
            let described = format!("{:?} in {state}", input());
            let action = session.step(input());
            assert!(matches!(action, Action::ReplyAndClose(reply) if reply.code == 421), "{described}");
            assert!(!session.is_authenticated() && !session.is_tls(), "{described}");
        }
    }
}

#[test]
fn commands_while_an_answer_is_owed_close_the_session() {
    let mut session = at("rcpt");
    say(&mut session, "DATA");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b.test>"), "421 closed");
}

#[test]
fn improper_pipelining() {
    for (state, line) in
        [("start", "EHLO x.test"), ("start", "HELO x"), ("rcpt", "DATA"), ("submission", "AUTH PLAIN")]
    {
        let action = at(state).step(Input::Line { line: line.as_bytes(), more: true });
        assert!(matches!(action, Action::ReplyAndClose(reply) if reply.code == 554), "{line}");
    }
    for (state, line) in
        [("ready", "MAIL FROM:<>"), ("mail", "RCPT TO:<a@b.test>"), ("rcpt", "RSET"), ("ready", "NOOP")]
    {
        let action = at(state).step(Input::Line { line: line.as_bytes(), more: true });
        assert!(!matches!(action, Action::ReplyAndClose(_)), "{line}");
    }
}

#[test]
fn budgets_at_their_limits() {
    let limited = || {
        let limits = SessionLimits { errors_max: 2, idle_commands_max: 2, auth_failures_max: 1, ..LIMITS };
        Session { limits, ..session(Service::Submission) }
    };
    let run = |lines: &[&str]| {
        let mut session = limited();
        lines.iter().map(|line| say(&mut session, line)).collect::<Vec<_>>()
    };
    assert_eq!(run(&["WHAT", "WHAT"]), ["500", "500"]);
    assert_eq!(run(&["WHAT", "WHAT", "WHAT"]), ["500", "500", "421 closed"]);
    assert_eq!(run(&["NOOP", "NOOP", "NOOP"]), ["250", "250", "421 closed"]);
    assert_eq!(run(&["NOOP", "NOOP", "QUIT"]), ["250", "250", "221 closed"]);

    let mut session = limited();
    session.limits.idle_commands_max = 100;
    say(&mut session, "EHLO x.test");
    for expected in [535, 421] {
        assert_eq!(say(&mut session, "AUTH PLAIN"), "auth");
        let refused = Reply::enhanced(535, (5, 7, 8), "no");
        let (Action::Reply(reply) | Action::ReplyAndClose(reply)) = session.step(Input::AuthDone(refused))
        else {
            panic!("a reply")
        };
        assert_eq!(reply.code, expected);
    }
}

#[test]
fn every_refusal_has_a_reply_of_its_class() {
    let refusals = [
        Refusal::AuthRequired,
        Refusal::AuthTwice,
        Refusal::AuthCancelled,
        Refusal::AuthMechanism,
        Refusal::ClientName,
        Refusal::Command(CommandError::Chunk),
        Refusal::Command(CommandError::Argument("EHLO")),
        Refusal::Command(CommandError::Parameter(ParameterError::Unknown)),
        Refusal::Command(CommandError::Unknown),
        Refusal::EncryptionRequired,
        Refusal::Frame(FrameError::TooLong),
        Refusal::MessageTooBig,
        Refusal::NotOffered("BDAT"),
        Refusal::NoRecipients,
        Refusal::OutOfStep,
        Refusal::ParameterNotOffered,
        Refusal::Pipelining,
        Refusal::Sequence("x"),
        Refusal::TooManyCommands,
        Refusal::TooManyErrors,
        Refusal::TooManyLogins,
        Refusal::TooManyRecipients,
        Refusal::TooManyTransactions,
        Refusal::Utf8,
        Refusal::Utf8Sender,
    ];
    for refusal in refusals {
        let reply = refusal.reply();
        let class = reply.enhanced.map(envelope::EnhancedCode::class).map(u16::from);
        assert_eq!(class, Some(reply.code / 100), "{refusal:?}");
        assert!(reply.code >= 400, "{refusal:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_order_of_lines_is_survived(
        lines in proptest::collection::vec(
            "(EHLO a|HELO a|LHLO a|MAIL FROM:<a@b.c>|RCPT TO:<a@b.c>|DATA|BDAT 0|BDAT [1-9] LAST|BDAT [0-9]{1,4}|RSET|STARTTLS|AUTH PLAIN|AUTH LOGIN =|\\*|\\.|QUIT|x|\r|\n)(\r\n)?", 0..30)
    ) {
        fuzz(lines.concat().as_bytes());
    }

    /// Transactions that come far, with chunks of any size in any order.
    #[test]
    fn chunks_are_survived_wherever_they_stand(
        hello in "(EHLO|LHLO)",
        parts in proptest::collection::vec(
            "(MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\n|RCPT TO:<d@b.c>\r\n|BDAT 6( LAST)?\r\n(ab\r\nc\r|RSET\r\n|\n.\r\n\r\n|123456)|BDAT 0( LAST)?\r\n|RSET\r\n|NOOP\r\n|BDAT 3000\r\n)", 0..20)
    ) {
        fuzz(format!("{hello} c.test\r\n{}", parts.concat()).as_bytes());
    }
}

#[test]
fn who_requires_tls_has_it() {
    let offered = |tls: bool| {
        let mut session = Session::new(session(Service::Mx).offer, LIMITS, tls);
        let Action::Reply(reply) = session.step(Input::Line { line: b"EHLO c.test", more: false }) else {
            panic!("a reply")
        };
        let told = reply.lines.iter().any(|line| line == "REQUIRETLS");
        (told, say(&mut session, "MAIL FROM:<a@b.test> REQUIRETLS"))
    };
    assert_eq!(offered(false), (false, "555".to_owned()));
    assert_eq!(offered(true), (true, "250".to_owned()));
    let mut session = Session::new(session(Service::Mx).offer, LIMITS, true);
    say(&mut session, "HELO c.test");
    assert_eq!(say(&mut session, "MAIL FROM:<a@b.test> REQUIRETLS"), "555");
}
