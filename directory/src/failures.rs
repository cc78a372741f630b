//! Failed logins that all nodes count together.
//!
//! ```text
//!  is_blocked? ──→ the ledger of all nodes ──answers──→ yes | no
//!                     └─ can't say ──→ this process's own throttle
//!  a failure   ──→ counted here, and in the ledger: above the free ones it blocks for a time that doubles
//! ```
//! What is counted together is a network and a login that can be an address. A login that can't be one, perhaps a password in the wrong
//! field, is counted in this process alone and never told to anybody.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::Address;

use crate::{ThrottleConfig, Unavailable};

/// Who has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedBy<'a> {
    /// A login name, in its canonical form. There need not be such an account.
    Account(&'a Address),
    /// An IPv4 address, or the first address of an IPv6 /64.
    Network(IpAddr),
}

/// Where the failures of all nodes are counted. All of it may be lost at any time.
#[async_trait]
pub trait FailureLedger: Send + Sync + 'static {
    /// Counts a failure; gives how many there were without a pause of `forget_after`.
    async fn failed(&self, whom: FailedBy<'_>, forget_after: Duration) -> Result<u32, Unavailable>;

    /// Lets nobody try for `delay`.
    async fn block(&self, whom: FailedBy<'_>, delay: Duration) -> Result<(), Unavailable>;

    /// Whether an attempt now must not be looked at.
    async fn is_blocked(&self, whom: FailedBy<'_>) -> Result<bool, Unavailable>;

    /// Forgets its failures.
    async fn succeeded(&self, whom: FailedBy<'_>) -> Result<(), Unavailable>;
}

/// The ledger, with the delays of the configuration.
pub(crate) struct Together {
    ledger: Arc<dyn FailureLedger>,
    config: ThrottleConfig,
}

impl Together {
    pub(crate) fn new(ledger: Arc<dyn FailureLedger>, config: ThrottleConfig) -> Self {
        Self { ledger, config }
    }

    /// None when the ledger can't say.
    pub(crate) async fn is_blocked(&self, whom: FailedBy<'_>) -> Option<bool> {
        self.ledger.is_blocked(whom).await.ok()
    }

    /// Counts a failure; what can't be counted here is counted in this process.
    pub(crate) async fn failed(&self, whom: FailedBy<'_>) {
        let free = match whom {
            FailedBy::Account(_) => self.config.account_failures_free,
            FailedBy::Network(_) => self.config.network_failures_free,
        };
        let forget_after = self.config.forget_after.as_duration();
        let Ok(count) = self.ledger.failed(whom, forget_after).await else { return };
        if let Some(delay) = self.config.delay(count.saturating_sub(free)) {
            let _ = self.ledger.block(whom, delay).await;
        }
    }

    pub(crate) async fn succeeded(&self, whom: FailedBy<'_>) {
        let _ = self.ledger.succeeded(whom).await;
    }
}
