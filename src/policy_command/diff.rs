//! `sluice policy diff`: stored messages, judged by two sets of rules.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use filters::{Decision, Headline, Situation, action_name, crlf, headline, judge};
use serde::Serialize;

use super::stored::Walk;
use super::{Rules, now, write_json};
use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of the rules that there are.
    old: PathBuf,
    /// The folder of the rules that are to come.
    new: PathBuf,
    /// Messages: files, Maildirs and folders of them, mbox files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name at most so many messages; the counts are of all.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// What the two sets say differently.
#[derive(Debug, Default, Serialize)]
struct Compared {
    old_version: String,
    new_version: String,
    messages: u64,
    left_out: u64,
    /// Messages with another verdict, other changes or other rules.
    different: u64,
    /// `accept -> reject`, and how many.
    verdicts: BTreeMap<String, u64>,
    shown: Vec<Difference>,
}

/// A message that the two sets judge differently.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    place: String,
    from: &'static str,
    to: &'static str,
    /// Rules that fit only under the old set.
    rules_gone: Vec<String>,
    /// Rules that fit only under the new set.
    rules_new: Vec<String>,
    headline: Headline,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.place)?;
    let rules = |folder: &PathBuf| Rules::in_settings(&settings, &arguments.place, Some(folder));
    let (old_rules, new_rules) = (rules(&arguments.old)?, rules(&arguments.new)?);
    let (old, new) = (Arc::new(old_rules.load()?), Arc::new(new_rules.load()?));
    let mut compared = Compared {
        old_version: old.version().to_owned(),
        new_version: new.version().to_owned(),
        ..Compared::default()
    };
    let now = now();
    let mut walk = Walk::over(&arguments.paths, settings.gateway.limits.message_size_max)?;
    walk.each(|place, octets| {
        let message = crlf(octets);
        let situation = Situation::of_stored(&message, &settings.hostname, now);
        let judge = |rules| {
            judge(rules, &situation, &message, &old_rules.config)
                .with_context(|| format!("the rules could not be asked about `{place}`"))
        };
        compared.messages += 1;
        if let Some(difference) = difference(place, &judge(&old)?, &judge(&new)?, &message) {
            compared.take(difference, arguments.limit);
        }
        Ok(())
    })?;
    compared.left_out = walk.left_out;
    if arguments.json { write_json(&compared) } else { compared.tell() }
}

fn difference(place: &str, old: &Decision, new: &Decision, message: &[u8]) -> Option<Difference> {
    let outcome = |decision: &Decision| (decision.action.clone(), decision.changes.clone());
    let (old_rules, new_rules) = (fitting(old), fitting(new));
    if outcome(old) == outcome(new) && old.journals == new.journals && old_rules == new_rules {
        return None;
    }
    let without = |one: &[String], other: &[String]| {
        one.iter().filter(|rule| !other.contains(rule)).cloned().collect::<Vec<_>>()
    };
    Some(Difference {
        place: place.to_owned(),
        from: action_name(&old.action),
        to: action_name(&new.action),
        rules_gone: without(&old_rules, &new_rules),
        rules_new: without(&new_rules, &old_rules),
        headline: headline(message),
    })
}

/// The rules that fit, or fail, each with what it is when it is not enforced.
fn fitting(decision: &Decision) -> Vec<String> {
    let fired = decision.fired.iter().map(|fired| {
        let shadow = if fired.enforced { "" } else { " (shadow)" };
        format!("{}{shadow}", fired.rule)
    });
    fired.chain(decision.failed.iter().map(|(rule, _)| format!("{rule} (failed)"))).collect()
}

impl Compared {
    fn take(&mut self, difference: Difference, limit: usize) {
        self.different += 1;
        *self.verdicts.entry(format!("{} -> {}", difference.from, difference.to)).or_default() += 1;
        if self.shown.len() < limit {
            self.shown.push(difference);
        }
    }

    fn tell(&self) -> anyhow::Result<()> {
        if !self.shown.is_empty() {
            let headings = ["message", "verdict", "rules", "message id", "from", "subject"];
            listing::print(false, &self.shown, &headings, |one| {
                let verdict = if one.from == one.to {
                    one.to.to_owned()
                } else {
                    format!("{} -> {}", one.from, one.to)
                };
                let gone = one.rules_gone.iter().map(|rule| format!("-{rule}"));
                let rules: Vec<String> =
                    gone.chain(one.rules_new.iter().map(|rule| format!("+{rule}"))).collect();
                let headline = &one.headline;
                let words = [&headline.message_id, &headline.from, &headline.subject];
                [vec![one.place.clone(), verdict, rules.join(" ")], words.map(Clone::clone).to_vec()].concat()
            })?;
            listing::write("\n")?;
            let verdicts: Vec<_> = self.verdicts.iter().collect();
            listing::print(false, &verdicts, &["verdict", "messages"], |(verdict, count)| {
                vec![(*verdict).clone(), count.to_string()]
            })?;
        }
        let not_shown = self.different.saturating_sub(self.shown.len() as u64);
        if not_shown > 0 {
            listing::warn(&format!("{not_shown} more differ: --limit has them shown"));
        }
        listing::write(format!(
            "judged differently: {} of {} messages, left out: {}; rules of version {} and {}\n",
            self.different, self.messages, self.left_out, self.old_version, self.new_version
        ))
    }
}
