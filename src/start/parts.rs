//! What the roles stand on, and the roles themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use filters::reports::{ReportKind, Tally};
use queue::Queue;
use runtime::{BlockingPool, Certificates, Drain};
use shared_state::SharedState as _;
use store::Store;
use tokio::task::JoinSet;
use tracing::warn;

use super::SharedDirectory;
use super::failures::Failures;
use super::filters::Checks;
use super::nodes::Shared;
use crate::announce::Announcement;
use crate::data::DataFolder;
use crate::queues::WithoutBroker;
use crate::reputation_command::Remembered;
use crate::roles::Role;
use crate::settings::Settings;

/// Everything that is opened once in a process. A part that no role of the process needs is not opened.
pub(crate) struct Parts {
    pub(crate) blocking: BlockingPool,
    pub(crate) store: Option<Store>,
    pub(crate) shared: Shared,
    /// What is asked and remembered about peers: a gateway has it.
    checks: Option<Checks>,
    /// Where a worker counts sessions with other systems' servers, for reports to them.
    pub(crate) tls_reports: Option<Arc<Tally>>,
    failures: Arc<Failures>,
    queue: Option<Arc<dyn Queue>>,
    pub(crate) certificates: Certificates,
    directory: SharedDirectory,
    registry: prometheus::Registry,
    /// Where running processes say what they listen on.
    run: PathBuf,
}

/// Roles whose listeners are bound.
#[derive(Default)]
pub(crate) struct Bound {
    access: Option<access::Access>,
    gateway: Option<gateway::Gateway>,
    worker: Option<delivery::Delivery>,
}

impl Parts {
    /// Opens what `roles` need. Only the `first` start of an installation makes what is missing: later, or in a process
    /// with one role, a missing directory or volume means a wrong folder or a mount that is away.
    pub(crate) async fn open(
        settings: &Settings,
        data: &DataFolder,
        registry: &prometheus::Registry,
        roles: &[Role],
        process: &str,
        first: bool,
    ) -> anyhow::Result<Self> {
        let own_names = [settings.hostname.as_str(), "localhost"];
        let certificates = Certificates::open(&settings.tls, &data.tls(), &own_names, registry)?;
        if !first && !settings.directory.path.exists() {
            bail!(
                "there is no directory at `{}`: without it every domain would be refused as unknown. Bring the file back, or give \
                 the right --data; a new installation begins with `sluice up`",
                settings.directory.path.display()
            );
        }
        let store = if roles.iter().any(|role| role.needs_store()) {
            // A volume elsewhere may be a mount that is away: only a person can tell (`sluice mailbox init`).
            let volumes = settings.store.volumes.values().map(|volume| &volume.path);
            for path in std::iter::once(&settings.store.root).chain(volumes) {
                if first && data.holds(path) {
                    Store::init_volume(path)?;
                }
            }
            let opened = Store::open(&settings.store, Arc::new(store::RealFs), registry);
            Some(opened.context("if it is mounted and new, `sluice mailbox init` makes it a mail volume")?)
        } else {
            None
        };
        let shared = super::nodes::open(settings, store.as_ref(), registry)?;
        let failures = Arc::new(Failures::new(Arc::clone(&shared.state)));
        let directory = directory(settings, &failures, registry)?;
        let checks = if roles.contains(&Role::Gateway) {
            Some(super::filters::open(settings, data, &shared, registry)?)
        } else {
            None
        };
        let tls_reports = if roles.contains(&Role::Worker) && settings.filters.reports.is_on() {
            Some(Tally::new(ReportKind::Tls, data.reports(), settings.filters.reports.clone(), registry)?)
        } else {
            None
        };
        let queue: Option<Arc<dyn Queue>> = if roles.iter().any(|role| role.needs_queue()) {
            let without =
                if roles.contains(&Role::Gateway) { WithoutBroker::Spill } else { WithoutBroker::Wait };
            Some(crate::queues::open(settings, process, without, registry).await?)
        } else {
            None
        };
        Ok(Self {
            blocking: BlockingPool::new(settings.blocking.slots, settings.blocking.wait_max.as_duration()),
            store,
            shared,
            checks,
            tls_reports,
            failures,
            queue,
            certificates,
            directory,
            registry: registry.clone(),
            run: data.run(),
        })
    }

    /// Binds the listeners of `roles` and adds them to `addresses`.
    pub(crate) async fn bind_roles(
        &self,
        settings: &Settings,
        roles: &[Role],
        addresses: &mut BTreeMap<String, SocketAddr>,
    ) -> anyhow::Result<Bound> {
        let mut bound = Bound::default();
        for role in roles {
            let new = match role {
                Role::Gateway => bound.gateway.insert(self.gateway(settings).await?).addresses(),
                Role::Worker => {
                    bound.worker = Some(self.worker(settings).await?);
                    Vec::new()
                }
                Role::Access => {
                    let submission = addresses.get("submission").copied();
                    bound.access.insert(self.access(settings, submission).await?).addresses()
                }
            };
            addresses.extend(new.into_iter().map(|(name, address)| (name.to_owned(), address)));
        }
        Ok(bound)
    }

    /// Syncs what is owed.
    pub(crate) async fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close().await;
        }
        if let Some(filters) = self.checks.as_ref().map(|checks| Arc::clone(&checks.filters)) {
            let _ = tokio::task::spawn_blocking(move || filters.close()).await;
        }
        if let Some(tally) = self.tls_reports.clone() {
            let _ = tokio::task::spawn_blocking(move || tally.flush(std::time::SystemTime::now())).await;
        }
        if let Some(store) = self.store.clone() {
            // Not through the pool: this is the last work, and it must not be refused.
            let _ = tokio::task::spawn_blocking(move || store.close()).await;
        }
        self.shared.state.close().await;
    }

    /// What `sluice reputation` asks this process for.
    pub(crate) fn remembered(&self) -> Remembered {
        let reputation = self.checks.as_ref().map(|checks| Arc::clone(&checks.reputation));
        Remembered { reputation, failures: Arc::clone(&self.failures) }
    }

    fn queue(&self) -> anyhow::Result<Arc<dyn Queue>> {
        self.queue.clone().context("this process has no queue")
    }

    fn store(&self) -> anyhow::Result<Store> {
        self.store.clone().context("this process has no store")
    }

    async fn gateway(&self, settings: &Settings) -> anyhow::Result<gateway::Gateway> {
        let deps = gateway::Deps {
            queue: self.queue()?,
            filters: self.checks.as_ref().map(|checks| Arc::clone(&checks.filters)),
            directory: Arc::clone(&self.directory),
            tls: Some(self.certificates.server()?),
            registry: self.registry.clone(),
        };
        Ok(gateway::bind(settings.gateway.clone(), deps).await?)
    }

    async fn worker(&self, settings: &Settings) -> anyhow::Result<delivery::Delivery> {
        let deps = delivery::Deps {
            queue: self.queue()?,
            directory: Arc::clone(&self.directory),
            store: self.store()?,
            blocking: self.blocking.clone(),
            registry: self.registry.clone(),
            hostname: settings.hostname.clone(),
            tls_reports: self.tls_reports.clone(),
        };
        Ok(delivery::bind(settings.delivery.clone(), deps).await?)
    }

    async fn access(&self, settings: &Settings, own: Option<SocketAddr>) -> anyhow::Result<access::Access> {
        let submission = access::Submission {
            locate: locate(own.or(settings.submission), self.run.clone()),
            // The gateway must show a certificate of ours.
            tls: Some(self.certificates.client()),
            server_name: settings.hostname.clone(),
        };
        if (submission.locate)().is_none() {
            warn!(
                "no gateway is announced here and `submission` is not set: until a gateway is, mail written in the browser stays a draft"
            );
        }
        let deps = access::Deps {
            directory: Arc::clone(&self.directory),
            store: self.store()?,
            blocking: self.blocking.clone(),
            tls: Some(self.certificates.server()?),
            registry: self.registry.clone(),
            submission: Some(submission),
        };
        Ok(access::bind(settings.access.clone(), deps).await?)
    }
}

/// Where the gateway takes submissions: the address that is given, or what a gateway over the same data folder announces.
fn locate(given: Option<SocketAddr>, run: PathBuf) -> access::Locate {
    Arc::new(move || {
        let announced =
            || Announcement::read(&run, Role::Gateway.name())?.addresses.get("submission").copied();
        given.or_else(announced)
    })
}

impl Bound {
    /// Runs each role as a task.
    pub(crate) fn spawn(self, drain: &Drain) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(gateway) = self.gateway {
            tasks.spawn(gateway.run(drain.clone()));
        }
        if let Some(worker) = self.worker {
            tasks.spawn(worker.run(drain.clone()));
        }
        if let Some(access) = self.access {
            tasks.spawn(access.run(drain.clone()));
        }
        tasks
    }
}

/// Who has mail here, and whose reports come back.
fn directory(
    settings: &Settings,
    failures: &Arc<Failures>,
    registry: &prometheus::Registry,
) -> anyhow::Result<SharedDirectory> {
    let keys = super::keys::source(&settings.directory.oauth)?;
    let directory = directory::SqliteDirectory::open_with_keys(&settings.directory, registry, keys)?;
    directory.share_failures(Arc::clone(failures) as _);
    let srs = &settings.directory.srs;
    if srs.domain.is_empty() {
        return Ok(Arc::new(directory));
    }
    let text = std::fs::read_to_string(&srs.secret_file)
        .with_context(|| format!("failed to read the secret of SRS from `{}`", srs.secret_file.display()))?;
    let secret = envelope::Secret::new(text.lines().next().unwrap_or_default().to_owned());
    Ok(Arc::new(directory::WithSrs::new(directory, directory::Srs::new(srs, secret)?)))
}
