//! Block, allow and score lists in the DNS (RFC 5782).
//!
//! ```text
//! 192.0.2.99 on bl.test?  → A 99.2.0.192.bl.test → 127.0.0.2 … listed | NXDOMAIN not listed | anything else: the list has failed
//! 2001:db8::1 on bl.test? → A 1.0.0.….8.b.d.0.1.0.0.2.bl.test
//! works bl.test?          → 127.0.0.2 must be listed and 127.0.0.1 must not (§5); one that does not work is not asked
//! ```

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::answers::Answers;
use super::config::{ListConfig, ListKind, ReputationConfig};
use super::metrics::Metrics;
use super::whom::printable;
use crate::{Dns, DnsError, OnFailure, Refusal};

/// Answers of one list that are shown.
const SHOWN_MAX: usize = 8;

/// What a list says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// It is on it; with the answers that count, and the list's own text.
    Listed(Vec<Ipv4Addr>, Option<String>),
    /// It is not, or the list has nothing to say about such addresses.
    Unlisted,
    /// Nothing is known.
    Failed(String),
}

/// All lists together.
pub(super) struct Lists {
    lists: Vec<List>,
    dns: Arc<dyn Dns>,
    deadline: Duration,
    block_weight: u32,
    reason_max: usize,
    metrics: Metrics,
}

struct List {
    config: ListConfig,
    /// What is wrong with it, by its last check.
    broken: Mutex<Option<String>>,
}

/// What the lists come to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) refusal: Option<Refusal>,
    pub(super) score: f64,
    /// By title.
    pub(super) listed: Vec<String>,
    pub(super) allowed: bool,
}

impl List {
    fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lists {
    pub(super) fn new(config: &ReputationConfig, dns: Arc<dyn Dns>, metrics: Metrics) -> Self {
        let lists = config.lists.iter().map(|list| List { config: list.clone(), broken: Mutex::default() });
        Self {
            lists: lists.collect(),
            dns,
            deadline: config.lists_max.as_duration(),
            block_weight: config.block_weight,
            reason_max: config.reason_octets_max,
            metrics,
        }
    }

    /// Asks all, side by side and with one deadline.
    pub(super) async fn ask(&self, address: IpAddr) -> Vec<(&ListConfig, Says)> {
        let until = Instant::now() + self.deadline;
        let asked = self.lists.iter().map(|list| async move {
            let says = self.ask_one(list, address, until).await;
            let label = match &says {
                Says::Listed(..) => "listed",
                Says::Unlisted => "unlisted",
                Says::Failed(_) => "failed",
            };
            self.metrics.answers.with_label_values(&[list.config.title(), label]).inc();
            (&list.config, says)
        });
        join_all(asked).await
    }

    async fn ask_one(&self, list: &List, address: IpAddr, until: Instant) -> Says {
        if address.to_canonical().is_ipv6() && !list.config.ipv6 {
            return Says::Unlisted;
        }
        if let Some(why) = list.broken() {
            return Says::Failed(format!("the list does not work: {why}"));
        }
        let name = query(address, &list.config.zone);
        let answers = match timeout_at(until, self.dns.a(&name)).await {
            Ok(answer) => match answers(answer) {
                Ok(answers) => answers,
                Err(why) => return Says::Failed(why),
            },
            Err(_) => return Says::Failed("no answer in time".to_owned()),
        };
        let counting = |answer: &Ipv4Addr| {
            let patterns = &list.config.answers;
            patterns.iter().any(|pattern| pattern.hold(*answer))
                || (patterns.is_empty() && Answers::CONVENTION.hold(*answer))
        };
        let counting: Vec<Ipv4Addr> = answers.into_iter().filter(counting).take(SHOWN_MAX).collect();
        if counting.is_empty() {
            return Says::Unlisted;
        }
        // Only who is refused hears a reason.
        let texts = match list.config.kind {
            ListKind::Block => timeout_at(until, self.dns.txt(&name)).await.ok(),
            ListKind::Allow | ListKind::Score => None,
        };
        let first = texts.and_then(Result::ok).and_then(|texts| texts.into_iter().next());
        let reason = first.map(|text| printable(&text, self.reason_max)).filter(|text| !text.is_empty());
        Says::Listed(counting, reason)
    }

    /// What the lists mean for a peer.
    pub(super) async fn judge(&self, address: IpAddr) -> Found {
        self.weigh(address, &self.ask(address).await)
    }

    /// What these answers come to.
    pub(super) fn weigh(&self, address: IpAddr, said: &[(&ListConfig, Says)]) -> Found {
        let mut found = Found::default();
        let mut weight = 0_u32;
        let mut block = None;
        let mut unknown = None;
        for (list, says) in said {
            match says {
                Says::Unlisted => {}
                Says::Failed(why) => {
                    tracing::debug!(list = list.title(), why, "a list has not answered");
                    if list.on_failure == OnFailure::Tempfail {
                        unknown = Some(Refusal::temporary((4, 7, 1), "Your address can't be looked up now"));
                    }
                }
                Says::Listed(_, reason) => {
                    found.listed.push(list.title().to_owned());
                    found.score += f64::from(list.score);
                    match list.kind {
                        ListKind::Allow => found.allowed = true,
                        ListKind::Score => {}
                        ListKind::Block => {
                            weight = weight.saturating_add(list.weight);
                            block.get_or_insert_with(|| text(list, address, reason.as_deref()));
                        }
                    }
                }
            }
        }
        if !found.allowed {
            let blocked = block.filter(|_| weight >= self.block_weight);
            found.refusal = blocked.map(|text| Refusal::permanent((5, 7, 1), text)).or(unknown);
        }
        found
    }

    /// Checks whether each list has the test entries of RFC 5782 §5.
    pub(super) async fn check(&self) {
        let checks = self.lists.iter().filter(|list| list.config.test_entries);
        join_all(checks.map(|list| self.check_one(list))).await;
    }

    async fn check_one(&self, list: &List) {
        let until = Instant::now() + self.deadline;
        let ask = async |last| {
            let name = query(Ipv4Addr::new(127, 0, 0, last).into(), &list.config.zone);
            let answer = timeout_at(until, self.dns.a(&name)).await;
            answer.unwrap_or_else(|_| Err(DnsError::Failed("no answer in time".to_owned())))
        };
        let (listed, unlisted) = tokio::join!(ask(2), ask(1));
        let title = list.config.title();
        let broken = match (listed, unlisted) {
            (Err(DnsError::Failed(why)), _) | (_, Err(DnsError::Failed(why))) => {
                // Nothing is known: it stays what it was.
                self.metrics.answers.with_label_values(&[title, "failed"]).inc();
                info!(list = title, why, "a list could not be checked");
                return;
            }
            (_, Ok(_)) => Some("it lists 127.0.0.1, so perhaps everybody".to_owned()),
            (Err(_), _) => Some("it does not list 127.0.0.2, so perhaps nobody".to_owned()),
            (listed, Err(_)) => answers(listed).err(),
        };
        self.metrics.broken.with_label_values(&[title]).set(i64::from(broken.is_some()));
        let before = std::mem::replace(
            &mut *list.broken.lock().unwrap_or_else(PoisonError::into_inner),
            broken.clone(),
        );
        match (before, broken) {
            (None, Some(why)) => warn!(list = title, why, "a list does not work and is not asked"),
            (Some(_), None) => info!(list = title, "a list works again"),
            _ => {}
        }
    }

    /// Each list's title, zone and kind, and what is wrong with it.
    pub(super) fn standing(&self) -> Vec<(&ListConfig, Option<String>)> {
        self.lists.iter().map(|list| (&list.config, list.broken())).collect()
    }
}

/// The answers, none when the name does not exist; or why they are none.
fn answers(answer: Result<Vec<Ipv4Addr>, DnsError>) -> Result<Vec<Ipv4Addr>, String> {
    match answer {
        Ok(answers) => match answers.iter().find(|answer| !is_answer(**answer)) {
            // 127.255.255.0/24: "you asked wrongly", "you ask too much"; anything else: somebody else answers for the list.
            Some(error) => Err(format!("it answers {error}")),
            None => Ok(answers),
        },
        Err(DnsError::NoName | DnsError::NoRecord) => Ok(Vec::new()),
        Err(DnsError::Failed(why)) => Err(why),
    }
}

fn is_answer(answer: Ipv4Addr) -> bool {
    answer.is_loopback() && !matches!(answer.octets(), [127, 255, 255, _])
}

/// The name under which an address is looked up: its octets, or the nibbles of IPv6, from the last to the first (RFC 5782 §2.1, §2.4).
fn query(address: IpAddr, zone: &str) -> String {
    let mut name = String::new();
    match address.to_canonical() {
        IpAddr::V4(four) => four.octets().iter().rev().for_each(|octet| {
            let _ = write!(name, "{octet}.");
        }),
        IpAddr::V6(six) => six.octets().iter().rev().for_each(|octet| {
            let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
        }),
    }
    name + zone.trim_end_matches('.')
}

/// What a refused peer is told.
fn text(list: &ListConfig, address: IpAddr, reason: Option<&str>) -> String {
    let reason = reason.unwrap_or("no reason given");
    // The reason comes last: what it holds is not filled in.
    let address = address.to_canonical().to_string();
    list.text.replace("{address}", &address).replace("{zone}", &list.zone).replace("{reason}", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::zone::Zone;

    fn list(zone: &str) -> ListConfig {
        ListConfig { zone: zone.to_owned(), ..ListConfig::default() }
    }

    fn lists(configs: Vec<ListConfig>, zone: Zone) -> Lists {
        let config = ReputationConfig { lists: configs, ..ReputationConfig::default() };
        Lists::new(&config, Arc::new(zone), Metrics::new(&prometheus::Registry::new()).unwrap())
    }

    async fn judge(lists: &Lists) -> Found {
        lists.judge("192.0.2.99".parse().unwrap()).await
    }

    #[test]
    fn names() {
        let check = |address: &str, expected: &str| {
            assert_eq!(query(address.parse().unwrap(), "bl.test"), expected);
        };
        check("192.0.2.99", "99.2.0.192.bl.test");
        check("::ffff:192.0.2.99", "99.2.0.192.bl.test");
        // RFC 5782 §2.4.
        check(
            "2001:db8:1:2:3:4:567:89ab",
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test",
        );
    }

    #[tokio::test]
    async fn a_listing_is_refused_with_its_reason() {
        let zone = Zone::default().with("A", "99.2.0.192.bl.test", "127.0.0.2").with(
            "TXT",
            "99.2.0.192.bl.test",
            "spam\r\n250 seen, {address} \u{1b}",
        );
        let found = judge(&lists(vec![list("bl.test")], zone)).await;
        let text = "192.0.2.99 is listed by bl.test: spam 250 seen, {address} ?";
        assert_eq!(found.refusal, Some(Refusal::permanent((5, 7, 1), text)));
        assert_eq!(found.listed, ["bl.test"]);
    }

    #[tokio::test]
    async fn only_answers_that_count_are_listings() {
        let check = async |answers: &[&str], patterns: &[&str], expected: &str| {
            let zone = answers
                .iter()
                .fold(Zone::default(), |zone, answer| zone.with("A", "99.2.0.192.bl.test", answer));
            let patterns: Vec<Answers> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let lists = lists(vec![ListConfig { answers: patterns.clone(), ..list("bl.test") }], zone);
            let says = match lists.ask("192.0.2.99".parse().unwrap()).await.remove(0).1 {
                Says::Listed(..) => "listed",
                Says::Unlisted => "unlisted",
                Says::Failed(_) => "failed",
            };
            assert_eq!(says, expected, "{answers:?} {patterns:?}");
        };
        check(&[], &[], "unlisted").await;
        check(&["127.0.0.2"], &[], "listed").await;
        check(&["127.0.0.1"], &[], "unlisted").await;
        check(&["127.0.1.2"], &[], "unlisted").await;
        check(&["127.0.0.12"], &["127.0.0.2-127.0.0.11"], "unlisted").await;
        check(&["127.0.0.12", "127.0.0.11"], &["127.0.0.2-127.0.0.11"], "listed").await;
        check(&["127.0.0.10"], &["&0.0.0.2"], "listed").await;
        check(&["127.0.0.8"], &["&0.0.0.2"], "unlisted").await;
        for error in
            ["127.255.255.252", "127.255.255.254", "127.255.255.0", "203.0.113.1", "0.0.0.0", "10.0.0.2"]
        {
            check(&[error], &["*.*.*.*"], "failed").await;
            check(&["127.0.0.2", error], &["*.*.*.*"], "failed").await;
        }
        check(&["127.255.254.255"], &["*.*.*.*"], "listed").await;
    }

    #[tokio::test]
    async fn an_allow_list_overrules_and_weights_add_up() {
        let zone = || {
            ["a.test", "b.test", "allow.test", "score.test"].iter().fold(Zone::default(), |zone, list| {
                zone.with("A", &format!("99.2.0.192.{list}"), "127.0.0.2")
            })
        };
        let of = |kind, name: &str| ListConfig { kind, score: 2, ..list(name) };
        let (a, b) = (of(ListKind::Block, "a.test"), of(ListKind::Block, "b.test"));
        let (allow, score) = (of(ListKind::Allow, "allow.test"), of(ListKind::Score, "score.test"));
        let found = judge(&lists(vec![a.clone(), allow], zone())).await;
        assert!(found.allowed && found.refusal.is_none());
        let found = judge(&lists(vec![score], zone())).await;
        assert!(!found.allowed && found.refusal.is_none() && found.score > 1.9, "{found:?}");
        for (weights, refused) in [((1, 1), false), ((1, 2), true), ((3, 0), true)] {
            let mut lists = lists(
                vec![
                    ListConfig { weight: weights.0, ..a.clone() },
                    ListConfig { weight: weights.1, ..b.clone() },
                ],
                zone(),
            );
            lists.block_weight = 3;
            assert_eq!(judge(&lists).await.refusal.is_some(), refused, "{weights:?}");
        }
    }

    #[tokio::test]
    async fn a_list_that_fails_accepts_unless_it_says_otherwise() {
        let failing = || Zone::default().failing("99.2.0.192.bl.test");
        assert_eq!(judge(&lists(vec![list("bl.test")], failing())).await.refusal, None);
        let strict = ListConfig { on_failure: OnFailure::Tempfail, ..list("bl.test") };
        let refusal = judge(&lists(vec![strict], failing())).await.refusal.unwrap();
        assert!(refusal.is_temporary());
    }

    #[tokio::test]
    async fn ipv6_is_asked_where_the_list_has_it() {
        let peer: IpAddr = "2001:db8::1".parse().unwrap();
        let zone = || Zone::default().with("A", &query(peer, "bl.test"), "127.0.0.2");
        assert!(lists(vec![list("bl.test")], zone()).judge(peer).await.refusal.is_some());
        let four = ListConfig { ipv6: false, ..list("bl.test") };
        assert!(lists(vec![four.clone()], zone()).judge(peer).await.refusal.is_none());
        let zone = Zone::default().with("A", "99.2.0.192.bl.test", "127.0.0.2");
        let mapped = "::ffff:192.0.2.99".parse().unwrap();
        assert!(
            lists(vec![four], zone).judge(mapped).await.refusal.is_some(),
            "IPv4 in IPv6 clothes is IPv4"
        );
    }

    #[tokio::test]
    async fn a_list_that_does_not_work_is_not_asked() {
        let check = async |zone: Zone, works: Option<bool>| {
            let lists = lists(vec![list("bl.test")], zone.with("A", "99.2.0.192.bl.test", "127.0.0.2"));
            assert!(judge(&lists).await.refusal.is_some());
            lists.check().await;
            let broken = lists.standing().remove(0).1;
            assert_eq!(broken.is_none(), works.unwrap_or(true), "{broken:?}");
            assert_eq!(judge(&lists).await.refusal.is_some(), works.unwrap_or(true), "{broken:?}");
        };
        let (two, one) = ("2.0.0.127.bl.test", "1.0.0.127.bl.test");
        check(Zone::default().with("A", two, "127.0.0.2"), Some(true)).await;
        check(Zone::default(), Some(false)).await;
        check(Zone::default().with("A", two, "127.0.0.2").with("A", one, "127.0.0.2"), Some(false)).await;
        check(Zone::default().with("A", two, "203.0.113.1"), Some(false)).await;
        check(Zone::default().with("A", two, "127.255.255.254"), Some(false)).await;
        check(Zone::default().failing(two), None).await;
        check(Zone::default().with("A", two, "127.0.0.2").failing(one), None).await;
    }

    /// A DNS that never answers about one list.
    struct Slow(Zone);

    #[async_trait::async_trait]
    impl Dns for Slow {
        async fn a(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
            if name.ends_with("slow.test") {
                std::future::pending::<()>().await;
            }
            self.0.a(name).await
        }
        async fn aaaa(&self, name: &str) -> Result<Vec<std::net::Ipv6Addr>, DnsError> {
            self.0.aaaa(name).await
        }
        async fn mx(&self, name: &str) -> Result<Vec<String>, DnsError> {
            self.0.mx(name).await
        }
        async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
            self.0.ptr(address).await
        }
        async fn txt(&self, _: &str) -> Result<Vec<Vec<u8>>, DnsError> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_have_one_deadline() {
        let zone = Zone::default().with("A", "99.2.0.192.bl.test", "127.0.0.2");
        let config = ReputationConfig {
            lists: ["slow.test", "bl.test", "x.slow.test"].map(list).to_vec(),
            ..ReputationConfig::default()
        };
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let lists = Lists::new(&config, Arc::new(Slow(zone)), metrics);
        let began = Instant::now();
        let found = judge(&lists).await;
        assert!(
            found.refusal.unwrap().text.ends_with("no reason given"),
            "a reason that does not come is no answer"
        );
        assert_eq!(began.elapsed().as_secs(), 3);
    }
}
