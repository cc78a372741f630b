//! What all sessions of the role share.

use std::sync::Arc;

use directory::Directory;
use envelope::{Address, Domain, MessageId, Timestamp};
use filters::Filters;
use queue::Queue;
use runtime::MemoryBudget;

use crate::metrics::Metrics;
use crate::{BindError, Config, Deps};

/// Immutable, one for the role.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hostname: Domain,
    pub(crate) postmaster: Address,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) filters: Option<Arc<Filters>>,
    pub(crate) metrics: Metrics,
    pub(crate) message_memory: MemoryBudget,
    pub(crate) binary_memory: MemoryBudget,
}

impl Shared {
    /// Checks what the configuration's text means and registers the metrics.
    pub(crate) fn new(config: Config, deps: Deps) -> Result<Self, BindError> {
        let wrong = |error| BindError::Hostname(config.hostname.clone(), error);
        let hostname: Domain = config.hostname.parse().map_err(wrong)?;
        let wrong = |error| BindError::Postmaster(config.postmaster.clone(), error);
        let postmaster = config.postmaster_address().map_err(wrong)?;
        let metrics = Metrics::new(&deps.registry)?;
        let Deps { directory, queue, filters, tls: _, registry: _ } = deps;
        let budget = config.limits.message_memory_max.as_usize();
        let message_memory =
            MemoryBudget::new(budget, config.timeouts.message_memory.into(), metrics.message_memory.clone());
        let budget = config.limits.binary_memory_max.as_usize();
        let binary_memory =
            MemoryBudget::new(budget, config.timeouts.message_memory.into(), metrics.binary_memory.clone());
        Ok(Self {
            config,
            hostname,
            postmaster,
            directory,
            queue,
            filters,
            metrics,
            message_memory,
            binary_memory,
        })
    }
}

/// A new id for a message that begins now.
pub(super) fn new_id(now: Timestamp) -> Result<MessageId, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    Ok(MessageId::new(now.unix_milliseconds(), random))
}
