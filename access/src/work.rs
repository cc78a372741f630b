//! Work on files, off the threads that serve connections.

use envelope::{AccountId, Quota};
use runtime::BlockingError;
use store::StoreError;

use crate::Deps;

/// Why work on the store was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// It was not begun.
    #[error("the work on the store was not done")]
    Blocking(#[from] BlockingError),
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Deps {
    /// Runs `work` on the store's threads.
    pub(crate) async fn work<T, F>(&self, work: F) -> Result<T, WorkError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, StoreError> + Send + 'static,
    {
        Ok(self.blocking.run(work).await??)
    }

    /// What the account may hold. A directory that can't say limits nobody.
    pub(crate) async fn quota(&self, account: &AccountId) -> Quota {
        self.directory.quota(account).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a quota could not be looked up");
            Quota::default()
        })
    }
}
