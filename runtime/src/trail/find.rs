//! Reading the trail.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::file::files;

/// Messages that one search follows, the newest first.
const MESSAGES_MAX: usize = 100;
/// Records that one search gives.
const RECORDS_MAX: usize = 10_000;
/// Octets of one line that are looked at.
const LINE_BYTES_MAX: u64 = 256 << 10;
/// Fields that name another message which belongs to the same story.
const RELATED: [&str; 3] = ["dsn", "next", "original"];

/// One step of a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrailRecord {
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// The message.
    pub id: String,
    /// What happened: `accepted`, `delivered`, `bounced`, …
    pub event: String,
    /// Which process said so.
    pub process: String,
    /// Everything else that was said.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl fmt::Display for TrailRecord {
    /// One line for people; texts that came from a peer are quoted and escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {:<10} {:<8}", self.time, self.id, self.event, self.process)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != "text") {
            match value {
                Value::String(text) if text.chars().all(|c| c.is_ascii_graphic() && c != '"') => {
                    write!(f, " {name}={text}")?;
                }
                Value::String(text) => write!(f, " {name}={text:?}")?,
                other => write!(f, " {name}={other}")?,
            }
        }
        Ok(())
    }
}

/// Every record of the messages that `query` names, oldest first: a message id, a Message-ID field, or an address of a sender
/// or recipient. Follows a bounce to the message it answers, and back. A directory that is not there holds nothing.
pub fn find(directory: &Path, query: &str) -> io::Result<Vec<TrailRecord>> {
    let mut files = match files(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    files.sort_by(|a, b| (b.1, &b.0).cmp(&(a.1, &a.0)));
    let query = query.trim().trim_start_matches('<').trim_end_matches('>').to_lowercase();
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids = BTreeSet::new();
    for (process, _, path) in &files {
        // Newest last in a file: gather all, keep the last ones.
        let mut found = Vec::new();
        read(path, process, &query, |record| {
            if names(&record, &query) {
                let related = RELATED.iter().filter_map(|name| record.fields.get(*name)?.as_str());
                found.extend(related.map(str::to_owned));
                found.push(record.id);
            }
        })?;
        for id in found.into_iter().rev() {
            if ids.len() < MESSAGES_MAX {
                ids.insert(id);
            }
        }
    }
    let mut records = Vec::new();
    for (process, _, path) in &files {
        read(path, process, "", |record| {
            if records.len() < RECORDS_MAX && ids.contains(&record.id) {
                records.push(record);
            }
        })?;
    }
    records.sort_by(|a, b| a.time.cmp(&b.time));
    Ok(records)
}

/// Calls `take` with each record of a file whose line holds `text`. Lines that are no records (cut in a crash) are passed over.
fn read(path: &PathBuf, process: &str, text: &str, mut take: impl FnMut(TrailRecord)) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        if !text.is_empty() && !line.to_lowercase().contains(text) {
            continue;
        }
        if let Some(record) = parse(line, process) {
            take(record);
        }
    }
}

fn parse(line: &str, process: &str) -> Option<TrailRecord> {
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (time, id, event) = (text("time")?, text("id")?, text("event").unwrap_or_default());
    Some(TrailRecord { time, id, event, process: process.to_owned(), fields })
}

/// Whether a field is `query`, which is in lower case, with or without angle brackets.
fn names(record: &TrailRecord, query: &str) -> bool {
    let is = |text: &str| text.trim_matches(['<', '>']).to_lowercase() == query;
    // Several recipients stand in one field, separated by commas.
    let holds = |text: &str| is(text) || text.split(',').any(is);
    is(&record.id) || record.fields.values().filter_map(Value::as_str).any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(lines: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (file, line) in lines {
            let path = directory.path().join(file);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, format!("{before}{line}\n")).unwrap();
        }
        directory
    }

    fn check(directory: &Path, query: &str, expected: &[&str]) {
        let found = find(directory, query).unwrap();
        let events: Vec<_> = found.iter().map(|record| format!("{}:{}", record.id, record.event)).collect();
        assert_eq!(events, expected, "{query}");
    }

    #[test]
    fn follows_a_message_through_processes_and_its_bounce() {
        let directory = trail(&[
            (
                "worker.2026-01-02.jsonl",
                r#"{"time":"2026-01-02T00:00:02Z","id":"B","event":"bounced","recipient":"x@example.test","dsn":"C"}"#,
            ),
            (
                "gateway.2026-01-01.jsonl",
                r#"{"time":"2026-01-01T23:59:59Z","id":"A","event":"accepted","sender":"Ann@Example.test"}"#,
            ),
            (
                "gateway.2026-01-01.jsonl",
                r#"{"time":"2026-01-01T23:59:59Z","id":"B","event":"accepted","message_id":"<q@example.test>"}"#,
            ),
            (
                "worker.2026-01-02.jsonl",
                r#"{"time":"2026-01-02T00:00:03Z","id":"C","event":"delivered","original":"B"}"#,
            ),
            ("worker.2026-01-02.jsonl", r#"{"time":"2026-01-02T00:00:01Z","id":"A","event":"delivered"}"#),
            ("worker.2026-01-02.jsonl", r#"{"time":"2026-01-02T00:0"#),
        ]);
        check(directory.path(), "a", &["A:accepted", "A:delivered"]);
        check(directory.path(), "ann@example.test", &["A:accepted", "A:delivered"]);
        check(directory.path(), "<Ann@example.test>", &["A:accepted", "A:delivered"]);
        check(directory.path(), "<q@example.test>", &["B:accepted", "B:bounced"]);
        check(directory.path(), "B", &["B:accepted", "B:bounced", "C:delivered"]);
        check(directory.path(), "C", &["B:accepted", "B:bounced", "C:delivered"]);
        check(directory.path(), "nobody@example.test", &[]);
        check(directory.path(), "", &[]);
        check(&directory.path().join("missing"), "A", &[]);
    }

    #[test]
    fn a_line_for_people_is_one_line() {
        let line =
            r#"{"time":"T","id":"A","event":"bounced","reason":"no\nsuch \u001b[0m","uid":7,"text":"t"}"#;
        let record = parse(line, "worker").unwrap();
        let text = record.to_string();
        assert!(!text.contains(['\n', '\u{1b}']), "{text}");
        assert!(text.contains("uid=7") && text.contains(r#"reason="no\nsuch"#), "{text}");
    }
}
