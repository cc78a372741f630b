//! The milter behind a real Postfix.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test crate")]

mod process;
mod server;

use process::{Milter, folder, run, wait, write_rules};
use server::Postfix;

/// A message with a subject; its fields are written in ways that must not be lost.
fn message(subject: &str) -> String {
    format!(
        "From: Ann <ann@a.test>\r\nTo: bob@b.test\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@a.test>\r\nSubject: {subject}\r\nX-None:odd\r\nX-Two:  odd\r\nX-Fold: a\r\n\tb\r\n\
         X-Under:\r\n below\r\nX-Remove: one\r\nx-remove: two\r\nAuthentication-Results: mx.b.test; spf=pass\r\n\r\nHello,\r\n\r\nbye.\r\n"
    )
}

fn rule(name: &str, when: &str, then: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nowner = \"sec@b.test\"\ndirection = \"any\"\nwhen = '''{when}'''\nthen = [{then}]\n"
    )
}

fn on(subject: &str) -> String {
    format!("message.subject == \"{subject}\"")
}

/// Whether a message with this subject was delivered to somebody.
fn is_delivered(postfix: &Postfix, subject: &str, to: &str) -> bool {
    let (subject, to) = (format!("\nSubject: {subject}\n"), format!("\nDelivered-To: {to}@b.test\n"));
    postfix.all_delivered().iter().any(|message| message.contains(&subject) && message.contains(&to))
}

#[test]
fn refusals_and_what_is_kept_back() {
    let folder = folder();
    let rules = [
        rule("refuse", &on("refuse"), r#"{ action = "reject", text = "100% unwanted: ask sec@b.test" }"#),
        rule("later", &on("later"), r#"{ action = "tempfail", text = "come back" }"#),
        rule("keep", &on("keep"), r#"{ action = "quarantine", reason = "looks odd" }"#),
        rule("away", &on("away"), r#"{ action = "discard" }"#),
        rule("shadow", &on("shadow"), r#"{ action = "reject", text = "never" }"#) + "mode = \"shadow\"\n",
    ];
    write_rules(folder.path(), &rules.concat());
    let milter = Milter::start(folder.path(), "");
    let postfix = Postfix::start(folder.path());
    let mut client = postfix.client();
    assert_eq!(client.send(&["bob@b.test"], &message("refuse")), "550 5.7.1 100% unwanted: ask sec@b.test");
    assert_eq!(client.send(&["bob@b.test"], &message("later")), "451 4.7.1 come back");
    for subject in ["away", "keep", "shadow", "plain"] {
        let reply = client.send(&["bob@b.test"], &message(subject));
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
    }
    postfix.delivered("shadow");
    postfix.delivered("plain");
    milter.logs(&["a rule fits", "rule=\"shadow\"", "mode=\"shadow\""]);
    milter.logs(&["a rule fits", "rule=\"keep\"", "mode=\"enforced\""]);
    milter.logs(&["message judged", "action=\"reject\"", "100% unwanted"]);
    // Held, not queued: `!` behind the queue id.
    let queue = postfix.mailq();
    assert_eq!(queue.matches('!').count(), 1, "{queue}");
    assert!(queue.contains("ann@a.test"), "{queue}");
    for subject in ["keep", "away", "refuse", "later"] {
        assert!(!is_delivered(&postfix, subject, "bob"), "{subject}");
    }
}

#[test]
fn fields_and_recipients_change() {
    let folder = folder();
    let size = message("exact").len();
    let exact = format!("{} && message.size == {size}", on("exact"));
    let mark = r#"{ action = "header", name = "X-Mark", value = "seen" }, { action = "tag", value = "one" },
        { action = "remove-header", name = "X-Remove" }"#
        .replace('\n', "");
    let rules = [
        rule("mark", &on("mark"), &mark),
        rule("exact", &exact, r#"{ action = "header", name = "X-Exact", value = "yes" }"#),
        rule("redirect", &on("redirect"), r#"{ action = "redirect", to = "other@b.test" }"#),
        rule("copy", &on("copy"), r#"{ action = "copy", to = "copy@b.test" }"#),
    ];
    write_rules(folder.path(), &rules.concat());
    let milter = Milter::start(folder.path(), "");
    let postfix = Postfix::start(folder.path());
    let mut client = postfix.client();
    for (subject, recipients) in [
        ("mark", &["bob@b.test"][..]),
        ("exact", &["bob@b.test"]),
        ("redirect", &["bob@b.test", "carl@b.test"]),
        ("copy", &["bob@b.test"]),
    ] {
        let reply = client.send(recipients, &message(subject));
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
    }
    // Behind Postfix's own Received field, above those of the sender.
    let marked = postfix.delivered("mark");
    let names: Vec<&str> =
        marked.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let at = |name: &str| names.iter().position(|one| *one == name);
    assert!(at("Received") < at("X-Mark") && at("X-Mark") < at("From"), "{marked}");
    for wanted in [
        "\nX-Mark: seen\n",
        "\nX-Sluice-Tags: one\n",
        // From a network of one's own: what a system of one's own found out stays.
        "\nAuthentication-Results: mx.b.test; spf=pass\n",
        "\nX-None:odd\nX-Two:  odd\nX-Fold: a\n\tb\nX-Under:\n below\n",
        "\n\nHello,\n\nbye.\n",
    ] {
        assert!(marked.contains(wanted), "{wanted}: {marked}");
    }
    assert!(!marked.to_lowercase().contains("x-remove:"), "{marked}");
    // Not an octet was lost on the way to the rules.
    assert!(postfix.delivered("exact").contains("\nX-Exact: yes\n"), "{}", milter.log());
    wait("both have the copied message", || {
        (is_delivered(&postfix, "copy", "bob") && is_delivered(&postfix, "copy", "copy")).then_some(())
    });
    postfix.delivered("redirect");
    assert!(is_delivered(&postfix, "redirect", "other"));
    assert!(!is_delivered(&postfix, "redirect", "bob") && !is_delivered(&postfix, "redirect", "carl"));
}

/// Who it is, and what was found out about the sender; what claims to be our finding is gone.
#[test]
fn a_stranger_is_told_from_ones_own() {
    let folder = folder();
    let stranger = r#"connection.address == "192.0.2.7" && connection.helo == "mail.a.test" && connection.listener == "mx""#;
    let own = r#"connection.listener == "submission" && connection.address == "192.0.2.8""#;
    let mark = |value: &str| format!("{{ action = \"header\", name = \"X-Peer\", value = \"{value}\" }}");
    let rules = rule("stranger", stranger, &mark("stranger"))
        + &rule("own", own, &mark("own")).replace("\"any\"", "\"outbound\"");
    write_rules(folder.path(), &rules);
    let mut milter = Milter::start(folder.path(), "own_networks = [\"192.0.2.8/32\"]\n");
    let postfix = Postfix::start(folder.path());
    let send = |address: &str, subject: &str| {
        let mut client = postfix.client();
        assert!(client.say(&format!("XCLIENT ADDR={address} NAME=[UNAVAILABLE]")).starts_with("220"));
        client.say("EHLO mail.a.test");
        let reply = client.send(&["bob@b.test"], &message(subject));
        assert!(reply.starts_with("250 "), "{reply}");
        postfix.delivered(subject)
    };
    let found = send("192.0.2.7", "from a stranger");
    assert!(found.contains("\nX-Peer: stranger\n"), "{found} {}", milter.log());
    assert!(
        found.contains("\nAuthentication-Results: mx.b.test;") && found.contains("spf=temperror"),
        "{found}"
    );
    assert!(!found.contains("spf=pass"), "{found}");
    let found = send("192.0.2.8", "from inside");
    assert!(found.contains("\nX-Peer: own\n") && !found.contains("spf=temperror"), "{found}");
    assert!(milter.end(), "{}", milter.log());
}

#[test]
fn rules_change_without_a_restart() {
    let folder = folder();
    let refusing = |text: &str| rule("all", "true", &format!("{{ action = \"reject\", text = \"{text}\" }}"));
    write_rules(folder.path(), &refusing("first"));
    let milter = Milter::start(folder.path(), "");
    let postfix = Postfix::start(folder.path());
    let mut client = postfix.client();
    let mut reply = || client.send(&["bob@b.test"], &message("any"));
    assert_eq!(reply(), "550 5.7.1 first");
    write_rules(folder.path(), &refusing("second"));
    wait("the second set is in force", || (reply() == "550 5.7.1 second").then_some(()));
    // A fault, and what a milter can't do: both sets are not taken.
    write_rules(folder.path(), &refusing("third").replace("true", "no_such_thing == 1"));
    milter.logs(&["the rules have a fault", "no_such_thing"]);
    assert_eq!(reply(), "550 5.7.1 second");
    write_rules(folder.path(), &rule("archive", "true", r#"{ action = "journal", to = "archive@b.test" }"#));
    milter.logs(&["the rules have a fault", "can't write a journal"]);
    assert_eq!(reply(), "550 5.7.1 second");
    write_rules(folder.path(), &refusing("last"));
    wait("the last set is in force", || (reply() == "550 5.7.1 last").then_some(()));
}

#[test]
fn limits_and_failures_refuse() {
    let folder = folder();
    // The score of an element that is not there: the rule fails on every message.
    write_rules(
        folder.path(),
        &rule("broken", &format!("{} && urls[99].host == \"a\"", on("broken")), r#"{ action = "discard" }"#),
    );
    let limits = "[limits]\nmessage_size_max = \"64 KiB\"\nconnections_max = 1\n";
    let milter = Milter::start(folder.path(), limits);
    let postfix = Postfix::start(folder.path());
    let mut client = postfix.client();
    assert_eq!(
        client.send(&["bob@b.test"], &message("broken")),
        "451 4.7.1 Message could not be checked, try again later"
    );
    // Exactly as many octets, and one more.
    let of = |octets: usize| {
        let mut text = message("big");
        let line = format!("{}\r\n", "x".repeat(98));
        text.push_str(&line.repeat((octets - text.len()) / 100 - 1));
        let rest = octets - text.len() - 2;
        text.push_str(&format!("{}\r\n", "x".repeat(rest)));
        text
    };
    let reply = client.send(&["bob@b.test"], &of(64 * 1024));
    assert!(reply.starts_with("250 "), "{reply}");
    let reply = client.send(&["bob@b.test"], &of(64 * 1024 + 1));
    assert_eq!(reply, "552 5.3.4 The message is larger than 65536 octets");
    assert!(client.send(&["bob@b.test"], &message("after")).starts_with("250 "), "the session goes on");
    // Another connection of Postfix is told to come back.
    let mut other = postfix.client();
    let reply = other.say("MAIL FROM:<ann@a.test>");
    assert!(reply.starts_with("451 "), "{reply}");
    assert!(client.send(&["bob@b.test"], &message("still")).starts_with("250 "), "{}", milter.log());
}

/// The DNS does not answer a stranger's questions in time; meanwhile Postfix hears that it takes longer.
#[test]
fn checks_that_do_not_end_refuse() {
    let folder = folder();
    write_rules(folder.path(), "");
    let limits = "[limits]\nmessage_max = \"50ms\"\nprogress_interval = \"10ms\"\n";
    let milter = Milter::start(folder.path(), limits);
    let postfix = Postfix::start(folder.path());
    let mut client = postfix.client();
    assert!(client.say("XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]").starts_with("220"));
    client.say("EHLO mail.a.test");
    for _ in 0..2 {
        let reply = client.send(&["bob@b.test"], &message("late"));
        assert_eq!(reply, "451 4.3.0 Message could not be checked, try again later", "{}", milter.log());
    }
    milter.logs(&["ERROR", "the checks did not come to an end"]);
    assert!(postfix.all_delivered().is_empty());
}

#[test]
fn what_is_wrong_is_said_at_the_start() {
    let folder = folder();
    let path = folder.path();
    let named = "hostname = \"mx.b.test\"\n";
    let check = |config: &str, arguments: &[&str], expected: &[&str], is_good: bool| {
        let out = run(path, config, arguments);
        let said = [out.stdout, out.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(out.status.success(), is_good, "{said}");
        for words in expected {
            assert!(said.contains(words), "{words}: {said}");
        }
    };
    check(named, &["--check"], &["is no folder"], false);
    check(named, &[], &["is no folder"], false);
    write_rules(path, &rule("all", "true", r#"{ action = "discard" }"#));
    check(named, &["--check"], &["1 rules"], true);
    check(
        "hostname = \"\"\nlog_level = \"x\"\n",
        &["--check"],
        &["milter.toml:1: hostname", "milter.toml:2: log_level"],
        false,
    );
    check(named, &["--check", "--socket", "tcp:1"], &["--socket: write unix:/path"], false);
    check(named, &["--socket", "unix:/no/such/folder/a.sock"], &["/no/such/folder/a.sock"], false);
    write_rules(path, &rule("all", "message.subjekt == 'a'", r#"{ action = "discard" }"#));
    check(named, &["--check"], &["rules.toml:", "subjekt"], false);
    check(named, &[], &["rules.toml:", "subjekt"], false);
    write_rules(path, &rule("archive", "true", r#"{ action = "journal", to = "archive@b.test" }"#));
    check(named, &["--check"], &["`archive`: a milter can't write a journal"], false);
    check(named, &[], &["`archive`: a milter can't write a journal"], false);
}
