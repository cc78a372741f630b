use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{Rig, address, rig, rig_with, secret};
use crate::{AccountChange, Authentication, Directory, FailedBy, FailureLedger, Unavailable};

const PEER: &str = "192.0.2.1";

async fn login_from(rig: &Rig, peer: &str, login: &str, password: &str) -> Authentication {
    rig.directory.authenticate(login, &secret(password), peer.parse().unwrap()).await.unwrap()
}

async fn login(rig: &Rig, login: &str, password: &str) -> Authentication {
    login_from(rig, PEER, login, password).await
}

fn accepted(account: &str) -> Authentication {
    Authentication::Accepted(account.parse().unwrap())
}

#[tokio::test]
async fn right_and_wrong() {
    let mut rig = rig();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, accepted("alice@example.test"));
    assert_eq!(login(&rig, "ALICE@example.TEST", "secret").await, accepted("alice@example.test"));
    for (name, password) in [
        ("alice@example.test", "Secret"),
        ("alice@example.test", ""),
        ("alice@example.test", "secret "),
        ("alice+x@example.test", "secret"),
        ("alice", "secret"),
        ("nobody@example.test", "secret"),
        ("bob@example.test", ""),
        ("alice@example.test' OR '1'='1", "secret"),
        ("", ""),
    ] {
        assert_eq!(login(&rig, name, password).await, Authentication::Refused, "{name} {password}");
    }
    let barred = AccountChange { login_allowed: Some(false), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &barred).unwrap();
    assert_eq!(
        login(&rig, "alice@example.test", "secret").await,
        Authentication::Refused,
        "also from the cache"
    );
}

#[tokio::test]
async fn a_stamp_changes_with_what_a_login_rests_on() {
    let mut rig = rig();
    let alice = address("alice@example.test");
    let stamp =
        async |rig: &Rig| rig.directory.login_stamp(&"alice@example.test".parse().unwrap()).await.unwrap();
    let first = stamp(&rig).await;
    assert!(first.is_some());
    let named = AccountChange { display_name: Some("Alice".to_owned()), ..AccountChange::default() };
    rig.admin.set_account(&alice, &named).unwrap();
    assert_eq!(stamp(&rig).await, first, "what has nothing to do with logins");
    let password =
        |text: &str| AccountChange { password: Some(Some(secret(text))), ..AccountChange::default() };
    rig.admin.set_account(&alice, &password("secret")).unwrap();
    let second = stamp(&rig).await;
    assert!(second.is_some() && second != first, "the same password set again is a new one");
    let barred = AccountChange { login_allowed: Some(false), ..AccountChange::default() };
    rig.admin.set_account(&alice, &barred).unwrap();
    assert_eq!(stamp(&rig).await, None);
    rig.admin.remove_account(&alice).unwrap();
    assert_eq!(stamp(&rig).await, None);
    rig.admin.add_account(&alice, &password("secret")).unwrap();
    assert!(![None, first, second].contains(&stamp(&rig).await), "another account of the same name");
    assert_eq!(rig.directory.login_stamp(&"bob@example.test".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_password_ends_what_was_remembered() {
    let mut rig = rig();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, accepted("alice@example.test"));
    let change = AccountChange { password: Some(Some(secret("other"))), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &change).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, Authentication::Refused);
    assert_eq!(login(&rig, "alice@example.test", "other").await, accepted("alice@example.test"));
    rig.admin.remove_account(&address("alice@example.test")).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "other").await, Authentication::Refused);
}

#[tokio::test]
async fn an_account_is_throttled_above_its_free_failures() {
    // The same for a name that exists and for one that does not: the throttle must not tell.
    for name in ["alice@example.test", "nobody@example.test", "no address"] {
        let rig = rig_with(|config| config.throttle.account_failures_free = 3);
        for n in 1..=4 {
            let peer = format!("198.51.100.{n}");
            assert_eq!(login_from(&rig, &peer, name, "wrong").await, Authentication::Refused, "{name} {n}");
        }
        assert_eq!(
            login_from(&rig, "198.51.100.9", name, "secret").await,
            Authentication::Throttled,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_owner_is_not_shut_out_by_failures_from_elsewhere() {
    let rig = rig_with(|config| config.throttle.account_failures_free = 1);
    assert_eq!(login(&rig, "alice@example.test", "secret").await, accepted("alice@example.test"));
    for _ in 0..2 {
        login_from(&rig, "203.0.113.5", "alice@example.test", "wrong").await;
    }
    let elsewhere = login_from(&rig, "203.0.113.5", "alice@example.test", "secret").await;
    assert_eq!(elsewhere, Authentication::Throttled, "a right guess from elsewhere is not looked at");
    assert_eq!(login(&rig, "alice@example.test", "secret").await, accepted("alice@example.test"));
}

#[tokio::test]
async fn a_network_is_throttled_over_all_names() {
    let rig = rig_with(|config| config.throttle.network_failures_free = 3);
    for n in 1..=4 {
        let peer = format!("2001:db8:0:1::{n}");
        assert_eq!(
            login_from(&rig, &peer, &format!("user{n}@example.test"), "x").await,
            Authentication::Refused
        );
    }
    let answer = login_from(&rig, "2001:db8:0:1::99", "alice@example.test", "secret").await;
    assert_eq!(answer, Authentication::Throttled);
    let answer = login_from(&rig, "2001:db8:0:2::1", "alice@example.test", "secret").await;
    assert_eq!(answer, accepted("alice@example.test"));
}

#[tokio::test]
async fn a_proxy_on_this_machine_is_no_network() {
    let rig = rig_with(|config| config.throttle.network_failures_free = 0);
    for n in 0..5 {
        login_from(&rig, "127.0.0.1", &format!("user{n}@example.test"), "x").await;
    }
    assert_eq!(
        login_from(&rig, "127.0.0.1", "alice@example.test", "secret").await,
        accepted("alice@example.test")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_slip_past_by_no_more_than_the_verifiers() {
    let rig = rig_with(|config| {
        config.throttle.account_failures_free = 2;
        config.verify_workers = 2;
    });
    let attempts: Vec<_> = (0..32)
        .map(|n| {
            let (directory, wrong) = (rig.directory.clone(), secret(&format!("wrong{n}")));
            let peer = PEER.parse().unwrap();
            tokio::spawn(
                async move { directory.authenticate("alice@example.test", &wrong, peer).await.unwrap() },
            )
        })
        .collect();
    let mut looked_at = 0;
    for attempt in attempts {
        looked_at += usize::from(attempt.await.unwrap() == Authentication::Refused);
    }
    assert!((3..=4).contains(&looked_at), "{looked_at} passwords were looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_is_counted() {
    let rig = rig_with(|config| config.throttle.account_failures_free = 0);
    let name = "alice@example.test";
    let wait = async {
        loop {
            let password = secret("wrong");
            let attempt = rig.directory.authenticate(name, &password, PEER.parse().unwrap());
            // The future is dropped as soon as it waits, as when a connection ends.
            if let Ok(Ok(Authentication::Throttled)) =
                tokio::time::timeout(Duration::from_millis(1), attempt).await
            {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_damaged_hash_is_no_wrong_password() {
    let rig = rig();
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute("UPDATE account SET password = 'plain' WHERE address = 'alice@example.test'", []).unwrap();
    let answer =
        rig.directory.authenticate("alice@example.test", &secret("plain"), PEER.parse().unwrap()).await;
    assert!(answer.is_err());
}

/// A ledger for tests: delays last until somebody forgets them.
#[derive(Default)]
struct Ledger {
    failures: Mutex<HashMap<String, u32>>,
    blocked: Mutex<HashSet<String>>,
    is_away: AtomicBool,
}

impl Ledger {
    fn ask<T>(&self, answer: impl FnOnce() -> T) -> Result<T, Unavailable> {
        if self.is_away.load(Ordering::SeqCst) { Err(Unavailable("away".to_owned())) } else { Ok(answer()) }
    }
}

#[async_trait]
impl FailureLedger for Ledger {
    async fn failed(&self, whom: FailedBy<'_>, _: Duration) -> Result<u32, Unavailable> {
        self.ask(|| {
            let mut failures = self.failures.lock().unwrap();
            let count = failures.entry(format!("{whom:?}")).or_default();
            *count += 1;
            *count
        })
    }
    async fn block(&self, whom: FailedBy<'_>, delay: Duration) -> Result<(), Unavailable> {
        assert!(delay > Duration::ZERO);
        self.ask(|| {
            self.blocked.lock().unwrap().insert(format!("{whom:?}"));
        })
    }
    async fn is_blocked(&self, whom: FailedBy<'_>) -> Result<bool, Unavailable> {
        self.ask(|| self.blocked.lock().unwrap().contains(&format!("{whom:?}")))
    }
    async fn succeeded(&self, whom: FailedBy<'_>) -> Result<(), Unavailable> {
        self.ask(|| {
            self.failures.lock().unwrap().remove(&format!("{whom:?}"));
            self.blocked.lock().unwrap().remove(&format!("{whom:?}"));
        })
    }
}

fn rigs_with_one_ledger() -> (Rig, Rig, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let rig = || {
        let rig = rig_with(|config| {
            config.throttle.account_failures_free = 3;
            config.throttle.network_failures_free = 5;
        });
        rig.directory.share_failures(Arc::clone(&ledger) as _);
        rig
    };
    (rig(), rig(), Arc::clone(&ledger))
}

#[tokio::test]
async fn failures_count_for_all_nodes_and_an_operator_can_forget_them() {
    let (first, second, ledger) = rigs_with_one_ledger();
    let name = "alice@example.test";
    for n in 1..=4 {
        let rig = if n % 2 == 0 { &first } else { &second };
        let peer = format!("198.51.100.{n}");
        assert_eq!(login_from(rig, &peer, name, "wrong").await, Authentication::Refused, "{n}");
    }
    for rig in [&first, &second] {
        assert_eq!(login_from(rig, "198.51.100.9", name, "secret").await, Authentication::Throttled);
    }
    ledger.blocked.lock().unwrap().clear();
    assert_eq!(login_from(&first, "198.51.100.9", name, "secret").await, accepted(name));
    assert!(!ledger.failures.lock().unwrap().keys().any(|whom| whom.contains("alice")), "a success forgets");
}

#[tokio::test]
async fn a_network_counts_for_all_nodes_but_this_machine_and_odd_logins_do_not() {
    let (first, second, ledger) = rigs_with_one_ledger();
    for n in 1..=6 {
        let rig = if n % 2 == 0 { &first } else { &second };
        login_from(rig, "203.0.113.5", &format!("user{n}@example.test"), "x").await;
        login_from(rig, "127.0.0.1", "my password in the wrong field", "x").await;
    }
    let answer = login_from(&first, "203.0.113.5", "alice@example.test", "secret").await;
    assert_eq!(answer, Authentication::Throttled);
    let told: Vec<String> = ledger.failures.lock().unwrap().keys().cloned().collect();
    assert!(!told.iter().any(|whom| whom.contains("127.0.0.1") || whom.contains("wrong field")), "{told:?}");
}

#[tokio::test]
async fn without_a_ledger_each_node_counts_for_itself() {
    let (first, second, ledger) = rigs_with_one_ledger();
    ledger.is_away.store(true, Ordering::SeqCst);
    let name = "alice@example.test";
    for n in 1..=4 {
        let peer = format!("198.51.100.{n}");
        assert_eq!(login_from(&first, &peer, name, "wrong").await, Authentication::Refused, "{n}");
    }
    assert_eq!(login_from(&first, "198.51.100.9", name, "secret").await, Authentication::Throttled);
    assert_eq!(login_from(&second, "198.51.100.9", name, "secret").await, accepted(name));
}
