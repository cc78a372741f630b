//! Reading one message: the page, the frame with its HTML, its files and its source.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use store::{Entry, FlagChange, Flags, Mailbox, SpecialUse};

use super::super::Shared;
use super::super::content::{self, Letter, Party};
use super::super::download::{disposition, safe_name, safe_type};
use super::super::error::PageError;
use super::super::guard::Signed;
use super::super::html;
use super::super::link::MessageRef;
use super::super::text;
use super::super::when::{When, now};
use super::list::{MailPage, Place, list, special};
use super::{Shell, find, initial, page, reference, shell, work};

/// How much of a source is shown as text; the whole is in the download.
const SOURCE_SHOWN_MAX: usize = 256 * 1024;
/// A download's own policy: a browser that shows it after all runs nothing.
const DOWNLOAD_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

type Ids = Path<(u32, u32, String)>;

/// The right pane.
pub(super) struct Reader {
    pub(super) pick: String,
    pub(super) subject: String,
    pub(super) initial: String,
    pub(super) from: Party,
    pub(super) to: Vec<Party>,
    pub(super) cc: Vec<Party>,
    pub(super) bcc: Vec<Party>,
    pub(super) when: When,
    pub(super) flagged: bool,
    /// The text as harmless HTML, when the text is shown.
    pub(super) text: Option<String>,
    /// Where the frame finds the HTML, when the HTML is shown.
    pub(super) frame: Option<String>,
    /// The other form of the message.
    pub(super) other: Option<String>,
    pub(super) blocked: bool,
    pub(super) cut: bool,
    pub(super) files: Vec<FileRow>,
    pub(super) is_draft: bool,
    pub(super) link_reply: String,
    pub(super) link_reply_all: String,
    pub(super) link_forward: String,
    pub(super) link_source: String,
    pub(super) link_raw: String,
    pub(super) link_edit: String,
}

pub(super) struct FileRow {
    pub(super) name: String,
    pub(super) size: String,
    pub(super) kind: String,
    pub(super) link: String,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    page: Option<usize>,
    view: Option<String>,
}

/// GET: the message beside its list. Marks it read.
pub(super) async fn show(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
    Query(choice): Query<Choice>,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    let shared = Arc::clone(&web);
    let mail = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (mailbox, _, entry) = find(&account, &at)?;
        let letter = content::read(&mailbox.content(at.uid)?, shown_max(&shared));
        mark_read(&mailbox, &entry)?;
        let is_draft = special(&account, &at.mailbox)? == Some(SpecialUse::Drafts);
        let reader = reader(&at, &entry, letter, choice.view.as_deref(), is_draft);
        let place = Place { page: choice.page, current: Some(at.uid) };
        let list = list(&account, &mailbox, &*mailbox.view()?, &place, shared.config.page_size)?;
        Ok(MailPage { shell: shell(&account, &session, at.mailbox.as_str())?, list, reader: Some(reader) })
    })
    .await?;
    page(&mail)
}

/// GET: the message's HTML alone, for the frame.
pub(super) async fn frame(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    let shared = Arc::clone(&web);
    let document = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (mailbox, ..) = find(&account, &at)?;
        let raw = mailbox.content(at.uid)?;
        let letter = content::read(&raw, shown_max(&shared));
        let size = usize::try_from(shared.config.inline_images_size_max.as_u64()).unwrap_or(usize::MAX);
        let images = content::images(&raw, size);
        let clean = html::clean(&letter.html.ok_or(PageError::NotFound)?, images);
        Ok(html::document(&clean))
    })
    .await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, html::FRAME_POLICY),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, document).into_response())
}

/// GET: one part as a file.
pub(super) async fn download(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path((validity, uid, number, mailbox)): Path<(u32, u32, usize, String)>,
) -> Result<Response, PageError> {
    let at = reference((validity, uid, mailbox))?;
    let shared = Arc::clone(&web);
    let (file, content) = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (mailbox, ..) = find(&account, &at)?;
        content::part(&mailbox.content(at.uid)?, number).ok_or(PageError::NotFound)
    })
    .await?;
    file_response(&file.name, safe_type(&file.media_type), content.into())
}

/// GET: the whole message as a file.
pub(super) async fn raw(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    let shared = Arc::clone(&web);
    let (name, content) = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (mailbox, ..) = find(&account, &at)?;
        let subject = mailbox.summary(at.uid)?.subject.as_deref().map(super::super::address::decode_words);
        let name = safe_name(&subject.unwrap_or_default(), "message");
        Ok((format!("{name}.eml"), mailbox.content(at.uid)?))
    })
    .await?;
    file_response(&name, "message/rfc822", content.into())
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    shell: Shell,
    source: String,
    cut: bool,
    link_raw: String,
    link_message: String,
}

/// GET: the message as it travelled.
pub(super) async fn source(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    let shared = Arc::clone(&web);
    let source = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (mailbox, ..) = find(&account, &at)?;
        let length = u64::try_from(SOURCE_SHOWN_MAX + 1).unwrap_or(u64::MAX);
        let raw = mailbox.content_range(at.uid, 0, length)?;
        let shown = raw.get(..SOURCE_SHOWN_MAX).unwrap_or(&raw);
        Ok(SourcePage {
            shell: shell(&account, &session, at.mailbox.as_str())?,
            source: String::from_utf8_lossy(shown).replace('\r', ""),
            cut: raw.len() > SOURCE_SHOWN_MAX,
            link_raw: at.link("raw"),
            link_message: at.link("message"),
        })
    })
    .await?;
    page(&source)
}

fn file_response(name: &str, media_type: &'static str, content: Body) -> Result<Response, PageError> {
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let disposition = HeaderValue::from_str(&disposition(name)).map_err(|_| PageError::Unexpected)?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOWNLOAD_POLICY));
    Ok(response)
}

/// How much of a text is taken.
pub(super) fn shown_max(web: &Shared) -> usize {
    usize::try_from(web.config.shown_part_size_max.as_u64()).unwrap_or(usize::MAX)
}

fn mark_read(mailbox: &Mailbox, entry: &Entry) -> Result<(), PageError> {
    if !entry.flags.seen {
        let seen = Flags { seen: true, ..Flags::default() };
        mailbox.store(&[entry.uid], FlagChange::Add, &seen, None)?;
    }
    Ok(())
}

fn reader(at: &MessageRef, entry: &Entry, letter: Letter, view: Option<&str>, is_draft: bool) -> Reader {
    let received = i64::try_from(entry.internal_date.unix_seconds()).unwrap_or(i64::MAX);
    let show_html = letter.html.is_some() && view != Some("text");
    let files = letter.attachments.iter().filter(|file| !file.is_shown).map(|file| FileRow {
        name: file.name.clone(),
        size: size(file.size),
        kind: file
            .name
            .rsplit_once('.')
            .map_or("file", |(_, end)| end)
            .chars()
            .take(4)
            .collect::<String>()
            .to_uppercase(),
        link: part_link(at, file.part),
    });
    let files: Vec<FileRow> = files.collect();
    let other = match (show_html, letter.html.is_some()) {
        (true, _) => Some(format!("{}?view=text", at.link("message"))),
        (false, true) => Some(at.link("message")),
        _ => None,
    };
    let from = letter.from.into_iter().next();
    let from = from.unwrap_or_else(|| Party { name: "(unknown)".to_owned(), address: String::new() });
    Reader {
        pick: at.to_field(),
        initial: initial(from.label()),
        from,
        subject: if letter.subject.is_empty() { "(no subject)".to_owned() } else { letter.subject },
        to: letter.to,
        cc: letter.cc,
        bcc: letter.bcc,
        when: When::new(letter.date.unwrap_or(received), now()),
        flagged: entry.flags.flagged,
        blocked: show_html && letter.html.as_deref().is_some_and(names_remote_pictures),
        text: (!show_html).then(|| text::to_html(letter.text.trim_end())),
        frame: show_html.then(|| at.link("body")),
        other,
        cut: letter.cut,
        files,
        is_draft,
        link_reply: at.link("reply"),
        link_reply_all: at.link("reply-all"),
        link_forward: at.link("forward"),
        link_source: at.link("source"),
        link_raw: at.link("raw"),
        link_edit: at.link("edit"),
    }
}

fn part_link(at: &MessageRef, part: usize) -> String {
    let mailbox = super::super::link::encode(at.mailbox.as_str(), b"/");
    format!("/part/{}/{}/{part}/{mailbox}", at.uid_validity.0, at.uid.0)
}

/// Whether a notice about blocked pictures is due. The sanitiser decides what is shown; this only speaks of it.
fn names_remote_pictures(html: &str) -> bool {
    let lower = html.to_ascii_lowercase();
    lower.match_indices("src").any(|(index, _)| {
        let value = lower.get(index + 3..).unwrap_or_default().trim_start();
        let value = value.strip_prefix('=').map(|value| value.trim_start().trim_start_matches(['"', '\'']));
        value.is_some_and(|value| value.starts_with("http") || value.starts_with("//"))
    })
}

/// A size as people read it.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        _ => match (bytes / 1_048_576, (bytes % 1_048_576) * 10 / 1_048_576) {
            (whole, 0) => format!("{whole} MB"),
            (whole, tenth) => format!("{whole}.{tenth} MB"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1 KB"), (1025, "2 KB"), (1_572_864, "1.5 MB")]
        {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn remote_pictures_are_noticed() {
        assert!(names_remote_pictures("<img SRC = \"https://x.test/a.png\">"));
        assert!(names_remote_pictures("<img src=//x.test/a.png>"));
        assert!(!names_remote_pictures("<img src=\"cid:a@b\"><a href=\"https://x.test\">src</a>"));
    }
}
