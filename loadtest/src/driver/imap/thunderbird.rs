//! Thunderbird: one folder after the other, headers of what is new, the body of what is opened.

use super::{Visit, set};
use crate::recorder::Failure;

/// What its message list is made from.
const HEADERS: &str = "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]";
/// Folders that it checks for news besides INBOX: those that somebody ticked.
const CHECKED: usize = 3;

pub(super) async fn sync(visit: &mut Visit<'_>) -> Result<(), Failure> {
    visit.command("imap.command", "CAPABILITY").await?;
    visit.command("imap.command", "ID (\"name\" \"Thunderbird\" \"version\" \"140.0\")").await?;
    visit.command("imap.command", "NAMESPACE").await?;
    let folders = visit.folders("LIST \"\" \"*\"").await?;
    visit.command("imap.list", "LSUB \"\" \"*\"").await?;
    let inbox = visit.select("INBOX").await?;
    let new = visit.newest(inbox).await?;
    if !new.is_empty() {
        visit.command("imap.headers", &format!("UID FETCH {} ({HEADERS})", set(&new))).await?;
    }
    if let Some(uid) = visit.random.pick(&new).copied() {
        visit.body(uid, "UID RFC822.SIZE BODY.PEEK[]").await?;
        visit.command("imap.store", &format!("UID STORE {uid} +FLAGS (\\Seen)")).await?;
    }
    for folder in folders.iter().take(CHECKED) {
        let selected = visit.select(folder).await?;
        if selected.exists > 0 {
            visit
                .command(
                    "imap.flags",
                    &format!("UID FETCH {}:* (FLAGS)", selected.uid_next.saturating_sub(1).max(1)),
                )
                .await?;
        }
    }
    visit.command("imap.command", "CLOSE").await
}
