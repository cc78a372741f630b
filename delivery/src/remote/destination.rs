//! What is known of every destination: how much it takes at once, when it is left alone, and its open connections.
//!
//! ```text
//!  admit ──→ Go(place)                              fewer under way than it takes
//!        ├─→ Later: when a place will be free       busy: told apart in time, so that what waits does not come all at once
//!        └─→ Later: when it is tried again          its servers could not be reached: one try an interval, not one a message
//! ```
//! A message that is told to come later goes back to the queue and holds nobody up: a slow or dead destination never has more of the
//! worker's slots than its own places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::RemoteConfig;
use super::connection::Connection;

/// The shortest wait of a message that finds its destination busy.
const BUSY_MIN: Duration = Duration::from_secs(1);
/// How long a message takes, before one was sent.
const DURATION_FIRST: Duration = Duration::from_secs(1);
/// Such addresses that are remembered, a destination.
const BAD_ADDRESSES_MAX: usize = 16;

/// Where mail goes: a domain, or the server that a route names; and from where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// A domain, or `[server]:port` of a route.
    pub(crate) name: String,
    /// Which egress.
    pub(crate) egress: Option<usize>,
    /// Which route: another one may ask for other encryption, or log in under another name.
    pub(crate) route: Option<usize>,
}

/// What a destination takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) concurrency: u16,
    /// A minute; 0: any.
    pub(crate) rate: u32,
}

/// Whether a message may go.
pub(crate) enum Admission {
    Go(Place),
    Later { after: Duration, reason: String },
}

/// All destinations.
pub(crate) struct Destinations {
    config: Arc<RemoteConfig>,
    known: Mutex<HashMap<Key, Destination>>,
}

struct Destination {
    active: u16,
    /// How many at once, as it has turned out.
    allowed: u16,
    failures: u32,
    left_alone_until: Option<Instant>,
    why: String,
    /// What a message takes, smoothed.
    duration: Duration,
    /// When the next message that finds no place will find one.
    next_free: Instant,
    /// When the rate allows the next message.
    next_due: Instant,
    idle: Vec<(Instant, Connection)>,
    bad: HashMap<IpAddr, Instant>,
}

/// A place at a destination, given back when it is dropped.
pub(crate) struct Place {
    destinations: Arc<Destinations>,
    key: Key,
    began: Instant,
}

impl Destinations {
    pub(crate) fn new(config: Arc<RemoteConfig>) -> Self {
        Self { config, known: Mutex::default() }
    }

    /// Asks for a place.
    pub(crate) fn admit(self: &Arc<Self>, key: &Key, limits: Limits) -> Admission {
        let now = Instant::now();
        let mut known = self.known();
        self.make_room(&mut known, key, now);
        let start = self.config.destination_concurrency_start.min(limits.concurrency);
        let destination = known.entry(key.clone()).or_insert_with(|| Destination::new(now, start));
        if let Some(until) = destination.left_alone_until.filter(|until| now < *until) {
            let reason = format!("left alone for a time: {}", destination.why);
            return Admission::Later { after: until - now, reason };
        }
        if limits.rate > 0 && now < destination.next_due {
            let after = destination.paced(
                now,
                Duration::from_secs(60) / limits.rate,
                self.config.busy_max.as_duration(),
            );
            return Admission::Later {
                after,
                reason: format!("no more than {} messages a minute go there", limits.rate),
            };
        }
        // After a failure one message tries for all.
        let allowed = if destination.failures > 0 { 1 } else { destination.allowed.min(limits.concurrency) };
        if destination.active >= allowed {
            let each = destination.duration / u32::from(allowed.max(1));
            let after = destination.paced(now, each, self.config.busy_max.as_duration());
            let reason = format!("{} messages go there at once, and no more", destination.active);
            return Admission::Later { after, reason };
        }
        destination.active += 1;
        if limits.rate > 0 {
            destination.next_due = destination.next_due.max(now) + Duration::from_secs(60) / limits.rate;
        }
        Admission::Go(Place { destinations: Arc::clone(self), key: key.clone(), began: now })
    }

    /// Closes connections that waited for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        for destination in self.known().values_mut() {
            let (kept, old): (Vec<_>, Vec<_>) =
                std::mem::take(&mut destination.idle).into_iter().partition(|(until, _)| now < *until);
            destination.idle = kept;
            over.extend(old);
        }
        for (_, connection) in over {
            connection.leave();
        }
    }

    /// How many destinations are left alone, and how many connections wait.
    pub(super) fn figures(&self) -> (usize, usize) {
        let now = Instant::now();
        let known = self.known();
        let alone =
            known.values().filter(|one| one.left_alone_until.is_some_and(|until| now < until)).count();
        (alone, known.values().map(|one| one.idle.len()).sum())
    }

    fn make_room(&self, known: &mut HashMap<Key, Destination>, key: &Key, now: Instant) {
        let most = usize::try_from(self.config.destinations_max).unwrap_or(usize::MAX);
        if known.len() < most || known.contains_key(key) {
            return;
        }
        known.retain(|_, one| one.is_of_use(now));
        // All of them are: those nobody works for are forgotten, and learned anew.
        if known.len() >= most {
            known.retain(|_, one| one.active > 0);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Destination>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination {
    fn new(now: Instant, allowed: u16) -> Self {
        Self {
            active: 0,
            allowed: allowed.max(1),
            failures: 0,
            left_alone_until: None,
            why: String::new(),
            duration: DURATION_FIRST,
            next_free: now,
            next_due: now,
            idle: Vec::new(),
            bad: HashMap::new(),
        }
    }

    /// When a place is free for one who came now, if everybody before takes `each`.
    fn paced(&mut self, now: Instant, each: Duration, most: Duration) -> Duration {
        self.next_free = self.next_free.max(now) + each;
        // What would come later than that comes among the others, spread as they are: told the same moment it would all come at once.
        if self.next_free - now > most {
            self.next_free = now + each;
        }
        (self.next_free - now).clamp(BUSY_MIN, most.max(BUSY_MIN))
    }

    fn is_of_use(&self, now: Instant) -> bool {
        self.active > 0
            || !self.idle.is_empty()
            || self.left_alone_until.is_some_and(|until| now < until)
            || now < self.next_due
    }
}

impl Place {
    /// A connection that waits for a message.
    pub(crate) fn idle(&self) -> Option<Connection> {
        self.with(|one, now| {
            let found = one.idle.iter().rposition(|(until, _)| now < *until)?;
            Some(one.idle.swap_remove(found).1)
        })?
    }

    /// Keeps a connection for the next message.
    pub(crate) fn keep(&self, connection: Connection) {
        let until = Instant::now() + self.destinations.config.connection_idle_max.as_duration();
        let over = self.with(|one, _| {
            if one.idle.len() >= usize::from(one.allowed) {
                return Some(connection);
            }
            one.idle.push((until, connection));
            None
        });
        if let Some(Some(connection)) = over {
            connection.leave();
        }
    }

    /// A server took part in a whole transaction, whatever it said.
    pub(crate) fn succeeded(&self) {
        let took = self.began.elapsed();
        self.with(|one, _| {
            one.failures = 0;
            one.left_alone_until = None;
            one.allowed = one.allowed.saturating_add(1).min(self.destinations.config.destination_concurrency);
            one.duration = (one.duration * 7 + took) / 8;
        });
    }

    /// No server could be reached: all of the destination's mail waits.
    pub(crate) fn failed(&self, why: &str) {
        let config = &self.destinations.config;
        self.with(|one, now| {
            // What was under way at the same time is the same failure.
            if one.left_alone_until.is_some_and(|until| now < until) {
                return;
            }
            let doubled = config.backoff_min.as_duration() * 2u32.saturating_pow(one.failures.min(20));
            one.failures = one.failures.saturating_add(1);
            one.left_alone_until = Some(now + doubled.min(config.backoff_max.as_duration()));
            one.allowed = (one.allowed / 2).max(1);
            why.clone_into(&mut one.why);
        });
    }

    /// A server broke off in the middle: fewer at once from here on.
    pub(crate) fn strained(&self) {
        self.with(|one, _| one.allowed = (one.allowed / 2).max(1));
    }

    /// A server is there and takes no further connection: fewer at once from here on. False when this was the only one.
    pub(crate) fn congested(&self) -> bool {
        self.with(|one, _| {
            let others = one.active.saturating_sub(1);
            one.allowed = others.max(1);
            others > 0
        })
        .unwrap_or(false)
    }

    /// Puts addresses that did not answer lately behind the others.
    pub(crate) fn order(&self, addresses: &mut [IpAddr]) {
        self.with(|one, now| {
            one.bad.retain(|_, until| now < *until);
            addresses.sort_by_key(|address| one.bad.contains_key(address));
        });
    }

    /// This address did not answer.
    pub(crate) fn is_bad(&self, address: IpAddr) {
        let avoided_for = self.destinations.config.address_avoided_for.as_duration();
        self.with(|one, now| {
            if one.bad.len() < BAD_ADDRESSES_MAX {
                one.bad.insert(address, now + avoided_for);
            }
        });
    }

    fn with<T>(&self, step: impl FnOnce(&mut Destination, Instant) -> T) -> Option<T> {
        self.destinations.known().get_mut(&self.key).map(|one| step(one, Instant::now()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.with(|one, _| one.active = one.active.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;

    fn destinations(config: RemoteConfig) -> Arc<Destinations> {
        Arc::new(Destinations::new(Arc::new(config)))
    }

    fn key(name: &str) -> Key {
        Key { name: name.to_owned(), egress: None, route: None }
    }

    const MANY: Limits = Limits { concurrency: 4, rate: 0 };

    fn go(all: &Arc<Destinations>, name: &str, limits: Limits) -> Place {
        match all.admit(&key(name), limits) {
            Admission::Go(place) => place,
            Admission::Later { reason, .. } => panic!("{name}: {reason}"),
        }
    }

    fn later(all: &Arc<Destinations>, name: &str, limits: Limits) -> u64 {
        match all.admit(&key(name), limits) {
            Admission::Go(_) => 0,
            Admission::Later { after, .. } => u64::try_from(after.as_millis()).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn begins_with_few_and_takes_more_as_they_succeed() {
        let config = RemoteConfig { destination_concurrency_start: 2, ..RemoteConfig::default() };
        let all = destinations(config);
        let places = [go(&all, "a.test", MANY), go(&all, "a.test", MANY)];
        // A place a second comes free twice: each who comes waits half a second longer, and a second at the least.
        let waits: Vec<u64> = (0..4).map(|_| later(&all, "a.test", MANY)).collect();
        assert_eq!(waits, [1000, 1000, 1500, 2000]);
        assert_eq!(later(&all, "b.test", MANY), 0, "another destination");
        places[0].succeeded();
        let third = go(&all, "a.test", MANY);
        third.succeeded();
        let fourth = go(&all, "a.test", MANY);
        fourth.succeeded();
        assert!(later(&all, "a.test", MANY) > 0, "no more than the limit");
        drop(fourth);
        go(&all, "a.test", MANY);
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_not_be_reached_is_tried_once_an_interval() {
        let config = RemoteConfig {
            backoff_min: Span::secs(10),
            backoff_max: Span::secs(25),
            ..RemoteConfig::default()
        };
        let all = destinations(config);
        let (first, second) = (go(&all, "a.test", MANY), go(&all, "a.test", MANY));
        first.failed("no route");
        second.failed("no route");
        drop((first, second));
        assert_eq!(later(&all, "a.test", MANY), 10_000, "two at the same time are one failure");
        for expected in [20_000, 25_000] {
            tokio::time::advance(Duration::from_secs(30)).await;
            let probe = go(&all, "a.test", MANY);
            assert!(later(&all, "a.test", MANY) > 0, "one tries for all");
            probe.failed("no route");
            drop(probe);
            assert_eq!(later(&all, "a.test", MANY), expected);
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        go(&all, "a.test", MANY).succeeded();
        go(&all, "a.test", MANY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_backlog_is_spread_over_the_longest_wait() {
        let config = RemoteConfig {
            destination_concurrency_start: 1,
            busy_max: Span::secs(10),
            ..RemoteConfig::default()
        };
        let all = destinations(config);
        let _held = go(&all, "a.test", MANY);
        let waits: Vec<u64> = (0..100).map(|_| later(&all, "a.test", MANY)).collect();
        for second in 1..=10 {
            assert_eq!(waits.iter().filter(|wait| **wait == second * 1000).count(), 10, "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_in_a_minute_than_is_allowed() {
        let all = destinations(RemoteConfig::default());
        let limits = Limits { concurrency: 4, rate: 6 };
        go(&all, "a.test", limits).succeeded();
        assert_eq!([later(&all, "a.test", limits), later(&all, "a.test", limits)], [10_000, 20_000]);
        tokio::time::advance(Duration::from_secs(10)).await;
        go(&all, "a.test", limits);
    }

    #[tokio::test(start_paused = true)]
    async fn remembers_as_many_as_it_may() {
        let all = destinations(RemoteConfig { destinations_max: 3, ..RemoteConfig::default() });
        let kept = go(&all, "kept.test", MANY);
        for number in 0..10 {
            let place = go(&all, &format!("{number}.test"), MANY);
            place.failed("no route");
            drop(place);
            assert!(all.known().len() <= 3);
        }
        assert!(all.known().contains_key(&key("kept.test")));
        drop(kept);
    }
}
