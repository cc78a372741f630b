//! What can go wrong, and what it means for the message.

use std::io;
use std::time::Duration;

use envelope::Disposition;

/// Why a message was not stored. No worker will see it, but for [`PublishError::Unconfirmed`], where one may.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The queue is shutting down.
    #[error("the queue is closing")]
    Closing,
    /// The disk is below its watermark, or a configured bound is reached (452 4.3.1).
    #[error("the queue is full: {0}")]
    Full(String),
    /// The broker can't be reached; it has not got the message.
    #[error("the broker can't be reached: {0}")]
    Away(String),
    /// The broker may have got the message, and has not confirmed it.
    #[error("the broker has not confirmed the message: {0}")]
    Unconfirmed(String),
    /// The write or sync failed; nothing is promised.
    #[error("failed to store the message")]
    Store(#[source] io::Error),
}

impl PublishError {
    /// Always a deferral: the sender still has the message.
    pub const fn disposition(&self) -> Disposition {
        Disposition::Defer { after: Duration::from_secs(60) }
    }
}

/// Why a queue operation failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue is shutting down.
    #[error("the queue is closing")]
    Closing,
    /// Another process holds the part of the queue that only one may hold.
    #[error("`{0}` is in use by another process")]
    InUse(String),
    /// Nothing was changed: no process that works the queue took the order.
    #[error("no running worker took the order about the queue in `{0}`; nothing was changed")]
    Unworked(String),
    /// The broker did not do it.
    #[error("failed to {step} at the broker: {why}")]
    Broker {
        /// What was being done.
        step: &'static str,
        /// What it said.
        why: String,
    },
    /// Reading or writing failed.
    #[error("failed to {step} `{path}`")]
    Io {
        /// What was being done.
        step: &'static str,
        /// To which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
