//! MAIL: may this sender send here?

use envelope::{AccountId, Address};
use smtp_proto::{Mail, Reply};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Refused, Session};
use crate::reply;

impl Session {
    /// On submission the sender must be the account's own address or an alias of it (RFC 6409 §6.1). The null path is
    /// nobody's address: people's programs send receipts with it.
    pub(super) async fn check_sender(&mut self, mail: &Mail) -> Reply {
        self.elsewhere = 0;
        if let Some(refusal) = self.foreign_sender(mail).await {
            return refusal;
        }
        self.filter_sender(mail).await.unwrap_or_else(reply::sender_ok)
    }

    async fn foreign_sender(&self, mail: &Mail) -> Option<Reply> {
        let (account, sender) = (self.account.as_ref()?, mail.reverse_path.address()?);
        match self.may_send_as(account, sender).await {
            Ok(true) => None,
            Ok(false) => {
                self.shared.metrics.refused(Refused::SenderNotYours);
                debug!(%account, %sender, "sender refused, not an address of the account");
                Some(reply::sender_not_yours())
            }
            Err(reply) => Some(reply),
        }
    }

    /// On submission people write under their own name: whoever reads a message sees its From field and never its envelope (RFC 6409 §6.1 leaves
    /// it to the site; `check_from`).
    pub(super) async fn check_from(&self, authors: &[Address]) -> Option<Reply> {
        let account = self.account.as_ref().filter(|_| self.shared.config.check_from)?;
        for author in authors {
            match self.may_send_as(account, author).await {
                Ok(true) => {}
                Ok(false) => {
                    self.shared.metrics.refused(Refused::SenderNotYours);
                    return Some(reply::from_not_yours());
                }
                Err(reply) => return Some(reply),
            }
        }
        None
    }

    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Reply> {
        let wait = self.shared.config.timeouts.directory.as_duration();
        match timeout(wait, self.shared.directory.may_send_as(account, sender)).await {
            Ok(Ok(may)) => Ok(may),
            Ok(Err(error)) => Err(self.directory_failed(&error.to_string())),
            Err(_) => Err(self.directory_failed("no answer in time")),
        }
    }

    /// Can't say is never no.
    pub(super) fn directory_failed(&self, error: &str) -> Reply {
        self.shared.metrics.refused(Refused::DirectoryUnavailable);
        warn!(error, "directory unavailable, command refused for now");
        reply::directory_unavailable()
    }
}
