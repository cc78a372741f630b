//! Apple Mail: a STATUS of every folder, headers and structure of what is new, text parts first.

use super::{Visit, named, set};
use crate::recorder::Failure;

pub(super) async fn sync(visit: &mut Visit<'_>) -> Result<(), Failure> {
    visit.command("imap.command", "ID (\"name\" \"Mac OS X Mail\" \"version\" \"16.0\")").await?;
    visit.command("imap.command", "CAPABILITY").await?;
    let folders = visit.folders("LIST \"\" \"*\"").await?;
    for folder in &folders {
        visit
            .command(
                "imap.status",
                &format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)", named(folder)),
            )
            .await?;
    }
    let inbox = visit.select("INBOX").await?;
    let new = visit.newest(inbox).await?;
    if new.is_empty() {
        return Ok(());
    }
    let new_set = set(&new);
    visit
        .command(
            "imap.headers",
            &format!(
                "UID FETCH {new_set} (INTERNALDATE UID RFC822.SIZE FLAGS BODYSTRUCTURE BODY.PEEK[HEADER])"
            ),
        )
        .await?;
    for uid in &new {
        visit.body(*uid, "UID BODY.PEEK[1]").await?;
    }
    if let Some(uid) = visit.random.pick(&new).copied() {
        visit.command("imap.store", &format!("UID STORE {uid} +FLAGS.SILENT (\\Seen)")).await?;
    }
    Ok(())
}
