//! For one process: there is nobody to tell, and counters and values are here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::subscriber::Subscriber;
use crate::value::AGE_MAX;
use crate::{
    Change, Config, Counted, CounterKey, Entry, Event, Held, Kept, KeyPrefix, Listing, SharedState,
    Unavailable, Value,
};

/// The state of one process. Clones are further nodes of one process, for tests and simulation: each hears the others.
#[derive(Debug)]
pub struct MemoryState {
    node: u64,
    shared: Arc<Mutex<Shared>>,
    signals_max: usize,
    counters_max: usize,
    values_max: usize,
}

#[derive(Debug, Default)]
struct Shared {
    nodes: u64,
    subscribers: Vec<(u64, Subscriber)>,
    counters: HashMap<CounterKey, Timed<u64>>,
    values: HashMap<CounterKey, Timed<Value>>,
}

/// What ends.
#[derive(Debug)]
struct Timed<T> {
    end: Instant,
    what: T,
}

impl<T> Timed<T> {
    fn new(now: Instant, age: Duration, what: T) -> Self {
        Self { end: now.checked_add(age.min(AGE_MAX)).unwrap_or(now), what }
    }

    fn remaining(&self, now: Instant) -> Duration {
        self.end.saturating_duration_since(now)
    }
}

impl MemoryState {
    /// A state that nobody else has.
    pub fn new(config: &Config) -> Self {
        let Config { signals_max, counters_max, values_max, .. } = *config;
        Self { node: 0, shared: Arc::default(), signals_max, counters_max, values_max }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryState {
    fn clone(&self) -> Self {
        let node = {
            let mut shared = self.lock();
            shared.nodes += 1;
            shared.nodes
        };
        Self { node, shared: Arc::clone(&self.shared), ..*self }
    }
}

#[async_trait]
impl SharedState for MemoryState {
    fn signal(&self, change: Change) {
        let mut shared = self.lock();
        shared.subscribers.retain(|(_, subscriber)| !subscriber.is_gone());
        for (_, subscriber) in shared.subscribers.iter_mut().filter(|(node, _)| *node != self.node) {
            subscriber.tell(&Event::Changed(change.clone()), true);
        }
    }

    fn subscribe(&self) -> mpsc::Receiver<Event> {
        let (mut subscriber, receiver) = Subscriber::new(self.signals_max);
        subscriber.tell(&Event::Attached, true);
        self.lock().subscribers.push((self.node, subscriber));
        receiver
    }

    async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
        let (mut shared, now) = (self.lock(), Instant::now());
        make_room(&mut shared.counters, self.counters_max, key, now, |counter| counter.what);
        let counter = shared.counters.entry(key.clone()).or_insert_with(|| Timed::new(now, window, 0));
        if counter.end <= now {
            *counter = Timed::new(now, window, 0);
        }
        counter.what = counter.what.saturating_add(amount);
        Ok(counter.what)
    }

    async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        let (shared, now) = (self.lock(), Instant::now());
        let counter = shared.counters.get(key).filter(|counter| counter.end > now);
        Ok(counter.map(|counter| Counted { sum: counter.what, remaining: counter.remaining(now) }))
    }

    async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
        let (mut shared, now) = (self.lock(), Instant::now());
        make_room(&mut shared.values, self.values_max, key, now, |value| value.end);
        shared.values.insert(key.clone(), Timed::new(now, age, value.clone()));
        Ok(())
    }

    async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        let (shared, now) = (self.lock(), Instant::now());
        let value = shared.values.get(key).filter(|value| value.end > now);
        Ok(value.map(|value| Kept { value: value.what.clone(), remaining: value.remaining(now) }))
    }

    async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
        let (mut shared, now) = (self.lock(), Instant::now());
        let counted = shared.counters.remove(key).is_some_and(|counter| counter.end > now);
        let kept = shared.values.remove(key).is_some_and(|value| value.end > now);
        Ok(counted || kept)
    }

    async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
        let (shared, now) = (self.lock(), Instant::now());
        let counters =
            shared.counters.iter().filter(|(_, counter)| counter.end > now).map(|(key, counter)| {
                (
                    key,
                    Entry {
                        key: key.clone(),
                        held: Held::Count(counter.what),
                        remaining: counter.remaining(now),
                    },
                )
            });
        let values = shared.values.iter().filter(|(_, value)| value.end > now).map(|(key, value)| {
            let held = Held::Value(value.what.clone());
            (key, Entry { key: key.clone(), held, remaining: value.remaining(now) })
        });
        let found = counters.chain(values).filter(|(key, _)| prefix.fits(key)).map(|(_, entry)| entry);
        let mut entries: Vec<Entry> = found.take(limit.saturating_add(1)).collect();
        let whole = entries.len() <= limit;
        entries.truncate(limit);
        entries.sort_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
        Ok(Listing { entries, whole })
    }

    async fn close(&self) {}
}

/// Makes room for `key` where there is none: what is over goes, and if that is not enough about an eighth, the least by `worth`. So the
/// cost is spread over many calls.
fn make_room<T, W: Ord>(
    entries: &mut HashMap<CounterKey, Timed<T>>,
    max: usize,
    key: &CounterKey,
    now: Instant,
    worth: impl Fn(&Timed<T>) -> W,
) {
    if entries.len() < max || entries.contains_key(key) {
        return;
    }
    entries.retain(|_, entry| entry.end > now);
    let count = (max / 8).max(1);
    if entries.len() <= max.saturating_sub(count) {
        return;
    }
    let mut by_worth: Vec<(W, CounterKey)> =
        entries.iter().map(|(key, entry)| (worth(entry), key.clone())).collect();
    if count < by_worth.len() {
        by_worth.select_nth_unstable_by(count, |(one, _), (other, _)| one.cmp(other));
    }
    for (_, key) in by_worth.iter().take(count) {
        entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite;

    #[tokio::test]
    async fn it_behaves() {
        let first = MemoryState::new(&Config::default());
        let second = first.clone();
        suite::all(Arc::new(first), Arc::new(second)).await;
    }

    #[tokio::test]
    async fn counters_have_a_bound() {
        let state = MemoryState::new(&Config { counters_max: 2, ..Config::default() });
        let key = |whom: &str| CounterKey::new("test", "bound", whom).unwrap();
        let short = Duration::from_millis(1);
        assert_eq!(state.count(&key("a"), Duration::from_secs(60), 1).await, Ok(1));
        assert_eq!(state.count(&key("b"), short, 1).await, Ok(1));
        tokio::time::sleep(short * 5).await;
        assert_eq!(state.count(&key("c"), Duration::from_secs(60), 1).await, Ok(1), "one is over");
        assert_eq!(state.count(&key("a"), Duration::from_secs(60), 1).await, Ok(2));
        assert_eq!(state.count(&key("d"), Duration::from_secs(60), 1).await, Ok(1));
        assert_eq!(state.counted(&key("c")).await, Ok(None), "it counted least");
        assert_eq!(state.count(&key("a"), Duration::from_secs(60), 1).await, Ok(3));
    }

    #[tokio::test]
    async fn a_flood_of_names_takes_no_more_room_and_leaves_the_large_counters() {
        let state = MemoryState::new(&Config { counters_max: 16, values_max: 16, ..Config::default() });
        let key = |whom: &str| CounterKey::new("test", "flood", whom).unwrap();
        let minute = Duration::from_secs(60);
        state.count(&key("guilty"), minute, 50).await.unwrap();
        state.keep(&key("long"), &Value::new("x").unwrap(), minute * 60).await.unwrap();
        for number in 0..1000 {
            let name = key(&number.to_string());
            state.count(&name, minute, 1).await.unwrap();
            state.keep(&name, &Value::new("x").unwrap(), minute).await.unwrap();
            let shared = state.lock();
            assert!(shared.counters.len() <= 16 && shared.values.len() <= 16);
        }
        assert_eq!(state.count(&key("guilty"), minute, 1).await, Ok(51));
        assert!(state.kept(&key("long")).await.unwrap().is_some());
        let endless = Duration::MAX;
        assert_eq!(state.count(&key("endless"), endless, 1).await, Ok(1));
        assert_eq!(state.count(&key("endless"), endless, 1).await, Ok(2));
    }
}
