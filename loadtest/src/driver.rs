//! Loads: what the clients of each kind do. Each step is an operation of its own in the report; a visit is one more over all its steps.

pub(crate) mod admin;
pub(crate) mod idle;
pub(crate) mod imap;
pub(crate) mod pop3;
pub(crate) mod smtp;
pub(crate) mod watch;
pub(crate) mod web;

use std::time::{Duration, Instant};

use crate::recorder::{Failure, Recorder};

/// How long a client that found no server waits before it tries again.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Does a step and records it from now.
pub(crate) async fn step<T>(
    recorder: &Recorder,
    operation: &'static str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    step_since(recorder, operation, Instant::now(), work).await
}

/// Does a step and records it from when it was due.
pub(crate) async fn step_since<T>(
    recorder: &Recorder,
    operation: &'static str,
    since: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let result = work.await;
    recorder.ended(operation, since, result.as_ref().map(|_| 0));
    result
}

/// Waits until an operation is due.
pub(crate) async fn due(at: Instant) {
    if at > Instant::now() {
        tokio::time::sleep_until(at.into()).await;
    }
}
