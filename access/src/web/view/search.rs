//! Search: every word must be found, in the header fields and the text. Bounded by messages, by results and by time.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use store::{Account, Entry, Mailbox, MailboxName, SpecialUse, Summary, Uid};

use super::super::Shared;
use super::super::address::{decode_words, readable};
use super::super::content;
use super::super::error::PageError;
use super::super::guard::Signed;
use super::super::link::{self, MessageRef};
use super::super::when::now;
use super::list::{List, MailPage, Row, has_attachment, row};
use super::{label, page, shell, work};

/// How many messages' summaries are read at a time.
const BATCH: usize = 200;
const WORDS_MAX: usize = 10;
const QUERY_LENGTH_MAX: usize = 200;
/// Larger messages are found by their header fields only.
const BODY_SIZE_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    /// The mailbox; all when empty.
    #[serde(default, rename = "in")]
    mailbox: String,
}

/// One word of a query, in lower case.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Anywhere(String),
    Attachment,
    Flagged,
    From(String),
    Subject(String),
    To(String),
    Unread,
}

/// GET: the results as a list.
pub(super) async fn show(
    State(web): State<Shared>,
    Signed(session): Signed,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let shared = Arc::clone(&web);
    let mail = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let query: String = asked.q.chars().filter(|c| !c.is_control()).take(QUERY_LENGTH_MAX).collect();
        let words = words(&query);
        let mut hunt = Hunt {
            words: &words,
            deadline: Instant::now() + shared.config.search_timeout.as_duration(),
            messages_left: shared.config.search_messages_max,
            results_max: shared.config.search_results_max,
            rows: Vec::new(),
            complete: true,
        };
        if !words.is_empty() {
            for name in places(&account, &asked.mailbox)? {
                hunt.mailbox(&account, &name, asked.mailbox.is_empty())?;
            }
        }
        let mut shell = shell(&account, &session, &asked.mailbox)?;
        shell.query = query;
        let list = found(hunt, &shell.query, &asked.mailbox, words.is_empty());
        Ok(MailPage { shell, list, reader: None })
    })
    .await?;
    page(&mail)
}

fn found(mut hunt: Hunt<'_>, query: &str, mailbox: &str, empty: bool) -> List {
    hunt.rows.sort_by(|left, right| right.when.machine.cmp(&left.when.machine));
    let count = hunt.rows.len();
    let more = if hunt.complete { "" } else { ", and perhaps more: add a word" };
    let hint = if empty {
        "Type a word, a name or an address. from:, to:, subject:, is:unread, is:flagged and has:attachment narrow it down."
    } else if hunt.complete {
        "Nothing was found."
    } else {
        "Nothing was found in the time a search may take. Search in one folder, or add a word."
    };
    List {
        title: if mailbox.is_empty() { "Search".to_owned() } else { format!("Search in {}", label(mailbox)) },
        mailbox: mailbox.to_owned(),
        range: if count == 0 { String::new() } else { format!("{count} found{more}") },
        rows: hunt.rows,
        back: format!("/search?q={}&in={}", link::encode(query, b""), link::encode(mailbox, b"")),
        newer: None,
        older: None,
        live: None,
        generation: 0,
        is_trash: false,
        is_junk: false,
        is_search: true,
        hint: hint.to_owned(),
    }
}

/// Which mailboxes: the one asked for, or all but junk and trash.
fn places(account: &Account, asked: &str) -> Result<Vec<MailboxName>, PageError> {
    if !asked.is_empty() {
        return Ok(vec![MailboxName::parse(asked).map_err(|_| PageError::NotFound)?]);
    }
    let hidden = |special_use| matches!(special_use, Some(SpecialUse::Junk | SpecialUse::Trash));
    let infos = account.list()?;
    Ok(infos
        .into_iter()
        .filter(|info| info.exists && !hidden(info.special_use))
        .map(|info| info.name)
        .collect())
}

struct Hunt<'a> {
    words: &'a [Word],
    deadline: Instant,
    messages_left: usize,
    results_max: usize,
    rows: Vec<Row>,
    complete: bool,
}

impl Hunt<'_> {
    fn mailbox(&mut self, account: &Account, name: &MailboxName, say_where: bool) -> Result<(), PageError> {
        let mailbox = account.mailbox(name)?;
        let view = mailbox.refresh()?;
        let newest_first: Vec<&Entry> = view.iter().rev().collect();
        let now = now();
        for batch in newest_first.chunks(BATCH) {
            let uids: Vec<Uid> = batch.iter().map(|entry| entry.uid).collect();
            let mut summaries = mailbox.summaries(&uids)?;
            summaries.sort_unstable_by_key(|(uid, _)| *uid);
            for entry in batch {
                if self.messages_left == 0
                    || self.rows.len() >= self.results_max
                    || Instant::now() >= self.deadline
                {
                    self.complete = false;
                    return Ok(());
                }
                self.messages_left -= 1;
                let Ok(index) = summaries.binary_search_by_key(&entry.uid, |(uid, _)| *uid) else { continue };
                let Some((_, summary)) = summaries.get(index) else { continue };
                if matches(self.words, entry, summary, &mailbox) {
                    let at =
                        MessageRef { mailbox: name.clone(), uid_validity: view.uid_validity, uid: entry.uid };
                    let mut row = row(&at, entry, Some(summary), false, now);
                    row.place = say_where.then(|| label(name.as_str()));
                    self.rows.push(row);
                }
            }
        }
        Ok(())
    }
}

fn matches(words: &[Word], entry: &Entry, summary: &Summary, mailbox: &Mailbox) -> bool {
    let people = |list: &[store::MailAddress]| {
        let each = list.iter().filter_map(readable).map(|(name, address)| format!("{name} {address} "));
        each.collect::<String>().to_lowercase()
    };
    let (from, to) = (people(&summary.from), people(&summary.to) + &people(&summary.cc));
    let subject = summary.subject.as_deref().map(decode_words).unwrap_or_default().to_lowercase();
    let preview = summary.preview.to_lowercase();
    let mut body: Option<String> = None;
    words.iter().all(|word| match word {
        Word::Attachment => has_attachment(&summary.structure),
        Word::Flagged => entry.flags.flagged,
        Word::Unread => !entry.flags.seen,
        Word::From(text) => from.contains(text),
        Word::To(text) => to.contains(text),
        Word::Subject(text) => subject.contains(text),
        Word::Anywhere(text) => {
            [&from, &to, &subject, &preview].iter().any(|field| field.contains(text))
                || body.get_or_insert_with(|| text_of(entry, mailbox)).contains(text)
        }
    })
}

fn text_of(entry: &Entry, mailbox: &Mailbox) -> String {
    if entry.size > BODY_SIZE_MAX {
        return String::new();
    }
    // A message that can't be read is found by its header fields only.
    mailbox
        .content(entry.uid)
        .map_or_else(|_| String::new(), |raw| content::read(&raw, 256 * 1024).text.to_lowercase())
}

fn words(query: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for (index, piece) in query.split('"').enumerate() {
        // Every second piece stood in quotes: one word with its spaces.
        if index % 2 == 1 {
            if !piece.trim().is_empty() {
                found.push(Word::Anywhere(piece.trim().to_lowercase()));
            }
        } else {
            found.extend(piece.split_whitespace().map(word));
        }
    }
    found.truncate(WORDS_MAX);
    found
}

fn word(text: &str) -> Word {
    let lower = text.to_lowercase();
    match lower.split_once(':') {
        Some(("from", value)) if !value.is_empty() => Word::From(value.to_owned()),
        Some(("to", value)) if !value.is_empty() => Word::To(value.to_owned()),
        Some(("subject", value)) if !value.is_empty() => Word::Subject(value.to_owned()),
        Some(("is", "unread")) => Word::Unread,
        Some(("is", "flagged" | "starred")) => Word::Flagged,
        Some(("has", "attachment" | "attachments")) => Word::Attachment,
        _ => Word::Anywhere(lower),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries() {
        let any = |text: &str| Word::Anywhere(text.to_owned());
        for (query, expected) in [
            ("", vec![]),
            ("  ", vec![]),
            ("Hello World", vec![any("hello"), any("world")]),
            ("\"Hello World\" x", vec![any("hello world"), any("x")]),
            (
                "from:Ann is:unread has:attachment",
                vec![Word::From("ann".into()), Word::Unread, Word::Attachment],
            ),
            ("from: http://x", vec![any("from:"), any("http://x")]),
            ("*)(\\\0", vec![any("*)(\\\0")]),
            ("\"open", vec![any("open")]),
        ] {
            assert_eq!(words(query), expected, "{query}");
        }
        assert_eq!(words(&"x ".repeat(100)).len(), WORDS_MAX);
    }
}
