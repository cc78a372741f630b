//! Whether the machine's processors have time to spare.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kernel counts in hundredths of a second: what is looked at has to be long enough.
const WINDOW: Duration = Duration::from_millis(100);

/// What the processors did, in all of them together, in the kernel's ticks since the start.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    idle: u64,
    all: u64,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    ticks: Option<Ticks>,
    spare: Option<f64>,
}

/// Looks at the processors, not more often than it can tell something new.
#[derive(Debug)]
pub struct Processors(Mutex<Look>);

impl Default for Processors {
    fn default() -> Self {
        Self(Mutex::new(Look { at: Instant::now(), ticks: read(), spare: None }))
    }
}

impl Processors {
    /// The part of their time that the processors had nothing to do lately, from 0 to 1; waiting for a disk is nothing to do. Of a machine's processors: what a
    /// container may use of them does not count. None where that can't be said: at first, and without `/proc/stat`.
    pub fn spare(&self) -> Option<f64> {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if look.at.elapsed() >= WINDOW {
            let now = read();
            // What is older says nothing of now.
            let before = look.ticks.filter(|_| look.at.elapsed() < 10 * WINDOW);
            look.spare = before.zip(now).and_then(|(before, now)| share(before, now));
            (look.at, look.ticks) = (Instant::now(), now);
        }
        look.spare
    }
}

fn read() -> Option<Ticks> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); what follows is in the first two already.
fn parse(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let counts: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = counts.get(3)? + counts.get(4)?;
    Some(Ticks { idle, all: counts.iter().sum() })
}

fn share(before: Ticks, now: Ticks) -> Option<f64> {
    let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
    Some((now.idle.saturating_sub(before.idle) as f64 / all as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says() {
        let before = parse("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 2 3\n").unwrap();
        let now = parse("cpu  40 10 40 80 20 5 5 0 30 0\n").unwrap();
        assert_eq!((before.all, before.idle), (100, 80));
        assert_eq!(share(before, now), Some(0.2));
        assert_eq!(share(now, now), None, "no time has gone by");
        assert!(parse("cpu  1 2 3\n").is_none() && parse("intr 1\n").is_none());
        assert!(read().is_some(), "this machine says it");
    }

    #[test]
    fn says_nothing_at_first() {
        assert_eq!(Processors::default().spare(), None);
    }
}
