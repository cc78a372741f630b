//! Scanners: rspamd and clamd, asked about a whole message in their own protocols. They read and change nothing, so any number of them may be asked at once.
//!
//! Failure behaviour: who can't be reached, does not answer in time, or answers something else is a [`ScanFailure`]; [`Scanner::judge`] makes of it what
//! `on_failure` says. After several failures in a row a breaker stops asking for a while; an answer that is none of ours does not count, for the next message may
//! be answered better: five messages that a scanner chokes on must not take it away from all others.

mod clamd;
mod config;
mod rspamd;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use envelope::{Address, ReversePath};
use prometheus::Registry;
use tokio::time::{Instant, timeout};

pub use config::{Found, Oversize, ScannerConfig, ScannerKind, faults};
pub use rspamd::fuzz_rspamd_answer;

use crate::peer::{Breaker, Counts, Figures, Outcome};
use crate::verdict::{Action, Change, OnFailure, Refusal, Verdict};

/// What a scanner is told beside the message.
#[derive(Debug, Clone)]
pub struct ScanFacts {
    /// The message's id.
    pub id: String,
    /// This server's name.
    pub our_name: String,
    /// Where it comes from.
    pub peer: Option<IpAddr>,
    /// The name of that address, when the name leads back to it.
    pub hostname: Option<String>,
    /// What the client calls itself.
    pub helo: Option<String>,
    /// Who sends it.
    pub reverse_path: ReversePath,
    /// Who gets it.
    pub recipients: Vec<Address>,
    /// Who logged in.
    pub login: Option<String>,
    /// The version of TLS, when the session is encrypted.
    pub tls: Option<String>,
}

/// What a scanner advises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Nothing against it.
    Accept,
    /// It is spam, but not enough to refuse it; the changes say so in a field.
    Mark,
    /// It is to be delayed once. rspamd says so when its own greylisting does not; it is accepted.
    Greylist,
    /// Refuse it for now.
    Defer(String),
    /// Refuse it for good.
    Reject(String),
    /// Keep it back.
    Quarantine,
    /// Accept and drop it.
    Discard,
    /// It was not scanned: it is too big.
    TooBig,
}

/// A reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Symbol {
    /// The name of a rule or a signature.
    pub name: String,
    /// What it adds to the score.
    pub score: f64,
}

/// What a scanner found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is to be done.
    pub advice: Advice,
    /// The score, where there is one.
    pub score: Option<f64>,
    /// The reasons, the heaviest first.
    pub symbols: Vec<Symbol>,
    /// Changes that it wants.
    pub changes: Vec<Change>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum ScanFailure {
    /// It can't be reached.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// It took longer than its deadline.
    #[error("no answer within its deadline")]
    Timeout,
    /// The connection ended before the answer.
    #[error("closed the connection: {0}")]
    Closed(String),
    /// The answer is none.
    #[error("answered what is no answer: {0}")]
    Protocol(String),
    /// It is not asked after failures.
    #[error("not asked after failures")]
    NotAsked,
}

impl ScanFailure {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable(_) => Outcome::Unreachable,
            Self::Timeout => Outcome::Timeout,
            Self::Closed(_) => Outcome::Closed,
            Self::Protocol(_) => Outcome::Protocol,
            Self::NotAsked => Outcome::NotAsked,
        }
    }
}

/// All configured scanners.
#[derive(Debug, Default)]
pub struct Scanners {
    scanners: Vec<Scanner>,
}

/// One scanner, shared by all sessions.
#[derive(Debug)]
pub struct Scanner {
    config: ScannerConfig,
    breaker: Arc<Breaker>,
    figures: Figures,
    idle: rspamd::Idle,
}

impl Scanners {
    /// Takes the configuration and registers the metrics; nothing is connected yet.
    pub fn new(configs: &[ScannerConfig], registry: &Registry) -> Result<Self, prometheus::Error> {
        if configs.is_empty() {
            return Ok(Self::default());
        }
        let counts = Counts::new(registry, "scanner")?;
        let scanner = |config: &ScannerConfig| {
            let figures = counts.of(&config.name);
            let breaker = Breaker::new(config.breaker, figures.open.clone());
            Scanner { config: config.clone(), breaker, figures, idle: rspamd::Idle::default() }
        };
        Ok(Self { scanners: configs.iter().map(scanner).collect() })
    }

    /// Those that see the mail of such a client.
    pub fn concerned(&self, listener: &str, authenticated: bool) -> impl Iterator<Item = &Scanner> {
        self.scanners.iter().filter(move |scanner| scanner.config.sees(listener, authenticated))
    }
}

impl Scanner {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What it means when it fails.
    pub const fn on_failure(&self) -> OnFailure {
        self.config.on_failure
    }

    /// Asks about a message.
    pub async fn scan(&self, facts: &ScanFacts, message: &Bytes) -> Result<Finding, ScanFailure> {
        if message.len() > self.config.size_max.as_usize() {
            self.figures.count(Outcome::TooBig);
            return Ok(Finding::of(Advice::TooBig));
        }
        let found = self.ask(facts, message).await;
        self.figures.count(found.as_ref().map_or_else(ScanFailure::outcome, Finding::outcome));
        if let Err(failure) = &found {
            let (scanner, on_failure) = (&self.config.name, self.config.on_failure);
            if matches!(failure, ScanFailure::NotAsked) {
                tracing::debug!(scanner, "scanner is not asked after failures");
            } else {
                tracing::warn!(scanner, id = facts.id, %failure, ?on_failure, "scanner failed");
            }
        }
        found
    }

    async fn ask(&self, facts: &ScanFacts, message: &Bytes) -> Result<Finding, ScanFailure> {
        let mut permit = self.breaker.admit().ok_or(ScanFailure::NotAsked)?;
        let begun = Instant::now();
        let exchange = async {
            match self.config.kind {
                ScannerKind::Rspamd => rspamd::scan(&self.config, &self.idle, facts, message).await,
                ScannerKind::Clamd => clamd::scan(&self.config, message).await,
            }
        };
        let found =
            timeout(self.config.scan_max.as_duration(), exchange).await.unwrap_or(Err(ScanFailure::Timeout));
        self.figures.took(begun.elapsed());
        match found {
            Ok(_) | Err(ScanFailure::Protocol(_)) => permit.succeeded(),
            Err(_) => permit.failed(),
        }
        found
    }

    /// What the configuration makes of an answer, and the finding, when there is one.
    pub fn judge(&self, found: Result<Finding, ScanFailure>) -> (Verdict, Option<Finding>) {
        let name = &self.config.name;
        let failed = match found {
            Ok(finding) => return (self.of_finding(finding.clone()), Some(finding)),
            Err(_) if self.config.on_failure == OnFailure::Accept => {
                Verdict { reasons: vec![format!("scanner {name}: failed, passed")], ..Verdict::default() }
            }
            Err(_) => Verdict {
                action: Action::Refuse(Refusal::temporary(
                    (4, 7, 1),
                    "a filter does not answer, try again later",
                )),
                reasons: vec![format!("scanner {name}: failed")],
                ..Verdict::default()
            },
        };
        (failed, None)
    }

    fn of_finding(&self, finding: Finding) -> Verdict {
        let name = &self.config.name;
        let mut reasons = Vec::new();
        let mut said = |what: &str| {
            let symbols = finding.symbols.iter().take(REASONS_MAX);
            let symbols: Vec<String> =
                symbols.map(|symbol| format!("{}({:.2})", symbol.name, symbol.score)).collect();
            let score = finding.score.map(|score| format!(" {score:.2}")).unwrap_or_default();
            let colon = if symbols.is_empty() { "" } else { ": " };
            reasons.push(format!("scanner {name}: {what}{score}{colon}{}", symbols.join(" ")));
        };
        let action = match &finding.advice {
            Advice::Accept | Advice::Greylist => Action::Accept,
            Advice::Mark => {
                said("marked");
                Action::Accept
            }
            Advice::Defer(text) => {
                said("deferred");
                Action::Refuse(Refusal::temporary((4, 7, 1), text.as_str()))
            }
            Advice::Reject(text) => {
                said("refused");
                Action::Refuse(Refusal { code: 554, enhanced: (5, 7, 1), text: text.clone() })
            }
            Advice::Quarantine => {
                said("quarantined");
                Action::Quarantine
            }
            Advice::Discard => {
                said("discarded");
                Action::Discard
            }
            Advice::TooBig if self.config.on_oversize == Oversize::Accept => {
                said("too big, passed");
                Action::Accept
            }
            Advice::TooBig => {
                said("too big");
                let text = "the message is larger than what can be scanned".to_owned();
                Action::Refuse(Refusal { code: 552, enhanced: (5, 3, 4), text })
            }
        };
        let refused = matches!(action, Action::Refuse(_) | Action::Discard);
        Verdict { action, changes: if refused { Vec::new() } else { finding.changes }, reasons }
    }
}

/// Symbols that are named in a reason.
const REASONS_MAX: usize = 20;

impl Finding {
    pub(crate) const fn of(advice: Advice) -> Self {
        Self { advice, score: None, symbols: Vec::new(), changes: Vec::new() }
    }

    const fn outcome(&self) -> Outcome {
        match self.advice {
            Advice::Accept | Advice::Mark | Advice::Greylist => Outcome::Accepted,
            Advice::Defer(_) => Outcome::Deferred,
            Advice::Reject(_) => Outcome::Refused,
            Advice::Quarantine => Outcome::Quarantined,
            Advice::Discard => Outcome::Discarded,
            Advice::TooBig => Outcome::TooBig,
        }
    }
}

#[cfg(test)]
mod tests;
