//! Mail from one mail system to another.

use crate::dns::Dns;
use crate::node::{Node, PASSWORD, wait_for};

/// Another mail system, for other.test, with carol.
fn other() -> Node {
    let mut node = Node::fresh();
    node.up();
    node.sluice(&["domain", "add", "other.test"], "");
    node.add_account("carol@other.test");
    node
}

/// Ours, which finds the other one.
fn ours(dns: &Dns, port: &str) -> Node {
    let mut node = Node::fresh();
    node.up_sending(dns.address, port);
    node.add_account("alice@example.test");
    node
}

/// Alice writes over submission; gives the id of the 250.
fn write(node: &Node, to: &str, more: &[&str]) -> String {
    let port = node.port("submission");
    let mut arguments = vec!["--port", port.as_str(), "--auth", "PLAIN"];
    arguments.extend(["--auth-user", "alice@example.test", "--auth-password", PASSWORD]);
    arguments.extend(more);
    node.swaks("alice@example.test", to, &arguments)
}

/// The messages in a mailbox's inbox, as text.
fn inbox(node: &Node, address: &str) -> Vec<String> {
    let folder = node.maildir(address);
    let files = ["new", "cur"].map(|name| folder.join(name));
    let files = files.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    files
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned())
        .collect()
}

/// What the trail knows; it is written a moment after the fact.
fn told(node: &Node, query: &str) -> String {
    String::from_utf8(node.try_sluice(&["trace", query], "").stdout).unwrap()
}

fn until_traced(node: &Node, id: &str, what: &str) -> String {
    wait_for(&format!("{what} in the trace of {id}"), || {
        let text = told(node, id);
        text.contains(what).then_some(text)
    })
}

#[test]
fn people_write_to_other_systems_and_hear_when_nobody_is_there() {
    let dns = Dns::start(&["other.test"]);
    let other = other();
    let node = ours(&dns, &other.port("mx"));
    let id = write(&node, "carol@other.test", &["--header", "Subject: across", "--body", "first\n.dots\n"]);
    let trace = until_traced(&node, &id, "relayed");
    assert!(trace.contains("mx.other.test") && trace.contains("127.0.0.1"), "{trace}");
    let there = wait_for("the message at the other system", || {
        told(&other, "carol@other.test").contains("delivered").then(|| inbox(&other, "carol@other.test"))
    });
    assert_eq!(there.len(), 1, "{there:?}");
    assert!(there[0].contains("Subject: across") && there[0].contains("\r\n.dots\r\n"), "{}", there[0]);
    assert!(there[0].contains("Return-Path: <alice@example.test>"), "{}", there[0]);
    // Encrypted, since the other one offers it.
    assert!(trace.contains("unverified"), "{trace}");

    // One who is there and one who is not, in one message: the answer of the other system comes back.
    let id = write(&node, "carol@other.test,nobody@other.test", &["--header", "Subject: both"]);
    let trace = until_traced(&node, &id, "bounced");
    assert!(trace.contains("relayed"), "{trace}");
    let reports = wait_for("a report", || {
        let found = inbox(&node, "alice@example.test");
        (!found.is_empty()).then_some(found)
    });
    let report = reports.concat();
    for line in [
        "Final-Recipient: rfc822; nobody@other.test",
        "Remote-MTA: dns; mx.other.test",
        "Diagnostic-Code: smtp; 550 5.1.1",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }

    // A domain that is nowhere.
    let id = write(&node, "x@nowhere.test", &[]);
    let trace = until_traced(&node, &id, "bounced");
    assert!(trace.contains("5.1.2"), "{trace}");
}

#[test]
fn mail_for_people_here_and_elsewhere_is_parted() {
    let dns = Dns::start(&["other.test"]);
    let other = other();
    let node = ours(&dns, &other.port("mx"));
    node.add_account("bob@example.test");
    let id = write(&node, "bob@example.test,carol@other.test", &["--header", "Subject: all"]);
    let trace = until_traced(&node, &id, "relayed");
    assert!(trace.contains("delivered") && trace.contains("handed-over"), "{trace}");
    wait_for("both have it", || told(&other, "carol@other.test").contains("delivered").then_some(()));
    assert_eq!((inbox(&node, "bob@example.test").len(), inbox(&other, "carol@other.test").len()), (1, 1));
}

/// Sends as alice over TLS, with REQUIRETLS.
const REQUIRING: &str = "\
import smtplib, ssl, sys
port, password, to = sys.argv[1:]
with smtplib.SMTP('127.0.0.1', int(port), timeout=20) as server:
    server.starttls(context=ssl._create_unverified_context())
    server.ehlo()
    assert server.has_extn('requiretls'), server.esmtp_features
    server.login('alice@example.test', password)
    text = 'From: alice@example.test\\r\\nSubject: secret\\r\\n\\r\\ntext\\r\\n'
    server.sendmail('alice@example.test', [to], text, mail_options=['REQUIRETLS'])
";

#[test]
fn who_requires_tls_is_sent_on_over_verified_tls_or_not_at_all() {
    let dns = Dns::start(&["other.test"]);
    let other = other();
    let node = ours(&dns, &other.port("mx"));
    let sent = std::process::Command::new("python3")
        .args(["-c", REQUIRING, &node.port("submission"), PASSWORD, "carol@other.test"])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    // The other system's certificate is its own word.
    let trace = wait_for("the end of the try", || {
        let trace = told(&node, "carol@other.test");
        (trace.contains("deferred") || trace.contains("bounced")).then_some(trace)
    });
    assert!(trace.contains("certificate") && !trace.contains("relayed"), "{trace}");
    assert!(!told(&other, "carol@other.test").contains("accepted"));
}

#[test]
fn mail_waits_for_a_system_that_is_down() {
    let dns = Dns::start(&["other.test"]);
    let mut other = other();
    let port = other.port("mx");
    let node = ours(&dns, &port);
    assert!(other.terminate());
    let id = write(&node, "carol@other.test", &[]);
    let trace = until_traced(&node, &id, "deferred");
    assert!(trace.contains("refused") || trace.contains("connecting"), "{trace}");
    let listed = node.sluice(&["queue", "list", "--json"], "");
    assert!(listed.contains("\"remote\"") && listed.contains("carol@other.test"), "{listed}");
}

#[test]
fn forwarded_mail_has_a_sender_of_ours_and_its_reports_find_their_way_back() {
    let dns = Dns::start(&["other.test"]);
    let other = other();
    other.add_account("dave@other.test");
    let node = ours(&dns, &other.port("mx"));
    node.sluice(&["alias", "add", "away@example.test", "carol@other.test"], "");
    node.sluice(&["alias", "add", "gone@example.test", "nobody@other.test"], "");
    node.swaks("dave@other.test", "away@example.test", &["--header", "Subject: on its way"]);
    let mail = wait_for("the forwarded message", || {
        told(&other, "carol@other.test").contains("delivered").then(|| inbox(&other, "carol@other.test"))
    });
    assert!(mail[0].starts_with("Return-Path: <SRS0="), "{}", mail[0]);
    assert!(mail[0].contains("=other.test=dave@example.test>\r\n"), "{}", mail[0]);
    // The next system refuses it: dave hears of it, by way of the address that we made, and of the address that he wrote to only.
    node.swaks("dave@other.test", "gone@example.test", &["--header", "Subject: in vain"]);
    let report = wait_for("the report", || {
        told(&other, "dave@other.test").contains("delivered").then(|| inbox(&other, "dave@other.test"))
    });
    assert!(report[0].contains("Final-Recipient: rfc822; gone@example.test"), "{}", report[0]);
    assert!(!report[0].contains("Final-Recipient: rfc822; nobody@other.test"), "{}", report[0]);
    // Nobody can make up such an address.
    let mut wire = crate::wire::smtp(node.address("mx"));
    for (line, code) in
        [("MAIL FROM:<>", "250"), ("RCPT TO:<SRS0=aaaaaaaa=aa=other.test=carol@example.test>", "550")]
    {
        let answer = wire.smtp(line);
        assert!(answer.starts_with(code), "{line}: {answer}");
    }
}

#[test]
fn members_of_a_list_hear_from_its_owner_who_learns_which_of_them_can_not() {
    let dns = Dns::start(&["other.test"]);
    let other = other();
    other.add_account("dave@other.test");
    let node = ours(&dns, &other.port("mx"));
    node.add_account("bob@example.test");
    let members = ["bob@example.test", "carol@other.test", "nobody@other.test"];
    let add =
        [&["alias", "add", "list@example.test"], &members[..], &["--owner", "alice@example.test"]].concat();
    node.sluice(&add, "");
    assert!(node.sluice(&["alias", "list"], "").contains("alice@example.test"));
    node.swaks("dave@other.test", "list@example.test", &["--header", "Subject: to all"]);
    let mail = wait_for("the mail of a member elsewhere", || {
        told(&other, "carol@other.test").contains("delivered").then(|| inbox(&other, "carol@other.test"))
    });
    let own = "Return-Path: <alice+carol=other.test@example.test>\r\n";
    assert!(
        mail[0].starts_with(own) && mail[0].contains("Delivered-To: list@example.test\r\n"),
        "{}",
        mail[0]
    );
    let mail = wait_for("the mail of a member here", || {
        told(&node, "bob@example.test").contains("delivered").then(|| inbox(&node, "bob@example.test"))
    });
    assert!(mail[0].starts_with("Return-Path: <alice@example.test>\r\n"), "{}", mail[0]);
    let own = "alice+nobody=other.test@example.test";
    let report = wait_for("the report", || {
        told(&node, own).contains("delivered").then(|| inbox(&node, "alice@example.test"))
    });
    let [report] = &report[..] else { panic!("{report:?}") };
    assert!(report.contains("To: <alice+nobody=other.test@example.test>\r\n"), "{report}");
    assert!(report.contains("Final-Recipient: rfc822; nobody@other.test\r\n"), "{report}");
    assert!(!told(&other, "dave@other.test").contains("delivered"), "who wrote hears nothing of members");
}
