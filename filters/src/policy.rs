//! The security team's rules: loaded, checked, asked, watched.
//!
//! ```text
//!  files ──read──▶ RuleSet ──types checked──▶ current ──▶ evaluate(message) ──▶ Decision
//!            faults: the current set stays        │ guard: too much stopped ──▶ the former set comes back, this text is not taken again
//! ```
//! Expressions are CEL (the Common Expression Language): no loops but over the lists of a message, no side effects, so that every rule ends. The types of
//! all of an expression are checked when it is loaded ([`RuleSet::load`]); the words that it may use are in [`vocabulary`].
//!
//! # Failure behaviour
//! A set with a fault is not taken: the one before goes on, and the log says every fault. A rule that fails on a message counts as `on_failure` says.

mod cases;
mod check;
mod config;
mod evaluate;
mod facts;
mod file;
mod functions;
mod guard;
mod lists;
mod live;
mod load;
mod shortcut;
mod stored;
#[cfg(test)]
mod tests;
pub mod vocabulary;

pub use cases::{CaseOutcome, GivenAuthentication, Situation, action_name, crlf, explain, judge, run_cases};
pub use config::{GuardConfig, PolicyConfig};
pub use evaluate::{Decision, Fired, Said, Step};
pub use facts::{Fact, PeerFacts, ScanFacts, Subject};
pub use file::{Direction, Effect, Mode};
pub use live::{OpenError as PolicyOpenError, Policy, Reloaded};
pub use load::{Fault, Rule, RuleSet};
pub use stored::{Headline, headline};

/// Why rules could not be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A function could not be declared: a fault of ours.
    #[error("the functions of rules could not be declared: {0}")]
    Functions(String),
    /// Several rules with the same metric.
    #[error("the metrics of rules could not be registered: {0}")]
    Metrics(String),
}

/// Works out everything that rules can name, of any octets; every list keeps its bound.
pub(crate) fn fuzz_facts(input: &[u8]) {
    let config = PolicyConfig::default();
    let situation = Situation::default();
    let fields = vocabulary::VARIABLES.iter().flat_map(|(name, found, _)| match found {
        vocabulary::Type::Object(object) => object
            .fields
            .iter()
            .map(|(field, ..)| ((*name).to_owned(), (*field).to_owned()))
            .collect::<Vec<_>>(),
        _ => vec![((*name).to_owned(), String::new())],
    });
    let facts = cases::facts(&situation, input, &fields.collect(), &config);
    for (name, most) in [("parts", config.parts_max), ("urls", config.urls_max)] {
        if let Some(cel::Value::List(list)) = facts.get(name) {
            assert!(list.len() <= most, "{name} has its bound");
        }
    }
}
