//! The rules asked about one message.

use std::sync::Arc;

use cel::{Context, Env, Value};
use envelope::Address;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::facts::{self, Fact, Facts, Subject, Told};
use super::file::{Direction, Effect, Exceeded, Mode, RateKey};
use super::functions;
use super::load::{Rule, RuleSet};
use super::shortcut::Scene;
use super::{PolicyConfig, PolicyError};
use crate::{Action, Change, OnFailure, Refusal};

/// The field of tags.
const TAGS: &str = "X-Sluice-Tags";
/// What a rule that may not look at a message says to its sender.
const FAILED: &str = "Message could not be checked, try again later";

/// What the rules came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// What becomes of the message.
    pub action: Action,
    /// What is changed in it.
    pub changes: Vec<Change>,
    /// Archives that get a report of it.
    pub journals: Vec<Address>,
    /// Points in all.
    pub score: f64,
    /// Words in its field of tags.
    pub tags: Vec<String>,
    /// Rules that fitted, enforced or not.
    pub fired: Vec<Fired>,
    /// Names of the rules that decided, each with its reason.
    pub reasons: Vec<String>,
    /// Rules that could not be asked, each with what went wrong.
    pub failed: Vec<(String, String)>,
    /// Rates that are still to be counted.
    pub(super) rates: Vec<Rate>,
    /// Every rule and what it said, when that was wanted.
    pub trace: Vec<Step>,
    /// Which text of the rules.
    pub version: String,
}

/// A rule that fitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fired {
    /// Its name.
    pub rule: String,
    /// Whether it did what it says.
    pub enforced: bool,
    /// What it does.
    pub effects: Vec<String>,
}

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The rule's name.
    pub rule: String,
    /// Where it stands.
    pub place: String,
    /// What it asks.
    pub when: String,
    /// What became of it.
    pub said: Said,
    /// What it looked at, when it was asked.
    pub looked_at: Vec<Fact>,
    /// What it does.
    pub effects: Vec<String>,
}

/// What a rule said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It fits and does what it says.
    Enforced,
    /// It fits, and is only counted.
    Shadow,
    /// It does not fit.
    No,
    /// It is for other mail.
    OtherDirection,
    /// Its last day is over.
    Expired,
    /// A rule above ended the looking.
    Skipped,
    /// It could not be asked.
    Failed(String),
}

/// A rate to be counted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    pub(super) rule: String,
    pub(super) key: RateKey,
    pub(super) whom: String,
    pub(super) limit: u64,
    pub(super) window: std::time::Duration,
    pub(super) exceeded: Exceeded,
    pub(super) text: String,
}

/// Asks every rule.
pub(super) fn evaluate(
    rules: &Arc<RuleSet>,
    env: &Arc<Env>,
    subject: Subject<'_>,
    config: &PolicyConfig,
    traced: bool,
) -> Result<Decision, PolicyError> {
    let facts = Facts::new(subject, &rules.facts, config);
    let told = traced.then(|| Told::of(&facts));
    let mut library = Library { env, rules, facts: &facts, context: None };
    let score = subject.peer.score + subject.scan.spam_score;
    let decision = Decision { score, version: rules.version.clone(), ..Decision::default() };
    let mut run = Run { subject, config, decision, told };
    let mut ended = false;
    for rule in &rules.rules {
        let said = if ended { Said::Skipped } else { run.ask(rule, &mut library)? };
        ended |= run.take(rule, said);
    }
    run.judge_score();
    run.add_tags();
    Ok(run.decision)
}

/// The library, with the facts bound when the first rule needs it.
pub(super) struct Library<'a, 'm> {
    env: &'a Arc<Env>,
    rules: &'a Arc<RuleSet>,
    facts: &'a Facts<'m>,
    context: Option<Context<'static, 'static>>,
}

impl Library<'_, '_> {
    /// Whether a rule fits; an error within is what is wrong with it on this message.
    fn shortcut_or_ask(&mut self, rule: &Rule, score: f64) -> Result<Result<bool, String>, PolicyError> {
        let scene = Scene { facts: self.facts, rules: self.rules, score };
        match rule.shortcut.ask(&scene) {
            Some(fits) => {
                #[cfg(test)]
                self.compare(rule, score, fits);
                Ok(Ok(fits))
            }
            None => self.ask(rule, score),
        }
    }

    /// In tests both are asked, whatever a test is about.
    #[cfg(test)]
    fn compare(&mut self, rule: &Rule, score: f64, fits: bool) {
        let library = self.ask(rule, score).unwrap();
        assert!(library.is_err() || library == Ok(fits), "{}: {fits}, the library {library:?}", rule.source);
    }

    fn ask(&mut self, rule: &Rule, score: f64) -> Result<Result<bool, String>, PolicyError> {
        let context = match &mut self.context {
            Some(context) => context,
            None => self.context.insert(bind(self.env, self.rules, self.facts)?),
        };
        context.add_variable_from_value("score", Value::Float(score));
        Ok(match rule.program.execute(context) {
            Ok(Value::Bool(fits)) => Ok(fits),
            Ok(other) => Err(format!("`when` gave {other:?}")),
            Err(error) => Err(error.to_string()),
        })
    }
}

fn bind(
    env: &Arc<Env>,
    rules: &Arc<RuleSet>,
    facts: &Facts<'_>,
) -> Result<Context<'static, 'static>, PolicyError> {
    let mut context = Context::with_env(Arc::clone(env));
    for (name, value) in facts.variables() {
        context.add_variable_from_value(name, value);
    }
    functions::declare(&mut context, rules, Arc::clone(facts.section()))
        .map_err(|error| PolicyError::Functions(error.to_string()))?;
    Ok(context)
}

struct Run<'a> {
    subject: Subject<'a>,
    config: &'a PolicyConfig,
    decision: Decision,
    /// What there is to be looked at, when a trace is wanted.
    told: Option<Told>,
}

impl Run<'_> {
    fn ask(&self, rule: &Rule, library: &mut Library<'_, '_>) -> Result<Said, PolicyError> {
        let outbound = facts::is_authenticated(self.subject.envelope);
        let concerned = match rule.direction {
            Direction::Any => true,
            Direction::Inbound => !outbound,
            Direction::Outbound => outbound,
        };
        if !concerned {
            return Ok(Said::OtherDirection);
        }
        if rule.is_expired(self.subject.envelope.received_at.unix_seconds()) {
            return Ok(Said::Expired);
        }
        Ok(match library.shortcut_or_ask(rule, self.decision.score)? {
            Ok(false) => Said::No,
            Ok(true) if self.is_enforced(rule) => Said::Enforced,
            Ok(true) => Said::Shadow,
            Err(why) => Said::Failed(why),
        })
    }

    /// Of a canary the share of messages is the same on every node: it depends on the message's id.
    fn is_enforced(&self, rule: &Rule) -> bool {
        if rule.mode == Mode::Shadow {
            return false;
        }
        if rule.canary >= 100 {
            return true;
        }
        let mut hash = Sha256::new();
        hash.update(self.subject.envelope.id.to_string());
        hash.update(&rule.name);
        let digest = hash.finalize();
        let first = u16::from_be_bytes([
            digest.first().copied().unwrap_or_default(),
            digest.get(1).copied().unwrap_or_default(),
        ]);
        u32::from(first) * 100 / (u32::from(u16::MAX) + 1) < u32::from(rule.canary)
    }

    /// Gives whether the rules below are left out.
    fn take(&mut self, rule: &Rule, said: Said) -> bool {
        let mut ended = false;
        let asked = !matches!(said, Said::OtherDirection | Said::Expired | Said::Skipped);
        let looked_at = self.told.as_ref().filter(|_| asked);
        let looked_at = looked_at.map(|told| told.about(rule, self.decision.score)).unwrap_or_default();
        if said == Said::Enforced {
            for effect in &rule.effects {
                self.apply(rule, effect);
                ended |= *effect == Effect::Accept;
            }
        }
        if let Said::Failed(why) = &said {
            tracing::warn!(rule = rule.name, error = why, "a rule failed on a message");
            self.decision.failed.push((rule.name.clone(), why.clone()));
            if self.config.on_failure == OnFailure::Tempfail && self.is_enforced(rule) {
                self.decide(rule, Action::Refuse(Refusal::temporary((4, 7, 1), FAILED)), why);
            }
        }
        let effects = || rule.effects.iter().map(Effect::describe).collect::<Vec<_>>();
        if matches!(said, Said::Enforced | Said::Shadow) {
            let fired =
                Fired { rule: rule.name.clone(), enforced: said == Said::Enforced, effects: effects() };
            self.decision.fired.push(fired);
        }
        if self.told.is_some() {
            let (rule, place, when) = (rule.name.clone(), rule.place.clone(), rule.source.clone());
            self.decision.trace.push(Step { rule, place, when, said, looked_at, effects: effects() });
        }
        ended
    }

    fn apply(&mut self, rule: &Rule, effect: &Effect) {
        let decision = &mut self.decision;
        match effect {
            Effect::Accept => {}
            Effect::Copy { to } => decision.changes.push(Change::AddRecipient(to.clone())),
            Effect::Discard => self.decide(rule, Action::Discard, "discard"),
            Effect::Header { name, value } => decision.changes.push(Change::InsertField {
                index: 0,
                name: name.clone(),
                value: value.clone(),
            }),
            Effect::Journal { to } => {
                if !decision.journals.contains(to) {
                    decision.journals.push(to.clone());
                }
            }
            Effect::Quarantine { reason } => self.decide(rule, Action::Quarantine, reason),
            Effect::Rate { key, limit, window, exceeded, text } => {
                if let Some(whom) = self.whom(*key) {
                    self.decision.rates.push(Rate {
                        rule: rule.name.clone(),
                        key: *key,
                        whom,
                        limit: *limit,
                        window: window.as_duration(),
                        exceeded: *exceeded,
                        text: text.clone(),
                    });
                }
            }
            Effect::Redirect { to } => {
                let recipients = self.subject.envelope.recipients.iter();
                decision.changes.extend(recipients.map(|one| Change::RemoveRecipient(one.address.clone())));
                decision.changes.push(Change::AddRecipient(to.clone()));
                decision.reasons.push(format!("{}: redirect", rule.name));
            }
            Effect::Reject { text } => {
                self.decide(rule, Action::Refuse(Refusal::permanent((5, 7, 1), text.clone())), text);
            }
            Effect::RemoveHeader { name } => {
                decision.changes.push(Change::RemoveFields { name: name.clone() });
            }
            Effect::Score { points } => decision.score += points,
            Effect::Tag { value } => {
                if !decision.tags.contains(value) {
                    decision.tags.push(value.clone());
                }
            }
            Effect::Tempfail { text } => {
                self.decide(rule, Action::Refuse(Refusal::temporary((4, 7, 1), text.clone())), text);
            }
        }
    }

    fn decide(&mut self, rule: &Rule, action: Action, why: &str) {
        let colon = if why.is_empty() { "" } else { ": " };
        self.decision.decide(action, format!("{}{colon}{why}", rule.name));
    }

    fn judge_score(&mut self) {
        let score = self.decision.score;
        let over = |bound: u32| bound > 0 && score >= f64::from(bound);
        if over(self.config.reject_score) {
            let refusal = Refusal::permanent((5, 7, 1), "Message refused: it looks like spam");
            self.decision.decide(Action::Refuse(refusal), format!("score {score:.1}"));
        } else if over(self.config.quarantine_score) {
            self.decision.decide(Action::Quarantine, format!("score {score:.1}"));
        }
    }

    fn add_tags(&mut self) {
        if !self.decision.tags.is_empty() {
            let value = self.decision.tags.join(", ");
            self.decision.changes.push(Change::InsertField { index: 0, name: TAGS.to_owned(), value });
        }
    }

    /// Whom a rate counts; `None` when there is nobody of the kind.
    fn whom(&self, key: RateKey) -> Option<String> {
        let envelope = self.subject.envelope;
        let sender = envelope.reverse_path.address();
        let found = match key {
            RateKey::Account => envelope.origin.authenticated.as_ref()?.to_string(),
            RateKey::Address => {
                let peer = envelope.origin.peer?.to_canonical();
                units::Network::new(peer, if peer.is_ipv4() { 32 } else { 64 }).to_string()
            }
            RateKey::FromDomain => self.subject.authentication.author.domain()?.to_owned(),
            RateKey::Sender => sender?.canonical().to_string(),
            RateKey::SenderDomain => sender?.domain().to_string(),
            RateKey::Subject => {
                let fields = crate::fields::split(self.subject.message);
                let subject = facts::decoded(fields.iter().find(|field| field.is(b"subject"))?);
                // One text however it is encoded and spaced.
                super::lists::skeleton(&subject).trim().to_owned()
            }
        };
        Some(found)
    }
}

impl Decision {
    /// The graver action stands; reasons gather.
    pub(super) fn decide(&mut self, action: Action, reason: String) {
        if gravity(&action) > gravity(&self.action) {
            self.action = action;
        }
        self.reasons.push(reason);
    }
}

const fn gravity(action: &Action) -> u8 {
    match action {
        Action::Accept => 0,
        Action::Quarantine => 1,
        Action::Discard => 2,
        Action::Refuse(refusal) if refusal.is_temporary() => 3,
        Action::Refuse(_) => 4,
    }
}
