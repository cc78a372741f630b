//! What a gateway checks, asks and remembers.

use std::sync::Arc;

use anyhow::Context as _;
use filters::{Deps, Dns, DnsConfig, Filters, Reputation, Resolver};
use tracing::warn;

use super::nodes::Shared;
use crate::data::DataFolder;
use crate::settings::Settings;

/// All checks, and among them what is remembered about peers, which operators ask for by itself.
pub(crate) struct Checks {
    pub(crate) filters: Arc<Filters>,
    pub(crate) reputation: Arc<Reputation>,
}

/// Opens them. The local lists are in the shared state where that is for all nodes, else in the data folder.
pub(crate) fn open(
    settings: &Settings,
    data: &DataFolder,
    shared: &Shared,
    registry: &prometheus::Registry,
) -> anyhow::Result<Checks> {
    let dns = dns(settings)?;
    let file = (!shared.has_signals).then(|| data.local_lists());
    let reputation = Reputation::new(
        &settings.filters.reputation,
        Arc::clone(&dns),
        Arc::clone(&shared.state),
        file.as_deref(),
        registry,
    );
    let reputation = Arc::new(reputation.context("failed to open what is remembered about peers")?);
    let deps = Deps {
        registry: registry.clone(),
        policy: data.policy(),
        kept: data.filters(),
        dns,
        reputation: Arc::clone(&reputation),
    };
    let filters = Filters::open(settings.filters.clone(), &settings.hostname, deps)?;
    Ok(Checks { filters, reputation })
}

/// A system without a DNS is a fault only where an operator wants somebody asked: elsewhere every question is answered with a failure.
pub(crate) fn dns(settings: &Settings) -> anyhow::Result<Arc<dyn Dns>> {
    let config = &settings.filters.dns;
    match Resolver::new(config) {
        Ok(resolver) => Ok(Arc::new(resolver)),
        Err(error) if settings.filters.reputation.lists.is_empty() => {
            warn!(%error, "there is no DNS: nothing can be found out about senders");
            let nobody = DnsConfig { resolvers: vec![([127, 0, 0, 1], 53).into()], ..DnsConfig::default() };
            Ok(Arc::new(Resolver::new(&nobody)?))
        }
        Err(error) => Err(error.into()),
    }
}
