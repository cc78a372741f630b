//! Bad input, over real connections: a clear refusal, and nothing lost.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{Node, PASSWORD, http_get, must, wait_for};
use crate::wire::{Wire, imap, imap_fetch_all, send_message, smtp};

const ALICE: &[&str] = &["alice@example.test"];

fn alice(node: &Node) -> Vec<String> {
    imap_fetch_all(node.address("imap"), "alice@example.test", PASSWORD, "INBOX")
}

/// The node still takes and delivers an honest message after whatever came before it.
fn still_serves(node: &Node) {
    let before = alice(node).len();
    node.swaks("s@elsewhere.test", "alice@example.test", &["--header", "Subject: honest"]);
    assert_eq!(node.inbox("alice@example.test", before + 1).len(), before + 1);
}

#[test]
fn smuggling_never_makes_a_second_message() {
    let node = Node::start();
    let ends: &[&[u8]] = &[
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n\x00.\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\x0b.\r\n",
        b"\r\n .\r\n",
        b"\r\n\xe2\x80\xa8.\r\n",
    ];
    let mut accepted = 0;
    for end in ends {
        let mut wire = smtp(node.address("mx"));
        let mut content = b"Subject: outer\r\n\r\nbody".to_vec();
        content.extend_from_slice(end);
        content.extend_from_slice(b"MAIL FROM:<evil@elsewhere.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil");
        let answer = send_message(&mut wire, "s@elsewhere.test", ALICE, &content);
        assert!(answer.starts_with("250") || answer.starts_with('5'), "{end:?}: {answer}");
        accepted += usize::from(answer.starts_with("250"));
        wire.send("QUIT\r\n");
        let rest = wire.rest();
        assert!(!rest.contains("queued as"), "{end:?}: a second message: {rest}");
    }
    let messages = node.inbox("alice@example.test", accepted);
    assert_eq!(messages.len(), accepted);
    assert!(messages.iter().all(|message| message.contains("Subject: outer")));
    still_serves(&node);
}

#[test]
fn limits_and_wrong_words_get_clear_answers() {
    let node = Node::start();
    let mut wire = smtp(node.address("mx"));
    for (line, code) in [
        ("MAIL FROM:<a@b.test> SIZE=99999999999", "552"),
        ("RCPT TO:<alice@example.test>", "503"),
        ("DATA", "503"),
        ("NOOP", "250"),
        ("FROB", "500"),
        ("MAIL FROM:<a b@c.test>", "501"),
        ("VRFY alice@example.test", "252"),
        ("HELP", "214"),
        ("NOOP", "250"),
        ("MAIL FROM:<s@elsewhere.test>", "250"),
        ("RCPT TO:<nobody@example.test>", "550"),
        ("RCPT TO:<user@elsewhere.test>", "550"),
        ("RCPT TO:<user%elsewhere.test@example.test>", "550"),
        ("RCPT TO:<@example.test:user@elsewhere.test>", "5"),
        ("RSET", "250"),
        ("QUIT", "221"),
    ] {
        let answer = wire.smtp(line);
        assert!(answer.starts_with(code), "{line}: {answer}");
    }
    // Submission without a login, and the clear port without TLS.
    let mut wire = smtp(node.address("submission"));
    let answer = wire.smtp("MAIL FROM:<alice@example.test>");
    assert!(answer.starts_with("530"), "{answer}");
    still_serves(&node);
}

#[test]
fn a_connection_cut_in_any_state_queues_nothing() {
    let node = Node::start();
    let dialogue = [
        "EHLO c.example\r\n",
        "MAIL FROM:<s@elsewhere.test>\r\n",
        "RCPT TO:<alice@example.test>\r\n",
        "DATA\r\n",
        "Subject: half\r\n\r\nhalf a mess",
    ];
    for length in 0..=dialogue.len() {
        let mut wire = Wire::connect(node.address("mx"));
        assert!(wire.reply().starts_with("220"));
        for (index, text) in dialogue.iter().take(length).enumerate() {
            wire.send(text);
            if index < 4 {
                assert!(!wire.reply().is_empty());
            }
        }
        drop(wire);
    }
    still_serves(&node);
    assert_eq!(alice(&node).len(), 1, "only the honest message");
}

#[test]
fn a_thousand_levels_of_mime_are_delivered_and_shown() {
    let node = Node::start();
    let mut content = String::from("Subject: deep\r\nMIME-Version: 1.0\r\n");
    for level in 0..1000 {
        write!(content, "Content-Type: multipart/mixed; boundary=\"b{level}\"\r\n\r\n--b{level}\r\n")
            .unwrap();
    }
    content.push_str("Content-Type: text/plain\r\n\r\ninnermost\r\n");
    let mut wire = smtp(node.address("mx"));
    let answer = send_message(&mut wire, "s@elsewhere.test", ALICE, content.as_bytes());
    assert!(answer.starts_with("250"), "{answer}");
    node.inbox("alice@example.test", 1);
    let mut wire = imap(node.address("imap"), "alice@example.test", PASSWORD);
    wire.imap("SELECT INBOX");
    let structure = wire.imap("FETCH 1 (ENVELOPE BODYSTRUCTURE)");
    assert!(
        structure.contains("x OK") && structure.contains("deep"),
        "{}",
        structure.chars().take(300).collect::<String>()
    );
    still_serves(&node);
}

#[test]
fn mailbox_names_do_not_leave_the_mailbox() {
    let node = Node::start();
    let mut wire = imap(node.address("imap"), "alice@example.test", PASSWORD);
    for name in ["../escape", "a/../../b", "..", ".", "/etc", "a//b", "~root", "a\u{7f}b", "cur/../x"] {
        let answer = wire.imap(&format!("CREATE \"{name}\""));
        let refused = answer.contains("x NO") || answer.contains("x BAD");
        let escaped = Path::new(&node.data()).join("escape").exists();
        assert!(!escaped, "{name}");
        assert!(refused || name == "~root", "{name}: {answer}");
    }
    wire.send(b"x CREATE {3}\r\n");
    assert!(wire.line().starts_with('+'));
    wire.send(b"a\x00b\r\n");
    let answer = wire.imap_answer();
    assert!(answer.contains("x NO") || answer.contains("x BAD"), "{answer}");
    for bomb in ["{4294967296}", "{18446744073709551616}", "{-1}"] {
        let mut wire = Wire::connect(node.address("imap"));
        wire.line();
        wire.send(format!("x LOGIN {bomb}\r\n"));
        let answer = wire.line();
        assert!(
            answer.contains("BAD") || answer.contains("BYE") || answer.contains("NO"),
            "{bomb}: {answer}"
        );
    }
    still_serves(&node);
}

#[test]
fn wrong_passwords_look_alike_and_are_counted() {
    let node = Node::start();
    let refusal = |login: &str| {
        let mut wire = Wire::connect(node.address("imap"));
        wire.line();
        wire.imap(&format!("LOGIN {login} wrong")).lines().last().unwrap().to_owned()
    };
    assert_eq!(refusal("alice@example.test"), refusal("nobody@example.test"));
    assert!(refusal("alice@example.test").contains("[AUTHENTICATIONFAILED]"));
    let metrics = http_get(node.address("health"), "/metrics");
    let refused =
        metrics.lines().filter(|line| line.starts_with("sluice_directory_") && line.contains("\"refused\""));
    let count: f64 = refused.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert!(count >= 3.0, "three refusals are counted: {metrics}");
}

/// Every file below `folder` whose name satisfies `wanted`.
fn files(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(path.file_name().unwrap().to_str().unwrap()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn lost_and_damaged_indexes_are_rebuilt_alike() {
    let mut node = Node::start();
    for number in 1..=5 {
        node.swaks(
            "s@elsewhere.test",
            "alice@example.test",
            &["--header", &format!("Subject: number {number}")],
        );
        node.inbox("alice@example.test", number);
    }
    let picture = |node: &Node| {
        let mut wire = imap(node.address("imap"), "alice@example.test", PASSWORD);
        let selected = wire.imap("EXAMINE INBOX");
        let validity = selected.lines().find(|line| line.contains("UIDVALIDITY")).unwrap().to_owned();
        (
            validity,
            wire.imap("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
                .replace("\\Recent", "")
                .replace("( ", "(")
                .replace(" )", ")"),
        )
    };
    {
        let mut wire = imap(node.address("imap"), "alice@example.test", PASSWORD);
        wire.imap("SELECT INBOX");
        assert!(wire.imap("STORE 2 +FLAGS (\\Flagged \\Seen)").contains("x OK"));
        assert!(wire.imap("STORE 4 +FLAGS (\\Deleted)").contains("x OK"));
        assert!(wire.imap("EXPUNGE").contains("* 4 EXPUNGE"));
    }
    let before = picture(&node);
    assert!(node.terminate());
    // Every journal: a flipped byte in the middle.
    let journals = files(&node.data(), &|name| name == "sluice.journal");
    assert!(!journals.is_empty());
    for journal in &journals {
        let mut bytes = std::fs::read(journal).unwrap();
        if !bytes.is_empty() {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            std::fs::write(journal, bytes).unwrap();
        }
    }
    node.up();
    assert_eq!(picture(&node), before, "after a damaged journal");
    assert!(node.terminate());
    for file in
        files(&node.data(), &|name| matches!(name, "sluice.journal" | "sluice.index" | "sluice.cache"))
    {
        std::fs::remove_file(file).unwrap();
    }
    node.up();
    assert_eq!(picture(&node), before, "after every index was deleted");
    still_serves(&node);
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .status()
            .ok()?;
        mounted.success().then(|| Self(path.to_path_buf()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_defers_and_nothing_accepted_is_lost() {
    let mut node = Node::fresh();
    let Some(_disk) = SmallDisk::mount(&node.data(), "160m") else {
        panic!("this test needs the right to mount a tmpfs: run ./test as root");
    };
    let config = node.folder.path().join("sluice.toml");
    let text =
        "[queue]\nfree_space_min = '24 MiB'\nsegment_size = '8 MiB'\n[store]\nfree_space_min = '4 MiB'\n";
    std::fs::write(&config, text).unwrap();
    node.up_with(&["--config", config.to_str().unwrap()]);
    node.add_account("alice@example.test");
    let filler = "0123456789abcdef0123456789abcdef0123456789abcdef\r\n".repeat(20_000);
    let mut accepted = 0;
    let mut deferred = String::new();
    for number in 0..400 {
        let mut wire = smtp(node.address("mx"));
        let content = format!("Subject: number {number}\r\n\r\n{filler}");
        let answer = send_message(&mut wire, "s@elsewhere.test", ALICE, content.as_bytes());
        if answer.starts_with("250") {
            accepted += 1;
        } else {
            deferred = answer;
            break;
        }
    }
    assert!(deferred.starts_with("452 4.3.1") || deferred.starts_with("451 4.3.0"), "{deferred}");
    assert!(accepted > 0);
    // Room again: everything accepted arrives, and new mail is taken.
    must(Command::new("mount").args(["-o", "remount,size=600m"]).arg(node.data()), "");
    wait_for("every accepted message is delivered", || {
        let mut wire = imap(node.address("imap"), "alice@example.test", PASSWORD);
        wire.imap("STATUS INBOX (MESSAGES)").contains(&format!("MESSAGES {accepted})")).then_some(())
    });
    let mut wire = smtp(node.address("mx"));
    let answer = send_message(&mut wire, "s@elsewhere.test", ALICE, b"Subject: room again\r\n\r\nx");
    assert!(answer.starts_with("250"), "{answer}");
    node.terminate();
}
