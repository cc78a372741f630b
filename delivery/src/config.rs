//! What an operator says about delivery.

use std::time::Duration;

use envelope::MessageId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use crate::remote::RemoteConfig;
use crate::signing::DkimConfig;

/// How messages are delivered, retried and given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many messages are worked on at once.
    pub concurrency: u16,
    /// Octets of messages that are worked on at once; a message beyond waits for `batch_wait_max`, then it is tried again later. 32 messages may be in memory
    /// besides.
    pub content_memory_max: ByteSize,
    /// How many copies of messages are written and synced together, in mailboxes of at most 100 accounts; nobody waits for company.
    pub batch_max: u16,
    /// Octets of messages that are written and synced together; a larger one goes alone.
    pub batch_octets_max: ByteSize,
    /// How much less of a busy processor than others those threads get that write messages to mailboxes (`nice`, 0 to 19): where a gateway runs beside them,
    /// it answers first.
    pub niceness: u8,
    /// Which part of the time, in percent, batches are written in while the gateway of the same process has several messages to accept at once and the
    /// processors nothing to spare; else they rest. 100: they never do.
    pub crowd_share: u8,
    /// A message that was accepted longer ago than this, or than half of `batch_wait_max`, is delivered all the same.
    pub crowd_wait_max: Span,
    /// How many messages whose mailbox is locked are tried by themselves at once: each may wait for the lock for long, in a thread that mailboxes of others
    /// want too. Another one waits for `batch_wait_max`, then it is tried again later.
    pub alone_max: u16,
    /// How many such batches may be under way at once.
    pub batches_at_once: u16,
    /// How long a message waits for a batch or for memory, when all are with disks that hang; then it is tried again later.
    pub batch_wait_max: Span,
    /// How long the directory may take to answer; later counts as unavailable.
    pub directory_max: Span,
    /// How many aliases may lead to each other; more count as a loop.
    pub expansion_depth_max: u16,
    /// How many addresses the aliases of one message may lead to.
    pub expansion_addresses_max: u32,
    /// How long a recipient is retried; then the sender gets a report.
    pub age_max: Span,
    /// How long a message for a full mailbox is retried; then the sender gets a report.
    pub quota_grace: Span,
    /// How full a mailbox is, in percent of its quota, when its owner gets a message that says so.
    pub quota_warnings: Vec<u16>,
    /// How many panics one message may cause before it is put aside for an operator.
    pub panics_before_dead: u16,
    /// How long to wait before taking the next message when the queue fails.
    pub queue_pause: Span,
    /// How long a message waits before its sender hears of the delay, once a recipient: when the sender asked for it, and, of people who
    /// logged in here, also when nothing was said.
    pub delay_report_after: Span,
    /// The largest message that a report of failure returns whole, when its sender asked for that; of larger ones it carries the header.
    pub report_body_max: ByteSize,
    /// How much of the message's header a report carries.
    pub report_header_max: ByteSize,
    /// The waits between tries; the last one repeats.
    pub retry_after: Vec<Span>,
    /// How long a message that filters keep back waits for an operator; then it is deleted. 0: for ever.
    pub quarantine_keep: Span,
    /// The keys that sign what people here write to other systems (DKIM, RFC 6376).
    pub dkim: Vec<DkimConfig>,
    /// Mail to other systems.
    pub remote: RemoteConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 1024,
            content_memory_max: ByteSize::mib(256),
            batch_max: 512,
            batch_octets_max: ByteSize::mib(32),
            niceness: 10,
            crowd_share: 10,
            crowd_wait_max: Span::secs(5),
            alone_max: 8,
            batches_at_once: 2,
            batch_wait_max: Span::secs(30),
            directory_max: Span::secs(30),
            expansion_depth_max: 10,
            expansion_addresses_max: 1000,
            age_max: Span::hours(5 * 24),
            quota_grace: Span::hours(24),
            quarantine_keep: Span::hours(30 * 24),
            quota_warnings: vec![80, 95],
            panics_before_dead: 5,
            queue_pause: Span::secs(1),
            delay_report_after: Span::hours(4),
            report_body_max: ByteSize::kib(64),
            report_header_max: ByteSize::kib(16),
            retry_after: vec![
                Span::secs(10),
                Span::mins(1),
                Span::mins(5),
                Span::mins(15),
                Span::hours(1),
                Span::hours(4),
            ],
            dkim: Vec::new(),
            remote: RemoteConfig::default(),
        }
    }
}

impl Config {
    /// What is wrong: key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |right: bool, key: &str, problem: &str| {
            if !right {
                faults.push((key.to_owned(), problem.to_owned()));
            }
        };
        check(self.batch_max > 0, "batch_max", "at least 1");
        check(self.batch_octets_max.as_u64() > 0, "batch_octets_max", "at least 1 B");
        check(self.content_memory_max.as_u64() > 0, "content_memory_max", "at least 1 B");
        check(self.niceness <= 19, "niceness", "at most 19");
        check((1..=100).contains(&self.crowd_share), "crowd_share", "from 1 to 100");
        check(self.alone_max > 0, "alone_max", "at least 1");
        check(self.batches_at_once > 0, "batches_at_once", "at least 1");
        check(self.concurrency > 0, "concurrency", "at least 1");
        check(self.directory_max >= Span::millis(10), "directory_max", "at least 10ms");
        check(self.expansion_depth_max > 0, "expansion_depth_max", "at least 1");
        check(self.expansion_addresses_max > 0, "expansion_addresses_max", "at least 1");
        check(self.quota_warnings.iter().all(|percent| *percent > 0), "quota_warnings", "above 0");
        check(self.panics_before_dead > 0, "panics_before_dead", "at least 1");
        check(self.queue_pause >= Span::millis(10), "queue_pause", "at least 10ms");
        check(self.report_body_max <= ByteSize::mib(10), "report_body_max", "at most 10 MiB");
        check(self.report_header_max <= ByteSize::mib(1), "report_header_max", "at most 1 MiB");
        check(!self.retry_after.is_empty(), "retry_after", "at least one wait");
        let short = self.retry_after.iter().any(|wait| *wait < Span::millis(100));
        check(!short, "retry_after", "a wait of less than 100ms would only heat the disk");
        faults.extend(DkimConfig::faults(&self.dkim));
        faults.extend(self.remote.faults());
        faults
    }

    /// The wait of a message that has been under way for `age`: as if it had been tried at every rung. Tries that were put off, since the
    /// destination was busy, climb nothing.
    pub(crate) fn wait_at_age(&self, age: Duration, id: MessageId) -> Duration {
        let mut climbed = Duration::ZERO;
        let rungs = self.retry_after.iter().take_while(|rung| {
            climbed += rung.as_duration();
            climbed <= age
        });
        self.wait(u32::try_from(rungs.count()).unwrap_or(u32::MAX), id)
    }

    /// The wait after `attempts` earlier tries, up to an eighth longer, so that what failed together is not tried together again.
    pub(crate) fn wait(&self, attempts: u32, id: MessageId) -> Duration {
        let rung = usize::try_from(attempts).unwrap_or(usize::MAX);
        let wait = self.retry_after.get(rung).or(self.retry_after.last());
        let wait = wait.map_or(Duration::from_secs(60), |wait| wait.as_duration());
        let [.., spread] = id.to_bytes();
        wait + wait * u32::from(spread) / 2048
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbs_the_ladder_and_stays_on_top() {
        let config = Config::default();
        assert!(config.faults().is_empty());
        let id = MessageId::new(0, [0; 10]);
        let waits: Vec<u64> =
            [0, 1, 5, 6, u32::MAX].iter().map(|attempts| config.wait(*attempts, id).as_secs()).collect();
        assert_eq!(waits, [10, 60, 14_400, 14_400, 14_400]);
        let spread = config.wait(1, MessageId::new(0, [255; 10]));
        assert!(spread > Duration::from_secs(60) && spread < Duration::from_secs(68), "{spread:?}");
    }

    #[test]
    fn the_rung_follows_from_the_age_too() {
        let config = Config::default();
        let at =
            |seconds| config.wait_at_age(Duration::from_secs(seconds), MessageId::new(0, [0; 10])).as_secs();
        assert_eq!([0, 9, 10, 69, 70, 1_000_000].map(at), [10, 10, 60, 60, 300, 14_400]);
    }

    #[test]
    fn finds_what_makes_no_sense() {
        let config = Config { concurrency: 0, retry_after: Vec::new(), ..Config::default() };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["concurrency", "retry_after"]);
    }
}
