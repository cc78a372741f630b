//! Greylisting (RFC 6647): who was never seen before is told to come back, and is known when it does.
//!
//! ```text
//!  network, sender, recipient ── seen? ──never──→ waiting, for `window` ──→ 451
//!     │ its network came back often: passed       │ comes back after `delay`
//!     │ known: passed, and known for longer       └→ known, for `remember`; its network has come back once more
//! ```
//! Nothing holds a time of the clock: how long a value is still kept says when it was made. So nodes need not agree about the time.

use std::sync::Arc;
use std::time::Duration;

use envelope::{Address, Domain};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use shared_state::{SharedState, Unavailable, Value};
use units::Network;

use super::config::{GreylistConfig, GreylistMode};
use super::metrics::Metrics;
use super::whom::{hash, key, network_word};
use crate::{OnFailure, Refusal};

/// A triplet, by its hash.
pub(super) const TRIPLET: &str = "triplet";
/// A network that is passed.
pub(super) const PASSED: &str = "passed";
/// How often a network has come back.
pub(super) const GOOD: &str = "good";
/// How many strangers a network has had.
pub(super) const NEW: &str = "new";
/// Letters of an address that are kept beside the hash, for people who look.
const SHOWN_MAX: usize = 150;

/// Who wrote from where to whom, before and now.
pub(super) struct Greylist {
    config: GreylistConfig,
    exempt: Vec<Domain>,
    state: Arc<dyn SharedState>,
    metrics: Metrics,
}

/// What is kept of a triplet. The addresses are for people; the hash alone decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Triplet {
    /// It came back in time.
    pub(super) known: bool,
    pub(super) network: Network,
    pub(super) sender: String,
    pub(super) recipient: String,
}

/// What is said to one triplet.
enum Says {
    Pass(&'static str),
    Wait(Duration),
}

impl Greylist {
    pub(super) fn new(config: &GreylistConfig, state: Arc<dyn SharedState>, metrics: Metrics) -> Self {
        let exempt = config.exempt_spf_domains.iter().filter_map(|domain| domain.parse().ok());
        Self { config: config.clone(), exempt: exempt.collect(), state, metrics }
    }

    /// Whether a stranger with this score, and perhaps on a list, is asked to come back at all.
    pub(super) fn is_for(&self, score: f64, is_listed: bool, spf_pass: Option<&Domain>) -> bool {
        let is_meant = match self.config.mode {
            GreylistMode::Off => false,
            GreylistMode::Suspicious => is_listed || score >= f64::from(self.config.score_min),
            GreylistMode::Always => true,
        };
        is_meant && !spf_pass.is_some_and(|domain| self.exempt.iter().any(|exempt| is_within(domain, exempt)))
    }

    /// Judges all triplets of one sender; `sender` is empty for the null reverse path. One that must wait lets all wait.
    pub(super) async fn judge(
        &self,
        network: Network,
        sender: &str,
        recipients: &[Address],
    ) -> Option<Refusal> {
        let judged = recipients.iter().map(|recipient| self.judge_one(network, sender, recipient));
        let mut wait = None;
        for says in join_all(judged).await {
            let outcome = match says {
                Ok(Says::Pass(why)) => why,
                Ok(Says::Wait(left)) => {
                    wait = wait.max(Some(left));
                    "deferred"
                }
                Err(Unavailable(why)) => {
                    tracing::debug!(why, "nothing can be remembered of strangers");
                    if self.config.on_failure == OnFailure::Tempfail {
                        wait = wait.max(Some(self.config.delay.as_duration()));
                    }
                    "failed"
                }
            };
            self.metrics.greylist.with_label_values(&[outcome]).inc();
        }
        let seconds = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
        wait.map(|left| {
            let text = format!("Greylisted, try again in {} seconds", seconds(left).max(1));
            Refusal::temporary((4, 7, 1), text)
        })
    }

    async fn judge_one(
        &self,
        network: Network,
        sender: &str,
        recipient: &Address,
    ) -> Result<Says, Unavailable> {
        let (window, remember) = (self.config.window.as_duration(), self.config.remember.as_duration());
        let recipient = recipient.canonical().to_string();
        let parts = [network.to_string(), sender.to_owned(), recipient.clone()];
        let triplet_key = key(TRIPLET, &hash(&parts.each_ref().map(String::as_bytes)))?;
        let passed_key = key(PASSED, &network_word(network))?;
        let (passed, seen) = tokio::join!(self.state.kept(&passed_key), self.state.kept(&triplet_key));
        if let Some(passed) = passed? {
            if passed.remaining < remember / 2 {
                self.state.keep(&passed_key, &passed.value, remember).await?;
            }
            return Ok(Says::Pass("network"));
        }
        let shown = |text: &str| text.chars().take(SHOWN_MAX).collect::<String>();
        let mut triplet =
            Triplet { known: false, network, sender: shown(sender), recipient: shown(&recipient) };
        let found = seen?.and_then(|kept| {
            let known = serde_json::from_str::<Triplet>(kept.value.as_str()).ok()?.known;
            Some((known, kept.remaining))
        });
        match found {
            None => {
                if self.is_flooding(network).await? {
                    return Ok(Says::Wait(self.config.delay.as_duration()));
                }
                self.state.keep(&triplet_key, &value(&triplet)?, window).await?;
                Ok(Says::Wait(self.config.delay.as_duration()))
            }
            Some((true, remaining)) => {
                triplet.known = true;
                if remaining < remember / 2 {
                    self.state.keep(&triplet_key, &value(&triplet)?, remember).await?;
                }
                Ok(Says::Pass("known"))
            }
            Some((false, remaining)) => {
                let age = window.saturating_sub(remaining);
                let left = self.config.delay.as_duration().saturating_sub(age);
                if !left.is_zero() {
                    return Ok(Says::Wait(left));
                }
                triplet.known = true;
                self.state.keep(&triplet_key, &value(&triplet)?, remember).await?;
                self.came_back(network).await?;
                Ok(Says::Pass("passed"))
            }
        }
    }

    /// Counts a stranger of this network. Whoever invents senders must not fill the memory of others.
    async fn is_flooding(&self, network: Network) -> Result<bool, Unavailable> {
        let key = key(NEW, &network_word(network))?;
        let sum = self.state.count(&key, self.config.window.as_duration(), 1).await?;
        Ok(sum > u64::from(self.config.network_new_max))
    }

    async fn came_back(&self, network: Network) -> Result<(), Unavailable> {
        let needed = self.config.network_passed_after;
        if needed == 0 {
            return Ok(());
        }
        let (word, remember) = (network_word(network), self.config.remember.as_duration());
        // A network from which mail servers send may show new strangers; soon it is passed altogether.
        self.state.forget(&key(NEW, &word)?).await?;
        let sum = self.state.count(&key(GOOD, &word)?, remember, 1).await?;
        if sum >= u64::from(needed) {
            let value = Value::new(network.to_string()).map_err(|error| Unavailable(error.to_string()))?;
            self.state.keep(&key(PASSED, &word)?, &value, remember).await?;
        }
        Ok(())
    }
}

/// As it is kept. One whose addresses take too much room with their escapes is kept without them.
fn value(triplet: &Triplet) -> Result<Value, Unavailable> {
    let text = |triplet: &Triplet| serde_json::to_string(triplet).unwrap_or_default();
    let bare = || Triplet { sender: "-".to_owned(), recipient: "-".to_owned(), ..triplet.clone() };
    let value = Value::new(text(triplet)).or_else(|_| Value::new(text(&bare())));
    value.map_err(|error| Unavailable(error.to_string()))
}

fn is_within(domain: &Domain, parent: &Domain) -> bool {
    let rest = domain.as_str().strip_suffix(parent.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use shared_state::memory::MemoryState;
    use units::Span;

    use super::*;

    /// `delay` is 50 ms: long enough to come back too early, short enough to wait for.
    fn greylist(change: impl FnOnce(&mut GreylistConfig)) -> Greylist {
        let mut config = GreylistConfig {
            mode: GreylistMode::Always,
            delay: Span::millis(50),
            network_passed_after: 2,
            ..GreylistConfig::default()
        };
        change(&mut config);
        let state = Arc::new(MemoryState::new(&shared_state::Config::default()));
        Greylist::new(&config, state, Metrics::new(&prometheus::Registry::new()).unwrap())
    }

    async fn ask(greylist: &Greylist, network: &str, sender: &str, recipient: &str) -> Option<Refusal> {
        greylist.judge(network.parse().unwrap(), sender, &[recipient.parse().unwrap()]).await
    }

    async fn until_passed(greylist: &Greylist, network: &str, sender: &str) {
        let wait = async {
            while ask(greylist, network, sender, "b@x.test").await.is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it is let in");
    }

    const HERE: &str = "192.0.2.0/24";

    #[tokio::test]
    async fn a_stranger_waits_and_is_known_then() {
        let greylist = greylist(|config| config.delay = Span::secs(300));
        let refusal = ask(&greylist, HERE, "a@y.test", "b@x.test").await.unwrap();
        assert_eq!(refusal, Refusal::temporary((4, 7, 1), "Greylisted, try again in 300 seconds"));
        let again = ask(&greylist, HERE, "a@y.test", "B@x.test").await.unwrap();
        assert!(again.text.starts_with("Greylisted, try again in "), "too early: {}", again.text);
    }

    #[tokio::test]
    async fn who_comes_back_is_passed_and_each_part_counts() {
        let greylist = greylist(|config| config.network_passed_after = 0);
        until_passed(&greylist, HERE, "a@y.test").await;
        for _ in 0..3 {
            assert_eq!(ask(&greylist, HERE, "a@y.test", "b@x.test").await, None);
        }
        for (network, sender, recipient) in [
            ("198.51.100.0/24", "a@y.test", "b@x.test"),
            (HERE, "c@y.test", "b@x.test"),
            (HERE, "a@y.test", "c@x.test"),
            (HERE, "", "b@x.test"),
        ] {
            assert!(
                ask(&greylist, network, sender, recipient).await.is_some(),
                "{network} {sender} {recipient}"
            );
        }
    }

    #[tokio::test]
    async fn a_network_that_came_back_often_is_passed() {
        let greylist = greylist(|_| {});
        until_passed(&greylist, HERE, "a@y.test").await;
        assert!(ask(&greylist, HERE, "b@y.test", "b@x.test").await.is_some());
        until_passed(&greylist, HERE, "b@y.test").await;
        assert_eq!(ask(&greylist, HERE, "never seen@y.test", "b@x.test").await, None);
        assert!(ask(&greylist, "198.51.100.0/24", "a@y.test", "b@x.test").await.is_some());
    }

    #[tokio::test]
    async fn who_comes_back_too_late_is_a_stranger() {
        let greylist = greylist(|config| config.window = Span::millis(100));
        assert!(ask(&greylist, HERE, "a@y.test", "b@x.test").await.is_some());
        let key_of = hash(&[HERE.as_bytes(), b"a@y.test", b"b@x.test"]);
        let triplet = key(TRIPLET, &key_of).unwrap();
        let over = async {
            while greylist.state.kept(&triplet).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), over).await.unwrap();
        assert!(ask(&greylist, HERE, "a@y.test", "b@x.test").await.is_some());
    }

    #[tokio::test]
    async fn one_of_many_recipients_lets_all_wait() {
        let greylist = greylist(|config| config.network_passed_after = 0);
        until_passed(&greylist, HERE, "").await;
        let both = ["b@x.test", "c@x.test"].map(|address| address.parse().unwrap());
        assert!(greylist.judge(HERE.parse().unwrap(), "", &both).await.is_some());
        assert!(greylist.judge(HERE.parse().unwrap(), "", &both[..1]).await.is_none());
        assert!(greylist.judge(HERE.parse().unwrap(), "", &[]).await.is_none());
    }

    #[tokio::test]
    async fn a_flood_of_senders_is_told_to_wait_and_is_not_remembered() {
        let greylist = greylist(|config| config.network_new_max = 2);
        for (number, kept) in [(1, true), (2, true), (3, false), (4, false)] {
            let sender = format!("{number}@y.test");
            assert!(ask(&greylist, HERE, &sender, "b@x.test").await.is_some());
            let hash = hash(&[HERE.as_bytes(), sender.as_bytes(), b"b@x.test"]);
            let found = greylist.state.kept(&key(TRIPLET, &hash).unwrap()).await.unwrap();
            assert_eq!(found.is_some(), kept, "{number}");
        }
        until_passed(&greylist, HERE, "1@y.test").await;
        let found = async |sender: &str| {
            assert!(ask(&greylist, HERE, sender, "b@x.test").await.is_some());
            let hash = hash(&[HERE.as_bytes(), sender.as_bytes(), b"b@x.test"]);
            greylist.state.kept(&key(TRIPLET, &hash).unwrap()).await.unwrap().is_some()
        };
        assert!(found("5@y.test").await, "a mail server sends from there: it may show new senders");
    }

    #[tokio::test]
    async fn hostile_addresses_are_kept_within_bounds() {
        let greylist = greylist(|config| config.delay = Span::secs(300));
        let long = format!("\"{}\"@y.test", "\\\"".repeat(500));
        let control = "\u{1}".repeat(300);
        for sender in [long.as_str(), control.as_str(), "ä", "\u{1f4a9}"] {
            assert!(ask(&greylist, HERE, sender, "b@x.test").await.is_some());
            let again = ask(&greylist, HERE, sender, "b@x.test").await.unwrap();
            assert!(again.is_temporary(), "it was remembered, whatever it is");
        }
    }

    #[test]
    fn who_is_meant() {
        let check = |mode, score: f64, is_listed, spf: Option<&str>, expected| {
            let greylist = greylist(|config| {
                config.mode = mode;
                config.exempt_spf_domains = vec!["large.test".to_owned()];
            });
            let spf = spf.map(|domain| domain.parse().unwrap());
            assert_eq!(greylist.is_for(score, is_listed, spf.as_ref()), expected, "{mode:?} {score} {spf:?}");
        };
        check(GreylistMode::Off, 9.0, true, None, false);
        check(GreylistMode::Always, 0.0, false, None, true);
        check(GreylistMode::Suspicious, 0.0, false, None, false);
        check(GreylistMode::Suspicious, 1.0, false, None, true);
        check(GreylistMode::Suspicious, 0.0, true, None, true);
        check(GreylistMode::Always, 0.0, false, Some("large.test"), false);
        check(GreylistMode::Always, 0.0, false, Some("mail.large.test"), false);
        check(GreylistMode::Always, 0.0, false, Some("verylarge.test"), true);
    }

    #[tokio::test]
    async fn without_a_memory_mail_is_accepted_unless_told_otherwise() {
        let check = async |on_failure, expected: bool| {
            let config =
                GreylistConfig { mode: GreylistMode::Always, on_failure, ..GreylistConfig::default() };
            let state = Arc::new(crate::reputation::tests::Away);
            let greylist = Greylist::new(&config, state, Metrics::new(&prometheus::Registry::new()).unwrap());
            assert_eq!(ask(&greylist, HERE, "a@y.test", "b@x.test").await.is_some(), expected);
        };
        check(OnFailure::Accept, false).await;
        check(OnFailure::Tempfail, true).await;
    }
}
