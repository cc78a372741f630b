//! `sluice policy explain`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use filters::{Action, Change, Decision, Said, Step, action_name, crlf, explain};
use serde_json::json;

use super::given::Given;
use super::{Rules, stored, write_json};
use crate::arguments::Place;
use crate::listing::{self, clean};
use crate::settings::Settings;

/// Letters of a fact on one line.
const FACT_MAX: usize = 160;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The message; `-` reads standard input.
    #[arg(value_name = "FILE.eml")]
    file: PathBuf,
    /// The folder of rules; by default that of the configuration.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.place)?;
    let rules = Rules::in_settings(&settings, &arguments.place, arguments.dir.as_deref())?;
    let set = Arc::new(rules.load()?);
    let max = settings.gateway.limits.message_size_max;
    let message = stored::read(&arguments.file, max)?;
    let situation = arguments.given.situation();
    let decision =
        explain(&set, &situation, &crlf(&message), &rules.config).context("the rules could not be asked")?;
    if arguments.json { write_json(&as_json(&decision)) } else { listing::write(as_text(&decision)) }
}

fn as_json(decision: &Decision) -> serde_json::Value {
    json!({
        "action": action_name(&decision.action),
        "reply": reply(&decision.action),
        "score": decision.score,
        "tags": decision.tags,
        "changes": decision.changes.iter().map(change).collect::<Vec<_>>(),
        "journals": decision.journals,
        "reasons": decision.reasons,
        "version": decision.version,
        "rules": decision.trace,
    })
}

fn as_text(decision: &Decision) -> String {
    let mut text = String::new();
    let reply = reply(&decision.action).map(|reply| format!(": {reply}")).unwrap_or_default();
    let _ = writeln!(text, "verdict  {}{}", action_name(&decision.action), clean(&reply));
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<7}  {}", clean(&value));
        }
    };
    line("because", decision.reasons.join("; "));
    line("score", if decision.score == 0.0 { String::new() } else { format!("{:.1}", decision.score) });
    line("changes", decision.changes.iter().map(change).collect::<Vec<_>>().join("; "));
    line("journal", decision.journals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    line("version", decision.version.clone());
    decision.trace.iter().for_each(|step| tell(&mut text, step));
    text
}

fn tell(text: &mut String, step: &Step) {
    let said = match &step.said {
        Said::Enforced => "fits".to_owned(),
        Said::Shadow => "fits, and is only counted (shadow, or not in the canary's share)".to_owned(),
        Said::No => "does not fit".to_owned(),
        Said::OtherDirection => "not asked: it is for mail of the other direction".to_owned(),
        Said::Expired => "not asked: it is expired".to_owned(),
        Said::Skipped => "not asked: a rule above ended the looking (accept)".to_owned(),
        Said::Failed(why) => format!("could not be asked: {why}"),
    };
    let _ = writeln!(text, "\n{} ({}): {}", step.rule, clean(&step.place), clean(&said));
    let when = step.when.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(text, "  when  {}", clean(&when));
    for fact in &step.looked_at {
        let _ = writeln!(text, "        {} = {}", clean(&fact.name), short(&fact.value.to_string()));
    }
    let _ = writeln!(text, "  then  {}", clean(&step.effects.join("; ")));
}

/// One line that fits a screen.
fn short(value: &str) -> String {
    let value = clean(value);
    match value.char_indices().nth(FACT_MAX) {
        None => value,
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
    }
}

/// What the peer would be told.
fn reply(action: &Action) -> Option<String> {
    let Action::Refuse(refusal) = action else { return None };
    let (class, subject, detail) = refusal.enhanced;
    Some(format!("{} {class}.{subject}.{detail} {}", refusal.code, refusal.text))
}

fn change(change: &Change) -> String {
    match change {
        Change::AddField { name, value } => format!("add the field {name}: {value}"),
        Change::InsertField { name, value, .. } => format!("put the field {name}: {value} on top"),
        Change::ChangeField { name, value: Some(value), .. } => format!("change the field {name} to {value}"),
        Change::ChangeField { name, index, value: None } => format!("remove field {index} of {name}"),
        Change::ReplaceBody(_) => "another text".to_owned(),
        Change::ChangeSender(path) => format!("sender <{path}>"),
        Change::AddRecipient(address) => format!("add the recipient {address}"),
        Change::RemoveRecipient(address) => format!("remove the recipient {address}"),
        Change::RemoveFields { name } => format!("remove every field {name}"),
    }
}
