//! `sluice policy replay`: stored messages, judged as if they came now.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use filters::{Decision, Headline, RuleSet, Situation, action_name, crlf, headline, judge};
use serde::Serialize;

use super::stored::Walk;
use super::{Rules, now, write_json};
use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Messages: files, Maildirs and folders of them, mbox files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder of rules; by default that of the configuration.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Name the messages that this rule fits.
    #[arg(long, value_name = "RULE")]
    show: Option<String>,
    /// At most so many of them.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// What became of all messages.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    version: String,
    messages: u64,
    left_out: u64,
    actions: BTreeMap<&'static str, u64>,
    rules: Vec<Hits>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shown: Vec<Shown>,
    /// Messages that fit too, beyond the limit.
    not_shown: u64,
}

/// How often a rule fitted.
#[derive(Debug, Default, Serialize)]
struct Hits {
    rule: String,
    enforced: u64,
    shadow: u64,
    failed: u64,
}

/// A message that a rule fits.
#[derive(Debug, Serialize)]
struct Shown {
    place: String,
    action: &'static str,
    #[serde(flatten)]
    headline: Headline,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.place)?;
    let rules = Rules::in_settings(&settings, &arguments.place, arguments.dir.as_deref())?;
    let set = Arc::new(rules.load()?);
    if let Some(wanted) = &arguments.show
        && !set.rules().iter().any(|rule| rule.name == *wanted)
    {
        bail!("there is no rule `{wanted}` in `{}`", rules.folder.display());
    }
    let mut replayed = Replayed::of(&set);
    let now = now();
    let mut walk = Walk::over(&arguments.paths, settings.gateway.limits.message_size_max)?;
    walk.each(|place, octets| {
        let message = crlf(octets);
        let situation = Situation::of_stored(&message, &settings.hostname, now);
        let decision = judge(&set, &situation, &message, &rules.config)
            .with_context(|| format!("the rules could not be asked about `{place}`"))?;
        replayed.count(&decision);
        let wanted = arguments.show.as_ref();
        if wanted.is_some_and(|rule| decision.fired.iter().any(|fired| fired.rule == *rule)) {
            replayed.show(place, &decision, &message, arguments.limit);
        }
        Ok(())
    })?;
    replayed.left_out = walk.left_out;
    if arguments.json { write_json(&replayed) } else { replayed.tell() }
}

impl Replayed {
    fn of(set: &RuleSet) -> Self {
        let hits = |rule: &filters::Rule| Hits { rule: rule.name.clone(), ..Hits::default() };
        Self {
            version: set.version().to_owned(),
            rules: set.rules().iter().map(hits).collect(),
            ..Self::default()
        }
    }

    fn count(&mut self, decision: &Decision) {
        self.messages += 1;
        *self.actions.entry(action_name(&decision.action)).or_default() += 1;
        let mut hits = |name: &str, count: fn(&mut Hits) -> &mut u64| {
            if let Some(hits) = self.rules.iter_mut().find(|hits| hits.rule == name) {
                *count(hits) += 1;
            }
        };
        for fired in &decision.fired {
            hits(
                &fired.rule,
                if fired.enforced { |hits| &mut hits.enforced } else { |hits| &mut hits.shadow },
            );
        }
        for (rule, _) in &decision.failed {
            hits(rule, |hits| &mut hits.failed);
        }
    }

    fn show(&mut self, place: &str, decision: &Decision, message: &[u8], limit: usize) {
        if self.shown.len() >= limit {
            self.not_shown += 1;
            return;
        }
        let action = action_name(&decision.action);
        self.shown.push(Shown { place: place.to_owned(), action, headline: headline(message) });
    }

    fn tell(&self) -> anyhow::Result<()> {
        let actions: Vec<_> = self.actions.iter().collect();
        listing::print(false, &actions, &["verdict", "messages"], |(action, count)| {
            vec![(*action).to_string(), count.to_string()]
        })?;
        listing::write("\n")?;
        listing::print(false, &self.rules, &["rule", "enforced", "shadow", "failed"], |hits| {
            vec![
                hits.rule.clone(),
                hits.enforced.to_string(),
                hits.shadow.to_string(),
                hits.failed.to_string(),
            ]
        })?;
        if !self.shown.is_empty() {
            listing::write("\n")?;
            let headings = ["message", "verdict", "message id", "from", "subject"];
            listing::print(false, &self.shown, &headings, |shown| {
                let headline = &shown.headline;
                let words = [&headline.message_id, &headline.from, &headline.subject];
                [vec![shown.place.clone(), shown.action.to_owned()], words.map(Clone::clone).to_vec()]
                    .concat()
            })?;
        }
        if self.not_shown > 0 {
            listing::warn(&format!("{} more fit: --limit has them shown", self.not_shown));
        }
        listing::write(format!(
            "\nmessages: {}, left out: {}; rules of version {}; rates are not counted\n",
            self.messages, self.left_out, self.version
        ))
    }
}
