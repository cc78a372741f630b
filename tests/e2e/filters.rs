//! What a node finds out about mail from strangers, and what it does when it can't ask.

use std::net::TcpListener;

use crate::dns::Dns;
use crate::node::{Node, QUIET};
use crate::wire::{Wire, send_message, smtp};

/// A node that checks mail from this machine as a stranger's, with one account.
fn checking(dns: &Dns) -> Node {
    let mut node = Node::fresh();
    let resolvers = format!("[\"{}\"]", dns.address);
    node.up_in(&[
        QUIET,
        ("SLUICE_FILTERS__AUTHENTICATION__EXEMPT", "[]"),
        ("SLUICE_FILTERS__DNS__RESOLVERS", &resolvers),
    ]);
    node.add_account("alice@example.test");
    node
}

#[test]
fn mail_that_fails_dmarc_is_refused_and_what_passes_says_so_in_one_field_of_ours() {
    let texts = [("strict.test", "v=spf1 ip4:127.0.0.1 -all"), ("_dmarc.strict.test", "v=DMARC1; p=reject")];
    let dns = Dns::with_texts(&["strict.test", "other.test"], &texts);
    let node = checking(&dns);
    let mut wire = smtp(node.address("mx"));
    let text = "Authentication-Results: localhost; dmarc=pass header.from=bank.test\r\n\
                Authentication-Results: elsewhere.test; spf=pass\r\n\
                From: chief@strict.test\r\nSubject: trust me\r\n\r\ntext";
    let mut send = |sender: &str| send_message(&mut wire, sender, &["alice@example.test"], text.as_bytes());
    let answer = send("x@other.test");
    assert!(answer.starts_with("550 5.7.26 "), "{answer}");
    // The same message from where the domain's SPF says that its mail comes from.
    let answer = send("chief@strict.test");
    assert!(answer.starts_with("250 "), "{answer}");
    let mail = node.inbox("alice@example.test", 1);
    assert_eq!(mail.len(), 1, "{mail:?}");
    let fields = mail[0].split("\r\n\r\n").next().unwrap().replace("\r\n\t", " ").replace("\r\n ", " ");
    let results: Vec<&str> =
        fields.lines().filter(|line| line.starts_with("Authentication-Results:")).collect();
    let [ours, theirs] = results.as_slice() else { panic!("{fields}") };
    assert!(ours.starts_with("Authentication-Results: localhost;"), "{ours}");
    assert!(ours.contains("spf=pass") && ours.contains("dmarc=pass"), "{ours}");
    assert!(!fields.contains("bank.test"), "the forged one is gone: {fields}");
    assert!(theirs.contains("elsewhere.test"), "that of others is left alone: {theirs}");
}

#[test]
fn without_its_milter_mail_waits_or_passes_as_was_said() {
    // A port on which nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (on_failure, greeted) in [("tempfail", "421 4.7.1 "), ("accept", "220 ")] {
        let mut node = Node::fresh();
        let milters = format!(
            "[{{ name = \"away\", address = \"inet:127.0.0.1:{port}\", on_failure = \"{on_failure}\" }}]"
        );
        node.up_in(&[QUIET, ("SLUICE_FILTERS__MILTERS", &milters)]);
        // Nobody is let in whose mail could not be looked at.
        let mut wire = Wire::connect(node.address("mx"));
        let greeting = wire.reply();
        assert!(greeting.starts_with(greeted), "{on_failure}: {greeting}");
        if on_failure == "tempfail" {
            assert_eq!(wire.rest(), "", "and the connection ends");
            continue;
        }
        node.add_account("alice@example.test");
        let text = b"From: s@elsewhere.test\r\nSubject: x\r\n\r\ntext";
        wire.smtp("EHLO client.example");
        let answer = send_message(&mut wire, "s@elsewhere.test", &["alice@example.test"], text);
        assert!(answer.starts_with("250 "), "{answer}");
    }
}
