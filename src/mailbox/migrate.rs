//! `sluice mailbox adopt` and `sluice mailbox export`.

use std::path::PathBuf;

use anyhow::Context as _;
use envelope::{AccountId, Address};
use serde::Serialize;
use store::{MailboxName, Migrated};

use super::open_store;
use crate::arguments::Place;
use crate::listing;

/// Whose mail, and the Maildir of the other server.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The account.
    address: Address,
    /// The Maildir, with `cur`, `new` and the folders (`.Work.Plans`) in it, best on the mail's file system. To be taken over:
    /// while no other program writes to it. To be made: a folder that is not there yet.
    maildir: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// One mailbox that went along.
#[derive(Serialize)]
struct Row {
    mailbox: String,
    messages: u64,
    uids_kept: u64,
    uid_validity: Option<u32>,
    list: Option<&'static str>,
}

pub(super) fn adopt(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { address, maildir, json, place } = arguments;
    let admin = crate::domain::admin(place)?;
    let known = admin.accounts(Some(address.domain())).context("failed to look into the directory")?;
    if !known.iter().any(|info| info.address == address.canonical()) {
        anyhow::bail!("there is no account `{address}`: `sluice account add` makes it");
    }
    let migrated = open_store(place)?.adopt(&AccountId::new(address), maildir, &mut progress("read"));
    show(&migrated.with_context(|| format!("`{}` was not taken over", maildir.display()))?, *json)
}

pub(super) fn export(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { address, maildir, json, place } = arguments;
    let migrated = open_store(place)?.export(&AccountId::new(address), maildir, &mut progress("written"));
    show(&migrated.with_context(|| format!("`{}` was not made", maildir.display()))?, *json)
}

/// For whoever waits: a large mailbox takes minutes.
fn progress(what: &'static str) -> impl FnMut(&MailboxName, usize) {
    move |name, messages| eprintln!("{name}: {messages} messages {what}")
}

fn show(migrated: &[Migrated], json: bool) -> anyhow::Result<()> {
    let rows: Vec<Row> = migrated
        .iter()
        .map(|one| Row {
            mailbox: one.mailbox.to_string(),
            messages: one.messages,
            uids_kept: one.uids_kept,
            uid_validity: one.uid_validity.map(|validity| validity.0),
            list: one.list,
        })
        .collect();
    listing::print(json, &rows, &["mailbox", "messages", "UIDs kept", "UIDVALIDITY", "by"], |row| {
        let validity = row.uid_validity.map_or_else(|| "new".to_owned(), |validity| validity.to_string());
        vec![
            row.mailbox.clone(),
            row.messages.to_string(),
            row.uids_kept.to_string(),
            validity,
            row.list.unwrap_or("-").to_owned(),
        ]
    })?;
    Ok(())
}
