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
/// How much longer a sync takes on a slow disk, in milliseconds.
const SLOW_MAX: u64 = 400;
/// Of the power cuts where each role has a machine, one in so many is that of the store.
const STORE_EVERY: u64 = 3;
/// Seconds that a clock is off.
const CLOCK: i64 = 3600;

/// A fault that ends later. Numbers are those of nodes, machines or brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// A process goes on.
    Continue(usize),
    /// A process is started again.
    Start(usize),
    /// A broker's node is started again.
    StartBroker(usize),
    /// A broker's node goes on.
    ContinueBroker(usize),
    /// The broker's alarm ends.
    NoAlarm,
    /// Redis is started again.
    StartRedis,
    /// Redis goes on.
    ContinueRedis,
    /// All wires are whole.
    Heal,
    /// There is room again.
    Free(Disks),
    /// Syncs are as fast as they are.
    Fast(usize),
    /// The clock is right again.
    Clock(usize),
    /// The directory's file is back.
    Directory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disks {
    Shared,
    Machine(usize),
    Broker(usize),
}

/// Faults of one round.
pub(super) struct Faults {
    state: u64,
    /// Nothing but kills and power cuts.
    only_kills: bool,
    pending: Vec<(Instant, Pending)>,
    told: BTreeMap<&'static str, u64>,
    /// Processes that ended by themselves and were started again.
    supervised: u64,
}

impl Faults {
    pub(super) const fn new(seed: u64, only_kills: bool) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            only_kills,
            pending: Vec::new(),
            told: BTreeMap::new(),
            supervised: 0,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.told.values().sum()
    }

    /// Those that end a process at once.
    pub(super) fn kills(&self) -> u64 {
        let kills = self.told.iter().filter(|(name, _)| name.contains("kill") || name.contains("power"));
        kills.map(|(_, count)| count).sum()
    }

    pub(super) fn told(&self) -> String {
        let each = self.told.iter().map(|(name, count)| format!("{count} {name}"));
        let own = (self.supervised > 0).then(|| format!("{} ends of their own", self.supervised));
        each.chain(own).collect::<Vec<_>>().join(", ")
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
            end(site, pending)?;
        }
        self.supervised += site.supervise()?;
        let brokers = site.brokers.len() as u64;
        if self.only_kills {
            return match self.below(10) {
                0..=6 => self.kill_process(site),
                7 => self.power(site),
                8 => self.kill_redis(site),
                _ => self.kill_broker(site, brokers),
            };
        }
        match self.below(if brokers > 0 { 24 } else { 16 }) {
            0..=6 => self.process(site),
            7..=9 => self.disk(site),
            10 | 11 => self.power(site),
            12 | 13 => self.clock(site),
            14 => self.directory(site),
            15 => self.wires(site),
            16 | 17 => self.wires(site),
            18 | 19 => self.redis(site),
            _ => self.broker(site, brokers),
        }
    }

    fn process(&mut self, site: &mut Site) -> anyhow::Result<()> {
        let index = usize::try_from(self.below(site.nodes.len() as u64))?;
        if self.is_busy(index) {
            return Ok(());
        }
        match self.below(7) {
            0..=3 => self.kill_process(site)?,
            4 | 5 => {
                self.tell("stand-stills of a process");
                site.signal(index, "STOP")?;
                self.later(Pending::Continue(index), AWAY_MAX);
            }
            _ => {
                self.tell("drains");
                site.drain(index)?;
                site.begin(index)?;
            }
        }
        Ok(())
    }

    fn kill_process(&mut self, site: &mut Site) -> anyhow::Result<()> {
        let index = usize::try_from(self.below(site.nodes.len() as u64))?;
        if self.is_busy(index) {
            return Ok(());
        }
        self.tell(match site.nodes.get(index).context("a node")?.role {
            "gateway" => "kills of a gateway",
            "worker" => "kills of a worker",
            _ => "kills of an access node",
        });
        site.kill(index)?;
        self.later(Pending::Start(index), 2000);
        Ok(())
    }

    /// A full disk, a slow one, or one that fails.
    fn disk(&mut self, site: &Site) -> anyhow::Result<()> {
        let machine = usize::try_from(self.below(site.machines.len() as u64))?;
        match self.below(4) {
            0 | 1 => self.full(site),
            2 => {
                if !self.waits_for(Pending::Fast(machine)) {
                    self.tell("slow disks");
                    let slow = 20 + self.below(SLOW_MAX);
                    site.machines.get(machine).context("a machine")?.shim.delay(u32::try_from(slow)?)?;
                    self.later(Pending::Fast(machine), 8000);
                }
                Ok(())
            }
            _ => {
                self.tell("failing disks");
                let syncs = u32::try_from(1 + self.below(3))?;
                site.machines.get(machine).context("a machine")?.shim.fail(syncs)
            }
        }
    }

    fn full(&mut self, site: &Site) -> anyhow::Result<()> {
        let which = match self.below(3) {
            0 if !site.brokers.is_empty() => {
                Disks::Broker(usize::try_from(self.below(site.brokers.len() as u64))?)
            }
            1 if !site.is_one_machine() => {
                // Gateways come first of each three.
                Disks::Machine(3 * usize::try_from(self.below(site.machines.len() as u64 / 3))?)
            }
            _ => Disks::Shared,
        };
        let busy = self.pending.iter().any(|(_, pending)| matches!(pending, Pending::Free(_)));
        let Some(disk) = disk(site, which).filter(|_| !busy) else { return Ok(()) };
        self.tell("full disks");
        disk.fill()?;
        self.later(Pending::Free(which), 6000);
        Ok(())
    }

    /// A machine loses its power, and what was not synced.
    fn power(&mut self, site: &mut Site) -> anyhow::Result<()> {
        if site.storage.disk.is_none() {
            return Ok(());
        }
        if site.is_one_machine() {
            return self.power_of_the_store(site, "power cuts");
        }
        if self.below(STORE_EVERY) == 0 {
            return self.power_of_the_store(site, "power cuts of the store");
        }
        let gateway = 3 * usize::try_from(self.below(site.machines.len() as u64 / 3))?;
        if self.is_busy(gateway) || self.waits_for(Pending::Free(Disks::Machine(gateway))) {
            return Ok(());
        }
        self.tell("power cuts of a gateway");
        site.kill(gateway)?;
        site.disk_of(gateway).map_or(Ok(()), super::disk::Disk::cut_power)?;
        self.later(Pending::Start(gateway), 2000);
        Ok(())
    }

    /// Nobody who has the store's disk can go on.
    fn power_of_the_store(&mut self, site: &mut Site, name: &'static str) -> anyhow::Result<()> {
        let away = |pending: &Pending| {
            matches!(pending, Pending::Free(Disks::Shared | Disks::Machine(_)) | Pending::Directory)
        };
        if self.pending.iter().any(|(_, pending)| away(pending)) {
            return Ok(());
        }
        self.tell(name);
        self.pending.retain(|(_, pending)| !matches!(pending, Pending::Start(_) | Pending::Continue(_)));
        (0..site.nodes.len()).try_for_each(|index| site.kill(index))?;
        site.storage.disk.as_ref().map_or(Ok(()), super::disk::Disk::cut_power)?;
        (0..site.nodes.len()).for_each(|index| self.later(Pending::Start(index), 1000));
        Ok(())
    }

    fn clock(&mut self, site: &Site) -> anyhow::Result<()> {
        let machine = usize::try_from(self.below(site.machines.len() as u64))?;
        if self.waits_for(Pending::Clock(machine)) {
            return Ok(());
        }
        self.tell("clock jumps");
        let by = if self.below(2) == 0 { CLOCK } else { -CLOCK };
        site.machines.get(machine).context("a machine")?.shim.clock(by)?;
        self.later(Pending::Clock(machine), AWAY_MAX);
        Ok(())
    }

    /// The directory's file is away, as when its disk is not mounted.
    fn directory(&mut self, site: &Site) -> anyhow::Result<()> {
        if self.waits_for(Pending::Directory) {
            return Ok(());
        }
        self.tell("times without directory");
        let path = site.directory();
        std::fs::rename(&path, path.with_extension("away"))?;
        self.later(Pending::Directory, 8000);
        Ok(())
    }

    /// One wire, one way or both, or all of one broker's.
    fn wires(&mut self, site: &Site) -> anyhow::Result<()> {
        if site.client.space.is_none() || self.waits_for(Pending::Heal) {
            return Ok(());
        }
        let both = self.below(4) > 0;
        if site.brokers.len() > 1 && self.below(3) == 0 {
            let alone = usize::try_from(self.below(site.brokers.len() as u64))?;
            let alone = site.brokers.get(alone).context("a broker")?;
            self.tell("brokers cut off from the others");
            for other in site.brokers.iter().filter(|other| other.name != alone.name) {
                alone.cut(&other.address, both)?;
            }
        } else {
            let machines: Vec<_> = site
                .machines
                .iter()
                .chain(&site.brokers)
                .chain(site.redis.as_ref().map(|redis| &redis.machine))
                .chain([&site.client])
                .collect();
            let one = usize::try_from(self.below(machines.len() as u64))?;
            let other = usize::try_from(self.below(machines.len() as u64))?;
            if let (Some(one), Some(other)) = (machines.get(one), machines.get(other))
                && one.name != other.name
            {
                self.tell("cut wires");
                one.cut(&other.address, both)?;
            }
        }
        self.later(Pending::Heal, AWAY_MAX);
        Ok(())
    }

    fn redis(&mut self, site: &mut Site) -> anyhow::Result<()> {
        if self.waits_for(Pending::StartRedis) || self.waits_for(Pending::ContinueRedis) {
            return Ok(());
        }
        if self.below(2) == 0 {
            return self.kill_redis(site);
        }
        let Some(redis) = &mut site.redis else { return Ok(()) };
        self.tell("stand-stills of Redis");
        redis.signal("STOP")?;
        self.later(Pending::ContinueRedis, AWAY_MAX);
        Ok(())
    }

    fn kill_redis(&mut self, site: &mut Site) -> anyhow::Result<()> {
        if self.waits_for(Pending::StartRedis) || self.waits_for(Pending::ContinueRedis) {
            return Ok(());
        }
        let Some(redis) = &mut site.redis else { return Ok(()) };
        self.tell("kills of Redis");
        redis.kill()?;
        self.later(Pending::StartRedis, 5000);
        Ok(())
    }

    /// One node, or all of them.
    fn kill_broker(&mut self, site: &mut Site, brokers: u64) -> anyhow::Result<()> {
        if brokers == 0 || self.pending.iter().any(|(_, pending)| matches!(pending, Pending::StartBroker(_)))
        {
            return Ok(());
        }
        let (index, all) = (usize::try_from(self.below(brokers))?, self.below(4) == 0);
        let Some(cluster) = &mut site.cluster else { return Ok(()) };
        if all && brokers > 1 {
            self.tell("kills of the whole cluster");
            for index in 0..usize::try_from(brokers)? {
                cluster.kill(index);
                self.later(Pending::StartBroker(index), 3000);
            }
        } else {
            self.tell("kills of a broker");
            cluster.kill(index);
            self.later(Pending::StartBroker(index), 5000);
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
        let kind = self.below(5);
        let full = self.waits_for(Pending::Free(Disks::Broker(index)));
        let Some(cluster) = &mut site.cluster else { return Ok(()) };
        match kind {
            0 | 1 => return self.kill_broker(site, brokers),
            2 => {
                self.tell("stand-stills of a broker");
                cluster.signal(index, "STOP");
                self.later(Pending::ContinueBroker(index), AWAY_MAX);
            }
            3 => {
                let disk = site.brokers.get(index).and_then(|machine| machine.disk.as_ref());
                if let Some(disk) = disk.filter(|_| !full) {
                    self.tell("power cuts of a broker");
                    cluster.kill(index);
                    disk.cut_power()?;
                    self.later(Pending::StartBroker(index), 5000);
                }
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
            end(site, pending)?;
        }
        // Who has not synced since would fail after the end.
        site.machines.iter().try_for_each(|machine| machine.shim.fail(0))?;
        if let Some(cluster) = &site.cluster {
            for index in 0..cluster.addresses().len() {
                cluster.wait_for(index);
            }
        }
        Ok(())
    }

    fn is_busy(&self, index: usize) -> bool {
        self.waits_for(Pending::Continue(index)) || self.waits_for(Pending::Start(index))
    }

    fn waits_for(&self, what: Pending) -> bool {
        self.pending.iter().any(|(_, pending)| *pending == what)
    }

    fn later(&mut self, pending: Pending, most: u64) {
        let stands = matches!(
            pending,
            Pending::Continue(_) | Pending::ContinueBroker(_) | Pending::ContinueRedis | Pending::Heal
        );
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

fn disk(site: &Site, which: Disks) -> Option<&super::disk::Disk> {
    match which {
        Disks::Shared => site.storage.disk.as_ref(),
        Disks::Machine(index) => site.disk_of(index),
        Disks::Broker(index) => site.brokers.get(index)?.disk.as_ref(),
    }
}

fn end(site: &mut Site, pending: Pending) -> anyhow::Result<()> {
    match pending {
        Pending::Continue(index) => site.signal(index, "CONT")?,
        Pending::Start(index) => site.begin(index)?,
        Pending::StartBroker(index) => {
            if let Some(cluster) = &mut site.cluster {
                cluster.begin(index);
            }
        }
        Pending::ContinueBroker(index) => {
            if let Some(cluster) = &site.cluster {
                cluster.signal(index, "CONT");
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
        Pending::StartRedis => site.redis.as_mut().map_or(Ok(()), super::redis::Redis::begin)?,
        Pending::ContinueRedis => site.redis.as_ref().map_or(Ok(()), |redis| redis.signal("CONT"))?,
        Pending::Heal => {
            for machine in site
                .machines
                .iter()
                .chain(&site.brokers)
                .chain(site.redis.as_ref().map(|redis| &redis.machine))
                .chain([&site.client])
            {
                machine.heal()?;
            }
        }
        Pending::Free(which) => {
            disk(site, which).map_or(Ok(()), super::disk::Disk::free)?;
            // What a full disk ends in a broker's node comes back with a restart only (its log of the quorum queues; RabbitMQ 3.10.8).
            if let (Disks::Broker(index), Some(cluster)) = (which, &mut site.cluster) {
                cluster.kill(index);
                cluster.begin(index);
            }
        }
        Pending::Fast(machine) => site.machines.get(machine).context("a machine")?.shim.delay(0)?,
        Pending::Clock(machine) => site.machines.get(machine).context("a machine")?.shim.clock(0)?,
        Pending::Directory => {
            let path = site.directory();
            std::fs::rename(path.with_extension("away"), path)?;
        }
    }
    Ok(())
}
