//! Listings: columns for people, JSON for programs.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Prints `rows` under `headings`, or `values` as JSON.
pub(crate) fn print<T: Serialize>(
    json: bool,
    values: &[T],
    headings: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(values).context("failed to write JSON")? + "\n"
    } else {
        table(headings, &values.iter().map(row).collect::<Vec<_>>())
    };
    write(&text)
}

/// Writes to standard output. A reader that went away (`| head`) is no fault.
pub(crate) fn write(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_ref()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("failed to write"),
        _ => Ok(()),
    }
}

/// Writes the content of a message: to a terminal as text without what would steer it, anywhere else octet by octet.
pub(crate) fn content(octets: &[u8]) -> anyhow::Result<()> {
    if std::io::stdout().is_terminal() { write(harmless(octets)) } else { write(octets) }
}

/// Lines and tabs stay.
fn harmless(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "\n");
    text.chars().map(|c| if steers(c) && !matches!(c, '\n' | '\t') { '?' } else { c }).collect()
}

/// A text of others on one line of a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '?' } else { c }).collect()
}

/// Control characters, and those that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Says something on standard error; nobody may be reading.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Columns as wide as their widest cell; control characters never reach the terminal.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![headings.iter().map(|heading| heading.to_uppercase()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()));
    let columns = headings.len();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_escapes_do_not_pass() {
        let rows =
            vec![vec!["a".to_owned(), "\u{1b}[31mred".to_owned()], vec!["longer".to_owned(), "b".to_owned()]];
        assert_eq!(table(&["one", "two"], &rows), "ONE     TWO\na       ?[31mred\nlonger  b\n");
        assert_eq!(clean("a\tb\u{202e}c\u{9b}d"), "a?b?c?d");
        assert_eq!(harmless(b"a\r\nb\tc\x1b[2Jd\xff\r"), "a\nb\tc?[2Jd\u{fffd}?");
    }
}
