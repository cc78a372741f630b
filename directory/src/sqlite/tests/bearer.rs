use std::time::{Duration, SystemTime};

use sasl::server::{Channel, Step};
use sasl::{Limits, Mechanism, client};
use serde_json::{Value, json};
use units::Span;

use super::{Rig, address, rig, rig_with, secret};
use crate::oauth::signer::{Signer, jwks};
use crate::{AccountChange, Authentication, Directory, LoginOffer, LoginTerms, LoginTurn};

const PEER: &str = "192.0.2.1";
const LIMITS: Limits =
    Limits { response_octets_max: 12_288, login_octets_max: 320, password_octets_max: 1024 };

/// A directory that takes the tokens of one issuer.
struct Setup {
    rig: Rig,
    signer: Signer,
}

fn setup() -> Setup {
    let signer = Signer::ec();
    let rig = rig_with(|config| {
        let keys = config.path.with_file_name("keys.json");
        std::fs::write(&keys, jwks(&[signer.jwk("k")])).unwrap();
        config.oauth.issuer = "https://id.test".to_owned();
        config.oauth.audience = "mail".to_owned();
        config.oauth.scope = "mail".to_owned();
        config.oauth.jwks_file = keys;
        config.oauth.refresh_min = Span::millis(0);
        config.throttle.network_failures_free = 3;
    });
    Setup { rig, signer }
}

fn claims(login: &str, seconds: i64) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let exp = i64::try_from(now.as_secs()).unwrap() + seconds;
    json!({"iss": "https://id.test", "aud": "mail", "email": login, "exp": exp})
}

impl Setup {
    fn token(&self, login: &str) -> String {
        self.signer.sign("k", &claims(login, 300))
    }

    /// A whole login, in which a client that is refused takes note.
    async fn login_from(&self, peer: &str, mechanism: Mechanism, login: &str, token: &str) -> String {
        let directory = &self.rig.directory;
        let terms = LoginTerms { limits: LIMITS, peer: peer.parse().unwrap() };
        let offer = LoginOffer::new(&Mechanism::ALL, directory, Channel::default());
        assert!(offer.find(mechanism.name().as_bytes()).is_some());
        let token = secret(token);
        let response = match mechanism {
            Mechanism::XOAuth2 => client::xoauth2(login, &token),
            _ => client::oauthbearer(login, &token),
        };
        match offer.begin(mechanism, Some(response.expose().as_bytes()), directory, &terms).await {
            LoginTurn::Accepted(account) => format!("accepted {account}"),
            LoginTurn::Throttled => "throttled".to_owned(),
            LoginTurn::Challenge(dialogue, text) => {
                assert!(text.starts_with("eyJzdGF0dXMi"), "{{\"status\": {text}");
                match dialogue.respond(b"AQ==", directory, &terms).await {
                    LoginTurn::Refused { .. } => "refused".to_owned(),
                    other => format!("{other:?}"),
                }
            }
            other => format!("{other:?}"),
        }
    }

    async fn login(&self, login: &str, token: &str) -> String {
        self.login_from(PEER, Mechanism::OAuthBearer, login, token).await
    }
}

#[tokio::test]
async fn right_and_wrong() {
    let mut setup = setup();
    let alice = setup.token("alice@example.test");
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        let answer = setup.login_from(PEER, mechanism, "alice@example.test", &alice).await;
        assert_eq!(answer, "accepted alice@example.test");
    }
    assert_eq!(setup.login("ALICE@Example.Test", &alice).await, "accepted alice@example.test");
    // Who has no password may have a token.
    let bob = setup.token("Bob@example.test");
    assert_eq!(setup.login("bob@example.test", &bob).await, "accepted bob@example.test");
    for (n, (login, token)) in [
        ("bob@example.test", alice.clone()),
        ("nobody@example.test", setup.token("nobody@example.test")),
        ("alice@example.test", setup.token("alice")),
        ("alice@example.test", setup.signer.sign("k", &claims("alice@example.test", -300))),
        ("alice@example.test", Signer::ec().sign("k", &claims("alice@example.test", 300))),
        ("alice@example.test", "x".repeat(8193)),
    ]
    .into_iter()
    .enumerate()
    {
        let peer = format!("198.51.100.{n}");
        let answer = setup.login_from(&peer, Mechanism::OAuthBearer, login, &token).await;
        assert_eq!(answer, "refused", "{login} {n}");
    }
    let barred = AccountChange { login_allowed: Some(false), ..AccountChange::default() };
    setup.rig.admin.set_account(&address("alice@example.test"), &barred).unwrap();
    assert_eq!(setup.login("alice@example.test", &alice).await, "refused");
}

#[tokio::test]
async fn failures_are_the_network_s_and_not_the_account_s() {
    let setup = setup();
    for _ in 0..4 {
        assert_eq!(setup.login("alice@example.test", "wrong").await, "refused");
    }
    let token = setup.token("alice@example.test");
    assert_eq!(setup.login("alice@example.test", &token).await, "throttled");
    let elsewhere = setup.login_from("192.0.2.2", Mechanism::XOAuth2, "alice@example.test", &token).await;
    assert_eq!(elsewhere, "accepted alice@example.test");
    let directory = &setup.rig.directory;
    let (password, peer) = (secret("secret"), "192.0.2.3".parse().unwrap());
    let plain = directory.authenticate("alice@example.test", &password, peer).await;
    assert!(matches!(plain.unwrap(), Authentication::Accepted(_)));
}

#[tokio::test]
async fn who_only_asks_where_tokens_come_from_has_not_failed() {
    let setup = setup();
    for _ in 0..10 {
        assert_eq!(setup.login("alice@example.test", "").await, "refused");
    }
    let token = setup.token("alice@example.test");
    assert_eq!(setup.login("alice@example.test", &token).await, "accepted alice@example.test");
}

#[tokio::test]
async fn new_keys_are_found_and_without_any_nobody_can_say() {
    let mut setup = setup();
    let old = setup.token("alice@example.test");
    assert_eq!(setup.login("alice@example.test", &old).await, "accepted alice@example.test");
    setup.signer = Signer::ed();
    std::fs::write(&setup.rig.config.oauth.jwks_file, jwks(&[setup.signer.jwk("new")])).unwrap();
    let new = setup.signer.sign("new", &claims("alice@example.test", 300));
    assert_eq!(setup.login("alice@example.test", &new).await, "accepted alice@example.test");
    assert_eq!(setup.login("alice@example.test", &old).await, "refused");

    let fresh = rig_with(|config| {
        config.oauth.issuer = "https://id.test".to_owned();
        config.oauth.audience = "mail".to_owned();
        config.oauth.jwks_file = config.path.with_file_name("missing.json");
    });
    let fresh = Setup { rig: fresh, signer: Signer::ed() };
    let answer = fresh.login("alice@example.test", &new).await;
    assert!(answer.starts_with("Unavailable"), "{answer}");
}

#[tokio::test]
async fn without_an_issuer_there_are_no_tokens() {
    let rig = rig();
    let offer = LoginOffer::new(&Mechanism::ALL, &rig.directory, Channel::default());
    assert_eq!(offer.find(b"OAUTHBEARER"), None);
    assert_eq!(offer.find(b"XOAUTH2"), None);
    let response = client::xoauth2("alice@example.test", &secret("x"));
    let step = Mechanism::XOAuth2.begin(Some(response.expose().as_bytes()), &LIMITS, &Channel::default());
    let Ok(Step::Token(token)) = step else { panic!() };
    let answer = rig.directory.authenticate_bearer(&token, PEER.parse().unwrap()).await.unwrap();
    assert_eq!(answer, Authentication::Refused);
}
