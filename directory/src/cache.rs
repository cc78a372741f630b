//! A bounded map of answers with their age. When it is full the oldest eighth goes, so that the cost of making room is
//! spread over many entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// An answer, when it was given, and in which state of the file.
#[derive(Debug, Clone)]
pub(crate) struct Cached<V> {
    pub(crate) value: V,
    pub(crate) stored_at: Instant,
    pub(crate) generation: u64,
}

pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, Cached<V>>>,
    entries_max: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries: Mutex::new(HashMap::new()), entries_max: entries_max.max(1) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Cached<V>> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn put(&self, key: K, value: V, generation: u64, now: Instant) {
        let mut entries = self.lock();
        if entries.len() >= self.entries_max && !entries.contains_key(&key) {
            make_room(&mut entries, |cached| cached.stored_at);
        }
        entries.insert(key, Cached { value, stored_at: now, generation });
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Cached<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes about an eighth of the entries, at least one: the oldest by `age`.
pub(crate) fn make_room<K: Hash + Eq + Clone, E>(entries: &mut HashMap<K, E>, age: impl Fn(&E) -> Instant) {
    let count = entries.len() / 8;
    let mut by_age: Vec<(Instant, K)> =
        entries.iter().map(|(key, entry)| (age(entry), key.clone())).collect();
    if count < by_age.len() {
        by_age.select_nth_unstable_by_key(count, |(at, _)| *at);
    }
    for (_, key) in by_age.iter().take(count.max(1)) {
        entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn never_above_the_limit_and_the_oldest_go() {
        let cache = Cache::new(16);
        let start = Instant::now();
        for n in 0..100u64 {
            cache.put(n, n, 0, start + Duration::from_secs(n));
            assert!(cache.len() <= 16);
        }
        assert_eq!(cache.get(&99).map(|cached| cached.value), Some(99));
        assert_eq!(cache.get(&99).map(|cached| cached.generation), Some(0));
        assert!(cache.get(&0).is_none());
        let one = Cache::new(1);
        one.put(1, 1, 0, start);
        one.put(1, 2, 0, start);
        assert_eq!(one.get(&1).map(|cached| cached.value), Some(2));
        one.put(2, 3, 0, start);
        assert_eq!((one.len(), one.get(&2).map(|cached| cached.value)), (1, Some(3)));
    }
}
