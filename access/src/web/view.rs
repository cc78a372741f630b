//! The pages: routes, and what every page has around it.

mod act;
mod assets;
mod compose;
mod folders;
mod list;
mod live;
mod message;
mod search;
mod send;
mod sign_in;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use store::{Account, Entry, Mailbox, MailboxInfo, MailboxName, SpecialUse, Uid, UidValidity, View};

use super::Shared;
use super::error::PageError;
use super::guard::{Signed, guard};
use super::link::{self, MessageRef};
use super::session::{Notice, Session};

/// Room for the fields of a compose form beside its files.
const COMPOSE_EXTRA: usize = 2 << 20;

/// Every page, behind the guard.
pub(super) fn router(web: Shared) -> Router {
    let small = usize::try_from(web.config.form_size_max.as_u64()).unwrap_or(usize::MAX);
    let large = usize::try_from(web.config.message_size_max.as_u64()).unwrap_or(usize::MAX);
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/folder/{*mailbox}", get(list::show))
        .route("/message/{validity}/{uid}/{*mailbox}", get(message::show))
        .route("/body/{validity}/{uid}/{*mailbox}", get(message::frame))
        .route("/part/{validity}/{uid}/{part}/{*mailbox}", get(message::download))
        .route("/source/{validity}/{uid}/{*mailbox}", get(message::source))
        .route("/raw/{validity}/{uid}/{*mailbox}", get(message::raw))
        .route("/act", post(act::act))
        .route("/search", get(search::show))
        .route("/folders", get(folders::show).post(folders::change))
        .route("/compose", get(compose::new))
        .route("/reply/{validity}/{uid}/{*mailbox}", get(compose::reply))
        .route("/reply-all/{validity}/{uid}/{*mailbox}", get(compose::reply_all))
        .route("/forward/{validity}/{uid}/{*mailbox}", get(compose::forward))
        .route("/edit/{validity}/{uid}/{*mailbox}", get(compose::edit))
        .route("/live/{*mailbox}", get(live::events))
        .layer(DefaultBodyLimit::max(small))
        .merge(
            Router::new()
                .route("/compose", post(send::post))
                .layer(DefaultBodyLimit::max(large + COMPOSE_EXTRA)),
        )
        .fallback(async || PageError::NotFound)
        .method_not_allowed_fallback(async || PageError::NotFound)
        .merge(assets::router())
        .layer(from_fn_with_state(Arc::clone(&web), guard))
        .with_state(web)
}

async fn home(_: Signed) -> Redirect {
    Redirect::to("/folder/INBOX")
}

/// Runs work on files on the blocking pool.
async fn work<T: Send + 'static>(
    web: &Shared,
    work: impl FnOnce() -> Result<T, PageError> + Send + 'static,
) -> Result<T, PageError> {
    web.deps.blocking.run(work).await?
}

fn page(template: &impl Template) -> Result<Response, PageError> {
    Ok(Html(template.render()?).into_response())
}

/// What is around every signed-in page.
pub(super) struct Shell {
    account: String,
    initial: String,
    csrf: String,
    folders: Vec<FolderRow>,
    notice: Option<NoticeRow>,
    query: String,
    style: &'static str,
    script: &'static str,
}

/// One line of the folder list.
#[derive(Clone)]
pub(super) struct FolderRow {
    name: String,
    label: String,
    link: String,
    icon: &'static str,
    unread: u32,
    depth: usize,
    current: bool,
    /// Made by people, not by the system.
    own: bool,
}

/// What happened, said once.
struct NoticeRow {
    text: String,
    bad: bool,
    picks: Vec<String>,
    target: String,
    back: String,
}

impl NoticeRow {
    fn new(notice: Notice) -> Self {
        let (mut picks, mut target) = (Vec::new(), String::new());
        if let Some(undo) = notice.undo {
            picks =
                undo.uids.iter().map(|uid| format!("{}/{uid}/{}", undo.uid_validity, undo.mailbox)).collect();
            target = undo.target;
        }
        Self { text: notice.text, bad: notice.bad, picks, back: link::folder(&target), target }
    }
}

/// Reads the folders with their counts.
fn shell(account: &Account, session: &Session, current: &str) -> Result<Shell, PageError> {
    let mut folders = Vec::new();
    for info in account.list()?.into_iter().filter(|info| info.exists) {
        let unread = match info.special_use {
            // Counts that nobody waits for.
            Some(SpecialUse::Sent | SpecialUse::Trash) => 0,
            _ => account
                .mailbox(&info.name)
                .and_then(|mailbox| mailbox.status())
                .map_or(0, |status| status.unseen),
        };
        folders.push((rank(&info), row(&info, unread, current)));
    }
    folders.sort_by(|(left_rank, left), (right_rank, right)| {
        (left_rank, &left.name).cmp(&(right_rank, &right.name))
    });
    Ok(Shell {
        account: session.account.to_string(),
        initial: initial(&session.account.to_string()),
        csrf: session.csrf.clone(),
        folders: folders.into_iter().map(|(_, row)| row).collect(),
        notice: session.take_notice().map(NoticeRow::new),
        query: String::new(),
        style: assets::STYLE_LINK,
        script: assets::SCRIPT_LINK,
    })
}

fn row(info: &MailboxInfo, unread: u32, current: &str) -> FolderRow {
    let name = info.name.as_str();
    let icon = match info.special_use {
        _ if info.name.is_inbox() => "inbox",
        Some(SpecialUse::Archive) => "archive",
        Some(SpecialUse::Drafts) => "draft",
        Some(SpecialUse::Junk) => "junk",
        Some(SpecialUse::Sent) => "sent",
        Some(SpecialUse::Trash) => "trash",
        None => "folder",
    };
    FolderRow {
        label: label(name),
        link: link::folder(name),
        icon,
        unread,
        depth: name.matches('/').count().min(6),
        current: name == current,
        own: info.special_use.is_none() && !info.name.is_inbox(),
        name: name.to_owned(),
    }
}

/// What stands in the circle for a person.
fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map_or_else(|| "?".to_owned(), |c| c.to_uppercase().collect())
}

/// A folder's last level, as people call it.
fn label(name: &str) -> String {
    if name == "INBOX" { "Inbox".to_owned() } else { name.rsplit('/').next().unwrap_or(name).to_owned() }
}

fn rank(info: &MailboxInfo) -> u8 {
    match info.special_use {
        _ if info.name.is_inbox() => 0,
        Some(SpecialUse::Drafts) => 1,
        Some(SpecialUse::Sent) => 2,
        Some(SpecialUse::Archive) => 3,
        Some(SpecialUse::Junk) => 4,
        Some(SpecialUse::Trash) => 5,
        None => 6,
    }
}

/// The mailbox and the message, when both are this account's and of this incarnation.
fn find(account: &Account, wanted: &MessageRef) -> Result<(Arc<Mailbox>, Arc<View>, Entry), PageError> {
    let mailbox = account.mailbox(&wanted.mailbox)?;
    let mut view = mailbox.view()?;
    let mut entry = entry(&view, wanted.uid);
    if entry.is_none() || view.uid_validity != wanted.uid_validity {
        view = mailbox.refresh()?;
        entry = self::entry(&view, wanted.uid);
    }
    if view.uid_validity != wanted.uid_validity {
        return Err(PageError::NotFound);
    }
    let entry = entry.ok_or(PageError::NotFound)?;
    Ok((mailbox, view, entry))
}

fn entry(view: &View, uid: Uid) -> Option<Entry> {
    view.by_uid(uid).map(|(_, entry)| entry.clone())
}

/// The message that a path names.
fn reference((validity, uid, mailbox): (u32, u32, String)) -> Result<MessageRef, PageError> {
    let mailbox = MailboxName::parse(&mailbox).map_err(|_| PageError::NotFound)?;
    Ok(MessageRef { mailbox, uid_validity: UidValidity(validity), uid: Uid(uid) })
}

/// A place of ours to go back to, out of a form: nothing else is followed.
fn local(back: &str) -> String {
    let known = ["/folder/", "/search?", "/message/", "/folders"];
    let plain = !back.contains(['\\', '\r', '\n']) && back.is_ascii() && back.len() < 4000;
    if plain && known.iter().any(|start| back.starts_with(start)) {
        back.to_owned()
    } else {
        "/folder/INBOX".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_here() {
        let check = |input: &str, expected: &str| assert_eq!(local(input), expected, "{input}");
        check("/folder/Work/A%20B?page=2", "/folder/Work/A%20B?page=2");
        check("/search?q=x", "/search?q=x");
        for bad in [
            "",
            "/",
            "//evil.test",
            "https://evil.test",
            "/\\evil.test",
            "/folder/\\..\\",
            "/folder/x\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
            " /folder/x",
            "/sign-out",
        ] {
            check(bad, "/folder/INBOX");
        }
    }
}
