//! What is done to picked messages: flags, moves, deletion. Picks name a mailbox each, so that a search can mix them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use store::{Account, FlagChange, Flags, MailboxName, SpecialUse, Uid, UidValidity};

use super::super::Shared;
use super::super::error::PageError;
use super::super::form::Fields;
use super::super::guard::{Signed, check_token};
use super::super::link::MessageRef;
use super::super::session::{Notice, Undo};
use super::list::special;
use super::{label, local, work};

/// One thing to do.
enum Action {
    Change(FlagChange, Flags, &'static str),
    Delete,
    Forever,
    MoveTo(MailboxName),
    MoveToSpecial(SpecialUse),
}

/// POST: does it and goes back.
pub(super) async fn act(
    State(web): State<Shared>,
    Signed(session): Signed,
    fields: Fields,
) -> Result<Response, PageError> {
    check_token(&session, fields.get("csrf"))?;
    let back = local(fields.text("back"));
    let picks: Vec<MessageRef> = fields.all("pick").filter_map(MessageRef::from_field).collect();
    if picks.is_empty() {
        session.warn("Pick at least one message first.");
        return Ok(Redirect::to(&back).into_response());
    }
    let Some(action) = action(&fields) else {
        session.warn("Choose a folder to move to.");
        return Ok(Redirect::to(&back).into_response());
    };
    let shared = Arc::clone(&web);
    work(&web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let notice = perform(&account, &action, group(picks))?;
        session.leave(notice);
        Ok(())
    })
    .await?;
    Ok(Redirect::to(&back).into_response())
}

fn action(fields: &Fields) -> Option<Action> {
    let seen = || Flags { seen: true, ..Flags::default() };
    let flagged = || Flags { flagged: true, ..Flags::default() };
    Some(match fields.text("do") {
        "read" => Action::Change(FlagChange::Add, seen(), "marked read"),
        "unread" => Action::Change(FlagChange::Remove, seen(), "marked unread"),
        "flag" => Action::Change(FlagChange::Add, flagged(), "flagged"),
        "unflag" => Action::Change(FlagChange::Remove, flagged(), "unflagged"),
        "delete" => Action::Delete,
        "forever" => Action::Forever,
        "archive" => Action::MoveToSpecial(SpecialUse::Archive),
        "junk" => Action::MoveToSpecial(SpecialUse::Junk),
        "inbox" => Action::MoveTo(MailboxName::inbox()),
        "move" => Action::MoveTo(MailboxName::parse(fields.text("target")).ok()?),
        _ => return None,
    })
}

type Groups = BTreeMap<(MailboxName, UidValidity), Vec<Uid>>;

fn group(picks: Vec<MessageRef>) -> Groups {
    let mut groups = Groups::new();
    for pick in picks {
        groups.entry((pick.mailbox, pick.uid_validity)).or_default().push(pick.uid);
    }
    groups
}

fn perform(account: &Account, action: &Action, groups: Groups) -> Result<Notice, PageError> {
    let (mut count, mut undo, mut what) = (0, Vec::new(), String::new());
    for ((name, uid_validity), mut uids) in groups {
        let mailbox = account.mailbox(&name)?;
        let view = mailbox.refresh()?;
        if view.uid_validity != uid_validity {
            return Err(PageError::NotFound);
        }
        uids.sort_unstable();
        uids.dedup();
        // What another client has removed since is no fault of the person here.
        uids.retain(|uid| view.position(*uid).is_some());
        count += uids.len();
        if uids.is_empty() {
            continue;
        }
        let target = match action {
            Action::Change(change, flags, said) => {
                mailbox.store(&uids, *change, flags, None)?;
                what = (*said).to_owned();
                continue;
            }
            Action::Forever => None,
            Action::Delete if special(account, &name)? == Some(SpecialUse::Trash) => None,
            Action::Delete => Some(account.special(SpecialUse::Trash)?),
            Action::MoveToSpecial(special_use) => Some(account.special(*special_use)?),
            Action::MoveTo(target) => Some(account.mailbox(target)?),
        };
        match target {
            None => {
                mailbox.expunge(&uids)?;
                what = "deleted forever".to_owned();
            }
            Some(target) if target.name() == name => what = "already there".to_owned(),
            Some(target) => {
                let moved = mailbox.move_to(&uids, &target)?;
                undo.push(Undo {
                    mailbox: target.name().as_str().to_owned(),
                    uid_validity: moved.uid_validity.0,
                    uids: moved.uids.iter().map(|(_, new)| new.0).collect(),
                    target: name.as_str().to_owned(),
                });
                what = format!("moved to {}", label(target.name().as_str()));
            }
        }
    }
    let text = match count {
        0 => "Those messages are gone already.".to_owned(),
        1 => format!("1 message {what}."),
        _ => format!("{count} messages {what}."),
    };
    Ok(Notice { text, bad: false, undo: if undo.len() == 1 { undo.pop() } else { None } })
}
