//! Texts that were asked for lately, ready to be used.
//!
//! SPF, DKIM and DMARC ask for the same few names with every message. The library keeps whole answers, and copies and counts down every record of one each
//! time that it is asked; here are the texts alone, for as long as the answer says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use units::ByteSize;

use super::DnsError;

/// What was found, or that there is nothing.
pub(super) type Found = Result<Vec<Vec<u8>>, DnsError>;

/// Answers by name. Cheap to clone; clones share what is kept.
#[derive(Clone)]
pub(super) struct Texts {
    kept: Cache<Box<str>, Kept>,
    age_max: Duration,
}

#[derive(Clone)]
struct Kept {
    found: Arc<Found>,
    until: Instant,
}

/// What an answer takes besides its octets, in this cache: places, pointers, what it is found by.
const ENTRY_OCTETS: usize = 256;

impl Texts {
    /// Answers of so many octets at most, none longer than `age_max`. By octets: whoever owns a domain says how long its texts are.
    pub(super) fn new(memory_max: ByteSize, age_max: Duration) -> Self {
        let kept = Cache::builder().weigher(weight).max_capacity(memory_max.as_u64()).build();
        Self { kept, age_max }
    }

    /// What is known of a name.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Found> {
        let kept = self.kept.get(name).filter(|kept| now < kept.until)?;
        Some(Found::clone(&kept.found))
    }

    /// Keeps an answer until it says that it is old. A failure says nothing.
    pub(super) fn keep(&self, name: &str, found: &Found, until: Instant, now: Instant) {
        let is_answer = found.as_ref().err().is_none_or(DnsError::is_void);
        let until = until.min(now + self.age_max);
        if is_answer && until > now {
            self.kept.insert(name.into(), Kept { found: Arc::new(found.clone()), until });
        }
    }
}

#[allow(clippy::borrowed_box, reason = "what the cache calls")]
fn weight(name: &Box<str>, kept: &Kept) -> u32 {
    let texts: usize = kept.found.iter().flatten().map(|text| text.len() + size_of::<Vec<u8>>()).sum();
    u32::try_from(name.len() + texts + ENTRY_OCTETS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_as_long_as_they_say() {
        let (texts, begin) = (Texts::new(ByteSize::kib(16), Duration::from_secs(60)), Instant::now());
        let after = |seconds: u64| begin + Duration::from_secs(seconds);
        let check = |found: &Found, valid: u64, asked: u64, expected: bool| {
            let name = format!("{found:?}, {valid} s, asked after {asked} s");
            texts.keep(&name, found, after(valid), begin);
            assert_eq!(texts.get(&name, after(asked)), expected.then(|| found.clone()), "{name}");
        };
        let text: Found = Ok(vec![b"v=spf1 -all".to_vec(), b"x".to_vec()]);
        check(&text, 30, 0, true);
        check(&text, 30, 29, true);
        check(&text, 30, 30, false);
        check(&text, 0, 0, false);
        check(&text, 3600, 59, true);
        check(&text, 3600, 60, false);
        check(&Err(DnsError::NoName), 30, 29, true);
        check(&Err(DnsError::NoRecord), 30, 29, true);
        check(&Err(DnsError::Failed("SERVFAIL".to_owned())), 30, 0, false);
        assert_eq!(texts.get("never.asked", begin), None);
    }

    #[test]
    fn a_newer_answer_takes_the_place_of_the_old_one() {
        let (texts, begin) = (Texts::new(ByteSize::kib(16), Duration::from_secs(60)), Instant::now());
        let until = begin + Duration::from_secs(30);
        texts.keep("a.test", &Ok(vec![b"old".to_vec()]), until, begin);
        texts.keep("a.test", &Err(DnsError::NoName), until, begin);
        assert_eq!(texts.get("a.test", begin), Some(Err(DnsError::NoName)));
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let check = |octets: usize, expected: std::ops::RangeInclusive<u64>| {
            let (texts, begin) = (Texts::new(ByteSize::kib(64), Duration::from_secs(60)), Instant::now());
            for number in 0..1000 {
                let text = Ok(vec![vec![b'x'; octets]]);
                texts.keep(&format!("{number}.test"), &text, begin + Duration::from_secs(30), begin);
            }
            texts.kept.run_pending_tasks();
            assert!(expected.contains(&texts.kept.entry_count()), "{octets}: {}", texts.kept.entry_count());
            assert!(texts.kept.weighted_size() <= 64 << 10);
        };
        check(10, 100..=250);
        check(10 << 10, 1..=6);
        check(100 << 10, 0..=0);
    }
}
