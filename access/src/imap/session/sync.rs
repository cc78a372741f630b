//! Telling the client what others did to its mailbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{StoreError, View};
use tracing::warn;

use super::super::connection::End;
use super::super::reply::MOVED;
use super::super::selected::Moment;
use super::{Session, State};
use crate::work::WorkError;

/// Writes what changed in the selected mailbox. The disk is looked at when the last look is longer ago than `interval`; without
/// that this does no I/O.
pub(super) async fn sync(session: &mut Session, moment: Moment, interval: Duration) -> Result<(), End> {
    let State::Selected(_, selected) = &mut session.state else { return Ok(()) };
    let mailbox = Arc::clone(&selected.mailbox);
    let view = if selected.refreshed.elapsed() >= interval {
        selected.refreshed = Instant::now();
        session.server.deps.work(move || mailbox.view_within(Duration::ZERO)).await
    } else {
        mailbox.view().map_err(WorkError::from)
    };
    let view = match view {
        Ok(view) => view,
        Err(WorkError::Store(StoreError::NoSuchMailbox)) => {
            return Err(End::Refused("The mailbox was deleted"));
        }
        Err(WorkError::Store(StoreError::Gone)) => {
            return Err(End::Refused(MOVED));
        }
        Err(error) => {
            // The client goes on with what it knows; the next command tries again.
            warn!(error = ?error, "a mailbox could not be looked at");
            return Ok(());
        }
    };
    if view.uid_validity != selected.told().uid_validity {
        return Err(End::Refused("The mailbox was replaced"));
    }
    take_recent(session, &view).await;
    if let State::Selected(_, selected) = &mut session.state {
        selected.tell(view, moment, &mut session.connection.out);
    }
    session.connection.flush_if_full().await
}

/// Asks which of the new messages are recent. Not knowing is no failure.
async fn take_recent(session: &mut Session, view: &View) {
    let State::Selected(_, selected) = &mut session.state else { return };
    if !selected.wants_recent(view) {
        return;
    }
    let (mailbox, take) = (Arc::clone(&selected.mailbox), !selected.read_only);
    match session.server.deps.work(move || mailbox.recent(take)).await {
        Ok(uids) => selected.take_recent(view, &uids),
        Err(error) => warn!(error = ?error, "recent messages could not be told"),
    }
}
