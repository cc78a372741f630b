//! RCPT: is this somebody here?

use directory::Resolution;
use envelope::Address;
use smtp_proto::{ForwardPath, Rcpt, Reply};
use tokio::time::timeout;
use tracing::debug;

use super::{Refused, Session};
use crate::reply;

impl Session {
    pub(super) async fn check_recipient(&mut self, rcpt: &Rcpt) -> Reply {
        let address = self.recipient_address(&rcpt.forward_path);
        let wait = self.shared.config.timeouts.directory.as_duration();
        match timeout(wait, self.shared.directory.resolve(&address)).await {
            Ok(Ok(Resolution::Alias(_) | Resolution::Mailbox { .. })) => reply::recipient_ok(),
            Ok(Ok(Resolution::NotLocal)) => {
                self.shared.metrics.refused(Refused::NotLocal);
                debug!(recipient = %address, "recipient refused, not local");
                if self.kind.is_submission() { reply::remote_unavailable() } else { reply::relaying_denied() }
            }
            Ok(Ok(Resolution::Unknown)) => {
                self.unknown_recipient(&address).await;
                reply::recipient_unknown()
            }
            Ok(Err(error)) => self.directory_failed(&error.to_string()),
            Err(_) => self.directory_failed("no answer in time"),
        }
    }

    /// Whom a path means.
    pub(super) fn recipient_address(&self, path: &ForwardPath) -> Address {
        match path {
            ForwardPath::Address(address) => address.clone(),
            ForwardPath::Postmaster => self.shared.postmaster.clone(),
        }
    }

    /// Who guesses addresses is answered ever later; the budget of errors ends it.
    async fn unknown_recipient(&mut self, address: &Address) {
        self.shared.metrics.refused(Refused::UnknownRecipient);
        debug!(recipient = %address, "recipient refused, unknown");
        self.unknown_recipients = self.unknown_recipients.saturating_add(1);
        if self.unknown_recipients > self.shared.config.limits.unknown_recipients_prompt {
            let delay = self.shared.config.timeouts.unknown_recipient_delay.as_duration();
            let _ = timeout(delay, self.drain.requested()).await;
        }
    }
}
