//! Conversations as tables: `S:` lines go in, `C:` lines must come out.

use envelope::{ReversePath, Secret};

use super::{Action, Client, Encryption, Failure, Job, Outcome, Step};
use crate::{Reply, ReplyDecoder};

fn job() -> Job {
    Job {
        name: "client.test".to_owned(),
        encryption: Encryption::AsItIs,
        plain_response: None,
        reverse_path: ReversePath::Address("a@b.test".parse().unwrap()),
        recipients: vec!["c@d.test".parse().unwrap(), "e@f.test".parse().unwrap()],
        size: 100,
        eight_bit: true,
        smtp_utf8: false,
    }
}

/// Runs a conversation and gives its outcome.
fn run(job: Job, script: &str) -> Outcome {
    let mut client = Client::new(job);
    let mut decoder = ReplyDecoder::default();
    let mut said: std::collections::VecDeque<String> = std::collections::VecDeque::new();
    let mut outcome = None;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(expected) = line.strip_prefix("C: ") {
            assert_eq!(said.pop_front().as_deref(), Some(expected), "{script}");
            continue;
        }
        let wire = format!("{}\r\n", line.strip_prefix("S: ").expect("S: or C:"));
        let (_, reply) = decoder.decode(wire.as_bytes()).unwrap();
        let Some(reply) = reply else { continue };
        let mut action = client.reply(reply);
        if matches!(action, Action::StartTls) {
            said.push_back("(handshake)".to_owned());
            action = client.tls_started();
        }
        match action {
            Action::Send(octets) => said.push_back(String::from_utf8(octets).unwrap().trim_end().to_owned()),
            Action::SendMessage => said.push_back("(message)".to_owned()),
            Action::Done(done) => outcome = Some(done),
            Action::StartTls => panic!("twice"),
        }
    }
    assert!(said.is_empty(), "unexpected: {said:?}");
    outcome.unwrap_or_else(|| client.into_outcome())
}

#[test]
fn a_whole_session() {
    let outcome = run(
        Job {
            encryption: Encryption::Required,
            plain_response: Some(Secret::new("AGEAYg==".to_owned())),
            ..job()
        },
        "S: 220 mx.test ESMTP
         C: EHLO client.test
         S: 250-mx.test
         S: 250-SIZE 1000
         S: 250 STARTTLS
         C: STARTTLS
         S: 220 2.0.0 go
         C: (handshake)
         C: EHLO client.test
         S: 250-mx.test
         S: 250-SIZE 1000
         S: 250-8BITMIME
         S: 250 AUTH LOGIN PLAIN
         C: AUTH PLAIN AGEAYg==
         S: 235 2.7.0 welcome
         C: MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME
         S: 250 2.1.0 ok
         C: RCPT TO:<c@d.test>
         S: 250 2.1.5 ok
         C: RCPT TO:<e@f.test>
         S: 550 5.1.1 who
         C: DATA
         S: 354 go
         C: (message)
         S: 250 2.0.0 queued as X
         C: QUIT
         S: 221 bye",
    );
    assert_eq!(outcome.accepted.unwrap().lines, ["queued as X"]);
    assert_eq!(outcome.failure, None);
    let codes: Vec<_> = outcome.recipients.iter().map(|(a, r)| (a.to_string(), r.code)).collect();
    assert_eq!(codes, [("c@d.test".to_owned(), 250), ("e@f.test".to_owned(), 550)]);
}

#[test]
fn an_old_server() {
    let outcome = run(
        Job { recipients: vec!["c@d.test".parse().unwrap()], ..job() },
        "S: 220 hi
         C: EHLO client.test
         S: 500 what
         C: HELO client.test
         S: 250 hi
         C: MAIL FROM:<a@b.test>
         S: 250 ok
         C: RCPT TO:<c@d.test>
         S: 250 ok
         C: DATA
         S: 354 go
         C: (message)
         S: 250 ok
         C: QUIT",
    );
    assert!(outcome.accepted.is_some());
}

#[test]
fn failures() {
    let check = |job: Job, script: &str, expected: &dyn Fn(&Failure) -> bool, transient: bool| {
        let failure = run(job, script).failure.expect("a failure");
        assert!(expected(&failure), "{failure:?}");
        assert_eq!(failure.disposition().is_transient(), transient, "{failure:?}");
    };
    let hello = "S: 220 hi\nC: EHLO client.test\nS: 250 hi\n";
    check(
        job(),
        "S: 554 no\nC: QUIT\nS: 221 bye",
        &|f| matches!(f, Failure::Refused { step: Step::Greeting, .. }),
        true,
    );
    check(job(), "S: 421 busy", &|f| matches!(f, Failure::Refused { step: Step::Greeting, .. }), true);
    let required = Job { encryption: Encryption::Required, ..job() };
    check(required, &format!("{hello}C: QUIT\nS: 221 bye"), &|f| *f == Failure::NoEncryption, true);
    let login = Job { plain_response: Some(Secret::new("x".to_owned())), ..job() };
    check(login, &format!("{hello}C: QUIT\nS: 221 bye"), &|f| *f == Failure::NoLogin, true);
    let utf8 = Job { smtp_utf8: true, ..job() };
    check(utf8, &format!("{hello}C: QUIT\nS: 221 bye"), &|f| *f == Failure::NoUtf8, false);
    let small = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 SIZE 99\nC: QUIT\nS: 221 bye";
    check(job(), small, &|f| *f == Failure::TooBig, false);
    let mail = "C: MAIL FROM:<a@b.test>\nS: 550 5.7.1 no\nC: QUIT\nS: 221 bye";
    check(
        job(),
        &format!("{hello}{mail}"),
        &|f| matches!(f, Failure::Refused { step: Step::Mail, .. }),
        false,
    );
    let nobody = "C: MAIL FROM:<a@b.test>\nS: 250 ok\nC: RCPT TO:<c@d.test>\nS: 450 later\n\
                  C: RCPT TO:<e@f.test>\nS: 550 no\nC: QUIT\nS: 221 bye";
    check(job(), &format!("{hello}{nobody}"), &|f| *f == Failure::NoRecipients, true);
}

#[test]
fn nothing_a_caller_passes_ends_the_line() {
    let mut client = Client::new(Job { name: "a\r\nMAIL FROM:<>".to_owned(), ..job() });
    let Action::Send(octets) = client.reply(Reply::new(220, None, "hi")) else { panic!("a line") };
    assert_eq!(octets, b"EHLO aMAIL FROM:<>\r\n");
}
