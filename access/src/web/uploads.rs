//! Who may write how much at once: places by account, memory for what comes in, turns for building and sending.

use std::sync::Arc;
use std::time::Duration;

use envelope::AccountId;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Config;
use crate::accounts::{AccountPlace, Accounts};
use runtime::{HeldMemory, MemoryBudget};

/// The limits of a node.
pub(super) struct Uploads {
    accounts: Accounts,
    memory: MemoryBudget,
    turns: Arc<Semaphore>,
}

/// One form on its way in. A slow one holds its account's place and the memory for what came, and no turn of others.
pub(super) struct Upload {
    _place: AccountPlace,
    held: HeldMemory,
    received: u64,
}

impl Uploads {
    pub(super) fn new(config: &Config, taken: IntGauge) -> Self {
        Self {
            accounts: Accounts::new(config.uploads_per_account_max),
            memory: MemoryBudget::new(
                config.upload_memory_max.as_usize(),
                config.upload_memory_wait.into(),
                taken,
            ),
            turns: Arc::new(Semaphore::new(config.uploads_max)),
        }
    }

    /// None when the account has as many forms under way as it may.
    pub(super) fn begin(&self, account: &AccountId) -> Option<Upload> {
        let place = self.accounts.enter(account)?;
        Some(Upload { _place: place, held: self.memory.hold(), received: 0 })
    }

    /// Waits for the turn to build and send what has come in whole.
    pub(super) async fn turn(&self, wait_max: Duration) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(wait_max, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()
    }
}

impl Upload {
    /// Counts octets that came; false when memory is short and stays so.
    pub(super) async fn grow(&mut self, octets: usize) -> bool {
        self.received = self.received.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        self.held.grow_to(self.received).await
    }
}
