use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use units::{ByteSize, Span};

use super::*;
use crate::oauth::signer::{Signer, jwks};

/// An issuer that answers as it is told, and counts.
#[derive(Default)]
struct Issuer {
    answer: Mutex<Option<Vec<u8>>>,
    hangs: std::sync::atomic::AtomicBool,
    /// Seconds.
    answers_after: std::sync::atomic::AtomicU64,
    asked: AtomicUsize,
}

impl Issuer {
    fn says(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer.map(String::into_bytes);
    }
}

#[async_trait]
impl KeySource for Issuer {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_secs(self.answers_after.load(Ordering::Relaxed))).await;
        self.answer.lock().unwrap().clone().ok_or_else(|| "no answer".to_owned())
    }
}

fn set(id: &str) -> String {
    jwks(&[Signer::ed().jwk(id)])
}

fn from_url() -> (Arc<Issuer>, Arc<Keys>) {
    let issuer = Arc::new(Issuer::default());
    let keys = keys_from(&issuer, OAuthConfig::default());
    (issuer, keys)
}

fn keys_from(issuer: &Arc<Issuer>, config: OAuthConfig) -> Arc<Keys> {
    let config = OAuthConfig { jwks_url: "https://id.test/keys".to_owned(), ..config };
    Arc::new(Keys::new(config, Some(issuer.clone())))
}

async fn later(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn are_fetched_again_when_they_are_old() {
    let (issuer, keys) = from_url();
    issuer.says(Some(set("a")));
    let first = keys.current(false).await.unwrap();
    later(3599).await;
    assert!(Arc::ptr_eq(&first, &keys.current(false).await.unwrap()));
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    later(1).await;
    assert!(!Arc::ptr_eq(&first, &keys.current(false).await.unwrap()));
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_looked_for_but_not_at_every_token() {
    let (issuer, keys) = from_url();
    issuer.says(Some(set("a")));
    let first = keys.current(false).await.unwrap();
    for _ in 0..100 {
        assert!(Arc::ptr_eq(&first, &keys.current(true).await.unwrap()));
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "looked at just now");
    later(10).await;
    for _ in 0..100 {
        assert!(!Arc::ptr_eq(&first, &keys.current(true).await.unwrap()));
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_ones_hold_while_the_issuer_is_away_and_without_any_nobody_can_say() {
    let (issuer, keys) = from_url();
    assert!(keys.current(false).await.is_err());
    assert!(keys.current(false).await.is_err());
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "not at every login");
    later(10).await;
    issuer.says(Some(set("a")));
    let first = keys.current(false).await.unwrap();
    for answer in [None, Some("{}".to_owned()), Some("<html>".to_owned()), Some(jwks(&[]))] {
        later(3600).await;
        issuer.says(answer);
        assert!(Arc::ptr_eq(&first, &keys.current(false).await.unwrap()));
    }
    issuer.says(Some(set("a")));
    later(9).await;
    assert!(Arc::ptr_eq(&first, &keys.current(false).await.unwrap()));
    later(1).await;
    assert!(!Arc::ptr_eq(&first, &keys.current(false).await.unwrap()), "a failed look is made up for soon");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_holds_up_nobody_for_long() {
    let (issuer, keys) = from_url();
    issuer.hangs.store(true, Ordering::Relaxed);
    let began = Instant::now();
    assert!(keys.current(false).await.is_err());
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    issuer.hangs.store(false, Ordering::Relaxed);
    issuer.says(Some(set("a")));
    later(10).await;
    let first = keys.current(false).await.unwrap();
    // While one waits, others go on with what is known.
    issuer.hangs.store(true, Ordering::Relaxed);
    later(3600).await;
    let waiting = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { keys.current(false).await.map(drop) }
    });
    tokio::task::yield_now().await;
    let began = Instant::now();
    assert!(Arc::ptr_eq(&first, &keys.current(false).await.unwrap()));
    assert_eq!(began.elapsed(), Duration::ZERO);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_found_after_a_login_gave_up_is_kept() {
    let (issuer, keys) = from_url();
    issuer.answers_after.store(4, Ordering::Relaxed);
    issuer.says(Some(set("a")));
    let impatient = tokio::time::timeout(Duration::from_secs(1), keys.current(false)).await;
    assert!(impatient.is_err());
    later(3).await;
    assert!(keys.current(false).await.is_ok());
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn sizes() {
    let answer = set("a");
    let length = answer.len() as u64;
    for (size, good) in [(length - 1, false), (length, true), (length + 1, true)] {
        let issuer = Arc::new(Issuer::default());
        issuer.says(Some(answer.clone()));
        let config = OAuthConfig { keys_size_max: ByteSize::bytes(size), ..OAuthConfig::default() };
        let keys = keys_from(&issuer, config);
        assert_eq!(keys.current(false).await.is_ok(), good, "{size}");
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let config = OAuthConfig {
        jwks_file: path.clone(),
        refresh_min: Span::millis(0),
        keys_size_max: ByteSize::kib(1),
        ..OAuthConfig::default()
    };
    let keys = Arc::new(Keys::new(config, None));
    assert!(keys.current(false).await.is_err(), "there is none");
    fs::write(&path, set("first")).unwrap();
    let first = keys.current(false).await.unwrap();
    assert!(Arc::ptr_eq(&first, &keys.current(false).await.unwrap()), "unchanged");
    let replace = |text: &str| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
    };
    replace(&set("second"));
    let second = keys.current(false).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    for bad in ["", "{}", &format!("{}{}", set("third"), " ".repeat(1024))] {
        replace(bad);
        assert!(Arc::ptr_eq(&second, &keys.current(false).await.unwrap()), "the old ones hold on");
    }
    fs::remove_file(&path).unwrap();
    assert!(Arc::ptr_eq(&second, &keys.current(false).await.unwrap()));
}
