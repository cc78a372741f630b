//! Watches a new set of rules, and says when it stops too much.

use std::time::{Duration, Instant};

use super::config::GuardConfig;

/// Counts of one set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) messages: u64,
    /// Refused, discarded or kept back by rules.
    pub(super) stopped: u64,
}

impl Counts {
    /// In percent of all messages.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    fn share(self) -> f64 {
        if self.messages == 0 { 0.0 } else { self.stopped as f64 * 100.0 / self.messages as f64 }
    }
}

/// A set under watch.
#[derive(Debug)]
pub(super) struct Guard {
    since: Instant,
    counts: Counts,
    /// What the set before it did.
    former: Counts,
    over: bool,
}

impl Guard {
    /// A set begins; the first of a process is compared with nothing.
    pub(super) const fn new(since: Instant, former: Counts) -> Self {
        Self { since, counts: Counts { messages: 0, stopped: 0 }, former, over: false }
    }

    /// A set that comes back is not watched: the one that took its place is worse.
    pub(super) const fn unwatched(since: Instant, former: Counts) -> Self {
        Self { since, counts: Counts { messages: 0, stopped: 0 }, former, over: true }
    }

    /// Whether the watch ended well.
    pub(super) fn is_over(&self, now: Instant, config: &GuardConfig) -> bool {
        !self.over && now.duration_since(self.since) >= config.watch.as_duration()
    }

    /// What the set before it did.
    pub(super) const fn former(&self) -> Counts {
        self.former
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Counts one message; gives why the set must go, once, if it must.
    pub(super) fn count(&mut self, stopped: bool, now: Instant, config: &GuardConfig) -> Option<String> {
        self.counts.messages += 1;
        self.counts.stopped += u64::from(stopped);
        let watch: Duration = config.watch.into();
        let watched = now.duration_since(self.since) < watch;
        if self.over || !watched || self.counts.messages < config.messages_min {
            return None;
        }
        let (share, before) = (self.counts.share(), self.former.share());
        let compared = self.former.messages >= config.messages_min;
        let why = if share > f64::from(config.stopped_max) {
            format!("it stopped {share:.1} % of {} messages, more than stopped_max", self.counts.messages)
        } else if compared && share - before > f64::from(config.increase_max) {
            format!(
                "it stopped {share:.1} % of {} messages, the former set {before:.1} %",
                self.counts.messages
            )
        } else {
            return None;
        };
        self.over = true;
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use units::Span;

    use super::*;

    fn run(former: Counts, messages: u64, every: u64) -> Option<String> {
        let config =
            GuardConfig { watch: Span::mins(10), messages_min: 100, stopped_max: 50, increase_max: 20 };
        let now = Instant::now();
        let mut guard = Guard::new(now, former);
        let mut tripped = None;
        for message in 1..=messages {
            let why = guard.count(message % every == 0, now, &config);
            assert!(why.is_none() || tripped.is_none(), "once");
            tripped = tripped.or(why);
        }
        tripped
    }

    #[test]
    fn a_set_that_stops_too_much_is_taken_back() {
        assert_eq!(run(Counts::default(), 99, 1), None, "too few to say");
        assert!(run(Counts::default(), 100, 1).unwrap().contains("100.0 % of 100"));
        assert_eq!(run(Counts::default(), 1000, 2), None, "at the bound");
        let former = Counts { messages: 1000, stopped: 10 };
        assert!(run(former, 1000, 3).unwrap().contains("the former set 1.0 %"));
        assert_eq!(run(former, 1000, 5), None, "19 more is within the bound");
        assert_eq!(run(Counts { messages: 50, stopped: 0 }, 1000, 3), None, "the former set says too little");
    }

    #[test]
    fn after_the_watch_nothing_is_taken_back() {
        let config = GuardConfig { watch: Span::secs(1), messages_min: 1, ..GuardConfig::default() };
        let now = Instant::now();
        let mut guard = Guard::new(now, Counts::default());
        assert_eq!(guard.count(true, now + Duration::from_secs(2), &config), None);
    }
}
