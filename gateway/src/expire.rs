//! The end of what nobody released from the quarantine.

use std::sync::Arc;
use std::time::Duration;

use queue::{Lane, ListFilter, Order};
use runtime::Drain;
use tracing::{error, info};

use crate::session::Shared;

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Deletes what was kept back longer than `keep`, until the drain begins. Each message is a line of the trail.
pub(crate) async fn run(shared: Arc<Shared>, keep: Duration, drain: Drain) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = interval.tick() => {}
        }
        let old =
            ListFilter { lane: Some(Lane::Quarantine), older_than: Some(keep), ..ListFilter::default() };
        match shared.queue.order(&old, Order::Delete).await {
            Ok(ordered) if ordered.done > 0 => {
                info!(messages = ordered.done, "messages left the quarantine: nobody released them in time");
            }
            Ok(_) => {}
            Err(failure) => error!(%failure, "the quarantine could not be looked through"),
        }
    }
}
