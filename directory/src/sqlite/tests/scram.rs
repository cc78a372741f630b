use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use sasl::client::ScramClient;
use sasl::scram::ITERATIONS_MIN;
use sasl::server::Channel;
use sasl::{Limits, Mechanism, ScramSecret};

use super::{Rig, address, rig, rig_with, secret};
use crate::{
    AccountChange, Authentication, Directory, LoginDialogue, LoginOffer, LoginTerms, LoginTurn, ScramAnswer,
};

const PEER: &str = "192.0.2.1";
const LIMITS: Limits = Limits { response_octets_max: 4096, login_octets_max: 320, password_octets_max: 1024 };

fn terms(peer: &str) -> LoginTerms {
    LoginTerms { limits: LIMITS, peer: peer.parse().unwrap() }
}

fn offer(rig: &Rig) -> LoginOffer {
    LoginOffer::new(&Mechanism::ALL, &rig.directory, Channel::default())
}

/// A dialogue to which the right proof was not given yet, and that proof.
async fn half(
    rig: &Rig,
    peer: &str,
    login: &str,
    password: &str,
) -> Result<(LoginDialogue, String), LoginTurn> {
    let client = ScramClient::new(login, &secret(password), "client");
    let first = client.first();
    let (offer, terms) = (offer(rig), terms(peer));
    match offer.begin(Mechanism::ScramSha256, Some(first.as_bytes()), &rig.directory, &terms).await {
        LoginTurn::Challenge(dialogue, text) => Ok((dialogue, client.answer(&text).unwrap().0)),
        turn => Err(turn),
    }
}

/// A whole login, in which the client checks the server too.
async fn login_from(rig: &Rig, peer: &str, login: &str, password: &str) -> String {
    let client = ScramClient::new(login, &secret(password), "client");
    let first = client.first();
    let (directory, terms) = (&rig.directory, terms(peer));
    let mut turn = offer(rig).begin(Mechanism::ScramSha256, Some(first.as_bytes()), directory, &terms).await;
    let mut server = None;
    loop {
        turn = match turn {
            LoginTurn::Challenge(dialogue, text) => match server {
                None => {
                    let (answer, expected) = client.answer(&text).unwrap();
                    server = Some(expected);
                    dialogue.respond(answer.as_bytes(), directory, &terms).await
                }
                Some(expected) => {
                    assert!(expected.is_proven_by(&text), "the server proves itself");
                    dialogue.respond(b"", directory, &terms).await
                }
            },
            LoginTurn::Accepted(account) => return format!("accepted {account}"),
            LoginTurn::Refused { .. } => return "refused".to_owned(),
            LoginTurn::Throttled => return "throttled".to_owned(),
            other => return format!("{other:?}"),
        };
    }
}

async fn login(rig: &Rig, login: &str, password: &str) -> String {
    login_from(rig, PEER, login, password).await
}

async fn kept(rig: &Rig, login: &str) -> ScramSecret {
    match rig.directory.scram_secret(login, PEER.parse().unwrap()).await.unwrap() {
        ScramAnswer::Secret(secret) => secret,
        ScramAnswer::Throttled => panic!(),
    }
}

#[tokio::test]
async fn right_and_wrong() {
    let mut rig = rig();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
    assert_eq!(login(&rig, "ALICE@example.TEST", "secret").await, "accepted alice@example.test");
    for (name, password) in [
        ("alice@example.test", "Secret"),
        ("alice+x@example.test", "secret"),
        ("alice", "secret"),
        ("nobody@example.test", "secret"),
        ("bob@example.test", "secret"),
    ] {
        assert_eq!(login(&rig, name, password).await, "refused", "{name} {password}");
    }
    let change = AccountChange { password: Some(Some(secret("other"))), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &change).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "refused");
    assert_eq!(login(&rig, "alice@example.test", "other").await, "accepted alice@example.test");
    let barred = AccountChange { login_allowed: Some(false), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &barred).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "other").await, "refused");
    let none = AccountChange { password: Some(None), login_allowed: Some(true), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &none).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "other").await, "refused");
}

#[tokio::test]
async fn who_does_not_exist_looks_like_somebody() {
    let rig = rig();
    let real = kept(&rig, "alice@example.test").await;
    let shape = |secret: &ScramSecret| {
        let text = secret.to_text().expose().clone();
        (secret.iterations(), text.len())
    };
    for name in ["nobody@example.test", "bob@example.test", "no address", "x@other.test"] {
        let made = kept(&rig, name).await;
        assert_eq!(shape(&made), shape(&real), "{name}");
        assert_eq!(kept(&rig, name).await, made, "{name}: the same every time");
        assert_ne!(made, real);
    }
    assert_ne!(kept(&rig, "a@example.test").await, kept(&rig, "b@example.test").await);
    assert_eq!(kept(&rig, "a@example.test").await, kept(&rig, "A@Example.Test").await);
    // After a restart too.
    let before = kept(&rig, "a@example.test").await;
    let again = crate::SqliteDirectory::open(&rig.config, &prometheus::Registry::new()).unwrap();
    let after = again.scram_secret("a@example.test", PEER.parse().unwrap()).await.unwrap();
    assert_eq!(after, ScramAnswer::Secret(before));
}

#[tokio::test]
async fn a_failed_proof_counts_as_a_failure_for_account_and_network() {
    for name in ["alice@example.test", "nobody@example.test", "no address"] {
        let rig = rig_with(|config| config.throttle.account_failures_free = 3);
        for n in 1..=4 {
            assert_eq!(
                login_from(&rig, &format!("198.51.100.{n}"), name, "wrong").await,
                "refused",
                "{name} {n}"
            );
        }
        assert_eq!(login_from(&rig, "198.51.100.9", name, "secret").await, "throttled", "{name}");
        let (password, peer) = (secret("secret"), "198.51.100.9".parse().unwrap());
        let plain = rig.directory.authenticate(name, &password, peer).await;
        assert_eq!(plain.unwrap(), Authentication::Throttled, "{name}: one throttle for all ways");
    }
    let rig = rig_with(|config| config.throttle.network_failures_free = 3);
    for n in 1..=4 {
        assert_eq!(login_from(&rig, PEER, &format!("user{n}@example.test"), "x").await, "refused");
    }
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "throttled");
    assert_eq!(
        login_from(&rig, "192.0.2.2", "alice@example.test", "secret").await,
        "accepted alice@example.test"
    );
}

#[tokio::test]
async fn many_exchanges_begun_before_the_first_failure_buy_no_more_guesses() {
    let rig = rig_with(|config| config.throttle.account_failures_free = 2);
    let mut begun = Vec::new();
    for n in 0..20 {
        begun.push(
            half(&rig, &format!("198.51.100.{n}"), "alice@example.test", &format!("guess{n}")).await.unwrap(),
        );
    }
    let mut looked_at = 0;
    for (n, (dialogue, proof)) in begun.into_iter().enumerate() {
        let turn =
            dialogue.respond(proof.as_bytes(), &rig.directory, &terms(&format!("198.51.100.{n}"))).await;
        looked_at += usize::from(matches!(turn, LoginTurn::Refused { .. }));
    }
    assert_eq!(looked_at, 3);
}

#[tokio::test]
async fn the_owner_is_not_shut_out_by_failures_from_elsewhere() {
    let rig = rig_with(|config| config.throttle.account_failures_free = 1);
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
    for n in 0..3 {
        login_from(&rig, &format!("203.0.113.{n}"), "alice@example.test", "wrong").await;
    }
    assert_eq!(login_from(&rig, "203.0.113.9", "alice@example.test", "secret").await, "throttled");
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
}

#[tokio::test]
async fn nobody_is_in_before_the_client_has_heard_the_server() {
    let rig = rig();
    let (dialogue, proof) = half(&rig, PEER, "alice@example.test", "secret").await.unwrap();
    let turn = dialogue.respond(proof.as_bytes(), &rig.directory, &terms(PEER)).await;
    let LoginTurn::Challenge(dialogue, _) = turn else { panic!("{turn:?}") };
    let turn = dialogue.respond(b"*", &rig.directory, &terms(PEER)).await;
    assert!(matches!(turn, LoginTurn::Failed(sasl::SaslError::Cancelled)), "{turn:?}");
}

#[tokio::test]
async fn a_password_that_changes_meanwhile_ends_the_exchange() {
    let mut rig = rig();
    let (dialogue, proof) = half(&rig, PEER, "alice@example.test", "secret").await.unwrap();
    let change = AccountChange { password: Some(Some(secret("other"))), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &change).unwrap();
    let turn = dialogue.respond(proof.as_bytes(), &rig.directory, &terms(PEER)).await;
    assert!(matches!(turn, LoginTurn::Refused { .. }), "{turn:?}");
}

/// Waits until the account has a secret of this count.
async fn until_filled(rig: &Rig, iterations: u32) {
    let raw = Connection::open(&rig.config.path).unwrap();
    let wait = async {
        loop {
            let sql = "SELECT scram FROM account WHERE address = 'alice@example.test'";
            let text: Option<String> = raw.query_row(sql, [], |row| row.get(0)).unwrap();
            let found = text.and_then(|text| text.parse::<ScramSecret>().ok());
            if found.is_some_and(|secret| secret.iterations() == iterations) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn a_missing_secret_is_made_at_a_login_with_the_password() {
    let rig = rig();
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute("UPDATE account SET scram = NULL", []).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "refused");
    let peer = PEER.parse().unwrap();
    let wrong = rig.directory.authenticate("alice@example.test", &secret("wrong"), peer).await;
    assert_eq!(wrong.unwrap(), Authentication::Refused);
    let right = rig.directory.authenticate("alice@example.test", &secret("secret"), peer).await.unwrap();
    assert!(matches!(right, Authentication::Accepted(_)));
    until_filled(&rig, ITERATIONS_MIN).await;
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
}

#[tokio::test]
async fn a_secret_of_another_count_is_made_anew() {
    let rig = rig_with(|config| config.scram_iterations = 5000);
    let raw = Connection::open(&rig.config.path).unwrap();
    let old = ScramSecret::new(&secret("secret"), &[7; 16], ITERATIONS_MIN);
    raw.execute("UPDATE account SET scram = ?1", [old.to_text().expose()]).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
    let password = secret("secret");
    let right = rig.directory.authenticate("alice@example.test", &password, PEER.parse().unwrap()).await;
    assert!(matches!(right.unwrap(), Authentication::Accepted(_)));
    until_filled(&rig, 5000).await;
}

#[tokio::test]
async fn a_secret_is_not_kept_for_a_password_that_changed_meanwhile() {
    let rig = rig();
    let other = ScramSecret::new(&secret("old"), &[7; 16], ITERATIONS_MIN);
    crate::schema::keep_scram(&rig.config, &address("alice@example.test"), "another hash", &other).unwrap();
    assert_eq!(login(&rig, "alice@example.test", "secret").await, "accepted alice@example.test");
}

#[tokio::test]
async fn a_damaged_secret_and_a_missing_key_are_outages() {
    let rig = rig();
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute("UPDATE account SET scram = 'x' WHERE address = 'alice@example.test'", []).unwrap();
    assert!(rig.directory.scram_secret("alice@example.test", PEER.parse().unwrap()).await.is_err());
    let rig = rig_with(|_| {});
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute("DELETE FROM secret", []).unwrap();
    assert!(rig.directory.scram_secret("nobody@example.test", PEER.parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn what_is_offered_is_what_works() {
    let rig = rig();
    let names = |wanted: &[Mechanism], channel: Channel| {
        LoginOffer::new(wanted, &rig.directory, channel).names().join(" ")
    };
    let bindable = || Channel { tls_exporter: Some(vec![1]), ..Channel::default() };
    assert_eq!(names(&Mechanism::ALL, Channel::default()), "PLAIN LOGIN SCRAM-SHA-256");
    assert_eq!(names(&Mechanism::ALL, bindable()), "PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    let older = Channel { tls_server_end_point: Some(vec![1]), ..Channel::default() };
    assert_eq!(names(&Mechanism::ALL, older), "PLAIN LOGIN SCRAM-SHA-256");
    let only = [Mechanism::ScramSha256Plus, Mechanism::OAuthBearer];
    assert_eq!(names(&only, bindable()), "SCRAM-SHA-256-PLUS");
    assert_eq!(names(&only, Channel::default()), "");
    let offer = LoginOffer::new(&only, &rig.directory, bindable());
    assert!(!offer.takes_passwords());
    assert_eq!(offer.find(b"scram-sha-256-plus"), Some(Mechanism::ScramSha256Plus));
    assert_eq!(offer.find(b"PLAIN"), None);
    assert_eq!(offer.find(b"OAUTHBEARER"), None);
    // The one without the other: who is deceived about the first is refused in the second.
    let offer = LoginOffer::new(&Mechanism::ALL, &rig.directory, bindable());
    let first = b"eSwsbj1hbGljZUBleGFtcGxlLnRlc3Qscj14"; // y,,n=alice@example.test,r=x
    let turn = offer.begin(Mechanism::ScramSha256, Some(first), &rig.directory, &terms(PEER)).await;
    assert!(matches!(turn, LoginTurn::Failed(sasl::SaslError::ChannelBinding)), "{turn:?}");
}

#[tokio::test]
async fn behind_srs_it_is_the_same() {
    let rig = rig();
    let directory: Arc<dyn Directory> = {
        let config = crate::SrsConfig { domain: "srs.test".to_owned(), ..crate::SrsConfig::default() };
        let srs = crate::Srs::new(&config, secret("0123456789abcdef")).unwrap();
        Arc::new(crate::WithSrs::new(rig.directory.clone(), srs))
    };
    assert_eq!(directory.login_methods(), rig.directory.login_methods());
    assert!(directory.scram_secret("alice@example.test", PEER.parse().unwrap()).await.is_ok());
}
