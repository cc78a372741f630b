//! What is done while the shared state does not answer.
//!
//! ```text
//!  question ──→ Guarded: was there no answer a short time ago? ──yes──→ Unavailable at once ──→ Fallback: this process's memory
//!                  │ no                                                                            ↑
//!                  └──→ Redis ──→ answer | none within call_max, and nobody asks for `retry_after` ┘
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::memory::MemoryState;
use crate::{
    Change, Config, Counted, CounterKey, Event, Kept, KeyPrefix, Listing, SharedState, Unavailable, Value,
};

/// Asks no further for a time when there was no answer: one waits for a server that is away, not everybody.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn SharedState>,
    retry_after: Duration,
    /// Until then it is not asked.
    away_until: Mutex<Option<Instant>>,
}

impl Guarded {
    /// Around `inner`, which is asked again `retry_after` after a question without an answer.
    pub fn new(inner: Arc<dyn SharedState>, retry_after: Duration) -> Self {
        Self { inner, retry_after, away_until: Mutex::default() }
    }

    /// A state of this process alone, with the default limits: for programs that share nothing.
    pub fn alone() -> Arc<Self> {
        Arc::new(Self::new(Arc::new(MemoryState::new(&Config::default())), Duration::ZERO))
    }

    /// Whether the last question had no answer.
    pub fn is_away(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to ask now. When the time is over one may try, and the others wait for what becomes of it.
    fn may_ask(&self) -> Result<(), Unavailable> {
        let mut away_until = self.lock();
        let now = Instant::now();
        match *away_until {
            Some(until) if now < until => Err(Unavailable("it did not answer a short time ago".to_owned())),
            Some(_) => {
                *away_until = Some(now + self.retry_after);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn seen<T>(&self, answer: Result<T, Unavailable>) -> Result<T, Unavailable> {
        *self.lock() = answer.is_err().then(|| Instant::now() + self.retry_after);
        answer
    }
}

#[async_trait]
impl SharedState for Guarded {
    fn signal(&self, change: Change) {
        self.inner.signal(change);
    }

    fn subscribe(&self) -> mpsc::Receiver<Event> {
        self.inner.subscribe()
    }

    async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.count(key, window, amount).await)
    }

    async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.counted(key).await)
    }

    async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.keep(key, value, age).await)
    }

    async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.kept(key).await)
    }

    async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.forget(key).await)
    }

    async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
        self.may_ask()?;
        self.seen(self.inner.list(prefix, limit).await)
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// The shared state, which counts in this process's own memory while it does not answer: each limit holds for each node then, not for all together.
/// Only counters are; a value that others should know is not kept where they do not look.
#[derive(Debug)]
pub struct Fallback {
    shared: Arc<Guarded>,
    local: MemoryState,
}

impl Fallback {
    /// `local` stands in for `shared`.
    pub const fn new(shared: Arc<Guarded>, local: MemoryState) -> Self {
        Self { shared, local }
    }
}

#[async_trait]
impl SharedState for Fallback {
    fn signal(&self, change: Change) {
        self.shared.signal(change);
    }

    fn subscribe(&self) -> mpsc::Receiver<Event> {
        self.shared.subscribe()
    }

    async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
        match self.shared.count(key, window, amount).await {
            Ok(sum) => Ok(sum),
            Err(_) => self.local.count(key, window, amount).await,
        }
    }

    async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        match self.shared.counted(key).await {
            Ok(counted) => Ok(counted),
            Err(_) => self.local.counted(key).await,
        }
    }

    async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
        self.shared.keep(key, value, age).await
    }

    async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        self.shared.kept(key).await
    }

    /// In both places: what was counted here must not come back at the next outage. Whoever asks hears when it was done here alone.
    async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
        let here = self.local.forget(key).await?;
        Ok(self.shared.forget(key).await? || here)
    }

    async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
        self.shared.list(prefix, limit).await
    }

    async fn close(&self) {
        self.shared.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::suite;

    /// A state that can be away, and counts how often it was asked.
    #[derive(Debug)]
    struct Moody {
        inner: MemoryState,
        is_away: std::sync::atomic::AtomicBool,
        asked: AtomicUsize,
    }

    impl Moody {
        fn ask(&self) -> Result<(), Unavailable> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.is_away.load(Ordering::SeqCst) { Err(Unavailable("away".to_owned())) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl SharedState for Moody {
        fn signal(&self, _: Change) {}
        fn subscribe(&self) -> mpsc::Receiver<Event> {
            self.inner.subscribe()
        }
        async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
            self.ask()?;
            self.inner.count(key, window, amount).await
        }
        async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
            self.ask()?;
            self.inner.counted(key).await
        }
        async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
            self.ask()?;
            self.inner.keep(key, value, age).await
        }
        async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
            self.ask()?;
            self.inner.kept(key).await
        }
        async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
            self.ask()?;
            self.inner.forget(key).await
        }
        async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
            self.ask()?;
            self.inner.list(prefix, limit).await
        }
        async fn close(&self) {}
    }

    #[tokio::test]
    async fn with_somebody_who_answers_it_behaves_like_any_other() {
        let first = MemoryState::new(&Config::default());
        let second = first.clone();
        let around = |state: MemoryState| {
            let guarded = Guarded::new(Arc::new(state), Duration::from_secs(1));
            Arc::new(Fallback::new(Arc::new(guarded), MemoryState::new(&Config::default())))
        };
        suite::all(around(first), around(second)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_asks_whether_it_is_back_and_limits_hold_meanwhile() {
        let moody = Arc::new(Moody {
            inner: MemoryState::new(&Config::default()),
            is_away: false.into(),
            asked: 0.into(),
        });
        let guarded = Arc::new(Guarded::new(Arc::clone(&moody) as _, Duration::from_secs(2)));
        let state = Fallback::new(Arc::clone(&guarded), MemoryState::new(&Config::default()));
        let key = CounterKey::new("test", "moody", "a").unwrap();
        let count = async || state.count(&key, Duration::from_secs(600), 1).await.unwrap();
        assert_eq!((count().await, count().await), (1, 2));
        moody.is_away.store(true, Ordering::SeqCst);
        for expected in 1..=10 {
            assert_eq!(count().await, expected, "counted here");
        }
        assert_eq!(moody.asked.load(Ordering::SeqCst), 3, "asked once, and then not for a time");
        assert!(guarded.is_away() && guarded.kept(&key).await.is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(count().await, 11);
        assert_eq!(moody.asked.load(Ordering::SeqCst), 4);
        moody.is_away.store(false, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(count().await, 3, "the shared one again");
        assert!(!guarded.is_away());
        assert_eq!(state.forget(&key).await, Ok(true));
        moody.is_away.store(true, Ordering::SeqCst);
        assert_eq!(count().await, 1, "forgotten here too");
        // What others should know is not done here alone in silence.
        let value = Value::new("x".to_owned()).unwrap();
        assert!(state.keep(&key, &value, Duration::from_secs(1)).await.is_err());
        assert!(state.kept(&key).await.is_err());
        assert!(state.list(&KeyPrefix::new("test", "moody", "").unwrap(), 10).await.is_err());
        assert!(state.forget(&key).await.is_err());
        assert_eq!(count().await, 1, "and forgotten here all the same");
    }
}
