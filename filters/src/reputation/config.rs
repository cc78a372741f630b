//! What an operator says about peers.

use std::collections::BTreeSet;

use envelope::{AccountId, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{Network, Span};

use super::answers::Answers;
use crate::OnFailure;

/// Lists and rules that one configuration may have, each.
const MANY: usize = 100;
/// Letters of a rule's or list's name.
const NAME_MAX: usize = 32;
/// Octets of a zone: the nibbles of an IPv6 address must fit before it.
const ZONE_MAX: usize = 180;
/// Octets of a text for replies.
const TEXT_MAX: usize = 300;

/// What is asked about peers, and what is remembered of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReputationConfig {
    /// Networks that nothing of this is applied to, but for rates of accounts, senders and recipients when somebody has logged in: they speak for many.
    pub exempt_networks: Vec<Network>,
    /// How many leading bits of an IPv4 address are a peer's network.
    pub network_bits_v4: u8,
    /// How many leading bits of an IPv6 address are a peer's network.
    pub network_bits_v6: u8,
    /// Lists in the DNS (RFC 5782).
    pub lists: Vec<ListConfig>,
    /// How long all lists together may take at a connection; those that have not answered by then have failed.
    pub lists_max: Span,
    /// How often it is checked whether the lists work.
    pub lists_check_interval: Span,
    /// A peer is refused when the weights of the block lists that list it come to this.
    pub block_weight: u32,
    /// Octets of a list's own reason that a reply shows.
    pub reason_octets_max: usize,
    /// Strangers are told to come back.
    pub greylist: GreylistConfig,
    /// Limits on how often something may happen.
    pub rates: Vec<RateConfig>,
    /// How long the shared state is not asked again after it did not answer; meanwhile each node counts for itself.
    pub state_retry_after: Span,
    /// Counters that a node holds for itself while the shared state is away.
    pub local_counters_max: usize,
    /// Things that have happened and wait to be counted; more are not counted.
    pub events_max: usize,
    /// Networks that `sluice reputation set` may put on the local lists.
    pub local_entries_max: usize,
    /// How often the local lists are read again, where other nodes can change them.
    pub local_refresh: Span,
}

/// One list in the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListConfig {
    /// The list's domain, such as `zen.spamhaus.org`.
    pub zone: String,
    /// Its name in logs and metrics; empty: the zone.
    pub name: String,
    /// What it means to be on it: `allow` lists overrule `block` lists and spare greylisting, `score` lists only add to the score.
    pub kind: ListKind,
    /// The answers that count, such as `127.0.0.2-127.0.0.11`, `127.0.*.1-3` or, for sets of bits, `&0.0.0.6`; empty: 127.0.0.2 to
    /// 127.0.0.255. Answers in 127.255.255.0/24 or outside 127.0.0.0/8 are errors of the list and never count.
    pub answers: Vec<Answers>,
    /// What it adds to the score of a peer on it; may be below zero.
    pub score: i32,
    /// What a block list adds towards `block_weight`.
    pub weight: u32,
    /// What a refused peer is told; `{address}`, `{zone}` and `{reason}` (the list's own text) are filled in.
    pub text: String,
    /// What it means when the list does not answer or does not work. Lists are advice: without them mail is accepted.
    pub on_failure: OnFailure,
    /// Whether IPv6 addresses are looked up.
    pub ipv6: bool,
    /// Whether the list has the test entries of RFC 5782 §5, by which it is checked: 127.0.0.2 listed and 127.0.0.1 not.
    pub test_entries: bool,
}

/// What a list is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListKind {
    /// Who is on it is trusted.
    Allow,
    /// Who is on it is refused.
    #[default]
    Block,
    /// Who is on it gets a score.
    Score,
}

/// Greylisting (RFC 6647): a stranger's first try is answered with 451.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GreylistConfig {
    /// Who is greylisted.
    pub mode: GreylistMode,
    /// With `suspicious`: the score from which a peer is, unless a list names it.
    pub score_min: i32,
    /// How long a stranger must wait.
    pub delay: Span,
    /// How long after the first try it may come back.
    pub window: Span,
    /// How long one who came back is known, since the last mail.
    pub remember: Span,
    /// A network that came back so often is passed altogether; 0: none is.
    pub network_passed_after: u32,
    /// Strangers of one network that are remembered in a `window`; more are told to wait and are not remembered, until the `window` is over or, unless `network_passed_after` is 0, one has come back.
    pub network_new_max: u32,
    /// Domains whose mail is not greylisted when SPF says that it is theirs, and their subdomains.
    pub exempt_spf_domains: Vec<String>,
    /// What it means when nothing can be remembered. Greylisting must never cost mail: it is accepted.
    pub on_failure: OnFailure,
}

/// Who is greylisted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GreylistMode {
    /// Nobody.
    #[default]
    Off,
    /// Who is on a list or has a score.
    Suspicious,
    /// Every stranger.
    Always,
}

/// One limit: how often something may happen in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// Its name in logs, metrics and `sluice reputation`.
    pub name: String,
    /// For each of what it is counted.
    pub key: RateKey,
    /// What is counted.
    pub what: RateWhat,
    /// How many are allowed in a window; the next one is over the limit.
    pub limit: u64,
    /// The time in which they are counted; it begins with the first one.
    pub window: Span,
    /// What happens over the limit.
    pub action: RateAction,
    /// With `score`: what it adds to the score.
    pub score: i32,
    /// Networks that are not counted.
    pub exempt_networks: Vec<Network>,
    /// Accounts that are not counted when they have logged in.
    pub exempt_accounts: Vec<String>,
}

/// For each of what is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RateKey {
    /// The peer's address.
    #[default]
    Address,
    /// The peer's network.
    Network,
    /// The reverse path; the null one is not counted.
    Sender,
    /// The reverse path's domain.
    SenderDomain,
    /// The recipient.
    Recipient,
    /// Who has logged in.
    Account,
    /// A signature of the message (DKIM): the same one to very many is a replay.
    Signature,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RateWhat {
    /// Connections.
    Connections,
    /// Transactions, from their MAIL command on.
    #[default]
    Messages,
    /// Recipients.
    Recipients,
    /// Octets of messages.
    Octets,
    /// Recipients that nobody here has.
    UnknownRecipients,
    /// Messages and recipients that were refused for good.
    Rejections,
}

/// What happens over a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RateAction {
    /// 451: try later.
    #[default]
    Defer,
    /// 550.
    Reject,
    /// It adds to the score.
    Score,
}

impl Default for ReputationConfig {
    fn default() -> Self {
        let loopback = [[127, 0, 0, 0].into(), std::net::Ipv6Addr::LOCALHOST.into()];
        let exempt = loopback.into_iter().zip([8, 128]);
        Self {
            exempt_networks: exempt.map(|(address, prefix)| Network::new(address, prefix)).collect(),
            network_bits_v4: 24,
            network_bits_v6: 64,
            lists: Vec::new(),
            lists_max: Span::secs(3),
            lists_check_interval: Span::hours(1),
            block_weight: 1,
            reason_octets_max: 200,
            greylist: GreylistConfig::default(),
            rates: Vec::new(),
            state_retry_after: Span::secs(2),
            local_counters_max: 100_000,
            events_max: 10_000,
            local_entries_max: 10_000,
            local_refresh: Span::secs(5),
        }
    }
}

impl Default for ListConfig {
    fn default() -> Self {
        Self {
            zone: String::new(),
            name: String::new(),
            kind: ListKind::default(),
            answers: Vec::new(),
            score: 0,
            weight: 1,
            text: "{address} is listed by {zone}: {reason}".to_owned(),
            on_failure: OnFailure::Accept,
            ipv6: true,
            test_entries: true,
        }
    }
}

impl Default for GreylistConfig {
    fn default() -> Self {
        Self {
            mode: GreylistMode::default(),
            score_min: 1,
            delay: Span::mins(5),
            window: Span::hours(24),
            remember: Span::hours(35 * 24),
            network_passed_after: 5,
            network_new_max: 10_000,
            exempt_spf_domains: Vec::new(),
            on_failure: OnFailure::Accept,
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            key: RateKey::default(),
            what: RateWhat::default(),
            limit: 100,
            window: Span::hours(1),
            action: RateAction::default(),
            score: 0,
            exempt_networks: Vec::new(),
            exempt_accounts: Vec::new(),
        }
    }
}

impl ListConfig {
    /// Its name in logs and metrics.
    pub fn title(&self) -> &str {
        if self.name.is_empty() { &self.zone } else { &self.name }
    }

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut check = |good, key: &str, problem: &str| faults.check(good, key, problem);
        let zone = self.zone.parse::<Domain>().is_ok_and(|domain| !domain.is_literal());
        check(zone && self.zone.len() <= ZONE_MAX, "zone", "must be a domain of at most 180 octets");
        check(is_printable(&self.text), "text", "must be 1 to 300 printable letters of ASCII");
        check(self.name.is_empty() || is_name(&self.name), "name", NAME_RULE);
        faults
    }
}

impl GreylistConfig {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut check = |good, key: &str, problem: &str| faults.check(good, key, problem);
        check(self.delay >= Span::secs(1), "delay", "must be at least 1s");
        check(self.window > self.delay, "window", "must be longer than delay");
        check(self.remember >= self.window, "remember", "must not be shorter than window");
        check(self.network_new_max > 0, "network_new_max", "must be at least 1");
        let domains = self.exempt_spf_domains.iter().all(|domain| domain.parse::<Domain>().is_ok());
        check(domains, "exempt_spf_domains", "must be domains");
        faults
    }
}

impl RateConfig {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let mut check = |good, key: &str, problem: &str| faults.check(good, key, problem);
        check(is_name(&self.name), "name", NAME_RULE);
        check(self.window >= Span::secs(1), "window", "must be at least 1s");
        let of_peers = matches!(self.key, RateKey::Address | RateKey::Network);
        match self.what {
            RateWhat::Connections => {
                check(of_peers, "key", "connections are counted for each address or network");
            }
            RateWhat::UnknownRecipients | RateWhat::Rejections => {
                let wrong = matches!(self.key, RateKey::Recipient | RateKey::Signature);
                check(!wrong, "key", "what was refused is counted for a peer, a sender or an account");
            }
            RateWhat::Octets => {
                check(self.key != RateKey::Signature, "key", "a signature always has the same octets");
            }
            RateWhat::Messages | RateWhat::Recipients => {}
        }
        let scores = self.action != RateAction::Score || self.score != 0;
        check(scores, "score", "must not be 0 when the action is score");
        let accounts = self.exempt_accounts.iter().all(|account| account.parse::<AccountId>().is_ok());
        check(accounts, "exempt_accounts", "must be addresses");
        faults
    }
}

impl ReputationConfig {
    /// What is wrong with the values: pairs of key and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Faults::default();
        let mut check = |good, key: &str, problem: &str| faults.check(good, key, problem);
        check((1..=32).contains(&self.network_bits_v4), "network_bits_v4", "must be 1 to 32");
        check((1..=128).contains(&self.network_bits_v6), "network_bits_v6", "must be 1 to 128");
        check(self.lists_max >= Span::millis(100), "lists_max", "must be at least 100ms");
        check(self.lists_check_interval >= Span::secs(10), "lists_check_interval", "must be at least 10s");
        check(self.block_weight > 0, "block_weight", "must be at least 1");
        check(self.reason_octets_max <= TEXT_MAX, "reason_octets_max", "must be at most 300");
        check(self.state_retry_after >= Span::millis(100), "state_retry_after", "must be at least 100ms");
        check(self.local_counters_max > 0, "local_counters_max", "must be at least 1");
        check(self.events_max > 0, "events_max", "must be at least 1");
        check(self.local_refresh >= Span::millis(100), "local_refresh", "must be at least 100ms");
        check(self.lists.len() <= MANY, "lists", "must be at most 100");
        check(self.rates.len() <= MANY, "rates", "must be at most 100");
        let titles: BTreeSet<&str> = self.lists.iter().map(ListConfig::title).collect();
        check(titles.len() == self.lists.len(), "lists", "must have different names");
        let names: BTreeSet<&str> = self.rates.iter().map(|rate| rate.name.as_str()).collect();
        check(names.len() == self.rates.len(), "rates", "must have different names");
        faults.within("greylist", self.greylist.faults());
        for (place, list) in self.lists.iter().enumerate() {
            faults.within(&format!("lists.{place}"), list.faults());
        }
        for (place, rate) in self.rates.iter().enumerate() {
            faults.within(&format!("rates.{place}"), rate.faults());
        }
        faults.0
    }
}

const NAME_RULE: &str = "must be 1 to 32 letters, digits, - _ .";

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn is_printable(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Pairs of key and problem.
#[derive(Default)]
struct Faults(Vec<(String, String)>);

impl Faults {
    fn check(&mut self, good: bool, key: &str, problem: &str) {
        if !good {
            self.0.push((key.to_owned(), problem.to_owned()));
        }
    }

    fn within(&mut self, section: &str, found: Self) {
        self.0.extend(found.0.into_iter().map(|(key, problem)| (format!("{section}.{key}"), problem)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut ReputationConfig), expected: &[&str]) {
        let mut config = ReputationConfig::default();
        change(&mut config);
        let faults = config.faults();
        let keys: Vec<&str> = faults.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, expected);
    }

    fn list(zone: &str) -> ListConfig {
        ListConfig { zone: zone.to_owned(), ..ListConfig::default() }
    }

    fn rate(name: &str) -> RateConfig {
        RateConfig { name: name.to_owned(), ..RateConfig::default() }
    }

    #[test]
    fn faults() {
        check(|_| {}, &[]);
        check(|c| c.network_bits_v4 = 33, &["network_bits_v4"]);
        check(|c| c.network_bits_v6 = 0, &["network_bits_v6"]);
        check(|c| c.lists = vec![list("bl.test"), list("wl.test")], &[]);
        check(|c| c.lists = vec![list("bl.test"), list("bl.test")], &["lists"]);
        check(|c| c.lists = vec![list("")], &["lists.0.zone"]);
        check(|c| c.lists = vec![list("[192.0.2.1]")], &["lists.0.zone"]);
        check(
            |c| c.lists = vec![ListConfig { text: "a\r\nb".to_owned(), ..list("a.test") }],
            &["lists.0.text"],
        );
        check(|c| c.greylist.delay = Span::secs(0), &["greylist.delay"]);
        check(|c| c.greylist.window = c.greylist.delay, &["greylist.window"]);
        check(|c| c.greylist.exempt_spf_domains = vec!["a b".to_owned()], &["greylist.exempt_spf_domains"]);
        check(|c| c.rates = vec![rate("a"), rate("b")], &[]);
        check(|c| c.rates = vec![rate("a"), rate("a")], &["rates"]);
        check(|c| c.rates = vec![rate(&"x".repeat(32))], &[]);
        check(|c| c.rates = vec![rate(&"x".repeat(33))], &["rates.0.name"]);
        check(|c| c.rates = vec![rate("a:b")], &["rates.0.name"]);
        let of = |key, what| RateConfig { key, what, ..rate("a") };
        check(|c| c.rates = vec![of(RateKey::Account, RateWhat::Connections)], &["rates.0.key"]);
        check(|c| c.rates = vec![of(RateKey::Recipient, RateWhat::Rejections)], &["rates.0.key"]);
        check(|c| c.rates = vec![of(RateKey::Signature, RateWhat::Octets)], &["rates.0.key"]);
        check(|c| c.rates = vec![RateConfig { action: RateAction::Score, ..rate("a") }], &["rates.0.score"]);
    }
}
