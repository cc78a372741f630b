//! What goes wrong, chosen by a seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::site::Site;

/// The longest that something stands still or is away.
const AWAY_MAX: u64 = 15_000;
/// One in so many stand-stills lasts longer than any lease or heartbeat.
const LONG_EVERY: u64 = 6;
const LONG: Duration = Duration::from_secs(30);

/// A fault that ends later.
enum Pending {
    /// A process goes on.
    Continue(usize),
    /// A process is started again.
    Start(usize),
    /// A broker's node is started again.
    StartBroker(usize),
    /// A broker's node goes on.
    ContinueBroker(usize),
    /// The alarm ends.
    NoAlarm,
}

/// Faults of one round.
pub(super) struct Faults {
    state: u64,
    pending: Vec<(Instant, Pending)>,
    told: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            pending: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.told.values().sum()
    }

    pub(super) fn told(&self) -> String {
        let each: Vec<String> = self.told.iter().map(|(name, count)| format!("{count} {name}")).collect();
        each.join(", ")
    }

    pub(super) fn gap(&mut self, max: u64) -> Duration {
        Duration::from_millis(200 + self.below(max))
    }

    /// Ends what is to end by now, and begins something new.
    pub(super) fn next(&mut self, site: &mut Site) -> anyhow::Result<()> {
        let now = Instant::now();
        let due: Vec<Pending> =
            self.pending.extract_if(.., |(at, _)| *at <= now).map(|(_, pending)| pending).collect();
        for pending in due {
            end(site, &pending)?;
        }
        let nodes = site.nodes.len() as u64;
        let brokers = site.cluster.as_ref().map_or(0, |cluster| cluster.addresses().len() as u64);
        let index = usize::try_from(self.below(nodes))?;
        let busy = self.is_busy(index);
        match self.below(if brokers > 0 { 12 } else { 8 }) {
            0..=3 if !busy => {
                let name = match site.nodes.get(index).context("a node")?.role {
                    "gateway" => "kills of a gateway",
                    "worker" => "kills of a worker",
                    _ => "kills of an access node",
                };
                self.tell(name);
                site.kill(index)?;
                self.later(Pending::Start(index), 2000);
            }
            4..=5 if !busy => {
                self.tell("stand-stills of a process");
                site.signal(index, "STOP")?;
                self.later(Pending::Continue(index), AWAY_MAX);
            }
            6..=7 if !busy => {
                self.tell("drains");
                site.drain(index)?;
                site.begin(index)?;
            }
            8..=11 => self.broker(site, brokers)?,
            _ => {}
        }
        Ok(())
    }

    fn broker(&mut self, site: &mut Site, brokers: u64) -> anyhow::Result<()> {
        let busy = self.pending.iter().any(|(_, pending)| {
            matches!(pending, Pending::StartBroker(_) | Pending::ContinueBroker(_) | Pending::NoAlarm)
        });
        if busy {
            return Ok(());
        }
        let index = usize::try_from(self.below(brokers))?;
        let all = self.below(4) == 0;
        let kind = self.below(4);
        let Some(cluster) = &mut site.cluster else { return Ok(()) };
        match kind {
            0 | 1 if all && brokers > 1 => {
                self.tell("kills of the whole cluster");
                for index in 0..usize::try_from(brokers)? {
                    cluster.kill(index);
                    self.later(Pending::StartBroker(index), 3000);
                }
            }
            0 | 1 => {
                self.tell("kills of a broker");
                cluster.kill(index);
                self.later(Pending::StartBroker(index), 5000);
            }
            2 => {
                self.tell("stand-stills of a broker");
                cluster.signal(index, "STOP");
                self.later(Pending::ContinueBroker(index), AWAY_MAX);
            }
            _ => {
                // A node that is not up yet can't be told.
                if cluster.try_control(0, &["set_vm_memory_high_watermark", "absolute", "1MB"]) {
                    self.tell("alarms of the broker");
                    self.later(Pending::NoAlarm, 6000);
                }
            }
        }
        Ok(())
    }

    /// Ends everything that is under way.
    pub(super) fn heal(&mut self, site: &mut Site) -> anyhow::Result<()> {
        for (_, pending) in std::mem::take(&mut self.pending) {
            end(site, &pending)?;
        }
        if let Some(cluster) = &site.cluster {
            for index in 0..cluster.addresses().len() {
                cluster.wait_for(index);
            }
        }
        Ok(())
    }

    fn is_busy(&self, index: usize) -> bool {
        self.pending.iter().any(|(_, pending)| {
            matches!(pending, Pending::Continue(other) | Pending::Start(other) if *other == index)
        })
    }

    fn later(&mut self, pending: Pending, most: u64) {
        let stands = matches!(pending, Pending::Continue(_) | Pending::ContinueBroker(_));
        let wait = if stands && self.below(LONG_EVERY) == 0 {
            LONG
        } else {
            Duration::from_millis(self.below(most))
        };
        self.pending.push((Instant::now() + wait, pending));
    }

    fn tell(&mut self, name: &'static str) {
        *self.told.entry(name).or_default() += 1;
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*: the same seed makes the same choices.
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
}

fn end(site: &mut Site, pending: &Pending) -> anyhow::Result<()> {
    match pending {
        Pending::Continue(index) => site.signal(*index, "CONT")?,
        Pending::Start(index) => site.begin(*index)?,
        Pending::StartBroker(index) => {
            if let Some(cluster) = &mut site.cluster {
                cluster.begin(*index);
            }
        }
        Pending::ContinueBroker(index) => {
            if let Some(cluster) = &site.cluster {
                cluster.signal(*index, "CONT");
            }
        }
        Pending::NoAlarm => {
            if let Some(cluster) = &site.cluster {
                cluster.wait_for(0);
                anyhow::ensure!(
                    cluster.try_control(0, &["set_vm_memory_high_watermark", "0.9"]),
                    "the alarm does not end"
                );
            }
        }
    }
    Ok(())
}
