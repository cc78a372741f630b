//! What a gateway asks and remembers about peers.

use std::sync::Arc;

use anyhow::Context as _;
use filters::{Dns, DnsConfig, Reputation, Resolver};
use tracing::warn;

use super::nodes::Shared;
use crate::data::DataFolder;
use crate::settings::Settings;

/// Opens it. The local lists are in the shared state where that is for all nodes, else in the data folder.
pub(crate) fn open(
    settings: &Settings,
    data: &DataFolder,
    shared: &Shared,
    registry: &prometheus::Registry,
) -> anyhow::Result<Arc<Reputation>> {
    let config = &settings.filters.reputation;
    let file = (!shared.has_signals).then(|| data.local_lists());
    let state = Arc::clone(&shared.state);
    let opened = Reputation::new(config, dns(settings)?, state, file.as_deref(), registry);
    Ok(Arc::new(opened.context("failed to open what is remembered about peers")?))
}

/// A system without a DNS is a fault only where somebody is to be asked.
fn dns(settings: &Settings) -> anyhow::Result<Arc<dyn Dns>> {
    let config = &settings.filters.dns;
    match Resolver::new(config) {
        Ok(resolver) => Ok(Arc::new(resolver)),
        Err(error) if settings.filters.reputation.lists.is_empty() => {
            warn!(%error, "there is no DNS; no list is configured that would be asked there");
            let nobody = DnsConfig { resolvers: vec![([127, 0, 0, 1], 53).into()], ..DnsConfig::default() };
            Ok(Arc::new(Resolver::new(&nobody)?))
        }
        Err(error) => Err(error.into()),
    }
}
