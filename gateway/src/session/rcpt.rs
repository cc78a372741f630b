//! RCPT: is this somebody here?

use directory::{Resolution, Unavailable};
use envelope::Address;
use smtp_proto::{ForwardPath, Rcpt, Reply};
use tokio::time::timeout;
use tracing::debug;

use super::{Refused, Session};
use crate::reply;

impl Session {
    pub(super) async fn check_recipient(&mut self, rcpt: &Rcpt) -> Reply {
        let wait = self.shared.config.timeouts.directory.as_duration();
        let known = match &rcpt.forward_path {
            ForwardPath::Address(_) => Ok(Ok(())),
            ForwardPath::Postmaster => timeout(wait, self.find_postmaster()).await,
        };
        let address = self.recipient_address(&rcpt.forward_path);
        let resolution = match known {
            Ok(Ok(())) => timeout(wait, self.shared.directory.resolve(&address)).await,
            Ok(Err(error)) => Ok(Err(error)),
            Err(elapsed) => Err(elapsed),
        };
        match resolution {
            Ok(Ok(Resolution::Alias(_) | Resolution::List { .. } | Resolution::Mailbox { .. })) => {
                self.filter_recipient(&address).await.unwrap_or_else(reply::recipient_ok)
            }
            // Who logged in may write to anybody: submission begins with a login.
            Ok(Ok(Resolution::NotLocal)) if self.kind.is_submission() && self.account.is_some() => {
                if let Some(refusal) = self.filter_recipient(&address).await {
                    return refusal;
                }
                self.elsewhere += 1;
                reply::recipient_ok()
            }
            Ok(Ok(Resolution::NotLocal)) => {
                self.shared.metrics.refused(Refused::NotLocal);
                debug!(recipient = %address, "recipient refused, not local");
                reply::relaying_denied()
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
            ForwardPath::Postmaster => self.postmaster.as_ref().unwrap_or(&self.shared.postmaster).clone(),
        }
    }

    /// `<Postmaster>` must reach somebody (RFC 5321 §4.5.1), also where nobody was named for it and the host's own name is no
    /// domain of ours.
    async fn find_postmaster(&mut self) -> Result<(), Unavailable> {
        let is_named = !self.shared.config.postmaster.is_empty();
        if is_named || self.shared.directory.is_local(self.shared.postmaster.domain()).await? {
            return Ok(());
        }
        self.postmaster = self.shared.directory.postmaster().await?;
        Ok(())
    }

    /// Who guesses addresses is answered ever later; the budget of errors ends it.
    async fn unknown_recipient(&mut self, address: &Address) {
        self.shared.metrics.refused(Refused::UnknownRecipient);
        self.filters_hear_of_unknown();
        debug!(recipient = %address, "recipient refused, unknown");
        self.unknown_recipients = self.unknown_recipients.saturating_add(1);
        if self.unknown_recipients > self.shared.config.limits.unknown_recipients_prompt {
            self.delay(self.shared.config.timeouts.unknown_recipient_delay.as_duration()).await;
        }
    }
}
