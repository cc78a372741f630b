//! Several volumes: an account moves while mail arrives and people read.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::node::{Node, PASSWORD, wait_for};
use crate::wire::{imap, send_message, smtp};

const ALICE: &str = "alice@example.test";

/// UIDVALIDITY, and number and text of every message.
fn messages(node: &Node) -> (String, Vec<(u32, String)>) {
    let mut wire = imap(node.address("imap"), ALICE, PASSWORD);
    let selected = wire.imap("SELECT INBOX");
    let validity = selected.split_once("[UIDVALIDITY ").unwrap().1.split_once(']').unwrap().0.to_owned();
    let fetched = wire.imap("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let one = |part: &str| {
        let uid = part.split_once("(UID ")?.1.split_once(' ')?.0.parse().ok()?;
        Some((uid, part.split_once("Subject: ")?.1.split_once('\r')?.0.to_owned()))
    };
    (validity, fetched.split("\n* ").filter_map(one).collect())
}

#[test]
fn an_account_moves_while_mail_arrives_and_people_read() {
    let mut node = Node::fresh();
    std::fs::create_dir_all(node.data()).unwrap();
    let config = node.folder.path().join("sluice.toml");
    let mut file = std::fs::File::create(&config).unwrap();
    // New accounts come to the root alone.
    write!(file, "[store.volumes.second]\npath = \"second\"\nweight = 0\n").unwrap();
    let config = config.to_str().unwrap();
    node.up_with(&["--config", config]);
    node.add_account(ALICE);
    let said = node.sluice(&["mailbox", "volumes", "--json", "--config", config], "");
    let volumes: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&volumes[0]["volume"], &volumes[1]["volume"]), (&"main".into(), &"second".into()), "{said}");
    assert!(volumes.as_array().unwrap().iter().all(|one| one["takes_mail"] == true), "{said}");

    let send = |number: u32| {
        let mut wire = smtp(node.address("mx"));
        let text = format!("Subject: number {number}\r\n\r\ntext\r\n");
        send_message(&mut wire, "s@elsewhere.test", &[ALICE], text.as_bytes())
    };
    (1..=20).for_each(|number| assert!(send(number).starts_with("250"), "{number}"));
    node.inbox(ALICE, 20);
    let before = messages(&node);
    let mut idle = imap(node.address("imap"), ALICE, PASSWORD);
    idle.imap("SELECT INBOX");
    idle.send("x IDLE\r\n");
    assert!(idle.line().starts_with('+'));
    let mut waiting = imap(node.address("imap"), ALICE, PASSWORD);
    assert!(waiting.imap("STATUS INBOX (MESSAGES)").contains("MESSAGES 20"));

    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut number = 20;
            while !stop.load(Ordering::Relaxed) && number < 500 {
                number += 1;
                let reply = send(number);
                assert!(reply.starts_with("250"), "{number}: {reply}");
            }
            number
        });
        let said = node.sluice(&["mailbox", "move", ALICE, "second", "--config", config], "");
        stop.store(true, Ordering::Relaxed);
        assert!(said.starts_with("alice@example.test is on `second`: "), "{said}");
        sender.join().unwrap()
    });
    // Who had it open is told to come again, and a client that had nothing selected too.
    let farewell = wait_for("the goodbye of an idle session", || {
        let line = idle.line();
        line.starts_with("* BYE").then_some(line)
    });
    assert!(farewell.contains("connect again"), "{farewell}");
    let said = waiting.imap("STATUS INBOX (MESSAGES)") + &waiting.line();
    assert!(said.contains("x NO [UNAVAILABLE]") && said.contains("* BYE"), "{said}");

    let total = usize::try_from(sent).unwrap();
    let after = wait_for("every message at the new place", || {
        Some(messages(&node)).filter(|(_, found)| found.len() >= total)
    });
    assert_eq!(after.0, before.0, "the UIDVALIDITY stays");
    assert_eq!(after.1[..20], before.1[..], "UIDs keep their messages");
    let mut subjects: Vec<&str> = after.1.iter().map(|(_, subject)| subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert_eq!((after.1.len(), subjects.len()), (total, total), "each message once");
    let names = std::fs::read_dir(node.data().join("second")).unwrap();
    assert!(names.count() > 1, "the files are on the other volume");
    let refused = node.try_sluice(&["mailbox", "move", ALICE, "second", "--config", config], "");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("is on the volume `second` already"), "{text}");
    let checked = node.sluice(&["mailbox", "check", ALICE, "--contents", "--config", config], "");
    assert!(checked.contains("no difference"), "{checked}");
}
