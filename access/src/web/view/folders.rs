//! Making, renaming, deleting and emptying folders.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use store::{Account, MailboxName, SpecialUse, StoreError, Uid};

use super::super::Shared;
use super::super::error::PageError;
use super::super::form::Fields;
use super::super::guard::{Signed, check_token};
use super::super::session::Session;
use super::list::special;
use super::{Shell, label, page, shell, work};

#[derive(Template)]
#[template(path = "folders.html")]
struct FoldersPage {
    shell: Shell,
}

/// GET: the folders with their forms.
pub(super) async fn show(State(web): State<Shared>, Signed(session): Signed) -> Result<Response, PageError> {
    let shared = Arc::clone(&web);
    let folders = work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        Ok(FoldersPage { shell: shell(&account, &session, "")? })
    })
    .await?;
    page(&folders)
}

/// POST: one change.
pub(super) async fn change(
    State(web): State<Shared>,
    Signed(session): Signed,
    fields: Fields,
) -> Result<Response, PageError> {
    check_token(&session, fields.get("csrf"))?;
    let shared = Arc::clone(&web);
    work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        perform(&account, &session, &fields)
    })
    .await?;
    Ok(Redirect::to("/folders").into_response())
}

fn perform(account: &Account, session: &Session, fields: &Fields) -> Result<(), PageError> {
    let Ok(name) = MailboxName::parse(fields.text("name")) else {
        session.warn("That name can't be used: leave out control characters, “..” and empty levels.");
        return Ok(());
    };
    let said = label(name.as_str());
    let done = match fields.text("do") {
        "create" => account
            .create(&name)
            .and_then(|()| account.set_subscribed(&name, true))
            .map(|()| format!("{said} was made.")),
        "rename" | "delete" if name.is_inbox() || special(account, &name)?.is_some() => {
            session.warn("This folder belongs to the system and stays.");
            return Ok(());
        }
        "rename" => match MailboxName::parse(fields.text("new")) {
            Ok(new) => {
                account.rename(&name, &new).map(|()| format!("{said} is now {}.", label(new.as_str())))
            }
            Err(error) => Err(error.into()),
        },
        "delete" => {
            delete(account, &name).map(|()| format!("{said} was deleted. Its messages are in the Trash."))
        }
        "empty" => empty(account, &name).map(|count| format!("{count} messages deleted forever.")),
        _ => return Err(PageError::Invalid("There is no such action.")),
    };
    match done {
        Ok(text) => session.tell(text),
        Err(StoreError::AlreadyExists) => session.warn("There is a folder of that name already."),
        Err(StoreError::HasChildren) => session.warn("This folder has folders in it. Delete those first."),
        Err(StoreError::Name(_)) => session.warn("That name can't be used."),
        Err(StoreError::NoSuchMailbox) => session.warn("That folder is gone already."),
        Err(StoreError::Limit(limit)) => session.warn(format!("A limit is reached: {limit}.")),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Mail is never lost with its folder: it goes to the Trash first.
fn delete(account: &Account, name: &MailboxName) -> Result<(), StoreError> {
    let mailbox = account.mailbox(name)?;
    let children = format!("{}/", name.as_str());
    if account.list()?.iter().any(|info| info.exists && info.name.as_str().starts_with(&children)) {
        return Err(StoreError::HasChildren);
    }
    let uids: Vec<Uid> = mailbox.refresh()?.iter().map(|entry| entry.uid).collect();
    if !uids.is_empty() {
        let trash = account.special(SpecialUse::Trash)?;
        mailbox.move_to(&uids, &trash)?;
    }
    account.set_subscribed(name, false)?;
    account.delete(name)
}

/// Only Trash and Junk can be emptied.
fn empty(account: &Account, name: &MailboxName) -> Result<usize, StoreError> {
    let emptiable = |special_use| matches!(special_use, Some(SpecialUse::Trash | SpecialUse::Junk));
    if !account.list()?.iter().any(|info| info.name == *name && emptiable(info.special_use)) {
        return Err(StoreError::NoSuchMailbox);
    }
    let mailbox = account.mailbox(name)?;
    let uids: Vec<Uid> = mailbox.refresh()?.iter().map(|entry| entry.uid).collect();
    if uids.is_empty() { Ok(0) } else { mailbox.expunge(&uids).map(|removed| removed.len()) }
}
