//! Live updates: server-sent events that say "this mailbox changed" and nothing else.
//!
//! A change made on this node wakes the stream at once. Changes by other nodes are looked for now and then, which costs
//! a few stats when there is none. The stream ends with the session and with the drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use store::{Mailbox, MailboxName, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;

use super::super::Shared;
use super::super::error::PageError;
use super::super::guard::{Signed, holds};
use super::super::session::Session;
use super::work;

struct Stream {
    web: Shared,
    session: Arc<Session>,
    mailbox: Arc<Mailbox>,
    changes: watch::Receiver<u64>,
    first: bool,
    _permit: OwnedSemaphorePermit,
    _gauge: Gauge,
}

/// Counts a stream as long as it lives.
struct Gauge(prometheus::IntGauge);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// GET: the events of one mailbox.
pub(super) async fn events(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let Ok(permit) = Arc::clone(&session.live_updates).try_acquire_owned() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let name = MailboxName::parse(&name).map_err(|_| PageError::NotFound)?;
    let (shared, owner) = (Arc::clone(&web), Arc::clone(&session));
    let mailbox = work(&web, move || {
        let mailbox = shared.deps.store.account(&owner.account)?.mailbox(&name)?;
        mailbox.refresh()?;
        Ok(mailbox)
    })
    .await?;
    web.metrics.live_updates.inc();
    let gauge = Gauge(web.metrics.live_updates.clone());
    let changes = mailbox.changes();
    let stream = Stream { web, session, mailbox, changes, first: true, _permit: permit, _gauge: gauge };
    let events = stream::unfold(stream, |mut stream| async move {
        let generation = stream.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(generation.to_string())), stream))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(20));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

impl Stream {
    /// The next generation of the mailbox; none when the stream is over.
    async fn next(&mut self) -> Option<u64> {
        if self.first {
            self.first = false;
            return Some(*self.changes.borrow_and_update());
        }
        let interval = self.web.config.live_updates_interval.as_duration();
        loop {
            tokio::select! {
                () = self.web.drain.requested() => return None,
                () = self.session.ended.cancelled() => return None,
                changed = self.changes.changed() => {
                    changed.ok()?;
                    return Some(*self.changes.borrow_and_update());
                }
                () = tokio::time::sleep(interval) => {}
            }
            if !holds(&self.web, &self.session).await {
                return None;
            }
            let mailbox = Arc::clone(&self.mailbox);
            let looked = work(&self.web, move || Ok(mailbox.view_within(Duration::ZERO)?.generation)).await;
            // Removed, or in another place: the browser asks anew. A store that is down is not the end: the next look may work.
            if let Err(PageError::NotFound | PageError::Store(StoreError::Gone)) = looked {
                return None;
            }
        }
    }
}
