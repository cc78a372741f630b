//! The set of rules in force: loaded, reloaded, watched, and taken back when it stops too much.
//!
//! In the folder that it keeps: `proven.json`, the last set that passed its watch, and `tripped`, versions that did not.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cel::Env;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared_state::{CounterKey, SharedState};
use tracing::{error, info, warn};

use super::PolicyError;
use super::config::PolicyConfig;
use super::evaluate::{self, Decision, Rate};
use super::facts::Subject;
use super::file::Exceeded;
use super::guard::{Counts, Guard};
use super::load::{Fault, RuleSet};
use crate::{Action, Refusal};

/// The last good set.
const PROVEN: &str = "proven.json";
/// Versions that a guard took back, one a line.
const TRIPPED: &str = "tripped";
/// Versions that are remembered.
const TRIPPED_MAX: usize = 100;

/// The rules in force. One for a process.
pub struct Policy {
    config: PolicyConfig,
    folder: PathBuf,
    /// Where it keeps what it must know after a restart; `None` keeps nothing.
    kept: Option<PathBuf>,
    env: Arc<Env>,
    inner: Mutex<Inner>,
    /// Counts, also while other nodes can't be heard.
    state: Arc<dyn SharedState>,
    metrics: Metrics,
}

struct Inner {
    current: Arc<RuleSet>,
    former: Option<Arc<RuleSet>>,
    guard: Guard,
    tripped: HashSet<String>,
    /// The text that was looked at last and not taken, so that its faults are said once.
    refused: String,
    proven: bool,
    /// What is to be known after a restart has changed.
    unwritten: bool,
}

/// What a look at the files came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reloaded {
    /// Another set is in force.
    Taken(String),
    /// Nothing has changed, or what there is was refused before.
    Same,
    /// The new text has faults; the set before goes on.
    Refused(Vec<Fault>),
}

#[derive(Serialize, Deserialize)]
struct Proven {
    files: BTreeMap<PathBuf, String>,
}

struct Metrics {
    rules: IntCounterVec,
    reloads: IntCounterVec,
    trips: IntCounter,
    count: IntGauge,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(format!("sluice_filters_policy_{name}"), help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let trips = IntCounter::new(
            "sluice_filters_policy_guard_trips_total",
            "Sets of rules that were taken back because they stopped too much.",
        )?;
        registry.register(Box::new(trips.clone()))?;
        let count = IntGauge::new("sluice_filters_policy_rules", "Rules in force.")?;
        registry.register(Box::new(count.clone()))?;
        Ok(Self {
            rules: counters(
                "hits_total",
                "Messages that a rule fitted, by what followed.",
                &["rule", "outcome"],
            )?,
            reloads: counters("reloads_total", "Looks at changed rules, by outcome.", &["outcome"])?,
            trips,
            count,
        })
    }
}

impl Policy {
    /// Loads the rules of `folder`. With faults in them the last good set, kept in `kept`, is in force; without one there is an error.
    pub fn open(
        config: PolicyConfig,
        folder: PathBuf,
        kept: Option<PathBuf>,
        state: Arc<dyn SharedState>,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let metrics = Metrics::new(registry).map_err(|error| PolicyError::Metrics(error.to_string()))?;
        let tripped = kept.as_deref().map(read_tripped).unwrap_or_default();
        let proven = || kept.as_deref().and_then(|kept| read_proven(kept, &config));
        let had_rules = proven().is_some_and(|set| !set.rules.is_empty());
        let loaded = look(&folder, &config, had_rules);
        let (current, refused) = match loaded {
            Ok(set) if !tripped.contains(&set.version) => (set, String::new()),
            Ok(set) => {
                warn!(
                    version = set.version,
                    "these rules were taken back before: the last good set is in force"
                );
                let Some(good) = proven() else {
                    let place = folder.display().to_string();
                    let problem =
                        "these rules were taken back before, and no good set is kept: change them".to_owned();
                    return Err(OpenError::Faults(vec![Fault { place, problem }]));
                };
                (good, set.version)
            }
            Err(faults) => match proven() {
                Some(set) => {
                    faults.iter().for_each(|fault| error!(%fault, "the rules have a fault"));
                    error!(version = set.version, "the last good set of rules is in force");
                    (set, String::new())
                }
                None => return Err(OpenError::Faults(faults)),
            },
        };
        metrics.count.set(i64::try_from(current.rules.len()).unwrap_or(i64::MAX));
        // Rules that were changed while nothing ran are watched as others are.
        let former = proven().filter(|set| set.version != current.version).map(Arc::new);
        let inner = Inner {
            current: Arc::new(current),
            former,
            guard: Guard::new(Instant::now(), Counts::default()),
            tripped,
            refused,
            proven: false,
            unwritten: false,
        };
        let env = Arc::new(Env::stdlib());
        Ok(Self { config, folder, kept, env, inner: Mutex::new(inner), state, metrics })
    }

    /// The set in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.lock().current)
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.lock().current.rules.is_empty()
            && self.config.quarantine_score == 0
            && self.config.reject_score == 0
    }

    /// How often [`Policy::reload`] is to be called.
    pub fn reload_interval(&self) -> std::time::Duration {
        self.config.reload_interval.into()
    }

    /// Looks at the files; blocks on the disk.
    pub fn reload(&self) -> Reloaded {
        self.reload_unless(|_| Vec::new())
    }

    /// The same for a program that can't do all that rules may ask for: a set in which `unsuitable` finds faults is not taken.
    pub fn reload_unless(&self, unsuitable: impl FnOnce(&RuleSet) -> Vec<Fault>) -> Reloaded {
        self.settle();
        let had_rules = !self.rules().rules.is_empty();
        let loaded = look(&self.folder, &self.config, had_rules).and_then(|set| {
            let faults = unsuitable(&set);
            if faults.is_empty() { Ok(set) } else { Err(faults) }
        });
        let mut inner = self.lock();
        let set = match loaded {
            Ok(set) => set,
            Err(faults) => {
                let text: String = faults.iter().map(ToString::to_string).collect();
                if inner.refused == text {
                    return Reloaded::Same;
                }
                faults.iter().for_each(|fault| error!(%fault, "the rules have a fault"));
                error!(
                    version = inner.current.version,
                    "the rules are not taken: the set before stays in force"
                );
                inner.refused = text;
                self.metrics.reloads.with_label_values(&["refused"]).inc();
                return Reloaded::Refused(faults);
            }
        };
        if set.version == inner.current.version || inner.tripped.contains(&set.version) {
            return Reloaded::Same;
        }
        info!(version = set.version, former = inner.current.version, rules = set.rules.len(), "rules taken");
        let version = set.version.clone();
        self.put(&mut inner, Arc::new(set));
        self.metrics.reloads.with_label_values(&["taken"]).inc();
        Reloaded::Taken(version)
    }

    fn put(&self, inner: &mut Inner, set: Arc<RuleSet>) {
        self.metrics.count.set(i64::try_from(set.rules.len()).unwrap_or(i64::MAX));
        let before = std::mem::replace(&mut inner.current, set);
        // One that is still watched may be as bad as the next: the last good set is the one to come back to, and the one to be compared with.
        let counts = if inner.proven || inner.former.is_none() {
            inner.former = Some(before);
            inner.guard.counts()
        } else {
            inner.guard.former()
        };
        inner.guard = Guard::new(Instant::now(), counts);
        inner.refused = String::new();
        inner.proven = false;
    }

    /// A set whose watch is over is the one to come back to, also after a restart; and one that was taken back is not taken again then. Blocks on the disk.
    pub(crate) fn settle(&self) {
        let mut inner = self.lock();
        if !inner.proven && inner.guard.is_over(Instant::now(), &self.config.guard) {
            (inner.proven, inner.unwritten) = (true, true);
        }
        if !std::mem::take(&mut inner.unwritten) {
            return;
        }
        let good = if inner.proven { Some(inner.current.files.clone()) } else { None };
        let tripped: Vec<String> = inner.tripped.iter().take(TRIPPED_MAX).cloned().collect();
        drop(inner);
        let Some(kept) = &self.kept else { return };
        let proven = good.map_or(Ok(()), |files| {
            write(&kept.join(PROVEN), &serde_json::to_vec(&Proven { files }).unwrap_or_default())
        });
        let tripped = if tripped.is_empty() {
            Ok(())
        } else {
            write(&kept.join(TRIPPED), tripped.join("\n").as_bytes())
        };
        if let Err(error) = proven.and(tripped) {
            warn!(%error, "which rules are good and which were taken back could not be kept: it is tried again");
            self.lock().unwritten = true;
        }
    }

    /// Asks the rules about a message.
    pub async fn judge(&self, subject: Subject<'_>) -> Result<Decision, PolicyError> {
        let rules = self.rules();
        let mut decision = evaluate::evaluate(&rules, &self.env, subject, &self.config, false)?;
        for rate in std::mem::take(&mut decision.rates) {
            self.count_rate(&rate, &mut decision).await;
        }
        self.count(&rules, &decision);
        Ok(decision)
    }

    /// What every rule says about a message. Nothing is counted.
    pub fn explain(&self, subject: Subject<'_>) -> Result<Decision, PolicyError> {
        ask(&self.rules(), subject, &self.config, true)
    }

    async fn count_rate(&self, rate: &Rate, decision: &mut Decision) {
        let Ok(key) = CounterKey::new("policy", rate.key.name(), &digest(&rate.rule, &rate.whom)) else {
            return;
        };
        let exceeded = match self.state.count(&key, rate.window, 1).await {
            Ok(counted) => counted > rate.limit,
            Err(error) => {
                warn!(%error, rule = rate.rule, "a rate could not be counted");
                false
            }
        };
        if !exceeded {
            return;
        }
        let text = if rate.text.is_empty() { "Too many messages, try again later" } else { &rate.text };
        let action = match rate.exceeded {
            Exceeded::Quarantine => Action::Quarantine,
            Exceeded::Reject => Action::Refuse(Refusal::permanent((5, 7, 1), text)),
            Exceeded::Tempfail => Action::Refuse(Refusal::temporary((4, 7, 1), text)),
        };
        decision.decide(action, format!("{}: more than {} by {}", rate.rule, rate.limit, rate.key.name()));
    }

    fn count(&self, rules: &Arc<RuleSet>, decision: &Decision) {
        for fired in &decision.fired {
            let outcome = if fired.enforced { "enforced" } else { "shadow" };
            self.metrics.rules.with_label_values(&[fired.rule.as_str(), outcome]).inc();
        }
        for (rule, _) in &decision.failed {
            self.metrics.rules.with_label_values(&[rule.as_str(), "failed"]).inc();
        }
        let mut inner = self.lock();
        if !Arc::ptr_eq(rules, &inner.current) {
            return;
        }
        let stopped = decision.action != Action::Accept;
        let Some(why) = inner.guard.count(stopped, Instant::now(), &self.config.guard) else { return };
        self.take_back(&mut inner, &why);
    }

    /// The former set comes back, and this text is not taken again. It is written at the next look at the files, where the disk may be waited for.
    fn take_back(&self, inner: &mut Inner, why: &str) {
        let bad = inner.current.version.clone();
        let Some(former) = inner.former.clone() else {
            error!(version = bad, why, "the rules stop too much, and there is no former set to come back to");
            return;
        };
        error!(
            version = bad,
            former = former.version,
            why,
            "the rules stop too much: the former set is back"
        );
        self.metrics.trips.inc();
        inner.tripped.insert(bad);
        self.put(inner, former);
        inner.former = None;
        inner.guard = Guard::unwatched(Instant::now(), Counts::default());
        inner.proven = true;
        inner.unwritten = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("version", &self.rules().version).finish_non_exhaustive()
    }
}

/// Why there are no rules in force.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The files have faults, and there is no good set to fall back on.
    #[error("the rules have faults, and no good set is kept: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
    /// Something of ours.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// What every rule of a set says about a message; with a trace where that is wanted.
pub(super) fn ask(
    rules: &Arc<RuleSet>,
    subject: Subject<'_>,
    config: &PolicyConfig,
    traced: bool,
) -> Result<Decision, PolicyError> {
    evaluate::evaluate(rules, &Arc::new(Env::stdlib()), subject, config, traced)
}

/// Reads the folder. A folder that is gone is no wish to have no rules: it may be a mount that is away, and mail would pass that nobody looked at.
fn look(folder: &Path, config: &PolicyConfig, had_rules: bool) -> Result<RuleSet, Vec<Fault>> {
    if had_rules && !folder.exists() {
        let problem = "the folder of rules is gone; an empty one means that there are to be none".to_owned();
        return Err(vec![Fault { place: folder.display().to_string(), problem }]);
    }
    RuleSet::load(folder, config)
}

fn digest(rule: &str, whom: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(rule);
    hash.update([0]);
    hash.update(whom);
    hash.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

fn read_proven(kept: &Path, config: &PolicyConfig) -> Option<RuleSet> {
    let text = fs::read(kept.join(PROVEN)).ok()?;
    let proven: Proven = serde_json::from_slice(&text).ok()?;
    RuleSet::compile(proven.files, config).ok()
}

fn read_tripped(kept: &Path) -> HashSet<String> {
    let text = fs::read_to_string(kept.join(TRIPPED)).unwrap_or_default();
    text.lines().map(str::to_owned).take(TRIPPED_MAX).collect()
}

/// Beside the file and renamed, so that no start finds half of it.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
