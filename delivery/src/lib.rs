//! The delivery role: takes messages from the queue and brings every recipient to an outcome.
//!
//! ```text
//! queue ─lease→ expand ──→ deliver ──→ report ──→ ack | retry | dead
//!               aliases    mailboxes   one DSN     │      │       └ an operator looks
//!               loops      by tag      to the      │      └ only those who must wait, on the ladder
//!               one copy   durable     sender      └ everybody has an outcome that is durable
//! ```
//!
//! | what happens to a recipient | trail event | in the queue afterwards |
//! |---|---|---|
//! | written to the mailbox | `delivered` | gone |
//! | the same account as another recipient | `merged` | gone with the other |
//! | another mail system has it | `relayed` | gone |
//! | the other lane is its way | `handed-over` | gone; what follows is a message of its own |
//! | no such mailbox, a loop, no route, too old | `bounced`, or `discarded` for a null sender | gone; the report is a message of its own |
//! | directory or disk can't serve now, the mailbox is full | `deferred` | waits, alone |
//! | the mailbox was full for [`Config::quota_grace`] | `bounced` | gone; the report is a message of its own |
//!
//! Mail to other systems has a lane and slots of its own ([`RemoteConfig`]), so that none of it holds up what stays here.
//!
//! What it is not: it accepts nothing from the network and judges no content.
//!
//! Failure behaviour: the message stays leased until every outcome is durable; a crash at any instant means that it is
//! leased again and the store recognises by the message's id what it has already. A report has an id made from what it reports, so
//! that it is queued once. A panic kills one try of one message and is counted; after
//! [`Config::panics_before_dead`] of them the message goes to the dead lane.

mod config;
mod content;
mod error;
mod expire;
mod fuzz;
mod metrics;
mod outcome;
mod quota;
mod remote;
mod report;
mod signing;
mod worker;

use std::sync::Arc;

use directory::Directory;
use queue::Queue;
use runtime::{BlockingPool, Drain};
use store::Store;

pub use config::Config;
pub use error::BindError;
pub use fuzz::fuzz_message;
pub use remote::{Egress, RemoteConfig, Route, RouteTls};
pub use signing::{DkimConfig, KeyError};

use metrics::Metrics;
use signing::Signatures;
use worker::Worker;

/// What the role needs from the process that runs it.
#[derive(Clone)]
pub struct Deps {
    /// Where messages come from and reports go to.
    pub queue: Arc<dyn Queue>,
    /// Who has mail here.
    pub directory: Arc<dyn Directory>,
    /// Where mail goes.
    pub store: Store,
    /// Where work on files runs.
    pub blocking: BlockingPool,
    /// Where metrics are registered.
    pub registry: prometheus::Registry,
    /// The name of this node in reports.
    pub hostname: String,
    /// Where sessions with other systems' servers are counted, when their domains are to hear of them (RFC 8460).
    pub tls_reports: Option<Arc<filters::reports::Tally>>,
}

/// The role, ready to run.
pub struct Delivery {
    worker: Arc<Worker>,
}

/// Checks what can be checked before the process calls itself ready. There is nothing to listen on.
pub async fn bind(config: Config, deps: Deps) -> Result<Delivery, BindError> {
    let metrics = Metrics::register(&deps.registry).map_err(BindError::Metrics)?;
    let signatures = Signatures::load(&config.dkim).map_err(BindError::Key)?;
    Ok(Delivery { worker: Arc::new(Worker::new(config, deps, metrics, signatures)) })
}

impl Delivery {
    /// Takes messages until the drain is asked for, then finishes those under way and returns.
    pub async fn run(self, drain: Drain) {
        if let Some((queue, keep)) = self.worker.quarantine() {
            drain.spawn(expire::run(queue, keep, drain.clone()));
        }
        worker::run(self.worker, drain).await;
    }
}
