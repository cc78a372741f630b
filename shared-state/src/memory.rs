//! For one process: there is nobody to tell, and counters are here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::subscriber::Subscriber;
use crate::{Change, Config, CounterKey, Event, SharedState, Unavailable};

/// The state of one process. Clones are further nodes of one process, for tests and simulation: each hears the others.
#[derive(Debug)]
pub struct MemoryState {
    node: u64,
    shared: Arc<Mutex<Shared>>,
    signals_max: usize,
    counters_max: usize,
}

#[derive(Debug, Default)]
struct Shared {
    nodes: u64,
    subscribers: Vec<(u64, Subscriber)>,
    counters: HashMap<CounterKey, (Instant, u64)>,
}

impl MemoryState {
    /// A state that nobody else has.
    pub fn new(config: &Config) -> Self {
        let (signals_max, counters_max) = (config.signals_max, config.counters_max);
        Self { node: 0, shared: Arc::default(), signals_max, counters_max }
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
        if shared.counters.len() >= self.counters_max && !shared.counters.contains_key(key) {
            shared.counters.retain(|_, (end, _)| *end > now);
            if shared.counters.len() >= self.counters_max {
                return Err(Unavailable(format!("{} counters are in use", self.counters_max)));
            }
        }
        let (end, sum) = shared.counters.entry(key.clone()).or_insert((now + window, 0));
        if *end <= now {
            (*end, *sum) = (now + window, 0);
        }
        *sum = sum.saturating_add(amount);
        Ok(*sum)
    }

    async fn close(&self) {}
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
        assert!(state.count(&key("d"), short, 1).await.is_err());
        assert_eq!(state.count(&key("a"), Duration::from_secs(60), 1).await, Ok(2));
    }
}
