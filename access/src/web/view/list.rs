//! A mailbox's list, newest first.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use store::{Account, Entry, Mailbox, MailboxName, Part, PartKind, SpecialUse, Summary, Uid, View};

use super::super::Shared;
use super::super::address::{decode_words, readable};
use super::super::error::PageError;
use super::super::guard::Signed;
use super::super::link::{self, MessageRef};
use super::super::when::{When, now};
use super::message::Reader;
use super::{Shell, label, page, shell, work};

/// The three panes: folders, list, message.
#[derive(Template)]
#[template(path = "mail.html")]
pub(super) struct MailPage {
    pub(super) shell: Shell,
    pub(super) list: List,
    pub(super) reader: Option<Reader>,
}

/// The middle pane.
pub(super) struct List {
    pub(super) title: String,
    pub(super) mailbox: String,
    pub(super) rows: Vec<Row>,
    /// Where an action comes back to.
    pub(super) back: String,
    pub(super) range: String,
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
    pub(super) live: Option<String>,
    pub(super) generation: u64,
    pub(super) is_trash: bool,
    pub(super) is_junk: bool,
    pub(super) is_search: bool,
    pub(super) hint: String,
}

/// One message in a list.
pub(super) struct Row {
    pub(super) pick: String,
    pub(super) link: String,
    pub(super) who: String,
    pub(super) subject: String,
    pub(super) preview: String,
    pub(super) when: When,
    pub(super) place: Option<String>,
    pub(super) unread: bool,
    pub(super) flagged: bool,
    pub(super) answered: bool,
    pub(super) forwarded: bool,
    pub(super) attachment: bool,
    pub(super) deleted: bool,
    pub(super) current: bool,
}

#[derive(Deserialize)]
pub(super) struct Paging {
    page: Option<usize>,
}

/// GET: one page of a mailbox.
pub(super) async fn show(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, PageError> {
    let name = MailboxName::parse(&name).map_err(|_| PageError::NotFound)?;
    let shared = Arc::clone(&web);
    let mail = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let mailbox = account.mailbox(&name)?;
        let view = mailbox.refresh()?;
        let list = list(
            &account,
            &mailbox,
            &view,
            &Place { page: paging.page, current: None },
            shared.config.page_size,
        )?;
        Ok(MailPage { shell: shell(&account, &session, name.as_str())?, list, reader: None })
    })
    .await?;
    page(&mail)
}

/// Which page: by number, or the one that holds a message.
pub(super) struct Place {
    pub(super) page: Option<usize>,
    pub(super) current: Option<Uid>,
}

/// Makes one page of a list.
pub(super) fn list(
    account: &Account,
    mailbox: &Mailbox,
    view: &View,
    place: &Place,
    page_size: usize,
) -> Result<List, PageError> {
    let name = mailbox.name();
    let total = view.len();
    let pages = total.div_ceil(page_size).max(1);
    let of_current = || {
        let index = view.position(place.current?)?;
        Some((total - 1 - index) / page_size + 1)
    };
    let page = place.page.or_else(of_current).unwrap_or(1).clamp(1, pages);
    let (start, entries) = slice(view.iter(), page, page_size);
    let uids: Vec<Uid> = entries.iter().map(|entry| entry.uid).collect();
    let summaries: HashMap<Uid, Arc<Summary>> = mailbox.summaries(&uids)?.into_iter().collect();
    let special = special(account, &name)?;
    let outgoing = matches!(special, Some(SpecialUse::Sent | SpecialUse::Drafts));
    let now = now();
    let rows = entries.iter().map(|entry| {
        let at = MessageRef { mailbox: name.clone(), uid_validity: view.uid_validity, uid: entry.uid };
        let mut row = row(&at, entry, summaries.get(&entry.uid).map(Arc::as_ref), outgoing, now);
        if special == Some(SpecialUse::Drafts) {
            row.link = at.link("edit");
        } else if page > 1 {
            row.link = format!("{}?page={page}", row.link);
        }
        row.current = place.current == Some(entry.uid);
        row
    });
    let rows: Vec<Row> = rows.collect();
    let hint = match special {
        _ if name.is_inbox() => "Nothing here: you have read it all.",
        Some(SpecialUse::Drafts) => "Messages that you begin and don't send wait here.",
        Some(SpecialUse::Sent) => "What you send is kept here.",
        Some(SpecialUse::Trash) => "What you delete stays here until you empty it.",
        Some(SpecialUse::Junk) => "No junk. Good.",
        _ => "This folder is empty.",
    };
    Ok(List {
        title: label(name.as_str()),
        range: if rows.is_empty() {
            String::new()
        } else {
            format!("{}–{} of {total}", start + 1, start + rows.len())
        },
        rows,
        back: link::folder_page(name.as_str(), page),
        newer: (page > 1).then(|| link::folder_page(name.as_str(), page - 1)),
        older: (page < pages).then(|| link::folder_page(name.as_str(), page + 1)),
        live: Some(format!("/live/{}", link::encode(name.as_str(), b"/"))),
        generation: view.generation,
        is_trash: special == Some(SpecialUse::Trash),
        is_junk: special == Some(SpecialUse::Junk),
        is_search: false,
        hint: hint.to_owned(),
        mailbox: name.as_str().to_owned(),
    })
}

/// The page's messages, newest first, and how many are newer.
fn slice<'a>(
    entries: impl DoubleEndedIterator<Item = &'a Entry>,
    page: usize,
    page_size: usize,
) -> (usize, Vec<Entry>) {
    let start = (page - 1) * page_size;
    (start, entries.rev().skip(start).take(page_size).cloned().collect())
}

/// What a mailbox is for.
pub(super) fn special(account: &Account, name: &MailboxName) -> Result<Option<SpecialUse>, PageError> {
    Ok(account.list()?.into_iter().find(|info| info.name == *name).and_then(|info| info.special_use))
}

/// Makes one line.
pub(super) fn row(
    at: &MessageRef,
    entry: &Entry,
    summary: Option<&Summary>,
    outgoing: bool,
    now: i64,
) -> Row {
    let received = i64::try_from(entry.internal_date.unix_seconds()).unwrap_or(i64::MAX);
    let mut row = Row {
        pick: at.to_field(),
        link: at.link("message"),
        who: String::new(),
        subject: String::new(),
        preview: String::new(),
        when: When::new(received, now),
        place: None,
        unread: !entry.flags.seen,
        flagged: entry.flags.flagged,
        answered: entry.flags.answered,
        forwarded: entry.flags.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case("$Forwarded")),
        attachment: false,
        deleted: entry.flags.deleted,
        current: false,
    };
    if let Some(summary) = summary {
        let people = if outgoing { &summary.to } else { &summary.from };
        let names: Vec<String> = people.iter().take(4).filter_map(readable).map(|(name, _)| name).collect();
        row.who = names.join(", ");
        row.subject = summary.subject.as_deref().map(decode_words).unwrap_or_default();
        row.preview = summary.preview.chars().filter(|c| !super::super::download::is_deceptive(*c)).collect();
        row.attachment = has_attachment(&summary.structure);
    }
    if row.who.is_empty() {
        row.who = if outgoing { "(no recipient)" } else { "(unknown)" }.to_owned();
    }
    if row.subject.is_empty() {
        row.subject = "(no subject)".to_owned();
    }
    row
}

/// Whether a person would say that a file is attached.
pub(super) fn has_attachment(root: &Part) -> bool {
    let mut parts = vec![root];
    while let Some(part) = parts.pop() {
        match &part.kind {
            PartKind::Multipart(inner) => parts.extend(inner),
            PartKind::Message(_) => return true,
            PartKind::Leaf => {
                let attached =
                    part.disposition.as_ref().is_some_and(|(d, _)| d.eq_ignore_ascii_case(b"attachment"));
                let text = part.media_type.eq_ignore_ascii_case(b"text");
                if attached || (!text && part.id.is_none()) {
                    return true;
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use envelope::Timestamp;
    use store::{Flags, ModSeq};

    use super::*;

    #[test]
    fn pages_cover_everything_once_newest_first() {
        let entries: Vec<Entry> = (1..=7)
            .map(|uid| Entry {
                uid: Uid(uid),
                flags: Arc::new(Flags::default()),
                internal_date: Timestamp::from_unix_milliseconds(0),
                size: 1,
                mod_seq: ModSeq(1),
                message_id: None,
            })
            .collect();
        let uids = |page, size| {
            slice(entries.iter(), page, size).1.iter().map(|entry| entry.uid.0).collect::<Vec<_>>()
        };
        assert_eq!(
            (uids(1, 3), uids(2, 3), uids(3, 3), uids(4, 3)),
            (vec![7, 6, 5], vec![4, 3, 2], vec![1], vec![])
        );
        assert_eq!(uids(1, 7).len(), 7);
        assert!(slice([].iter(), 1, 3).1.is_empty());
    }
}
