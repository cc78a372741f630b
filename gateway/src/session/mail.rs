//! MAIL: may this sender send here?

use smtp_proto::{Mail, Reply};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Refused, Session};
use crate::reply;

impl Session {
    /// On submission the sender must be the account's own address or an alias of it (RFC 6409 §6.1). The null path is
    /// nobody's address: people's programs send receipts with it.
    pub(super) async fn check_sender(&self, mail: &Mail) -> Reply {
        let (Some(account), Some(sender)) = (&self.account, mail.reverse_path.address()) else {
            return reply::sender_ok();
        };
        let wait = self.shared.config.timeouts.directory.as_duration();
        match timeout(wait, self.shared.directory.may_send_as(account, sender)).await {
            Ok(Ok(true)) => reply::sender_ok(),
            Ok(Ok(false)) => {
                self.shared.metrics.refused(Refused::SenderNotYours);
                debug!(%account, %sender, "sender refused, not an address of the account");
                reply::sender_not_yours()
            }
            Ok(Err(error)) => self.directory_failed(&error.to_string()),
            Err(_) => self.directory_failed("no answer in time"),
        }
    }

    /// Can't say is never no.
    pub(super) fn directory_failed(&self, error: &str) -> Reply {
        self.shared.metrics.refused(Refused::DirectoryUnavailable);
        warn!(error, "directory unavailable, command refused for now");
        reply::directory_unavailable()
    }
}
