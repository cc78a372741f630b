//! The README's first session, and what operators look at.

use std::process::Command;

use crate::node::{Node, PASSWORD, http_get, must, queued_id, wait_for};

#[test]
fn a_message_goes_all_the_way() {
    let mut node = Node::fresh();
    node.up();
    node.sluice(&["domain", "add", "corp.test"], "");
    node.sluice(&["account", "add", "ann@corp.test", "--name", "Ann"], &format!("{PASSWORD}\n"));
    node.sluice(&["account", "add", "ben@corp.test"], &format!("{PASSWORD}\n"));
    let id = node.swaks(
        "someone@elsewhere.test",
        "ann@corp.test",
        &["--header", "Subject: first light", "--body", "hello"],
    );
    let messages = node.inbox("ann@corp.test", 1);
    assert!(messages[0].contains("Subject: first light") && messages[0].contains("hello"), "{}", messages[0]);
    assert!(messages[0].starts_with("Return-Path: <someone@elsewhere.test>\r\n"), "{}", messages[0]);
    assert!(messages[0].contains(&format!("id {id}")), "the Received field names the id: {}", messages[0]);

    // The trail is written a moment after the fact.
    for query in [id.as_str(), "ann@corp.test"] {
        wait_for(&format!("`sluice trace {query}` knows the whole way"), || {
            let trace = node.try_sluice(&["trace", query], "").stdout;
            let trace = String::from_utf8_lossy(&trace).into_owned();
            ["accepted", "delivered", "ann@corp.test", &id]
                .iter()
                .all(|word| trace.contains(word))
                .then_some(())
        });
    }
    let json = node.sluice(&["account", "list", "--json"], "");
    assert!(json.contains("ann@corp.test") && !json.contains("argon2"), "{json}");
}

#[test]
fn curl_reads_over_imap_and_pop3_and_sends_over_submission() {
    let node = Node::start();
    node.swaks("someone@elsewhere.test", "alice@example.test", &["--body", "for curl"]);
    node.inbox("alice@example.test", 1);
    let credentials = format!("alice@example.test:{PASSWORD}");
    let imap = must(
        Command::new("curl")
            .args(["-sS", "--max-time", "30", "-u", &credentials])
            .arg(format!("imap://127.0.0.1:{}/INBOX;MAILINDEX=1", node.port("imap"))),
        "",
    );
    assert!(imap.contains("for curl"), "{imap}");
    let imaps = must(
        Command::new("curl")
            .args(["-sSk", "--max-time", "30", "-u", &credentials])
            .arg(format!("imaps://127.0.0.1:{}/INBOX;MAILINDEX=1", node.port("imaps"))),
        "",
    );
    assert_eq!(imap, imaps);
    let pop3 = must(
        Command::new("curl")
            .args(["-sSk", "--max-time", "30", "--ssl-reqd", "-u", &credentials])
            .arg(format!("pop3://127.0.0.1:{}/1", node.port("pop3"))),
        "",
    );
    assert!(pop3.contains("for curl"), "{pop3}");

    let message = "From: alice@example.test\r\nTo: bob@example.test\r\nSubject: by curl\r\n\r\nhi bob\r\n";
    must(
        Command::new("curl")
            .args(["-sSk", "--max-time", "30", "--ssl-reqd", "-u", &credentials])
            .args(["--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "-T", "-"])
            .arg(format!("smtp://127.0.0.1:{}/client.example", node.port("submission"))),
        message,
    );
    let received = node.inbox("bob@example.test", 1);
    assert!(received[0].contains("Subject: by curl"), "{}", received[0]);
}

#[test]
fn the_webmail_speaks_https() {
    let node = Node::start();
    let url = format!("https://127.0.0.1:{}/", node.port("webs"));
    let page = must(Command::new("curl").args(["-sSkL", "-D", "-", "--max-time", "30", &url]), "");
    assert!(page.contains("<form") && page.contains("password"), "{page}");
    assert!(page.to_lowercase().contains("strict-transport-security"), "{page}");
    let plain = url.replace("https", "http");
    let refused = Command::new("curl").args(["-sS", "--max-time", "10", &plain]).status().unwrap();
    assert!(!refused.success(), "nothing is said in the clear there");
}

#[test]
fn operators_see_metrics_and_health() {
    let node = Node::start();
    node.swaks("someone@elsewhere.test", "alice@example.test", &[]);
    node.inbox("alice@example.test", 1);
    assert!(http_get(node.address("health"), "/livez").starts_with("HTTP/1.1 200"));
    assert!(http_get(node.address("health"), "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = http_get(node.address("health"), "/metrics");
    for name in [
        "sluice_gateway_",
        "sluice_queue_",
        "sluice_delivery_",
        "sluice_store_",
        "sluice_access_",
        "sluice_directory_",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert!(!metrics.contains("alice"), "no address in the metrics");
    assert!(!node.log().contains(PASSWORD), "no password in the log");
}

#[test]
fn addresses_of_every_kind_lead_to_their_mailbox() {
    let node = Node::start();
    node.sluice(&["alias", "add", "team@example.test", "alice@example.test", "bob@example.test"], "");
    node.swaks("s@elsewhere.test", "team@example.test", &["--header", "Subject: to the team"]);
    node.swaks("s@elsewhere.test", "alice+lists@example.test", &["--header", "Subject: tagged"]);
    node.swaks("s@elsewhere.test", "ALICE@Example.Test", &["--header", "Subject: loud"]);
    let alice = node.inbox("alice@example.test", 3).concat();
    for subject in ["to the team", "tagged", "loud"] {
        assert!(alice.contains(&format!("Subject: {subject}")), "{subject}");
    }
    assert!(node.inbox("bob@example.test", 1)[0].contains("to the team"));
    node.sluice(&["domain", "set", "example.test", "--catch-all", "bob@example.test"], "");
    let id = node.swaks("s@elsewhere.test", "whoever@example.test", &["--header", "Subject: caught"]);
    assert!(queued_id(&format!("queued as {id}")).is_some());
    assert!(node.inbox("bob@example.test", 2).concat().contains("caught"));
}

#[test]
fn the_reference_and_the_check_agree() {
    let node = Node::fresh();
    std::fs::create_dir_all(node.data()).unwrap();
    let file = node.folder.path().join("sluice.toml");
    std::fs::write(&file, "hostnam = 'x'\n[gateway]\nrecipients_max = 'many'\n").unwrap();
    let output = node.try_sluice(&["config", "check", "--config", file.to_str().unwrap()], "");
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("hostnam") && text.contains("recipients_max"), "both faults at once: {text}");
    let reference = node.sluice(&["config", "reference"], "");
    assert!(reference.contains("hostname") && reference.contains("recipients_max"), "{reference}");
}

#[test]
fn an_operator_rebuilds_a_mailbox_that_is_in_use() {
    let node = Node::start();
    for text in ["one", "two"] {
        node.swaks("someone@elsewhere.test", "alice@example.test", &["--body", text]);
    }
    let before = node.inbox("alice@example.test", 2);
    let figures = |mailbox: &[&str]| -> serde_json::Value {
        let arguments = [&["mailbox", "stats", "--json", "alice@example.test"], mailbox].concat();
        serde_json::from_str(&node.sluice(&arguments, "")).unwrap()
    };
    let inbox = figures(&["INBOX"]);
    assert_eq!((inbox[0]["messages"].as_u64(), inbox[0]["unparsed"].as_u64()), (Some(2), Some(0)));
    assert!(figures(&[]).as_array().unwrap().len() > 1, "every mailbox of the account");

    let sound = node.sluice(&["mailbox", "check", "--contents", "alice@example.test"], "");
    assert!(sound.contains("2 messages: no difference"), "{sound}");
    let stray = node.maildir("alice@example.test").join("cur/empty");
    std::fs::write(&stray, "").unwrap();
    let differs = node.try_sluice(&["mailbox", "check", "alice@example.test", "INBOX"], "");
    let said = String::from_utf8_lossy(&differs.stdout).into_owned();
    assert!(differs.status.code() == Some(1) && said.contains("not a message"), "{said}");
    assert!(said.contains("cur/empty"), "{said}");
    std::fs::remove_file(stray).unwrap();
    let said = node.sluice(&["mailbox", "rebuild", "alice@example.test"], "");
    assert!(said.contains("INBOX: 2 messages"), "{said}");
    assert_eq!(figures(&["INBOX"])[0]["unparsed"].as_u64(), Some(2), "the cache is gone until somebody asks");
    node.swaks("someone@elsewhere.test", "alice@example.test", &["--body", "three"]);
    assert_eq!(node.inbox("alice@example.test", 3)[..2], before[..]);

    for (address, mailbox) in [("carol@example.test", "INBOX"), ("alice@example.test", "NoSuch")] {
        let refused = node.try_sluice(&["mailbox", "stats", address, mailbox], "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(address) || said.contains(mailbox), "{said}");
    }
}

#[test]
fn an_operator_tries_a_file_system() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let said = node.sluice(&["mailbox", "probe", "--json", folder], "");
    let checks: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(checks.as_array().unwrap().len(), 9, "{said}");
    assert!(!said.contains("unfit"), "{said}");
    let refused = node.try_sluice(&["mailbox", "probe", "/dev/null"], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("/dev/null"), "{said}");
}

#[test]
fn many_people_come_from_a_file() {
    let mut node = Node::fresh();
    node.up();
    let file = node.folder.path().join("people");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "ann@corp.test Ann Archer\n\nnobody at all\nben@corp.test\n").unwrap();
    let refused = node.try_sluice(&["account", "import", path], &format!("{PASSWORD}\n"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was added") && said.contains("line 3: `nobody`"), "{said}");
    std::fs::write(&file, "ann@corp.test Ann Archer\n\nben@corp.test\n").unwrap();
    let import = || node.sluice(&["account", "import", path], &format!("{PASSWORD}\n"));
    assert_eq!(import(), "2 accounts and 1 domains added; 0 accounts were there\n");
    assert_eq!(import(), "0 accounts and 0 domains added; 2 accounts were there\n");
    let listed = node.sluice(&["account", "list", "--domain", "corp.test"], "");
    assert!(listed.contains("Ann Archer") && listed.contains("ben@corp.test"), "{listed}");
    node.swaks("friend@elsewhere.test", "ben@corp.test", &[]);
    assert_eq!(node.inbox("ben@corp.test", 1).len(), 1);
}
