//! What the checks found, in words that policies, fields and logs share (RFC 8601 §2.7).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Author;
use crate::spf;

/// A result (RFC 8601 §2.7.1, §2.7.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// There was nothing to check.
    #[default]
    None,
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It does not, says a domain that is not sure of itself (SPF).
    SoftFail,
    /// Neither.
    Neutral,
    /// It would hold, but for a rule of ours.
    Policy,
    /// The DNS did not answer.
    TempError,
    /// What the domain publishes, or what the message holds, is wrong.
    PermError,
}

impl Word {
    /// As fields and policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything that was found out about one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authentication {
    /// SPF.
    pub spf: SpfFinding,
    /// Each signature that was looked at.
    pub dkim: Vec<DkimResult>,
    /// Signatures that were not looked at: there were too many.
    pub signatures_ignored: usize,
    /// The ARC chain.
    pub arc: ArcResult,
    /// DMARC.
    pub dmarc: DmarcResult,
    /// The From field.
    pub author: Author,
}

/// SPF (RFC 7208).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpfFinding {
    /// The result.
    pub result: Word,
    /// The domain that was asked.
    pub domain: String,
    /// Whether it is HELO's: the sender was null.
    pub helo: bool,
    /// Which part of the record decided, or what went wrong.
    pub detail: String,
    /// What the domain tells senders that it does not know, where that was asked for: somebody else's words.
    pub explanation: String,
}

impl From<spf::Outcome> for SpfFinding {
    fn from(outcome: spf::Outcome) -> Self {
        let result = match outcome.result {
            spf::SpfResult::Pass => Word::Pass,
            spf::SpfResult::Fail => Word::Fail,
            spf::SpfResult::SoftFail => Word::SoftFail,
            spf::SpfResult::Neutral => Word::Neutral,
            spf::SpfResult::None => Word::None,
            spf::SpfResult::TempError => Word::TempError,
            spf::SpfResult::PermError => Word::PermError,
        };
        Self {
            result,
            domain: outcome.domain,
            helo: outcome.identity == spf::Identity::Helo,
            detail: outcome
                .problem
                .map(|problem| problem.to_string())
                .or(outcome.mechanism)
                .unwrap_or_default(),
            explanation: outcome.explanation.unwrap_or_default(),
        }
    }
}

/// One DKIM signature (RFC 6376).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DkimResult {
    /// The result.
    pub result: Word,
    /// Who signed (`d=`).
    pub domain: String,
    /// With which key (`s=`).
    pub selector: String,
    /// The algorithm (`a=`).
    pub algorithm: String,
    /// The beginning of the signature, by which it is told from others (RFC 6008).
    pub signature: String,
    /// Why it is not a pass.
    pub reason: String,
}

/// The ARC chain (RFC 8617).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArcResult {
    /// The result: none, pass or fail.
    pub result: Word,
    /// Who sealed last.
    pub sealer: String,
    /// Sets in the chain.
    pub sets: usize,
    /// Whether the last sealer saw the message pass DMARC, by its own word.
    pub saw_dmarc_pass: bool,
    /// Why it is not a pass.
    pub reason: String,
}

impl ArcResult {
    /// There are more sets than are looked at.
    pub(super) fn too_long() -> Self {
        Self { result: Word::Fail, reason: "too many sets".to_owned(), ..Self::default() }
    }
}

/// What a domain asks for (RFC 9989 §4.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DmarcPolicy {
    /// Nothing, or there is no policy.
    #[default]
    None,
    /// Mail that fails is suspicious.
    Quarantine,
    /// Mail that fails is not to be taken.
    Reject,
}

impl DmarcPolicy {
    /// As records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// DMARC (RFC 9989).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DmarcResult {
    /// The result.
    pub result: Word,
    /// The domain of the From field.
    pub domain: String,
    /// What that domain asks for.
    pub policy: DmarcPolicy,
    /// Whether SPF passed for a domain of the same owner.
    pub spf_aligned: bool,
    /// Whether a signature passed for a domain of the same owner.
    pub dkim_aligned: bool,
    /// The record that holds, as it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedPolicy>,
}

/// A DMARC record (RFC 9989 §4.7), as reports repeat it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedPolicy {
    /// At which domain it was found.
    pub domain: String,
    /// `p=`
    pub policy: DmarcPolicy,
    /// `sp=`
    pub subdomain_policy: DmarcPolicy,
    /// `np=`
    pub missing_domain_policy: DmarcPolicy,
    /// `adkim=s`
    pub strict_dkim: bool,
    /// `aspf=s`
    pub strict_spf: bool,
    /// `t=y`
    pub testing: bool,
    /// `psd=n`: the domain belongs to nobody else's above it.
    pub is_organization: bool,
    /// `fo=`
    pub failure_options: String,
    /// `rua=`: only mail addresses.
    pub reports_to: Vec<ReportUri>,
}

/// Where reports are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReportUri {
    /// The address, as it is published.
    pub address: String,
    /// The largest report, in octets (RFC 7489 §6.2); 0: any.
    #[serde(default)]
    pub octets_max: u64,
}
