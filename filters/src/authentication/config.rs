//! What an operator says about authentication.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Network, Span};

use crate::spf::SpfLimits;

/// Who wrote a message, and what follows when that can't be true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthenticationConfig {
    /// Whether SPF, DKIM, ARC and DMARC are checked for mail from other systems.
    pub enabled: bool,
    /// Networks whose mail is not checked: systems of one's own that pass mail on. By default loopback and private networks.
    pub exempt: Vec<Network>,
    /// Names of other gateways of this site, as they stand in their Authentication-Results fields: such a field from outside is forged, and
    /// is removed as one in the name of this gateway is (RFC 8601 §5).
    pub own_names: Vec<String>,
    /// What becomes of a message that fails DMARC when its domain says `reject`.
    pub dmarc_reject: DmarcAction,
    /// What becomes of a message that fails DMARC when its domain says `quarantine`.
    pub dmarc_quarantine: DmarcAction,
    /// Domains whose ARC seals are believed: a message that they saw pass is not refused for DMARC (RFC 8617 §7.2.1).
    pub arc_trusted: Vec<String>,
    /// What the From field must be like.
    pub author: AuthorRule,
    /// Whether mail is refused when SPF says fail and nothing else speaks for it. DMARC is the better judge (RFC 7489 §10.1).
    pub refuse_spf_fail: bool,
    /// Whether a DNS that does not answer is a temporary refusal, where DMARC can't be judged without it.
    pub tempfail_on_temperror: bool,
    /// DKIM signatures of one message that are looked at, from the top.
    pub signatures_max: usize,
    /// Fields that one signature may name.
    pub signed_fields_max: usize,
    /// Memory for DKIM keys that are kept ready, about 2 KiB each.
    pub keys_memory_max: ByteSize,
    /// ARC sets of one message (RFC 8617 §4.2.1 has 50).
    pub arc_sets_max: usize,
    /// How long the DNS may take for the keys of one message, and as long again for DMARC records; SPF has `spf.time_max`.
    pub time_max: Span,
    /// Limits of SPF.
    pub spf: SpfLimits,
}

/// What follows from a failed DMARC check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmarcAction {
    /// The message is refused.
    Reject,
    /// The message is kept back for an operator.
    Quarantine,
    /// The message is delivered; its results say what was found.
    Accept,
}

/// What a From field must be like, for mail from other systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorRule {
    /// One field, with addresses of one domain, which every program reads alike (RFC 5322 §3.6.2, RFC 7489 §6.6.1); else the message is refused.
    OneDomain,
    /// One field at most; what is in it does not matter.
    OneField,
    /// Anything.
    Any,
}

impl Default for AuthenticationConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            exempt: Network::private(),
            own_names: Vec::new(),
            dmarc_reject: DmarcAction::Reject,
            dmarc_quarantine: DmarcAction::Quarantine,
            arc_trusted: Vec::new(),
            author: AuthorRule::OneDomain,
            refuse_spf_fail: false,
            tempfail_on_temperror: false,
            signatures_max: 5,
            signed_fields_max: 128,
            keys_memory_max: ByteSize::mib(8),
            arc_sets_max: 50,
            time_max: Span::secs(20),
            spf: SpfLimits::default(),
        }
    }
}

impl AuthenticationConfig {
    /// What is wrong with the values: pairs of key and problem.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |good: bool, key: &str, problem: &str| {
            if !good {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check((1..=50).contains(&self.signatures_max), "signatures_max", "1 to 50");
        check((10..=1000).contains(&self.signed_fields_max), "signed_fields_max", "10 to 1000");
        check(self.keys_memory_max >= ByteSize::kib(64), "keys_memory_max", "at least 64 KiB");
        check((1..=50).contains(&self.arc_sets_max), "arc_sets_max", "1 to 50 (RFC 8617 section 4.2.1)");
        check(!self.time_max.as_duration().is_zero(), "time_max", "must be longer than nothing");
        for (key, problem) in self.spf.faults() {
            check(false, &format!("spf.{key}"), &problem);
        }
        for domain in &self.arc_trusted {
            check(domain.parse::<envelope::Domain>().is_ok(), "arc_trusted", "a list of domains");
        }
        faults
    }
}
