//! Conversations as tables: `S:` lines go in, `C:` lines must come out; `>` begins the next message.

use envelope::{Notify, OriginalRecipient, Return, ReversePath, Secret};

use super::*;
use crate::ReplyDecoder;

fn hello() -> Hello {
    Hello { name: "client.test".to_owned(), encryption: Encryption::IfOffered, plain_response: None }
}

fn transaction(recipients: &[&str]) -> Transaction {
    let to = |address: &&str| To { address: address.parse().unwrap(), notify: None, original: None };
    Transaction {
        reverse_path: ReversePath::Address("a@b.test".parse().unwrap()),
        recipients: recipients.iter().map(to).collect(),
        size: 100,
        eight_bit: true,
        smtp_utf8: false,
        require_tls: false,
        envelope_id: None,
        returned: None,
        all_or_none: false,
    }
}

/// Runs a conversation; gives what became of each message, short, and how it ended.
fn run(hello: Hello, transactions: &[Transaction], script: &str) -> Vec<String> {
    let mut session = Session::new(hello);
    let (mut decoder, mut transactions) = (ReplyDecoder::default(), transactions.iter());
    let mut said: VecDeque<String> = VecDeque::new();
    let mut told = Vec::new();
    for text in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(expected) = text.strip_prefix("C: ") {
            assert_eq!(said.pop_front().as_deref(), Some(expected), "{script}");
            continue;
        }
        let mut next = if text == ">" {
            session.begin(transactions.next().unwrap().clone())
        } else {
            let wire = format!("{}\r\n", text.strip_prefix("S: ").expect("S: or C:"));
            let (_, reply) = decoder.decode(wire.as_bytes()).unwrap();
            let Some(reply) = reply else { continue };
            session.reply(reply)
        };
        if matches!(next, Next::StartTls) {
            said.push_back("(handshake)".to_owned());
            next = session.tls_started();
        }
        match next {
            Next::Send(octets) => {
                said.extend(String::from_utf8(octets).unwrap().lines().map(ToOwned::to_owned));
            }
            Next::SendStuffed => said.push_back("(text)".to_owned()),
            Next::SendChunk(octets) => {
                said.push_back(format!("{}(text)", String::from_utf8(octets).unwrap().replace("\r\n", " ")));
            }
            Next::Ready(Some(verdict)) => told.push(short(&verdict)),
            Next::Closed(failure, verdict) => {
                told.push(format!("{} closed: {failure}", verdict.as_ref().map(short).unwrap_or_default()));
            }
            Next::Ready(None) | Next::Read => {}
            Next::StartTls => panic!("twice"),
        }
    }
    assert!(said.is_empty(), "unexpected: {said:?}");
    told.extend(session.into_verdict().map(|verdict| format!("{} broken", short(&verdict))));
    told
}

fn short(verdict: &Verdict) -> String {
    let one = |answer: &Answer| match answer {
        Answer::Accepted(reply) => format!("+{}", reply.code),
        Answer::Refused(step, reply) => format!("{step:?}-{}", reply.code),
        Answer::Unfit(failure) => format!("{failure}"),
        Answer::Open => "?".to_owned(),
    };
    verdict.0.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn two_messages_over_one_encrypted_connection() {
    let to = To {
        address: "c@d.test".parse().unwrap(),
        notify: Some(Notify { success: true, failure: true, delay: false }),
        original: Some(OriginalRecipient { kind: "rfc822".to_owned(), address: "x+y=ü@d.test".to_owned() }),
    };
    let first = Transaction {
        recipients: vec![to],
        envelope_id: Some("a b+".to_owned()),
        returned: Some(Return::Headers),
        ..transaction(&[])
    };
    let told = run(
        Hello { plain_response: Some(Secret::new("AGEAYg==".to_owned())), ..hello() },
        &[first, transaction(&["e@f.test", "g@h.test"])],
        r"S: 220 mx.test ESMTP
         C: EHLO client.test
         S: 250-mx.test
         S: 250-PIPELINING
         S: 250 STARTTLS
         C: STARTTLS
         S: 220 go
         C: (handshake)
         C: EHLO client.test
         S: 250-mx.test
         S: 250-AUTH PLAIN LOGIN
         S: 250-PIPELINING
         S: 250-CHUNKING
         S: 250-8BITMIME
         S: 250-DSN
         S: 250 SIZE 1000
         C: AUTH PLAIN AGEAYg==
         S: 235 ok
         >
         C: MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=a+20b+2B
         C: RCPT TO:<c@d.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By+3D\x{FC}@d.test
         S: 250 ok
         S: 250 ok
         C: BDAT 100 LAST (text)
         S: 250 2.0.0 queued
         >
         C: MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME
         C: RCPT TO:<e@f.test>
         C: RCPT TO:<g@h.test>
         S: 250 ok
         S: 550 5.1.1 nobody
         S: 250 ok
         C: BDAT 100 LAST (text)
         S: 250 2.0.0 queued",
    );
    assert_eq!(told, ["+250", "Rcpt-550 +250"]);
}

#[test]
fn a_server_without_extensions_is_asked_one_by_one() {
    let told = run(
        hello(),
        &[transaction(&["c@d.test", "e@f.test"])],
        "S: 220 old
         C: EHLO client.test
         S: 500 what
         C: HELO client.test
         S: 250 old
         >
         C: MAIL FROM:<a@b.test>
         S: 250 ok
         C: RCPT TO:<c@d.test>
         S: 451 later
         C: RCPT TO:<e@f.test>
         S: 250 ok
         C: DATA
         S: 354 go
         C: (text)
         S: 554 5.6.0 no
         C: RSET",
    );
    assert_eq!(told, ["Rcpt-451 Message-554 broken"], "RSET is sent, and not yet answered");
}

const OPEN: &str = "S: 220 mx
         C: EHLO client.test
         S: 250-mx
         S: 250 PIPELINING
         >
         C: MAIL FROM:<a@b.test>
         C: RCPT TO:<c@d.test>
         C: RCPT TO:<e@f.test>
";

fn after_open(script: &str) -> Vec<String> {
    run(
        hello(),
        &[transaction(&["c@d.test", "e@f.test"]), transaction(&["g@h.test"])],
        &format!("{OPEN}{script}"),
    )
}

#[test]
fn refusals_leave_the_session_in_step() {
    // The sender: the replies to the recipients say nothing of their own.
    let told = after_open(
        "S: 550 5.7.1 not you
         S: 503 bad sequence
         S: 503 bad sequence
         >
         C: MAIL FROM:<a@b.test>
         C: RCPT TO:<g@h.test>
         S: 250 ok
         S: 250 ok
         C: DATA
         S: 354 go
         C: (text)
         S: 250 ok",
    );
    assert_eq!(told, ["Mail-550 Mail-550", "+250"]);
    // Every recipient: no text, and the next message is a new one.
    let told = after_open(
        "S: 250 ok
         S: 550 nobody
         S: 452 too many
         C: RSET
         S: 250 ok
         >
         C: MAIL FROM:<a@b.test>
         C: RCPT TO:<g@h.test>
         S: 250 ok
         S: 250 ok
         C: DATA
         S: 451 not now
         C: RSET
         S: 250 ok",
    );
    assert_eq!(told, ["Rcpt-550 Rcpt-452", "Data-451"]);
}

#[test]
fn a_message_for_all_or_none_ends_with_the_first_refusal() {
    let all = Transaction { all_or_none: true, ..transaction(&["c@d.test", "e@f.test", "g@h.test"]) };
    let script = "S: 220 mx\nC: EHLO client.test\nS: 250 mx\n>\nC: MAIL FROM:<a@b.test>\nS: 250 ok\n\
                  C: RCPT TO:<c@d.test>\nS: 250 ok\nC: RCPT TO:<e@f.test>\nS: 550 no\nC: RSET\nS: 250 ok";
    assert_eq!(run(hello(), &[all], script), ["? Rcpt-550 ?"]);
}

#[test]
fn what_a_caller_passes_does_not_end_the_line() {
    let mut session = Session::new(Hello { name: "a\r\nMAIL FROM:<>".to_owned(), ..hello() });
    let Next::Send(octets) = session.reply(Reply::new(220, None, "hi")) else { panic!("a line") };
    assert_eq!(octets, b"EHLO aMAIL FROM:<>\r\n");
}

#[test]
fn what_is_accepted_without_a_verdict_is_open() {
    let told = after_open("S: 250 ok\nS: 250 ok\nS: 421 closing");
    assert_eq!(told, ["? ? closed: the server refused: 421 closing"]);
    let told = after_open("S: 250 ok\nS: 250 ok\nS: 550 no\nC: DATA\nS: 354 go\nC: (text)");
    assert_eq!(told, ["? Rcpt-550 broken"]);
    let told = after_open("S: 250 ok\nS: 250 ok\nS: 550 no\nC: DATA\nS: 354 go\nC: (text)\nS: 421 closing");
    assert_eq!(told, ["Message-421 Rcpt-550 closed: the server refused: 421 closing"]);
    // "Go on" instead of an answer: nobody has the message.
    let told = after_open("S: 250 ok\nS: 250 ok\nS: 550 no\nC: DATA\nS: 354 go\nC: (text)\nS: 354 go");
    assert_eq!(told, ["? Rcpt-550 closed: the session is out of step"]);
    let told = after_open("S: 250 ok\nS: 354 go\nS: 550 no\nC: RSET\nS: 250 ok");
    assert_eq!(told, ["Rcpt-354 Rcpt-550"]);
    // One reply too many is nothing that could be understood.
    let told = after_open("S: 550 no\nS: 550 no\nS: 550 no\nS: 250 ok");
    assert_eq!(told, ["Mail-550 Mail-550", " closed: the session is out of step"]);
}

#[test]
fn what_a_server_can_not_take_is_not_offered_to_it() {
    let check = |transaction: Transaction, extension: &str, expected: &str| {
        let script = format!("S: 220 mx\nC: EHLO client.test\nS: 250-mx\nS: 250 {extension}\n>");
        assert_eq!(run(hello(), &[transaction], &script), [expected]);
    };
    check(transaction(&["c@d.test"]), "SIZE 99", "the message is larger than the server takes");
    let utf8 = Transaction { smtp_utf8: true, ..transaction(&["ü@d.test"]) };
    check(utf8, "8BITMIME", "the server takes no internationalised mail");
    // The promise counts only over an encrypted connection.
    let tls = Transaction { require_tls: true, ..transaction(&["c@d.test"]) };
    check(tls, "REQUIRETLS", "the server does not promise to send on over TLS only");
}

#[test]
fn encryption_that_is_required_is_not_done_without() {
    let required = || Hello { encryption: Encryption::Required, ..hello() };
    let refused = "S: 220 mx\nC: EHLO client.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now";
    for (script, expected) in [
        ("S: 220 mx\nC: EHLO client.test\nS: 250 mx", " closed: the server offers no encryption"),
        ("S: 220 mx\nC: EHLO client.test\nS: 500 what", " closed: the server refused: 500 what"),
        (refused, " closed: the server refused: 454 not now"),
    ] {
        assert_eq!(run(required(), &[], script), [expected]);
    }
}
