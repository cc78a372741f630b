//! mbsync: every folder, the flags of all it holds, and what is new whole.

use super::{Visit, set};
use crate::recorder::Failure;

/// Folders of one run: a channel names the ones that are kept.
const SYNCED: usize = 10;

pub(super) async fn sync(visit: &mut Visit<'_>) -> Result<(), Failure> {
    visit.command("imap.command", "CAPABILITY").await?;
    let folders = visit.folders("LIST \"\" \"*\"").await?;
    for folder in std::iter::once("INBOX").chain(folders.iter().map(String::as_str)).take(SYNCED) {
        let selected = visit.select(folder).await?;
        if selected.exists == 0 {
            continue;
        }
        visit.command("imap.flags", "UID FETCH 1:* (UID FLAGS)").await?;
        if folder == "INBOX" {
            let new = visit.newest(selected).await?;
            if !new.is_empty() {
                visit.body_set(&set(&new)).await?;
            }
        }
    }
    Ok(())
}

impl Visit<'_> {
    async fn body_set(&mut self, uids: &str) -> Result<(), Failure> {
        self.command("imap.body", &format!("UID FETCH {uids} (UID BODY.PEEK[])")).await
    }
}
