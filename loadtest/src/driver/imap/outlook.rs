//! Outlook: asks for every folder, takes in the flags of all messages of INBOX, and downloads what is new whole.

use super::Visit;
use crate::recorder::Failure;

pub(super) async fn sync(visit: &mut Visit<'_>) -> Result<(), Failure> {
    visit.command("imap.command", "CAPABILITY").await?;
    let folders = visit.folders("LIST \"\" \"*\"").await?;
    visit.command("imap.list", "LSUB \"\" \"*\"").await?;
    let inbox = visit.select("INBOX").await?;
    if inbox.exists > 0 {
        visit.command("imap.flags", "UID FETCH 1:* (UID FLAGS)").await?;
    }
    for uid in visit.newest(inbox).await? {
        visit.body(uid, "UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[]").await?;
    }
    for folder in &folders {
        let folder = super::named(folder);
        visit
            .command("imap.status", &format!("STATUS {folder} (MESSAGES RECENT UNSEEN UIDNEXT UIDVALIDITY)"))
            .await?;
    }
    visit.command("imap.command", "NOOP").await
}
