//! Runs `tests/transcripts/imap/*.txt`.
//!
//! ```text
//! # a comment
//! D: INBOX                 delivers a message to alice@example.test: the lines `D| …` that follow
//! D| Subject: hello
//! C: a1 LOGIN …            sends a line
//! S: a1 OK {*}             expects a line; {*} stands for any text
//! S: ...                   skips lines up to the next one expected
//! C2: S2: …                the same on a second connection, opened at its first line
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Client, Node, node};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_transcripts() {
    let directory =
        Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../tests/transcripts/imap");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let node = node().await;
        run(&node, &file).await;
    }
}

async fn run(node: &Node, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    let mut skip = false;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let place = format!("{}:{}", file.display(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (who, text) = line.split_once(':').unwrap_or_else(|| panic!("{place}: no such line"));
        let text = text.strip_prefix(' ').unwrap_or(text);
        if who == "D" {
            let mut message = String::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("D|")) {
                message += line[2..].strip_prefix(' ').unwrap_or(&line[2..]);
                message += "\r\n";
            }
            node.deliver("alice", text, message.as_bytes()).await;
            continue;
        }
        let (direction, id) = who.split_at(1);
        if !clients.contains_key(id) {
            clients.insert(id.to_owned(), node.connect().await);
        }
        let client = clients.get_mut(id).unwrap();
        match direction {
            "C" => client.send(format!("{text}\r\n")).await,
            "S" if text == "..." => skip = true,
            "S" => loop {
                let got = tokio::time::timeout(PATIENCE, client.line()).await;
                let got = got.unwrap_or_else(|_| panic!("{place}: nothing came, but {text} was expected"));
                if matches(text, &got) {
                    skip = false;
                    break;
                }
                assert!(skip && got != "<closed>", "{place}:\nexpected {text}\nbut got  {got}");
            },
            _ => panic!("{place}: no such direction"),
        }
    }
}

/// Whether a line fits a pattern with `{*}`.
fn matches(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split("{*}");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn wildcards() {
    for (pattern, line, expected) in [
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("a{*}", "abc", true),
        ("a{*}c", "abc", true),
        ("a{*}d", "abc", false),
        ("a{*}b{*}c", "axbyc", true),
        ("{*}", "", true),
    ] {
        assert_eq!(matches(pattern, line), expected, "{pattern} {line}");
    }
}
