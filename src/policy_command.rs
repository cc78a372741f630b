//! `sluice policy`: the security team's rules, tried before they decide about mail.

mod diff;
mod explain;
mod facts;
mod given;
mod mbox;
mod replay;
mod stored;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use filters::{CaseOutcome, Fault, Mode, PolicyConfig, RuleSet, run_cases};

use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say everything that is wrong with the rules, at once, each with its file and line.
    Check {
        /// The folder of rules; by default that of the configuration.
        folder: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Which stored messages two sets of rules judge differently.
    Diff(diff::Arguments),
    /// What each rule says about one message, and what it looked at.
    Explain(Box<explain::Arguments>),
    /// What rules may speak of: every variable, field and function, as Markdown.
    Facts {
        /// Taken for the sake of scripts that give it to every command; not used.
        #[arg(long, hide = true)]
        data: Option<PathBuf>,
    },
    /// What the rules would have done with stored messages.
    Replay(replay::Arguments),
    /// Run the cases beside the rules (`tests/*.toml`).
    Test {
        /// The folder of rules; by default that of the configuration.
        folder: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Check { folder, json, place } => check(&Rules::of(place, folder.as_deref())?, *json),
        Action::Diff(arguments) => diff::run(arguments),
        Action::Explain(arguments) => explain::run(arguments),
        Action::Facts { data: _ } => listing::write(facts::reference()),
        Action::Replay(arguments) => replay::run(arguments),
        Action::Test { folder, json, place } => test(&Rules::of(place, folder.as_deref())?, *json),
    }
}

/// Where the rules are, and what the configuration says about them.
struct Rules {
    folder: PathBuf,
    config: PolicyConfig,
}

impl Rules {
    /// Those of `given`, or of the folder that the configuration names.
    fn of(place: &Place, given: Option<&Path>) -> anyhow::Result<Self> {
        Self::in_settings(&Settings::load(place)?, place, given)
    }

    fn in_settings(settings: &Settings, place: &Place, given: Option<&Path>) -> anyhow::Result<Self> {
        let config = settings.filters.policy.clone();
        let folder = match given {
            Some(given) if !given.is_dir() => bail!("`{}` is no folder of rules", given.display()),
            Some(given) => given.to_path_buf(),
            None if config.folder.as_os_str().is_empty() => place.data.join("policy"),
            None => config.folder.clone(),
        };
        Ok(Self { folder, config })
    }

    /// Loads them; what is wrong is told on standard error.
    fn load(&self) -> anyhow::Result<RuleSet> {
        RuleSet::load(&self.folder, &self.config).or_else(|faults| {
            faults.iter().for_each(|fault| listing::warn(&listing::clean(&fault.to_string())));
            bail!("{}", self.faults(&faults))
        })
    }

    fn faults(&self, faults: &[Fault]) -> String {
        let count = counted(faults.len(), "fault");
        format!("{count} in the rules of `{}`: a gateway would not take them", self.folder.display())
    }
}

fn check(rules: &Rules, json: bool) -> anyhow::Result<()> {
    let set = match RuleSet::load(&rules.folder, &rules.config) {
        Ok(set) => set,
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(|fault| listing::clean(&fault.to_string())).collect();
            if json {
                write_json(&serde_json::json!({ "faults": lines }))?;
            } else {
                listing::write(lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            }
            bail!("{}", rules.faults(&faults));
        }
    };
    let warnings = warnings(&set);
    if json {
        return write_json(&serde_json::json!({
            "faults": [], "rules": set.rules().len(), "lists": set.list_count(), "version": set.version(), "warnings": warnings,
        }));
    }
    warnings.iter().for_each(|warning| listing::warn(warning));
    if set.rules().is_empty() {
        listing::warn(&format!("there are no rules in `{}`", rules.folder.display()));
    }
    let (count, lists) = (counted(set.rules().len(), "rule"), counted(set.list_count(), "list"));
    listing::write(format!("{count}, {lists}, version {}: nothing wrong\n", set.version()))
}

/// Rules that do nothing, though somebody may think so.
fn warnings(set: &RuleSet) -> Vec<String> {
    let now = now();
    let warning = |rule: &filters::Rule| {
        let what = if rule.is_expired(now) {
            "expired: it does nothing any more"
        } else if rule.mode() == Mode::Shadow {
            "in shadow: it is counted and logged, nothing else"
        } else {
            return None;
        };
        Some(format!("{}: `{}` is {what}", rule.place, rule.name))
    };
    set.rules().iter().filter_map(warning).collect()
}

fn test(rules: &Rules, json: bool) -> anyhow::Result<()> {
    let set = rules.load()?;
    let outcomes = run_cases(set, &rules.folder, &rules.config)
        .map_err(|fault| anyhow::anyhow!("{}", listing::clean(&fault.to_string())))?;
    let failed = outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count();
    if json {
        write_json(&outcomes)?;
    } else {
        listing::write(outcomes.iter().map(told).collect::<String>())?;
        if outcomes.is_empty() {
            let folder = rules.folder.display();
            listing::warn(&format!("there are no cases in `{folder}`: they are in files `tests/*.toml`"));
        }
        listing::write(format!("{}, {failed} failed\n", counted(outcomes.len(), "case")))?;
    }
    if failed > 0 {
        bail!("{failed} of {} did not end as expected", counted(outcomes.len(), "case"));
    }
    Ok(())
}

/// A failed case in lines for people; nothing of one that passed.
fn told(outcome: &CaseOutcome) -> String {
    if outcome.failures.is_empty() {
        return String::new();
    }
    let failures = outcome.failures.iter().map(|failure| format!("  {}\n", listing::clean(failure)));
    format!("{}\n{}", listing::clean(&outcome.case), failures.collect::<String>())
}

fn write_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    listing::write(serde_json::to_string_pretty(value).context("failed to write JSON")? + "\n")
}

/// `1 rule`, `2 rules`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
