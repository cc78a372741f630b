//! One process: settings → parts → roles → ready → signal → drain.

mod control;
mod failures;
pub(crate) mod filters;
mod keys;
mod nodes;
mod parts;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::Drain;
use runtime::health::Health;
use runtime::signals::{Hangup, Terminate};
use shared_state::SharedState as _;
use tracing::{info, warn};

use crate::announce::Announcement;
use crate::arguments::Node;
use crate::data::DataFolder;
use crate::listing;
use crate::roles::Role;
use crate::settings::Settings;
use parts::Parts;

pub(crate) use failures::Failures;

/// How often the store is given time for upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long work on files that nobody waits for any more may go on at the end.
const LEFTOVERS_MAX: Duration = Duration::from_secs(1);
/// A node with fewer files than this may run out of them in a burst: connections, mailboxes, messages that are being written.
const OPEN_FILES_USUAL: u64 = 8192;
/// The domain of a first start.
const FIRST_DOMAIN: &str = "example.test";

/// Runs `roles` until SIGTERM or SIGINT.
pub(crate) fn run(node: &Node, roles: &[Role]) -> anyhow::Result<()> {
    let mut settings = Settings::load(&node.place)?;
    settings.listen_from(node.effective_port_base(), roles);
    let executor = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Work on files is bounded by the pool; directory and queue have bounds of their own.
        .max_blocking_threads(settings.blocking.slots.saturating_mul(2).saturating_add(64))
        .build()
        .context("failed to start")?;
    let served = executor.block_on(serve(node, settings, roles));
    // A thread that waits for a disk that is away, or works on what its client gave up long ago, must not hold the
    // process: everything that has to be on disk is there by now.
    executor.shutdown_timeout(LEFTOVERS_MAX);
    served
}

/// As many as the system lets this process have.
fn allow_open_files() {
    let most = runtime::process::raise_open_files();
    if let Some(most) = most.filter(|most| *most < OPEN_FILES_USUAL) {
        warn!(
            most,
            usual = OPEN_FILES_USUAL,
            "few files may be open at once: raise the hard limit (LimitNOFILE= in systemd)"
        );
    }
}

async fn serve(node: &Node, settings: Settings, roles: &[Role]) -> anyhow::Result<()> {
    let process = process_name(roles);
    let data = DataFolder::create(&node.place.data)?;
    let _locks = roles.iter().map(|role| data.lock(role.name())).collect::<anyhow::Result<Vec<_>>>()?;
    let registry = prometheus::Registry::new();
    let _telemetry = runtime::telemetry::init(&settings.log, process, &data.trail(), &registry)?;
    runtime::process::observe(&registry)?;
    allow_open_files();
    let mut terminate = Terminate::new().context("failed to listen for signals")?;
    let hangup = Hangup::new().context("failed to listen for signals")?;
    let first = roles.len() > 1 && data.is_new();
    if first {
        data.begin_installation()?;
        add_first_domain(&settings)?;
    }
    let parts = Parts::open(&settings, &data, &registry, roles, process, first).await?;
    if first {
        data.complete_installation()?;
    }

    let (drain, health) = (Drain::new(), Health::new());
    let latch = health.component(process);
    let mut addresses: BTreeMap<String, SocketAddr> = BTreeMap::new();
    let listener = listen_for_health(settings.health.listen).await?;
    addresses.insert("health".to_owned(), listener.local_addr()?);
    let running = parts.bind_roles(&settings, roles, &mut addresses).await?;
    // Outside the drain's tasks: health answers until they have all ended, so that a drain can be watched.
    let health_server = tokio::spawn(runtime::health::serve(
        listener,
        settings.health.clone(),
        registry.clone(),
        health.clone(),
        drain.clone(),
    ));
    let serving = running.spawn(&drain);
    let upkeep = begin_upkeep(&parts, &drain);
    drop(tokio::spawn(parts.certificates.clone().run(hangup, drain.clone())));
    let _control = control::begin(&data.run(), process, parts.remembered(), &drain);
    latch.ready();
    let announcement = Announcement { pid: std::process::id(), addresses };
    let announced = announcement.publish(&data.run(), process)?;
    info!(process, addresses = ?announcement.addresses, "ready");
    welcome(node, roles, &announcement, first);

    let signal = terminate.next().await;
    info!(signal, "draining");
    latch.not_ready("draining");
    drop(announced);
    drain.begin();
    let open = tokio::select! {
        open = finish(serving, &drain, settings.drain_grace.as_duration()) => open,
        signal = terminate.next() => bail!("told to end a second time ({signal}): not waiting for sessions"),
    };
    let closing = async {
        if let Some(task) = upkeep {
            let _ = task.await;
        }
        parts.close().await;
    };
    tokio::select! {
        closed = tokio::time::timeout(settings.drain_grace.as_duration(), closing) => if closed.is_err() {
            warn!("a disk did not answer in the grace: what could not be synced was not confirmed to anybody");
        },
        signal = terminate.next() => bail!("told to end a second time ({signal}): not waiting for the disks"),
    }
    health_server.abort();
    if open > 0 {
        warn!(open, "the grace passed with sessions open");
    }
    info!("ended");
    Ok(())
}

async fn listen_for_health(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.with_context(|| format!("failed to listen on {address} for metrics and health"))
}

const fn process_name(roles: &[Role]) -> &'static str {
    match roles {
        [role] => role.name(),
        _ => "up",
    }
}

/// Waits for the roles and their sessions, at most `grace` in all. Gives how many tasks were still open then.
async fn finish(serving: tokio::task::JoinSet<()>, drain: &Drain, grace: Duration) -> usize {
    let began = tokio::time::Instant::now();
    if tokio::time::timeout(grace, serving.join_all()).await.is_err() {
        return drain.open().max(1);
    }
    drain.finish(grace.saturating_sub(began.elapsed())).await
}

/// What goes on beside the roles: the store's upkeep, counts for reports, and what other nodes tell it.
fn begin_upkeep(parts: &Parts, drain: &Drain) -> Option<tokio::task::JoinHandle<()>> {
    if let Some(tally) = parts.tls_reports.clone() {
        let drain = drain.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = drain.requested() => {}
                () = tally.upkeep() => {}
            }
        });
    }
    let store = parts.store.clone()?;
    if parts.shared.has_signals {
        let events = parts.shared.state.subscribe();
        let following = nodes::follow(events, store.clone(), parts.blocking.clone(), drain.clone());
        drop(tokio::spawn(following));
    }
    Some(tokio::spawn(upkeep(store, parts.blocking.clone(), drain.clone())))
}

/// Gives the store time for what it put off, until the drain begins.
async fn upkeep(store: store::Store, blocking: runtime::BlockingPool, drain: Drain) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = interval.tick() => {}
        }
        let store = store.clone();
        if let Err(error) = blocking.run(move || store.tick()).await {
            warn!(%error, "the store's upkeep waits");
        }
    }
}

fn add_first_domain(settings: &Settings) -> anyhow::Result<()> {
    let mut admin = directory::Admin::open(&settings.directory)?;
    if admin.domains()?.is_empty() {
        admin.add_domain(&FIRST_DOMAIN.parse()?, &directory::DomainChange::default())?;
    }
    Ok(())
}

/// What a person at a terminal wants to know.
fn welcome(node: &Node, roles: &[Role], announcement: &Announcement, first: bool) {
    let data = node.place.data.display();
    let mut text = format!("sluice {} runs over `{data}`\n", process_name(roles));
    for (name, address) in &announcement.addresses {
        let _ = writeln!(text, "  {name:<12} {address}");
    }
    if first {
        let _ = writeln!(text, "\nThe domain {FIRST_DOMAIN} is ready and empty. Add somebody:");
        let _ = writeln!(text, "  {} account add you@{FIRST_DOMAIN} --data {data}", program());
    }
    if let Some(web) = announcement.addresses.get("web") {
        let _ = writeln!(text, "\nWebmail: http://{web}/");
    }
    // Nobody may be reading; that is no reason to end.
    let _ = listing::write(&text);
}

/// The command as the person typed it.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "sluice".to_owned())
}

/// What [`Parts`] shares between roles.
pub(crate) type SharedDirectory = Arc<dyn directory::Directory>;
