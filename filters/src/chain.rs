//! All checks in their order, for a session and its messages.
//!
//! ```text
//!  connect ──▶ reputation, the peer's name, milters
//!  HELO, MAIL, RCPT ──▶ reputation, milters
//!  message ──▶ authentication ┐
//!              scanners       ┴─▶ milters, one after the other ──▶ reputation ──▶ policy ──▶ Judged
//! ```
//! The graver decision stands; what each check wants changed is gathered in the order of the checks and made once, by whoever asked ([`crate::apply`]).

mod judged;
mod session;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use tokio::time::timeout;
use tracing::error;

use crate::authentication::Authenticator;
use crate::dns::Dns;
use crate::milter::Milters;
use crate::policy::{Policy, PolicyOpenError, Reloaded};
use crate::reports::{ReportKind, Tally, TallyError};
use crate::reputation::Reputation;
use crate::scanner::Scanners;
use crate::{Action, Config};

pub use judged::{Judged, SoFar};
pub use session::{Client, FilterSession};

/// A look at the rules that takes longer is told of, each time that it has gone on for so long.
const LOOK_TOLD_AFTER: Duration = Duration::from_secs(30);

/// What the room needs from the process that runs it.
pub struct Deps {
    /// Where metrics are registered.
    pub registry: Registry,
    /// The folder of rules where the configuration names none.
    pub policy: PathBuf,
    /// Where the room keeps what it must know after a restart.
    pub kept: PathBuf,
    /// Whom checks ask.
    pub dns: Arc<dyn Dns>,
    /// What is known and remembered of peers.
    pub reputation: Arc<Reputation>,
}

/// All checks. One for a process.
pub struct Filters {
    config: Config,
    hostname: String,
    dns: Arc<dyn Dns>,
    reputation: Arc<Reputation>,
    authenticator: Authenticator,
    milters: Milters,
    scanners: Scanners,
    policy: Policy,
    /// What domains hear of mail in their names, where that is wanted.
    reports: Option<Arc<Tally>>,
    metrics: Metrics,
}

/// Why checks can't be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The library for signatures.
    #[error("the checks of signatures can't be set up: {0}")]
    Authentication(String),
    /// The rules.
    #[error(transparent)]
    Policy(#[from] PolicyOpenError),
    /// Two metrics have one name.
    #[error("failed to register the metrics of filters")]
    Metrics(#[from] prometheus::Error),
    /// Counts for reports.
    #[error(transparent)]
    Reports(#[from] TallyError),
}

struct Metrics {
    verdicts: IntCounterVec,
    authentication: IntCounterVec,
    seconds: Histogram,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(format!("sluice_filters_{name}"), help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let seconds =
            HistogramOpts::new("sluice_filters_message_seconds", "Time that all checks of a message took.")
                .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]);
        let seconds = Histogram::with_opts(seconds)?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            verdicts: counters("verdicts_total", "Messages judged, by what became of them.", &["action"])?,
            authentication: counters(
                "authentication_total",
                "Results of SPF, DKIM and DMARC.",
                &["method", "result"],
            )?,
            seconds,
        })
    }

    fn judged(&self, action: &Action) {
        self.verdicts.with_label_values(&[crate::action_name(action)]).inc();
    }
}

impl Filters {
    /// Opens every check. Nothing is connected yet.
    pub fn open(config: Config, hostname: &str, deps: Deps) -> Result<Arc<Self>, OpenError> {
        let Deps { registry, policy, kept, dns, reputation } = deps;
        let folder =
            if config.policy.folder.as_os_str().is_empty() { policy } else { config.policy.folder.clone() };
        let authenticator = Authenticator::new(config.authentication.clone(), Arc::clone(&dns))
            .map_err(OpenError::Authentication)?;
        let reports = if config.reports.is_on() {
            let folder = kept.join("reports");
            Some(Tally::new(ReportKind::Dmarc, folder, config.reports.clone(), &registry)?)
        } else {
            None
        };
        Ok(Arc::new(Self {
            hostname: hostname.to_owned(),
            reports,
            authenticator,
            milters: Milters::new(&config.milters, &registry)?,
            scanners: Scanners::new(&config.scanners, &registry)?,
            policy: Policy::open(
                config.policy.clone(),
                folder,
                Some(kept),
                reputation.counters(),
                &registry,
            )?,
            metrics: Metrics::new(&registry)?,
            reputation,
            dns,
            config,
        }))
    }

    /// Begins with a client.
    pub fn session(self: &Arc<Self>, client: Client) -> FilterSession {
        FilterSession::new(Arc::clone(self), client)
    }

    /// The rules in force.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Looks at changed rules and writes counts for reports, for as long as it is polled.
    pub async fn upkeep(self: Arc<Self>) {
        match self.reports.clone() {
            Some(reports) => {
                tokio::join!(self.look_at_rules(), reports.upkeep());
            }
            None => self.look_at_rules().await,
        }
    }

    /// Writes what is left to write when sessions have ended. Blocks.
    pub fn close(&self) {
        self.policy.settle();
        if let Some(reports) = &self.reports {
            reports.flush(SystemTime::now());
        }
    }

    /// The names under which gateways of this site write results.
    fn our_names(&self) -> impl Iterator<Item = &str> {
        let others = self.config.authentication.own_names.iter().map(String::as_str);
        std::iter::once(self.hostname.as_str()).chain(others)
    }

    async fn look_at_rules(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.policy.reload_interval());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let filters = Arc::clone(&self);
            // Files are read there; a folder on a disk that hangs holds nothing else up.
            let mut looking = tokio::task::spawn_blocking(move || filters.policy.reload());
            let looked = loop {
                match timeout(LOOK_TOLD_AFTER, &mut looking).await {
                    Ok(looked) => break looked,
                    Err(_) => error!("the folder of rules does not answer: the rules in force go on"),
                }
            };
            if let Err(failure) = looked {
                error!(%failure, "looking at the rules ended badly");
            } else if let Ok(Reloaded::Refused(faults)) = looked {
                error!(faults = faults.len(), "changed rules were not taken");
            }
        }
    }

    /// The name of a peer: that of a reverse look-up that leads back to it (RFC 8601 §2.7.3); `None` without one, or in no time.
    async fn name_of(&self, peer: IpAddr) -> Option<String> {
        /// Names of one address that are followed.
        const NAMES_MAX: usize = 3;
        let asked = async {
            for name in self.dns.ptr(peer).await.ok()?.into_iter().take(NAMES_MAX) {
                let leads_back = match peer {
                    IpAddr::V4(v4) => self.dns.a(&name).await.is_ok_and(|found| found.contains(&v4)),
                    IpAddr::V6(v6) => self.dns.aaaa(&name).await.is_ok_and(|found| found.contains(&v6)),
                };
                if leads_back {
                    return Some(name);
                }
            }
            None
        };
        timeout(self.config.dns.question_max.as_duration().max(Duration::from_millis(1)), asked).await.ok()?
    }
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filters").field("policy", &self.policy).finish_non_exhaustive()
    }
}
