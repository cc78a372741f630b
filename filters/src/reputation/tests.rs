//! All of it together.

use std::time::Duration;

use async_trait::async_trait;
use shared_state::{Change, Counted, CounterKey, Kept, KeyPrefix, Listing, Unavailable, Value};
use units::Span;

use super::*;
use crate::dns::zone::Zone;

/// A shared state that never answers.
#[derive(Debug)]
pub(super) struct Away;

fn away<T>() -> Result<T, Unavailable> {
    Err(Unavailable("away".to_owned()))
}

#[async_trait]
impl SharedState for Away {
    fn signal(&self, _: Change) {}
    fn subscribe(&self) -> mpsc::Receiver<shared_state::Event> {
        mpsc::channel(1).1
    }
    async fn count(&self, _: &CounterKey, _: Duration, _: u64) -> Result<u64, Unavailable> {
        away()
    }
    async fn counted(&self, _: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        away()
    }
    async fn keep(&self, _: &CounterKey, _: &Value, _: Duration) -> Result<(), Unavailable> {
        away()
    }
    async fn kept(&self, _: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        away()
    }
    async fn forget(&self, _: &CounterKey) -> Result<bool, Unavailable> {
        away()
    }
    async fn list(&self, _: &KeyPrefix, _: usize) -> Result<Listing, Unavailable> {
        away()
    }
    async fn close(&self) {}
}

const PEER: &str = "192.0.2.99";

fn peer() -> IpAddr {
    PEER.parse().unwrap()
}

/// 192.0.2.99 is on bl.test, which works.
fn zone() -> Zone {
    Zone::default()
        .with("A", "2.0.0.127.bl.test", "127.0.0.2")
        .with("A", "99.2.0.192.bl.test", "127.0.0.2")
        .with("TXT", "99.2.0.192.bl.test", "it sends spam")
}

fn listed() -> ReputationConfig {
    let list = ListConfig { zone: "bl.test".to_owned(), ..ListConfig::default() };
    ReputationConfig { lists: vec![list], ..ReputationConfig::default() }
}

fn greylisting() -> ReputationConfig {
    let greylist = GreylistConfig { mode: GreylistMode::Always, ..GreylistConfig::default() };
    ReputationConfig { greylist, ..ReputationConfig::default() }
}

fn limited(key: RateKey, what: RateWhat, limit: u64) -> ReputationConfig {
    let rate = RateConfig { name: "r".to_owned(), key, what, limit, ..RateConfig::default() };
    ReputationConfig { rates: vec![rate], ..ReputationConfig::default() }
}

fn with(config: &ReputationConfig, state: Arc<dyn SharedState>) -> Reputation {
    let guarded = Arc::new(Guarded::new(state, config.state_retry_after.as_duration()));
    Reputation::new(config, Arc::new(zone()), guarded, None, &Registry::new()).unwrap()
}

fn reputation(config: &ReputationConfig) -> Reputation {
    with(config, Arc::new(MemoryState::new(&shared_state::Config::default())))
}

fn path(text: &str) -> ReversePath {
    if text.is_empty() { ReversePath::Null } else { ReversePath::Address(text.parse().unwrap()) }
}

async fn recipient(reputation: &Reputation, connected: &Connected, account: Option<&AccountId>) -> Judged {
    let peer = Peer { address: peer(), connected, account };
    let (path, to) = (path("a@y.test"), "b@x.test".parse().unwrap());
    reputation.recipient(peer, Sender { path: &path, spf_pass: None }, &to).await
}

fn local(network: &str, kind: LocalKind) -> LocalEntry {
    LocalEntry { network: network.parse().unwrap(), kind, reason: "a test".to_owned(), until: u64::MAX / 2 }
}

#[tokio::test]
async fn a_listed_peer_is_refused_until_it_is_exempt_or_allowed() {
    let config = listed();
    let reputation = reputation(&config);
    let connected = reputation.connect(peer()).await;
    assert_eq!(connected.refusal.unwrap().text, "192.0.2.99 is listed by bl.test: it sends spam");
    assert_eq!(
        (connected.lists, connected.reasons),
        (vec!["bl.test".to_owned()], vec!["list:bl.test".to_owned()])
    );
    assert!(reputation.connect("192.0.2.98".parse().unwrap()).await.refusal.is_none());
    reputation.set(local("192.0.2.0/24", LocalKind::Allow)).await.unwrap();
    let connected = reputation.connect(peer()).await;
    assert!(connected.exempt && connected.allowed && connected.refusal.is_none());
    reputation.set(local(PEER, LocalKind::Block)).await.unwrap();
    assert_eq!(reputation.connect(peer()).await.reasons, ["local:block"]);
    let exempt = ReputationConfig { exempt_networks: vec!["192.0.2.0/24".parse().unwrap()], ..listed() };
    assert!(self::reputation(&exempt).connect(peer()).await.exempt);
}

#[tokio::test]
async fn a_network_that_speaks_for_many_is_not_counted_where_people_log_in() {
    let config = limited(RateKey::Address, RateWhat::Recipients, 1);
    let ann: AccountId = AccountId::new(&"ann@x.test".parse().unwrap());
    // A submission listener asks nothing of reputation before the login.
    let connected = Connected::default();
    for (exempt_networks, expected) in [(vec![PEER.parse().unwrap()], false), (Vec::new(), true)] {
        let reputation = reputation(&ReputationConfig { exempt_networks, ..config.clone() });
        assert!(recipient(&reputation, &connected, Some(&ann)).await.refusal.is_none());
        let again = recipient(&reputation, &connected, Some(&ann)).await;
        assert_eq!(again.refusal.is_some(), expected);
    }
}

#[tokio::test]
async fn lists_are_checked_at_the_start() {
    let reputation = Reputation::new(
        &listed(),
        Arc::new(Zone::default().with("A", "99.2.0.192.bl.test", "127.0.0.2")),
        Guarded::alone(),
        None,
        &Registry::new(),
    )
    .unwrap();
    let wait = async {
        while reputation.connect(peer()).await.refusal.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("a list without test entries is not asked");
    let rows = reputation.rows(Kind::Lists, 10).await.unwrap();
    assert!(rows.rows[0].value.starts_with("block does not work: "), "{rows:?}");
}

#[tokio::test]
async fn greylisting_spares_who_is_known() {
    let reputation = reputation(&greylisting());
    let stranger = Connected::default();
    let judged = recipient(&reputation, &stranger, None).await;
    assert_eq!(judged.reasons[0].text, "greylist");
    let refusal = judged.refusal.unwrap();
    assert_eq!((refusal.code, refusal.enhanced), (451, (4, 7, 1)));
    let account: AccountId = "me@x.test".parse().unwrap();
    assert_eq!(recipient(&reputation, &stranger, Some(&account)).await, Judged::default());
    let allowed = Connected { allowed: true, ..Connected::default() };
    assert_eq!(recipient(&reputation, &allowed, None).await, Judged::default());
}

#[tokio::test]
async fn the_null_sender_is_judged_when_it_sends_something() {
    let reputation = reputation(&greylisting());
    let connected = Connected::default();
    let (null, to) = (path(""), ["b@x.test".parse().unwrap()]);
    let peer = Peer { address: peer(), connected: &connected, account: None };
    let sender = Sender { path: &null, spf_pass: None };
    assert_eq!(reputation.recipient(peer, sender, &to[0]).await, Judged::default());
    let content = Content { sender, recipients: &to, octets: 100, signatures: &[] };
    assert!(reputation.message(peer, content).await.refusal.is_some_and(|refusal| refusal.is_temporary()));
    let path = path("a@y.test");
    let content = Content { sender: Sender { path: &path, spf_pass: None }, ..content };
    assert_eq!(reputation.message(peer, content).await, Judged::default(), "judged with its recipients");
}

#[tokio::test]
async fn without_a_shared_state_limits_hold_and_mail_passes() {
    let config = ReputationConfig {
        greylist: greylisting().greylist,
        ..limited(RateKey::Address, RateWhat::Connections, 2)
    };
    let reputation = with(&config, Arc::new(Away));
    for expected in [false, false, true, true] {
        assert_eq!(reputation.connect(peer()).await.refusal.is_some(), expected);
    }
    assert_eq!(recipient(&reputation, &Connected::default(), None).await, Judged::default());
    assert!(reputation.inner.metrics.state_failures.get() > 0);
    assert!(
        reputation.set(local(PEER, LocalKind::Block)).await.is_err(),
        "what can't be kept is not promised"
    );
}

#[tokio::test]
async fn what_was_refused_is_counted_when_there_is_time() {
    let config = limited(RateKey::Network, RateWhat::UnknownRecipients, 3);
    let reputation = reputation(&config);
    let event = Event { what: Happened::UnknownRecipient, address: peer(), account: None, sender: None };
    for _ in 0..4 {
        reputation.happened(event.clone());
    }
    let wait = async {
        while reputation.connect(peer()).await.refusal.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the peer is refused");
    let few = reputation_with_few_events();
    for _ in 0..100 {
        few.happened(event.clone());
    }
    assert!(few.inner.metrics.events_dropped.get() >= 90);
}

fn reputation_with_few_events() -> Reputation {
    let config = ReputationConfig { events_max: 10, ..limited(RateKey::Address, RateWhat::Rejections, 1) };
    reputation(&config)
}

#[tokio::test]
async fn nodes_count_together() {
    let state = MemoryState::new(&shared_state::Config::default());
    let config = limited(RateKey::Address, RateWhat::Connections, 3);
    let (first, second) = (with(&config, Arc::new(state.clone())), with(&config, Arc::new(state)));
    for expected in [false, true] {
        for node in [&first, &second] {
            let refused = node.connect(peer()).await.refusal.is_some();
            assert!(!refused || expected);
        }
    }
    assert!(first.connect(peer()).await.refusal.is_some() && second.connect(peer()).await.refusal.is_some());
}

#[tokio::test]
async fn an_operator_sees_and_clears_what_is_remembered() {
    let mut config = ReputationConfig {
        greylist: greylisting().greylist,
        ..limited(RateKey::Network, RateWhat::Connections, 1)
    };
    config.lists = listed().lists;
    config.block_weight = 2;
    let reputation = reputation(&config);
    let connected = reputation.connect(peer()).await;
    assert!(connected.refusal.is_none());
    assert!(recipient(&reputation, &connected, None).await.refusal.is_some());
    let rates = reputation.rows(Kind::Rates, 10).await.unwrap();
    assert_eq!(
        (rates.rows[0].key.as_str(), rates.rows[0].value.as_str()),
        ("reputation:rate:r:192.0.2.0_24", "1")
    );
    let greylist = reputation.rows(Kind::Greylist, 10).await.unwrap();
    let values: Vec<&str> = greylist.rows.iter().map(|row| row.value.as_str()).collect();
    assert_eq!(values, ["1", "waiting 192.0.2.0/24 <a@y.test> b@x.test"]);
    assert!(!reputation.rows(Kind::Greylist, 1).await.unwrap().whole);
    for _ in 0..2 {
        let shown = reputation.show(peer()).await;
        assert_eq!(shown.at_connect, "told to come back: over the limit of `r`");
        assert_eq!((shown.rates[0].sum, shown.rates[0].is_over), (1, true), "looking counts nothing");
        assert_eq!(shown.lists[0].is_listed, Some(true));
        assert_eq!(shown.lists[0].says, "127.0.0.2 it sends spam");
    }
    // Two counters, the triplet.
    assert_eq!(reputation.clear(PEER).await.unwrap(), 3);
    assert_eq!(reputation.show(peer()).await.at_connect, "accepted");
    assert_eq!(reputation.rows(Kind::Greylist, 10).await.unwrap(), Rows { rows: Vec::new(), whole: true });
    reputation.set(local(PEER, LocalKind::Block)).await.unwrap();
    assert_eq!(reputation.show(peer()).await.at_connect, "refused: it is on the local block list");
    assert_eq!(reputation.clear(PEER).await.unwrap(), 1);
    reputation.connect(peer()).await;
    assert_eq!(reputation.clear("reputation:rate:r:192.0.2.0_24").await.unwrap(), 1);
    for odd in ["", "reputation:", "reputation:other:x", "reputation:rate:a b", "login:x:y", "a b"] {
        assert!(reputation.clear(odd).await.is_err(), "{odd}");
    }
}

#[tokio::test]
async fn a_sender_s_counters_are_cleared_by_its_address() {
    let reputation = reputation(&limited(RateKey::Sender, RateWhat::Messages, 1));
    let (connected, path) = (Connected::default(), path("a@y.test"));
    let peer = Peer { address: peer(), connected: &connected, account: None };
    let mail = async || reputation.mail(peer, Sender { path: &path, spf_pass: None }).await.refusal.is_some();
    assert_eq!((mail().await, mail().await), (false, true));
    assert_eq!(reputation.clear("A@y.test").await.unwrap(), 1);
    assert_eq!(reputation.clear("y.test").await.unwrap(), 0);
    assert!(!mail().await);
}

#[tokio::test]
async fn local_lists_of_one_process_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lists.json");
    let open = || {
        let state = Guarded::alone();
        Reputation::new(&ReputationConfig::default(), Arc::new(zone()), state, Some(&file), &Registry::new())
    };
    open().unwrap().set(local(PEER, LocalKind::Block)).await.unwrap();
    assert!(open().unwrap().connect(peer()).await.refusal.is_some());
    std::fs::write(&file, "x").unwrap();
    assert!(open().is_err());
}

#[tokio::test]
async fn a_configuration_is_read_as_it_is_written() {
    let config = ReputationConfig { lists_max: Span::secs(9), ..listed() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ReputationConfig>(&text).unwrap(), config);
}
