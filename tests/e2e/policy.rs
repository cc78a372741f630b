//! The security team's rules over a running node, and the commands about them.

use std::fs;
use std::path::Path;

use crate::node::{Node, QUIET, http_get, queued_id, wait_for};
use crate::wire::{send_message, smtp};

/// Rules that each fit one subject.
fn rules(each: &[(&str, &str)]) -> String {
    let rule = |(subject, then): &(&str, &str)| {
        format!(
            "[[rule]]\nname = \"{subject}\"\nowner = \"security@example.test\"\nwhen = 'message.subject == \"{subject}\"'\n{then}\n"
        )
    };
    each.iter().map(rule).collect()
}

/// A node with alice and bob over these rules.
fn node_with(rules: &str) -> Node {
    let mut node = Node::fresh();
    put_rules(&node, rules);
    node.up_in(&[
        QUIET,
        ("SLUICE_FILTERS__POLICY__RELOAD_INTERVAL", "1s"),
        ("SLUICE_GATEWAY__ALLOW_PLAINTEXT_AUTH", "true"),
    ]);
    node.add_account("alice@example.test");
    node.add_account("bob@example.test");
    node
}

/// Renamed into place, as an editor does.
fn put_rules(node: &Node, rules: &str) {
    let folder = node.data().join("policy");
    fs::create_dir_all(&folder).unwrap();
    let draft = folder.join(".rules.new");
    fs::write(&draft, rules).unwrap();
    fs::rename(draft, folder.join("rules.toml")).unwrap();
}

/// A stranger writes to alice; gives the answer.
fn send(node: &Node, subject: &str) -> String {
    let text = format!("From: s@elsewhere.test\r\nSubject: {subject}\r\n\r\ntext of {subject}");
    send_message(&mut smtp(node.address("mx")), "s@elsewhere.test", &["alice@example.test"], text.as_bytes())
}

/// The same, accepted; gives the id.
fn accepted(node: &Node, subject: &str) -> String {
    let answer = send(node, subject);
    assert!(answer.starts_with("250 "), "{subject}: {answer}");
    queued_id(&answer).unwrap()
}

fn until_traced(node: &Node, id: &str, what: &str) -> String {
    wait_for(&format!("{what} in the trace of {id}"), || {
        let text = String::from_utf8(node.try_sluice(&["trace", id], "").stdout).unwrap();
        text.contains(what).then_some(text)
    })
}

fn metrics_say(node: &Node, line: &str) -> bool {
    http_get(node.address("health"), "/metrics").contains(line)
}

#[test]
fn what_a_rule_keeps_back_is_seen_released_and_deleted() {
    let node =
        node_with(&rules(&[("odd", "then = [{ action = \"quarantine\", reason = \"it looks odd\" }]")]));
    let (kept, unwanted) = (accepted(&node, "odd"), accepted(&node, "odd"));
    let other = accepted(&node, "plain");
    until_traced(&node, &other, "delivered");
    let mail = node.inbox("alice@example.test", 1);
    assert!(mail.len() == 1 && mail[0].contains("Subject: plain"), "{mail:?}");

    assert!(until_traced(&node, &kept, "quarantined").contains("is kept back by filters"));
    let listed = node.sluice(&["quarantine", "list"], "");
    assert!(listed.contains(&kept) && listed.contains("odd: it looks odd"), "{listed}");
    assert!(!listed.contains(&other), "{listed}");
    let by_rule = node.sluice(&["quarantine", "list", "--reason", "ODD:", "--json"], "");
    let by_rule: serde_json::Value = serde_json::from_str(&by_rule).unwrap();
    assert_eq!(by_rule.as_array().unwrap().len(), 2);
    assert_eq!(by_rule[0]["envelope"]["filtered"]["reasons"][0], "odd: it looks odd");
    assert_eq!(node.sluice(&["quarantine", "list", "--reason", "nothing", "--json"], ""), "[]\n");
    let shown = node.sluice(&["quarantine", "show", &kept, "--body"], "");
    assert!(shown.contains("reason         odd: it looks odd") && shown.contains("text of odd"), "{shown}");

    assert_eq!(node.try_sluice(&["quarantine", "release"], "").status.code(), Some(1), "which ones?");
    assert_eq!(node.sluice(&["quarantine", "release", &kept], ""), "1 message moved\n");
    let trace = until_traced(&node, &kept, "delivered");
    assert!(trace.contains("rerouted") && trace.contains("quarantine"), "{trace}");
    assert_eq!(node.inbox("alice@example.test", 2).len(), 2);
    let again = node.try_sluice(&["quarantine", "release", &kept], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not in the quarantine"));
    node.sluice(&["quarantine", "delete", "--sender", "elsewhere.test"], "");
    until_traced(&node, &unwanted, "deleted by an operator");
    assert_eq!(node.sluice(&["quarantine", "list", "--json"], ""), "[]\n");
}

#[test]
fn a_rule_refuses_marks_copies_or_makes_vanish() {
    let node = node_with(&rules(&[
        ("bad", "then = [{ action = \"reject\", text = \"Not with this subject\" }]"),
        ("later", "then = [{ action = \"tempfail\", text = \"Come back tomorrow\" }]"),
        ("gone", "then = [{ action = \"discard\" }]"),
        (
            "marked",
            "then = [{ action = \"tag\", value = \"odd\" }, { action = \"header\", name = \"X-Note\", value = \"seen\" }, \
             { action = \"copy\", to = \"bob@example.test\" }]",
        ),
        ("turned", "then = [{ action = \"redirect\", to = \"bob@example.test\" }]"),
        ("kept", "then = [{ action = \"journal\", to = \"archive@example.test\" }]"),
    ]));
    node.add_account("archive@example.test");
    assert_eq!(send(&node, "bad"), "550 5.7.1 Not with this subject");
    assert_eq!(send(&node, "later"), "451 4.7.1 Come back tomorrow");
    let gone = accepted(&node, "gone");
    let trace = until_traced(&node, &gone, "discarded");
    assert!(trace.contains("gone: discard"), "{trace}");
    let ids = ["marked", "turned", "kept"].map(|subject| accepted(&node, subject));
    ids.iter().for_each(|id| drop(until_traced(&node, id, "delivered")));
    let alice = node.inbox("alice@example.test", 2);
    let subjects = |mail: &[String]| {
        let subject = |one: &String| {
            one.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
        };
        let mut found: Vec<String> = mail.iter().map(subject).collect();
        found.sort();
        found
    };
    assert_eq!(subjects(&alice), ["kept", "marked"]);
    let marked = alice.iter().find(|one| one.contains("Subject: marked")).unwrap();
    assert!(marked.contains("X-Sluice-Tags: odd\r\n") && marked.contains("X-Note: seen\r\n"), "{marked}");
    assert_eq!(subjects(&node.inbox("bob@example.test", 2)), ["marked", "turned"]);
    let archive = node.inbox("archive@example.test", 1);
    let [report] = archive.as_slice() else { panic!("{archive:?}") };
    for line in ["Sender: s@elsewhere.test\r\n", "Recipient: alice@example.test\r\n", "text of kept"] {
        assert!(report.contains(line), "{line}: {report}");
    }
}

#[test]
fn rules_are_tried_in_shadow_and_taken_while_running_but_not_with_faults() {
    let discard = "then = [{ action = \"discard\" }]";
    let node = node_with(&rules(&[("new", &format!("mode = \"shadow\"\n{discard}"))]));
    let id = accepted(&node, "new");
    until_traced(&node, &id, "delivered");
    let hits =
        |outcome: &str| format!("sluice_filters_policy_hits_total{{outcome=\"{outcome}\",rule=\"new\"}} 1");
    wait_for("the hit of a rule in shadow", || metrics_say(&node, &hits("shadow")).then_some(()));
    let checked = node.try_sluice(&["policy", "check"], "");
    assert!(checked.status.success());
    assert!(String::from_utf8_lossy(&checked.stderr).contains("`new` is in shadow"), "{checked:?}");

    put_rules(&node, &rules(&[("new", "then = [{ action = \"reject\", text = \"No\" }]")]));
    let reloads = |outcome: &str| format!("sluice_filters_policy_reloads_total{{outcome=\"{outcome}\"}} 1");
    wait_for("the new rules", || metrics_say(&node, &reloads("taken")).then_some(()));
    assert_eq!(send(&node, "new"), "550 5.7.1 No");
    assert!(metrics_say(&node, &hits("enforced")));

    put_rules(&node, "[[rule]]\nname = \"broken\"\n");
    wait_for("the refusal of the rules", || metrics_say(&node, &reloads("refused")).then_some(()));
    assert_eq!(send(&node, "new"), "550 5.7.1 No", "those before go on");
    let checked = node.try_sluice(&["policy", "check"], "");
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stdout).starts_with("rules.toml:1: "), "{checked:?}");
}

#[test]
fn rules_look_at_what_people_here_send_out() {
    let rule = "[[rule]]\nname = \"cards\"\nowner = \"security@example.test\"\ndirection = \"outbound\"\n\
                when = 'cards(message.text) > 0'\nthen = [{ action = \"reject\", text = \"Card numbers stay here\" }]\n";
    let node = node_with(rule);
    let text = |sender: &str| {
        format!("From: {sender}\r\nSubject: x\r\n\r\nMy card: 4111 1111 1111 1111\r\n").into_bytes()
    };
    let mut wire = smtp(node.address("submission"));
    let login = wire.smtp("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABjb3JyZWN0IGhvcnNlIGJhdHRlcnk=");
    assert!(login.starts_with("235 "), "{login}");
    let (alice, bob) = ("alice@example.test", ["bob@example.test"]);
    assert_eq!(send_message(&mut wire, alice, &bob, &text(alice)), "550 5.7.1 Card numbers stay here");
    let sender = "s@elsewhere.test";
    let answer = send_message(&mut smtp(node.address("mx")), sender, &bob, &text(sender));
    assert!(answer.starts_with("250 "), "inbound mail is not asked about: {answer}");
}

/// Rules with cases, and what was stored before they were written.
fn on_disk(folder: &Path) {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let rule = |action: &str| {
        format!(
            "[[rule]]\nname = \"invoice\"\nowner = \"o\"\nwhen = 'message.subject.contains(\"nvoice\") && auth.spf != \"pass\"'\nthen = [{action}]\n"
        )
    };
    put("old/a.toml", &rule("{ action = \"tag\", value = \"money\" }"));
    put("new/a.toml", &rule("{ action = \"reject\", text = \"No invoices\" }"));
    put("bad/a.toml", "[[rule]]\nname = \"x\"\nowner = \"o\"\nwhen = 'mesage.size > 1'\nthen = []\n");
    put("new/tests/x.eml", "From: a@b.test\nSubject: Invoice\n\nx\n");
    let case = |expected: &str| {
        format!(
            "[[case]]\nname = \"an invoice\"\nmessage = \"x.eml\"\nexpect = {{ action = \"{expected}\" }}\n"
        )
    };
    put("new/tests/all.toml", &case("reject"));
    put("mail/cur/1:2,S", "From: a@b.test\nSubject: Your invoice\nMessage-ID: <1@b.test>\n\nx\n");
    put("mail/new/2", "From: a@b.test\nSubject: Hello\n\nx\n");
    put("mail/old.mbox", "From a\nSubject: invoice\n\nx\n\nFrom b\nSubject: other\n\ny\n");
}

#[test]
fn rules_are_checked_tested_explained_and_replayed_before_they_decide() {
    let node = Node::fresh();
    on_disk(node.folder.path());
    let path = |name: &str| node.folder.path().join(name).display().to_string();
    let (old, new, bad, mail) = (path("old"), path("new"), path("bad"), path("mail"));

    assert!(node.sluice(&["policy", "check", &new], "").starts_with("1 rule, 0 lists, version "));
    let checked = node.try_sluice(&["policy", "check", &bad], "");
    let faults = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert!(faults.contains("a.toml:2: `x`: it does nothing") && faults.contains("a.toml:4: "), "{faults}");
    assert_eq!(node.try_sluice(&["policy", "check", &path("nowhere")], "").status.code(), Some(1));
    assert_eq!(node.try_sluice(&["policy", "explode"], "").status.code(), Some(2));

    assert_eq!(node.sluice(&["policy", "test", &new], ""), "1 case, 0 failed\n");
    fs::rename(path("new/tests"), path("old/tests")).unwrap();
    let tested = node.try_sluice(&["policy", "test", &old], "");
    let told = String::from_utf8(tested.stdout).unwrap();
    assert_eq!(tested.status.code(), Some(1));
    assert!(told.contains("an invoice\n  action should be reject, is accept\n"), "{told}");

    let eml = path("old/tests/x.eml");
    let explained = node.sluice(&["policy", "explain", &eml, "--dir", &new], "");
    for line in ["verdict  reject: 550 5.7.1 No invoices", "message.subject = \"Invoice\"", "): fits\n"] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let given = ["policy", "explain", &eml, "--dir", &new, "--spf", "pass", "--json"];
    let explained: serde_json::Value = serde_json::from_str(&node.sluice(&given, "")).unwrap();
    assert_eq!((&explained["action"], &explained["rules"][0]["said"]), (&"accept".into(), &"no".into()));

    let replayed = node.sluice(&["policy", "replay", &mail, "--dir", &new, "--json"], "");
    let replayed: serde_json::Value = serde_json::from_str(&replayed).unwrap();
    assert_eq!(replayed["actions"], serde_json::json!({ "accept": 2, "reject": 2 }), "{replayed}");
    assert_eq!(replayed["rules"][0]["enforced"], 2);
    let shown = node.sluice(&["policy", "replay", &mail, "--dir", &new, "--show", "invoice"], "");
    assert!(shown.contains("old.mbox#1") && shown.contains("<1@b.test>"), "{shown}");
    assert!(shown.contains("messages: 4, left out: 0"), "{shown}");

    let differ = node.sluice(&["policy", "diff", &old, &new, &mail], "");
    assert!(differ.contains("accept -> reject") && differ.contains("2 of 4 messages"), "{differ}");
    let same = node.sluice(&["policy", "diff", &new, &new, &mail], "");
    assert!(same.starts_with("judged differently: 0 of 4 messages"), "{same}");
    assert!(node.sluice(&["policy", "facts"], "").contains("## Functions"));
}
