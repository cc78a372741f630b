//! Slows down the guessing of passwords.
//!
//! ```text
//! failures:  1 … free   free+1        free+2          free+n
//! delay:     none       delay_first   2·delay_first   2ⁿ⁻¹·delay_first, at most delay_max
//! ```
//!
//! An entry is forgotten after `forget_after` without a failure, and an account's also by a success. A success does not
//! clear its network: else one known password would buy unlimited guesses at the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use units::Network;

use crate::ThrottleConfig;
use crate::cache::make_room;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures by key.
pub(crate) struct Throttle<K> {
    entries: Mutex<HashMap<K, Failures>>,
    failures_free: u32,
    config: ThrottleConfig,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    pub(crate) fn new(failures_free: u32, config: ThrottleConfig) -> Self {
        Self { entries: Mutex::new(HashMap::new()), failures_free, config }
    }

    /// Whether an attempt now must not be looked at.
    pub(crate) fn is_blocked(&self, key: &K, now: Instant) -> bool {
        let Some(failures) = self.lock().get(key).copied() else { return false };
        let above = failures.count.saturating_sub(self.failures_free);
        let Some(delay) = self.config.delay(above).filter(|_| !self.is_forgotten(failures, now)) else {
            return false;
        };
        now.duration_since(failures.last) < delay
    }

    pub(crate) fn failed(&self, key: &K, now: Instant) {
        let mut entries = self.lock();
        if entries.len() >= self.config.entries_max && !entries.contains_key(key) {
            make_room(&mut entries, |failures| failures.last);
        }
        let failures = entries.entry(key.clone()).or_insert(Failures { count: 0, last: now });
        if self.is_forgotten(*failures, now) {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count.saturating_add(1), last: now };
    }

    pub(crate) fn succeeded(&self, key: &K) {
        self.lock().remove(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_forgotten(&self, failures: Failures, now: Instant) -> bool {
        now.duration_since(failures.last) >= self.config.forget_after.as_duration()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Failures>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThrottleConfig {
    /// The delay after so many failures above the free ones.
    pub(crate) fn delay(&self, above: u32) -> Option<Duration> {
        let doubled = 1u32.checked_shl(above.checked_sub(1)?).unwrap_or(u32::MAX);
        let delay = self.delay_first.as_duration().saturating_mul(doubled);
        Some(delay.min(self.delay_max.as_duration()))
    }
}

/// Under which the failures of a peer are counted, as what one customer of an access provider holds: an IPv4 address, or the first of
/// an IPv6 /64.
pub fn network(peer: IpAddr) -> IpAddr {
    Network::new(peer, 64).address()
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;

    fn config() -> ThrottleConfig {
        ThrottleConfig {
            delay_first: Span::secs(1),
            delay_max: Span::secs(4),
            entries_max: 8,
            ..ThrottleConfig::default()
        }
    }

    #[test]
    fn delays_begin_above_the_free_failures_and_double() {
        let throttle = Throttle::new(3, config());
        let mut now = Instant::now();
        for n in 1..=3 {
            throttle.failed(&"a", now);
            assert!(!throttle.is_blocked(&"a", now), "failure {n} is free");
        }
        for delay in [1, 2, 4, 4, 4] {
            throttle.failed(&"a", now);
            assert!(throttle.is_blocked(&"a", now));
            assert!(throttle.is_blocked(&"a", now + Duration::from_millis(delay * 1000 - 1)));
            now += Duration::from_secs(delay);
            assert!(!throttle.is_blocked(&"a", now), "free after {delay} s");
        }
        assert!(!throttle.is_blocked(&"b", now));
    }

    #[test]
    fn is_forgotten_in_time_or_by_success() {
        let throttle = Throttle::new(0, config());
        let now = Instant::now();
        for _ in 0..40 {
            throttle.failed(&"a", now);
        }
        assert!(throttle.is_blocked(&"a", now + Duration::from_secs(3)));
        let later = now + config().forget_after.as_duration();
        throttle.failed(&"a", later);
        assert!(throttle.is_blocked(&"a", later + Duration::from_millis(999)), "one failure");
        assert!(!throttle.is_blocked(&"a", later + Duration::from_secs(1)), "counted from the start again");
        throttle.failed(&"a", later);
        throttle.succeeded(&"a");
        assert!(!throttle.is_blocked(&"a", later));
    }

    #[test]
    fn is_bounded() {
        let throttle = Throttle::new(0, config());
        let now = Instant::now();
        for n in 0..100 {
            throttle.failed(&n, now + Duration::from_millis(n));
            assert!(throttle.len() <= 8);
        }
        assert!(throttle.is_blocked(&99, now + Duration::from_millis(100)));
    }

    #[test]
    fn networks() {
        for (peer, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            assert_eq!(network(peer.parse().unwrap()).to_string(), expected);
        }
    }
}
