//! The dialogues in `tests/transcripts/pop3`; their form is told in `tests/transcripts/README.md`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::rig::{Client, Mail, Node};

/// Whether `line` is `pattern`, in which `{*}` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("{*}");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

async fn run(file: &Path) {
    let mail = Mail::new();
    let node = mail.node().await;
    let mut clients: HashMap<String, Client> = HashMap::new();
    let mut delivered = 0;
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let place = format!("{}:{}", file.display(), index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (mark, argument) = line.split_once(':').unwrap_or_else(|| panic!("{place}: not understood"));
        let argument = argument.strip_prefix(' ').unwrap_or(argument);
        if mark == "D" {
            let mut content = String::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("D|")) {
                let line = line.trim_start_matches("D|");
                content += line.strip_prefix(' ').unwrap_or(line);
                content += "\r\n";
            }
            delivered += 1;
            node.deliver(delivered, content.as_bytes());
            continue;
        }
        let (who, number) = mark.split_at(1);
        let mut client = match clients.remove(number) {
            Some(client) => client,
            None => greeted(&node).await,
        };
        match (who, argument) {
            ("C", _) => client.send(format!("{argument}\r\n").as_bytes()).await,
            ("S", "...") => {
                let (_, wanted) = lines.next().unwrap_or_else(|| panic!("{place}: nothing follows"));
                let wanted = wanted.trim_start_matches(mark).trim_start_matches(": ");
                loop {
                    let line = client.line().await;
                    assert_ne!(line, "<closed>", "{place}: waiting for {wanted}");
                    if matches(wanted, &line) {
                        break;
                    }
                }
            }
            ("S", _) => {
                let line = client.line().await;
                assert!(matches(argument, &line), "{place}: expected {argument}\n     got {line}");
            }
            ("T", _) => client = node.handshake(client).await,
            _ => panic!("{place}: not understood"),
        }
        clients.insert(number.to_owned(), client);
    }
    node.stop().await;
}

async fn greeted(node: &Node) -> Client {
    let mut client = node.connect().await;
    assert_eq!(client.line().await, "+OK Sluice POP3 ready");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript() {
    let folder =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../tests/transcripts/pop3");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "the transcripts are there");
    for file in files {
        run(&file).await;
    }
}

#[test]
fn patterns() {
    for (pattern, line, expected) in [
        ("+OK", "+OK", true),
        ("+OK", "+OK x", false),
        ("+OK{*}", "+OK", true),
        ("{*}b{*}d", "abcd", true),
        ("{*}b{*}d", "abce", false),
        ("a{*}a", "a", false),
    ] {
        assert_eq!(matches(pattern, line), expected, "{pattern} {line}");
    }
}
