//! Limits on how often something may happen: each rule counts one thing for one kind of key.
//!
//! ```text
//!  connect    connections; refused things of the address and network, looked at
//!  MAIL       messages; refused things of all keys, looked at
//!  RCPT       recipients; messages for a recipient
//!  content    octets; messages and recipients of a signature
//! ```
//! The window begins with the first count and what is over a limit does not lengthen it. While the shared state is away each node counts for
//! itself: the limits hold, for each node.

use std::net::IpAddr;
use std::sync::Arc;

use envelope::{AccountId, Address};
use futures_util::future::join_all;
use shared_state::{Counted, SharedState, Unavailable};

use super::config::{RateAction, RateConfig, RateKey, RateWhat};
use super::metrics::Metrics;
use super::whom::{Widths, address_word, key, network_word, word};
use super::{Judged, RateSays, Reason};
use crate::Refusal;

/// Counters of rules: `<rule>:<whom>`.
pub(super) const RATE: &str = "rate";

/// When rules are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Mail,
    Recipient,
    Content,
}

/// About whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// None: it is not counted by its address.
    pub(super) address: Option<IpAddr>,
    pub(super) account: Option<&'a AccountId>,
    pub(super) sender: Option<&'a Address>,
    pub(super) recipients: &'a [Address],
    pub(super) signatures: &'a [String],
}

/// All rules.
pub(super) struct Rates {
    rules: Vec<Rule>,
    widths: Widths,
    state: Arc<dyn SharedState>,
    metrics: Metrics,
}

struct Rule {
    config: RateConfig,
    exempt: Vec<AccountId>,
}

impl Rates {
    pub(super) fn new(
        rules: &[RateConfig],
        widths: Widths,
        state: Arc<dyn SharedState>,
        metrics: Metrics,
    ) -> Self {
        let rules = rules.iter().map(|rule| Rule {
            config: rule.clone(),
            exempt: rule.exempt_accounts.iter().filter_map(|account| account.parse().ok()).collect(),
        });
        Self { rules: rules.collect(), widths, state, metrics }
    }

    /// Counts what happens at `step` and says what it comes to.
    pub(super) async fn judge(&self, step: Step, subject: Subject<'_>, octets: u64) -> Judged {
        let mut asked = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.is_for(&subject)) {
            let Some(amount) = amount(&rule.config, step, &subject, octets) else { continue };
            for whom in self.whoms(rule.config.key, &subject) {
                asked.push(self.count(&rule.config, whom, amount));
            }
        }
        let mut judged = Judged::default();
        for rule in join_all(asked).await.into_iter().flatten() {
            self.metrics.over.with_label_values(&[&rule.name]).inc();
            let score = if rule.action == RateAction::Score { f64::from(rule.score) } else { 0.0 };
            judged.reasons.push(Reason { text: format!("rate:{}", rule.name), score });
            match rule.action {
                RateAction::Score => {}
                RateAction::Defer => {
                    let text = format!("Too many {}, try again later", noun(rule.what));
                    judged.refusal.get_or_insert_with(|| Refusal::temporary((4, 7, 1), text));
                }
                RateAction::Reject => {
                    let is_final = judged.refusal.as_ref().is_some_and(|refusal| !refusal.is_temporary());
                    if !is_final {
                        let text = format!("Too many {}", noun(rule.what));
                        judged.refusal = Some(Refusal::permanent((5, 7, 1), text));
                    }
                }
            }
        }
        judged
    }

    /// The rule, when it is over its limit. An amount of 0 only looks.
    async fn count<'a>(&self, rule: &'a RateConfig, whom: String, amount: u64) -> Option<&'a RateConfig> {
        let asked = async {
            let key = key(RATE, &format!("{}:{whom}", rule.name))?;
            if amount == 0 {
                return Ok(self.state.counted(&key).await?.map_or(0, |counted| counted.sum));
            }
            self.state.count(&key, rule.window.as_duration(), amount).await
        };
        match asked.await {
            Ok(sum) => (sum > rule.limit).then_some(rule),
            Err(Unavailable(why)) => {
                tracing::debug!(rule = rule.name, why, "a rate can't be counted");
                None
            }
        }
    }

    /// Counts what has happened; it is judged when the same one comes again.
    pub(super) async fn happened(&self, what: RateWhat, subject: Subject<'_>) {
        let rules = self.rules.iter().filter(|rule| rule.config.what == what && rule.is_for(&subject));
        let counts = rules.flat_map(|rule| {
            let whoms = self.whoms(rule.config.key, &subject);
            whoms.into_iter().map(|whom| self.count(&rule.config, whom, 1))
        });
        join_all(counts).await;
    }

    /// Where the counters of an address and its network stand.
    pub(super) async fn look(&self, address: IpAddr) -> Vec<RateSays> {
        let nobody = super::subject(address);
        let of_peers = |key| matches!(key, RateKey::Address | RateKey::Network);
        let rules = self.rules.iter().filter(|rule| of_peers(rule.config.key) && rule.is_for(&nobody));
        let looked = rules.flat_map(|rule| {
            self.whoms(rule.config.key, &nobody).into_iter().map(move |whom| async move {
                let name = format!("{}:{whom}", rule.config.name);
                let asked = match key(RATE, &name) {
                    Ok(key) => self.state.counted(&key).await,
                    Err(error) => Err(error),
                };
                let (sum, remaining) = asked
                    .ok()
                    .flatten()
                    .map_or((0, None), |Counted { sum, remaining }| (sum, Some(remaining.as_secs())));
                // What counts at its own step is over with the next one.
                let next = u64::from(amount(&rule.config, Step::Connect, &nobody, 0) == Some(1));
                RateSays {
                    rule: rule.config.name.clone(),
                    whom,
                    sum,
                    limit: rule.config.limit,
                    ends_in: remaining,
                    is_over: sum + next > rule.config.limit,
                    action: rule.config.action,
                    at_connect: steps(&rule.config).contains(&Step::Connect),
                    score: rule.config.score,
                }
            })
        });
        join_all(looked).await
    }

    /// Names of the counters that an address, sender, recipient, domain or account has.
    pub(super) fn names(&self, word: &str) -> Vec<String> {
        self.rules.iter().map(|rule| format!("{}:{word}", rule.config.name)).collect()
    }

    fn whoms(&self, key: RateKey, subject: &Subject<'_>) -> Vec<String> {
        let sender = subject.sender;
        match key {
            RateKey::Address => {
                subject.address.map(|address| address.to_canonical().to_string()).into_iter().collect()
            }
            RateKey::Network => subject
                .address
                .map(|address| network_word(self.widths.network(address)))
                .into_iter()
                .collect(),
            RateKey::Sender => sender.map(address_word).into_iter().collect(),
            RateKey::SenderDomain => {
                sender.map(|sender| word(sender.domain().as_str())).into_iter().collect()
            }
            RateKey::Recipient => subject.recipients.iter().map(address_word).collect(),
            RateKey::Account => {
                subject.account.map(|account| address_word(account.address())).into_iter().collect()
            }
            RateKey::Signature => subject.signatures.iter().map(|signature| word(signature)).collect(),
        }
    }
}

impl Rule {
    fn is_for(&self, subject: &Subject<'_>) -> bool {
        let networks = &self.config.exempt_networks;
        !subject.address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            && !subject.account.is_some_and(|account| self.exempt.contains(account))
    }
}

/// When a rule is judged.
fn steps(rule: &RateConfig) -> &'static [Step] {
    match (rule.what, rule.key) {
        (RateWhat::Connections, _) => &[Step::Connect],
        (RateWhat::Messages, RateKey::Recipient) => &[Step::Recipient],
        (RateWhat::Messages | RateWhat::Recipients, RateKey::Signature) => &[Step::Content],
        (RateWhat::Messages, _) => &[Step::Mail],
        (RateWhat::Recipients, _) => &[Step::Recipient],
        (RateWhat::Octets, _) => &[Step::Content],
        (RateWhat::UnknownRecipients | RateWhat::Rejections, RateKey::Address | RateKey::Network) => {
            &[Step::Connect, Step::Mail]
        }
        (RateWhat::UnknownRecipients | RateWhat::Rejections, _) => &[Step::Mail],
    }
}

/// What a step adds to a rule's counters; 0: it is only looked at, none: the rule is not judged here.
fn amount(rule: &RateConfig, step: Step, subject: &Subject<'_>, octets: u64) -> Option<u64> {
    if !steps(rule).contains(&step) {
        return None;
    }
    Some(match (rule.what, rule.key) {
        (RateWhat::UnknownRecipients | RateWhat::Rejections, _) => 0,
        (RateWhat::Octets, _) => octets,
        (RateWhat::Recipients, RateKey::Signature) => {
            u64::try_from(subject.recipients.len()).unwrap_or(u64::MAX)
        }
        _ => 1,
    })
}

const fn noun(what: RateWhat) -> &'static str {
    match what {
        RateWhat::Connections => "connections",
        RateWhat::Messages => "messages",
        RateWhat::Recipients => "recipients",
        RateWhat::Octets => "octets",
        RateWhat::UnknownRecipients => "unknown recipients",
        RateWhat::Rejections => "refused messages",
    }
}

#[cfg(test)]
mod tests {
    use shared_state::memory::MemoryState;
    use units::Span;

    use super::*;

    fn rule(key: RateKey, what: RateWhat, limit: u64) -> RateConfig {
        RateConfig { name: "r".to_owned(), key, what, limit, ..RateConfig::default() }
    }

    fn rates(rules: &[RateConfig]) -> Rates {
        let state = Arc::new(MemoryState::new(&shared_state::Config::default()));
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        Rates::new(rules, Widths { v4: 24, v6: 64 }, state, metrics)
    }

    /// Subjects that differ in one part each.
    struct Given {
        address: IpAddr,
        account: AccountId,
        sender: Address,
        recipients: Vec<Address>,
        signatures: Vec<String>,
    }

    impl Given {
        fn new(address: &str, sender: &str, recipient: &str) -> Self {
            Self {
                address: address.parse().unwrap(),
                account: "me@x.test".parse().unwrap(),
                sender: sender.parse().unwrap(),
                recipients: vec![recipient.parse().unwrap()],
                signatures: vec!["d=y.test;bh=abc/+=".to_owned()],
            }
        }

        fn subject(&self) -> Subject<'_> {
            Subject {
                address: Some(self.address),
                account: Some(&self.account),
                sender: Some(&self.sender),
                recipients: &self.recipients,
                signatures: &self.signatures,
            }
        }
    }

    /// The first `limit` pass, the next is over, and who differs is not.
    async fn check(key: RateKey, what: RateWhat, step: Step, other: Option<(&str, &str, &str)>) {
        let rates = rates(&[rule(key, what, 3)]);
        let given = Given::new("192.0.2.1", "a@y.test", "b@x.test");
        for number in 1..=3 {
            let judged = rates.judge(step, given.subject(), 1).await;
            assert_eq!(judged, Judged::default(), "{key:?} {what:?} {number}");
        }
        let over = rates.judge(step, given.subject(), 1).await;
        assert!(over.refusal.is_some_and(|refusal| refusal.is_temporary()), "{key:?} {what:?}");
        assert_eq!(over.reasons, [Reason { text: "rate:r".to_owned(), score: 0.0 }]);
        for other_step in [Step::Connect, Step::Mail, Step::Recipient, Step::Content] {
            if other_step != step {
                assert_eq!(rates.judge(other_step, given.subject(), 1).await, Judged::default());
            }
        }
        if let Some((address, sender, recipient)) = other {
            let other = Given::new(address, sender, recipient);
            assert_eq!(rates.judge(step, other.subject(), 1).await, Judged::default(), "{key:?} {what:?}");
        }
    }

    #[tokio::test]
    async fn each_rule_has_its_step_and_its_limit() {
        use RateKey::{Account, Address, Network, Recipient, Sender, SenderDomain, Signature};
        let (here, near, far) = ("192.0.2.1", "192.0.2.2", "198.51.100.1");
        check(Address, RateWhat::Connections, Step::Connect, Some((near, "a@y.test", "b@x.test"))).await;
        check(Network, RateWhat::Connections, Step::Connect, Some((far, "a@y.test", "b@x.test"))).await;
        check(Sender, RateWhat::Messages, Step::Mail, Some((here, "c@y.test", "b@x.test"))).await;
        check(SenderDomain, RateWhat::Messages, Step::Mail, Some((here, "a@z.test", "b@x.test"))).await;
        check(Account, RateWhat::Messages, Step::Mail, None).await;
        check(Recipient, RateWhat::Messages, Step::Recipient, Some((here, "a@y.test", "c@x.test"))).await;
        check(Address, RateWhat::Recipients, Step::Recipient, Some((near, "a@y.test", "b@x.test"))).await;
        check(Network, RateWhat::Octets, Step::Content, Some((far, "a@y.test", "b@x.test"))).await;
        check(Signature, RateWhat::Messages, Step::Content, None).await;
        check(Signature, RateWhat::Recipients, Step::Content, None).await;
    }

    #[tokio::test]
    async fn spellings_of_one_address_are_one() {
        let rates = rates(&[rule(RateKey::Sender, RateWhat::Messages, 1)]);
        let mut over = 0;
        for sender in ["a@y.test", "A@y.test", "A@Y.TEST"] {
            let given = Given::new("192.0.2.1", sender, "b@x.test");
            over += usize::from(rates.judge(Step::Mail, given.subject(), 1).await.refusal.is_some());
        }
        assert_eq!(over, 2);
    }

    #[tokio::test]
    async fn amounts_are_octets_and_recipients() {
        let octets = rates(&[rule(RateKey::Account, RateWhat::Octets, 1000)]);
        let mut given = Given::new("192.0.2.1", "a@y.test", "b@x.test");
        assert!(octets.judge(Step::Content, given.subject(), 999).await.refusal.is_none());
        assert!(octets.judge(Step::Content, given.subject(), 1).await.refusal.is_none());
        assert!(octets.judge(Step::Content, given.subject(), 1).await.refusal.is_some());
        let replay = RateConfig {
            action: RateAction::Score,
            score: 7,
            ..rule(RateKey::Signature, RateWhat::Recipients, 100)
        };
        let replays = rates(&[replay]);
        given.recipients = vec!["b@x.test".parse().unwrap(); 50];
        for (number, score) in [(1, 0.0), (2, 0.0), (3, 7.0)] {
            let judged = replays.judge(Step::Content, given.subject(), 1).await;
            let points: f64 = judged.reasons.iter().map(|reason| reason.score).sum();
            assert!((points - score).abs() < 0.1 && judged.refusal.is_none(), "{number} {judged:?}");
        }
    }

    #[tokio::test]
    async fn what_has_happened_is_judged_when_the_same_one_comes_again() {
        let rule = RateConfig {
            action: RateAction::Reject,
            ..rule(RateKey::Network, RateWhat::UnknownRecipients, 2)
        };
        let rates = rates(&[rule]);
        let given = Given::new("2001:db8::1", "a@y.test", "b@x.test");
        for expected in [false, false, false, true] {
            for step in [Step::Connect, Step::Mail] {
                let refusal = rates.judge(step, given.subject(), 1).await.refusal;
                assert_eq!(refusal.is_some_and(|refusal| refusal.code == 550), expected, "{step:?}");
            }
            rates.happened(RateWhat::Rejections, given.subject()).await;
            rates.happened(RateWhat::UnknownRecipients, given.subject()).await;
        }
    }

    #[tokio::test]
    async fn who_is_exempt_is_not_counted() {
        let of = |networks: &[&str], accounts: &[&str]| RateConfig {
            exempt_networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            exempt_accounts: accounts.iter().map(|account| (*account).to_owned()).collect(),
            ..rule(RateKey::Address, RateWhat::Messages, 0)
        };
        for (rule, expected) in [
            (of(&[], &[]), true),
            (of(&["192.0.2.0/24"], &[]), false),
            (of(&[], &["ME@x.test"]), false),
            (of(&["192.0.3.0/24"], &["you@x.test"]), true),
        ] {
            let given = Given::new("192.0.2.1", "a@y.test", "b@x.test");
            let judged = rates(&[rule]).judge(Step::Mail, given.subject(), 1).await;
            assert_eq!(judged.refusal.is_some(), expected);
        }
    }

    #[tokio::test]
    async fn a_window_ends() {
        let short = RateConfig { window: Span::millis(30), ..rule(RateKey::Address, RateWhat::Messages, 0) };
        let rates = rates(&[short]);
        let given = Given::new("192.0.2.1", "a@y.test", "b@x.test");
        let looked = async || rates.look(given.address).await.remove(0).sum;
        assert!(rates.judge(Step::Mail, given.subject(), 1).await.refusal.is_some());
        let over = async {
            while looked().await != 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), over).await.unwrap();
    }
}
