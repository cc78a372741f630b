use super::check::Findings;
use super::*;
use crate::message::{Draft, Shape};
use crate::random::Random;

fn message(number: u64) -> Vec<u8> {
    let draft =
        Draft { from: "<s@example.org>".to_owned(), to: "<a@x.test>".to_owned(), number, run: "r1", at: 0 };
    let text = draft.write(&Shape { octets: 1000, attachment: false }, &mut Random::new(number, 0));
    [&b"Received: by us\r\n"[..], &text].concat()
}

fn ledger(lines: &[&str]) -> Ledger {
    let mut ledger = Ledger { run: "r1".to_owned(), entries: BTreeMap::new() };
    lines.iter().for_each(|line| ledger.take(line).unwrap());
    ledger
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn what_is_in_its_mailbox_once_is_found() {
    let ledger = ledger(&[
        "try 1 a@x.test b@x.test",
        "ack 1 ID1 5",
        "try 2 a@x.test",
        "no 2 451",
        "try 3 a@x.test",
        "unknown 3",
    ]);
    let mut findings = Findings::default();
    findings.take("r1", &address("A@x.test"), &message(1));
    findings.take("r1", &address("b@x.test"), &message(1));
    findings.take("r1", &address("a@x.test"), &message(3));
    findings.take("another", &address("a@x.test"), &message(2));
    let verdict = findings.judge(&ledger);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.accepted, verdict.found, verdict.recovered), (1, 1, 1));
}

#[test]
fn each_kind_of_wrong_is_found_out() {
    let ledger = ledger(&[
        "try 1 a@x.test b@x.test",
        "ack 1 ID1 5",
        "try 2 a@x.test",
        "no 2 451",
        "try 3 a@x.test",
        "ack 3 ID3 6",
    ]);
    let mut findings = Findings::default();
    // One recipient is missing; another message twice and once with an octet changed; one that was refused; one that nobody sent.
    findings.take("r1", &address("a@x.test"), &message(1));
    findings.take("r1", &address("a@x.test"), &message(3));
    let mut damaged = message(3);
    *damaged.last_mut().unwrap() ^= 1;
    findings.take("r1", &address("a@x.test"), &damaged);
    findings.take("r1", &address("a@x.test"), &message(2));
    findings.take("r1", &address("a@x.test"), &message(9));
    let verdict = findings.judge(&ledger);
    assert_eq!(verdict.lost.first, [1]);
    assert_eq!(verdict.doubled.first, [3]);
    assert_eq!(verdict.damaged.first, [3]);
    assert_eq!(verdict.phantom.first, [2, 9]);
    // In a mailbox that it was not sent to, it is no delivery.
    let mut findings = Findings::default();
    findings.take("r1", &address("c@x.test"), &message(3));
    let verdict = findings.judge(&ledger);
    assert_eq!((verdict.lost.first, verdict.phantom.first), (vec![1, 3], vec![3]));
}

#[test]
fn what_waits_or_was_reported_is_found_too() {
    let ledger = ledger(&["try 1 a@x.test b@x.test", "ack 1 ID1 5", "try 2 a@x.test", "ack 2 ID2 6"]);
    let mut findings = Findings::default();
    findings.take("r1", &address("a@x.test"), &message(1));
    let json = br#"[{"envelope": {"id": "ID1", "recipients": [{"address": "b@x.test"}]}, "lane": "local"}]"#;
    findings.take_queue(json).unwrap();
    let report = [&b"From: mailer\r\n\r\nreport\r\n"[..], &message(2)].concat();
    findings.take("r1", &address("s@example.org"), &report);
    let verdict = findings.judge(&ledger);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.found, verdict.queued, verdict.reported), (2, 1, 1));
    // Who waits is not who is missing.
    let mut findings = Findings::default();
    findings.take_queue(json).unwrap();
    assert_eq!(findings.judge(&ledger).lost.first, [1, 2]);
}

#[test]
fn a_ledger_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    for (text, problem) in [
        ("run r\ntry 1 a@x.test\ntry 1 a@x.test\n", "twice"),
        ("run r\nack 1 ID 5\n", "never sent"),
        ("run r\nsomething\n", "no line"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", Ledger::read(&path).unwrap_err());
        assert!(error.contains(problem) && error.contains("line "), "{error}");
    }
}
