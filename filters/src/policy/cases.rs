//! Tests of rules, kept beside them: messages, and what is expected of the rules.
//!
//! ```toml
//! [[case]]                              # in tests/*.toml below the rules' folder
//! name = "a chief's name from outside"
//! message = "chief.eml"                 # beside this file
//! peer = "192.0.2.1"                    # what is not said is read from the message or has a plain value
//! authentication = { dmarc = "fail", spf = "pass" }
//! expect = { action = "quarantine", rules = ["executive-impersonation"] }
//! ```

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cel::Value;
use envelope::{Address, Entrance, Envelope, MessageId, Origin, Priority, ReversePath, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::evaluate::Decision;
use super::facts::{Facts, PeerFacts, ScanFacts, Subject};
use super::live;
use super::load::{FactNames, Fault, RuleSet};
use super::{PolicyConfig, PolicyError};
use crate::Action;
use crate::authentication::{
    ArcResult, Authentication, Author, DkimResult, DmarcPolicy, DmarcResult, SpfFinding, Word, methods,
};
use crate::fields::{self, Field};

/// What is known of a message that is not on its way: for tests, explanations and replays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Situation {
    /// The sender in the envelope; by default that of Return-Path, else of From. `<>` is the null one.
    pub sender: Option<String>,
    /// By default those of Delivered-To, else of To and Cc.
    pub recipients: Vec<Address>,
    /// By default that of the topmost Received field.
    pub peer: Option<IpAddr>,
    /// What the peer called itself.
    pub helo: String,
    /// By default `mx`.
    pub listener: Option<String>,
    /// Who logged in.
    pub account: Option<Address>,
    /// Whether the connection was encrypted.
    pub tls: bool,
    /// Seconds since 1970; by default now.
    pub now: Option<u64>,
    /// By default what the topmost Authentication-Results field says.
    pub authentication: Option<GivenAuthentication>,
    /// What is known of the peer.
    pub peer_facts: PeerFacts,
    /// What scanners said.
    pub scan: ScanFacts,
}

/// Results that a case gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GivenAuthentication {
    /// SPF.
    pub spf: Word,
    /// The domain that SPF was asked about.
    pub spf_domain: String,
    /// Domains whose signatures pass.
    pub dkim_domains: Vec<String>,
    /// DMARC.
    pub dmarc: Word,
    /// What the author's domain asks for.
    pub dmarc_policy: DmarcPolicy,
    /// ARC.
    pub arc: Word,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(default)]
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    message: PathBuf,
    expect: Expected,
    #[serde(flatten)]
    situation: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    action: Option<String>,
    rules: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    score: Option<f64>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseOutcome {
    /// File and name.
    pub case: String,
    /// What is not as expected; empty for a case that passed.
    pub failures: Vec<String>,
}

/// Runs every `tests/*.toml` below the folder.
pub fn run_cases(rules: RuleSet, folder: &Path, config: &PolicyConfig) -> Result<Vec<CaseOutcome>, Fault> {
    let rules = Arc::new(rules);
    let mut outcomes = Vec::new();
    for path in case_files(folder)? {
        let fault = |problem: String| Fault { place: path.display().to_string(), problem };
        let text = fs::read_to_string(&path).map_err(|error| fault(format!("can't be read: {error}")))?;
        let file: CaseFile = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        for case in file.case {
            let message = path.parent().unwrap_or(folder).join(&case.message);
            let octets = fs::read(&message)
                .map_err(|error| fault(format!("`{}` can't be read: {error}", message.display())))?;
            let situation: Situation = case
                .situation
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| fault(format!("{}: {}", case.name, error.message())))?;
            let decision = judge(&rules, &situation, &crlf(&octets), config)
                .map_err(|error| fault(format!("{}: {error}", case.name)))?;
            let name = format!("{}: {}", path.display(), case.name);
            outcomes.push(CaseOutcome { case: name, failures: case.expect.compare(&decision) });
        }
    }
    Ok(outcomes)
}

/// What the rules come to about a message that is not on its way. Nothing is counted.
pub fn judge(
    rules: &Arc<RuleSet>,
    situation: &Situation,
    message: &[u8],
    config: &PolicyConfig,
) -> Result<Decision, PolicyError> {
    ask(rules, situation, message, config, false)
}

/// The same, with what every rule looked at and said.
pub fn explain(
    rules: &Arc<RuleSet>,
    situation: &Situation,
    message: &[u8],
    config: &PolicyConfig,
) -> Result<Decision, PolicyError> {
    ask(rules, situation, message, config, true)
}

fn ask(
    rules: &Arc<RuleSet>,
    situation: &Situation,
    message: &[u8],
    config: &PolicyConfig,
    traced: bool,
) -> Result<Decision, PolicyError> {
    situation.with_subject(message, |subject| live::ask(rules, subject, config, traced))
}

/// Facts of a message that is not on its way.
pub(super) fn facts(
    situation: &Situation,
    message: &[u8],
    names: &FactNames,
    config: &PolicyConfig,
) -> HashMap<String, Value> {
    situation.with_subject(message, |subject| Facts::new(subject, names, config).variables())
}

/// Files of other systems may have bare LF.
pub fn crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut last = 0;
    for byte in octets {
        if *byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(*byte);
        last = *byte;
    }
    out
}

fn case_files(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = fs::read_dir(&current).map_err(|error| Fault {
            place: current.display().to_string(),
            problem: format!("can't be read: {error}"),
        })?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if current.file_name().is_some_and(|name| name == "tests")
                && path.extension().is_some_and(|extension| extension == "toml")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Expected {
    fn compare(&self, decision: &Decision) -> Vec<String> {
        let mut failures = Vec::new();
        let mut check = |what: &str, wanted: String, found: String| {
            if wanted != found {
                failures.push(format!("{what} should be {wanted}, is {found}"));
            }
        };
        if let Some(action) = &self.action {
            check("action", action.clone(), action_name(&decision.action).to_owned());
        }
        if let Some(rules) = &self.rules {
            let fired: Vec<&str> = decision.fired.iter().map(|fired| fired.rule.as_str()).collect();
            check("rules", format!("{rules:?}"), format!("{fired:?}"));
        }
        if let Some(tags) = &self.tags {
            check("tags", format!("{tags:?}"), format!("{:?}", decision.tags));
        }
        if let Some(score) = self.score {
            check("score", format!("{score:.2}"), format!("{:.2}", decision.score));
        }
        failures
    }
}

/// An action in one word.
pub const fn action_name(action: &Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Quarantine => "quarantine",
        Action::Discard => "discard",
        Action::Refuse(refusal) if refusal.is_temporary() => "tempfail",
        Action::Refuse(_) => "reject",
    }
}

impl Situation {
    /// Asks something of what is known of the message.
    pub(super) fn with_subject<T>(&self, message: &[u8], ask: impl FnOnce(Subject<'_>) -> T) -> T {
        let envelope = self.envelope(message);
        let authentication = self.results(message);
        let usual = if self.account.is_some() { "submission" } else { "mx" };
        ask(Subject {
            envelope: &envelope,
            listener: self.listener.as_deref().unwrap_or(usual),
            peer: &self.peer_facts,
            authentication: &authentication,
            scan: &self.scan,
            message,
        })
    }

    pub(super) fn envelope(&self, message: &[u8]) -> Envelope {
        let fields = fields::split(message);
        let first = |name: &[u8]| fields.iter().find(|field| field.is(name)).map(Field::unfolded);
        let author = Author::read(message);
        let sender = self
            .sender
            .clone()
            .or_else(|| first(b"return-path"))
            .or_else(|| author.addresses.first().cloned());
        let sender = sender.unwrap_or_default();
        let reverse_path = match sender.trim_matches(['<', '>', ' ']).parse::<Address>() {
            Ok(address) => ReversePath::Address(address),
            Err(_) => ReversePath::Null,
        };
        let mut recipients = self.recipients.clone();
        if recipients.is_empty() {
            recipients.extend(
                first(b"delivered-to").and_then(|text| text.trim_matches(['<', '>', ' ']).parse().ok()),
            );
        }
        if recipients.is_empty() {
            recipients = named(message);
        }
        let now = self.now.map_or_else(
            || Timestamp::from(std::time::SystemTime::now()),
            |seconds| Timestamp::from_unix_milliseconds(seconds.saturating_mul(1000)),
        );
        Envelope {
            id: id_of(now, message),
            received_at: now,
            reverse_path,
            recipients: recipients.into_iter().map(Into::into).collect(),
            origin: Origin {
                entrance: if self.account.is_some() { Entrance::Submission } else { Entrance::Mx },
                peer: self.peer.or_else(|| first(b"received").and_then(|text| address_in(&text))),
                helo: self.helo.clone(),
                authenticated: self.account.as_ref().map(envelope::AccountId::new),
                tls: self.tls,
            },
            size: message.len() as u64,
            smtp_utf8: false,
            priority: Priority::Interactive,
            envelope_id: None,
            returned: None,
            require_tls: false,
            list: None,
            filtered: None,
        }
    }

    pub(super) fn results(&self, message: &[u8]) -> Authentication {
        let author = Author::read(message);
        let given = self.authentication.clone().unwrap_or_else(|| told(message));
        let dkim = given.dkim_domains.iter().map(|domain| DkimResult {
            result: Word::Pass,
            domain: domain.clone(),
            ..DkimResult::default()
        });
        Authentication {
            spf: SpfFinding { result: given.spf, domain: given.spf_domain, ..SpfFinding::default() },
            dkim: dkim.collect(),
            signatures_ignored: 0,
            arc: ArcResult { result: given.arc, ..ArcResult::default() },
            dmarc: DmarcResult {
                result: given.dmarc,
                policy: given.dmarc_policy,
                domain: author.domain().unwrap_or_default().to_owned(),
                ..DmarcResult::default()
            },
            author,
        }
    }
}

/// Always the same for the same message at the same time: a canary's share is chosen by it.
fn id_of(now: Timestamp, message: &[u8]) -> MessageId {
    let mut random = [0; 10];
    random.iter_mut().zip(Sha256::digest(message)).for_each(|(octet, of)| *octet = of);
    MessageId::new(now.unix_milliseconds(), random)
}

/// Addresses of the To and Cc fields.
fn named(message: &[u8]) -> Vec<Address> {
    let parsed = mail_parser::MessageParser::new().with_address_headers().parse_headers(message);
    let Some(parsed) = parsed else { return Vec::new() };
    let fields = [parsed.to(), parsed.cc()].into_iter().flatten();
    fields
        .flat_map(mail_parser::Address::iter)
        .filter_map(|one| one.address.as_deref()?.parse().ok())
        .collect()
}

/// The address literal of a Received field.
fn address_in(received: &str) -> Option<IpAddr> {
    let (_, rest) = received.split_once('[')?;
    let (inner, _) = rest.split_once(']')?;
    inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
}

/// What the topmost Authentication-Results field says.
fn told(message: &[u8]) -> GivenAuthentication {
    let fields = fields::split(message);
    let Some(field) = fields.iter().find(|field| field.is(b"authentication-results")) else {
        return GivenAuthentication::default();
    };
    let mut given = GivenAuthentication::default();
    let value = field.unfolded();
    for (method, result) in methods(&value) {
        let word = word(&result);
        match method.as_str() {
            "spf" => given.spf = word,
            "dmarc" => given.dmarc = word,
            "arc" => given.arc = word,
            _ => {}
        }
    }
    for part in value.split(';').filter(|part| part.trim_start().starts_with("dkim=pass")) {
        let domain = part.split_whitespace().find_map(|word| word.strip_prefix("header.d="));
        given.dkim_domains.extend(domain.map(str::to_owned));
    }
    let policy = value.split_whitespace().find_map(|word| word.strip_prefix("policy.dmarc="));
    given.dmarc_policy = match policy.map(|policy| policy.trim_end_matches(';')) {
        Some("reject") => DmarcPolicy::Reject,
        Some("quarantine") => DmarcPolicy::Quarantine,
        _ => DmarcPolicy::None,
    };
    given
}

fn word(text: &str) -> Word {
    use Word::{Fail, Neutral, None, Pass, PermError, Policy, SoftFail, TempError};
    let all = [Pass, Fail, SoftFail, Neutral, Policy, TempError, PermError];
    all.into_iter().find(|word| word.as_str() == text).unwrap_or(None)
}
