//! How many machines so many users need: arithmetic over what operations were measured to cost, each line of it shown.
//!
//! ```text
//!  users × habits ─▶ operations a second, mean × peak ─▶ × cost of each ─▶ cores, octets, calls ─▶ ÷ what a node may be used ─▶ nodes
//! ```
//! The built-in costs are those of docs/performance.md. `--costs` takes those of the reader's own machines, from reports of runs there.

use std::fmt;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::day;
use crate::population::{Class, Mailer};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wanted {
    /// Accounts.
    pub users: u64,
    /// Part of them that is corporate, and personal; the others are free.
    pub corporate: f64,
    /// See `corporate`.
    pub personal: f64,
    /// Processors of a node.
    pub cores_per_node: f64,
    /// Octets of memory of a node.
    pub memory_per_node: f64,
    /// Part of a node that may be in use at the busiest hour.
    pub utilization: f64,
    /// Nodes of each role that may be missing at that time.
    pub spare: u64,
}

/// What operations cost. CPU seconds are of one processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Where they were measured.
    pub machine: String,
    /// CPU seconds of a gateway for a message, with SPF, DKIM, DMARC and 20 rules.
    pub gateway_message: f64,
    /// CPU seconds of a worker for a message into a mailbox.
    pub worker_message: f64,
    /// CPU seconds of the broker for a message published, confirmed, delivered and acknowledged.
    pub broker_message: f64,
    /// CPU seconds of an access node for a visit over IMAP or POP3.
    pub mail_visit: f64,
    /// The same for a visit of the webmail.
    pub web_visit: f64,
    /// CPU seconds of a login whose password has to be hashed.
    pub login: f64,
    /// Part of the logins whose password a node does not remember.
    pub logins_hashed: f64,
    /// Octets of memory of an idle connection, TLS included.
    pub idle_connection: f64,
    /// Octets of memory of a node of any role without load.
    pub node: f64,
    /// Calls to the file server for a message into a mailbox.
    pub calls_message: f64,
    /// Calls to the file server for a visit that finds something new.
    pub calls_visit: f64,
    /// Octets on disk beside the message: index and summary.
    pub index_message: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            machine: "2 cores of an AMD EPYC (virtual), ext4".to_owned(),
            // 4,065 a second of one processor with all checks, client included (docs/performance.md, the checks of a gateway).
            gateway_message: 0.000_25,
            // 0.27 s of a node for 1,000 messages, less 58 us of a gateway without checks.
            worker_message: 0.000_21,
            // 16,305 a second on two processors, client included (the queue on RabbitMQ).
            broker_message: 0.000_12,
            // 1,430 to 1,560 visits a second on two processors, client included.
            mail_visit: 0.001_3,
            // 484 visits a second on two processors, client included.
            web_visit: 0.004,
            // Fifty first logins took a second of two processors.
            login: 0.04,
            // Not measured: who comes by several times an hour is remembered.
            logins_hashed: 0.1,
            // 1,000 sessions of as many accounts, their mailboxes in memory.
            idle_connection: 53_000.0,
            node: 60e6,
            // The kernel's count on NFS 4.2, of messages that come one at a time (`soak visible`).
            calls_message: 31.0,
            // The same, of a visit that finds two new messages in a mailbox of which the node has nothing in memory, reads and marks them; one
            // without news in a mailbox in memory makes 7.
            calls_visit: 85.0,
            index_message: 700.0,
        }
    }
}

/// One line of the arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
    /// How it came about.
    pub because: String,
}

/// What is needed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sizing {
    /// For whom.
    pub wanted: Wanted,
    /// With these costs.
    pub costs: Costs,
    /// The arithmetic.
    pub lines: Vec<Line>,
    /// Nodes of each role, spare ones included.
    pub gateways: u64,
    /// See `gateways`.
    pub workers: u64,
    /// See `gateways`.
    pub access_nodes: u64,
    /// Nodes of the broker: three or a multiple that keeps a majority.
    pub brokers: u64,
}

impl Wanted {
    fn users_of(&self, class: Class) -> f64 {
        let part = match class {
            Class::Corporate => self.corporate,
            Class::Personal => self.personal,
            Class::Free => 1.0 - self.corporate - self.personal,
        };
        part * count(self.users)
    }

    /// A figure of all users.
    fn sum(&self, of: impl Fn(Class) -> f64) -> f64 {
        Class::ALL.iter().map(|class| self.users_of(*class) * of(*class)).sum()
    }

    fn check(&self) -> anyhow::Result<()> {
        let part = |value: f64| (0.0..=1.0).contains(&value);
        if self.users == 0
            || !part(self.corporate)
            || !part(self.personal)
            || self.corporate + self.personal > 1.0
        {
            bail!(
                "the parts of corporate and personal users are from 0 to 1 and at most 1 together, of at least one user"
            );
        }
        if !(self.utilization > 0.0 && self.utilization <= 1.0)
            || self.cores_per_node <= 0.0
            || self.memory_per_node <= 0.0
        {
            bail!("a node has processors and memory, and of them a part from 0 to 1 may be in use");
        }
        Ok(())
    }
}

/// Operations at the busiest hour, a second.
struct Busy {
    received: f64,
    sent: f64,
    mail_visits: f64,
    web_visits: f64,
    connections: f64,
    /// Of a message on average.
    octets: f64,
}

/// Collects the lines.
#[derive(Default)]
struct Sheet(Vec<Line>);

impl Sheet {
    fn put(&mut self, what: &str, (value, unit): (f64, &'static str), because: String) -> f64 {
        self.0.push(Line { what: what.to_owned(), value, unit, because });
        value
    }

    /// So many a day, at the busiest hour.
    fn a_day(&mut self, what: &str, unit: &'static str, count: f64) -> f64 {
        let peak = day::peak();
        self.put(what, (count / DAY * peak, unit), format!("{count:.0} a day ÷ 86400 × peak {peak:.2}"))
    }

    /// Processors for a rate of something that costs so much.
    fn cores(&mut self, what: &str, rate: f64, cost: f64) -> f64 {
        self.put(what, (rate * cost, "cores"), format!("{rate:.0}/s × {cost} s"))
    }

    fn demand(&mut self, wanted: &Wanted) -> Busy {
        let received_a_day = wanted.sum(|class| class.habits().received_a_day);
        let received = self.a_day("received at the peak", "messages/s", received_a_day);
        let sent =
            self.a_day("sent at the peak", "messages/s", wanted.sum(|class| class.habits().sent_a_day));
        let visits = |web: bool| {
            wanted.sum(|class| {
                let mailers = class.habits().mailers.iter();
                mailers
                    .filter(|(mailer, ..)| (*mailer == Mailer::Web) == web)
                    .map(|(_, part, visits)| part * visits)
                    .sum()
            })
        };
        let mail_visits = self.a_day("visits over IMAP and POP3 at the peak", "visits/s", visits(false));
        let web_visits = self.a_day("visits of the webmail at the peak", "visits/s", visits(true));
        let connections = wanted.sum(|class| class.habits().connections);
        self.put(
            "connections at the peak",
            (connections, "connections"),
            "users × connections of their class".to_owned(),
        );
        let octets = wanted.sum(|class| class.habits().received_a_day * mean_size(class)) / received_a_day;
        self.put(
            "a message on average",
            (octets, "octets"),
            "of the classes' sizes, weighed by what they receive".to_owned(),
        );
        Busy { received, sent, mail_visits, web_visits, connections, octets }
    }

    fn disk(&mut self, wanted: &Wanted, costs: &Costs, busy: &Busy) {
        let kept = wanted.sum(|class| mean_of(class.habits().messages));
        let (octets, index, received) = (busy.octets, costs.index_message, busy.received);
        let because = format!("{kept:.0} messages × ({octets:.0} + index {index:.0})");
        let stored = self.put("mail on disk", (kept * (octets + index), "octets"), because);
        self.put("mail on disk, of a user", (stored / count(wanted.users), "octets"), "÷ users".to_owned());
        let visits = busy.mail_visits + busy.web_visits;
        let (message, visit) = (costs.calls_message, costs.calls_visit);
        let because = format!("{received:.0}/s × {message} + {visits:.0}/s × {visit}");
        self.put("file server", (received * message + visits * visit, "calls/s"), because);
        let because = format!("{received:.0}/s × ({octets:.0} + {index:.0})");
        self.put("file server: written", (received * (octets + index), "octets/s"), because);
    }
}

impl Sizing {
    /// Works it out.
    pub fn of(wanted: Wanted, costs: Costs) -> anyhow::Result<Self> {
        wanted.check()?;
        let mut sheet = Sheet::default();
        let busy = sheet.demand(&wanted);
        sheet.disk(&wanted, &costs, &busy);
        let queued = busy.received + busy.sent;
        let gateway = sheet.cores("gateways", queued, costs.gateway_message);
        let worker = sheet.cores("workers", busy.received, costs.worker_message);
        let broker = sheet.cores("broker", queued, costs.broker_message);
        sheet.put(
            "broker: published, and acknowledged",
            (queued, "messages/s"),
            "received + sent".to_owned(),
        );
        let because = format!("{queued:.0}/s × {:.0}", busy.octets);
        sheet.put("broker: octets in, and out again", (queued * busy.octets, "octets/s"), because);
        let (mail, web) = (busy.mail_visits, busy.web_visits);
        let because = format!("({mail:.0} + {web:.0})/s × {}", costs.logins_hashed);
        let logins = sheet.put("logins that hash", ((mail + web) * costs.logins_hashed, "logins/s"), because);
        let because = format!(
            "{mail:.0}/s × {} s + {web:.0}/s × {} s + {logins:.1}/s × {} s",
            costs.mail_visit, costs.web_visit, costs.login
        );
        let access = mail * costs.mail_visit + web * costs.web_visit + logins * costs.login;
        let access = sheet.put("access nodes", (access, "cores"), because);
        let because = format!("{:.0} connections × {:.0}", busy.connections, costs.idle_connection);
        let memory = sheet.put(
            "access nodes",
            (busy.connections * costs.idle_connection, "octets of memory"),
            because,
        );

        let (usable, room) = (
            wanted.cores_per_node * wanted.utilization,
            wanted.memory_per_node * wanted.utilization - costs.node,
        );
        if room <= 0.0 {
            bail!("a node needs {:.0} octets of memory before it does anything", costs.node);
        }
        let nodes =
            |cores: f64, memory: f64| whole((cores / usable).max(memory / room)).max(1) + wanted.spare;
        let (gateways, workers, access_nodes) =
            (nodes(gateway, 0.0), nodes(worker, 0.0), nodes(access, memory));
        // Every message is on three of them; an odd number keeps a majority.
        let brokers = whole(broker * 3.0 / usable).max(3) | 1;
        Ok(Self { wanted, costs, lines: sheet.0, gateways, workers, access_nodes, brokers })
    }
}

/// The mean of a log-normal distribution of this median and sigma.
fn mean_of((median, sigma): (f64, f64)) -> f64 {
    median * (sigma * sigma / 2.0).exp()
}

/// Octets of a message of a class: a part has an attachment and is ten times as large. Nothing is larger than what a server takes.
fn mean_size(class: Class) -> f64 {
    let habits = class.habits();
    let plain = mean_of(habits.octets);
    (1.0 - habits.attachments) * plain + habits.attachments * plain * 10.0
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
const fn count(users: u64) -> f64 {
    users as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of nodes")]
fn whole(nodes: f64) -> u64 {
    nodes.ceil() as u64
}

impl fmt::Display for Sizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = &self.wanted;
        writeln!(
            f,
            "{} users: {:.0} % corporate, {:.0} % personal, {:.0} % free; costs as measured on {}",
            wanted.users,
            wanted.corporate * 100.0,
            wanted.personal * 100.0,
            (1.0 - wanted.corporate - wanted.personal) * 100.0,
            self.costs.machine
        )?;
        for line in &self.lines {
            writeln!(f, "{:<40} {:>14} {:<17} = {}", line.what, shown(line.value), line.unit, line.because)?;
        }
        let (cores, utilization, spare) = (wanted.cores_per_node, wanted.utilization * 100.0, wanted.spare);
        writeln!(
            f,
            "nodes of {cores} cores and {} octets of memory, used to {utilization:.0} % at the peak, {spare} of each role to spare:",
            shown(wanted.memory_per_node)
        )?;
        writeln!(
            f,
            "  {} gateways, {} workers, {} access nodes, {} brokers",
            self.gateways, self.workers, self.access_nodes, self.brokers
        )
    }
}

fn shown(value: f64) -> String {
    match value {
        v if v >= 1e12 => format!("{:.2} T", v / 1e12),
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.1} k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(users: u64) -> Wanted {
        Wanted {
            users,
            corporate: 0.1,
            personal: 0.25,
            cores_per_node: 8.0,
            memory_per_node: 32e9,
            utilization: 0.6,
            spare: 1,
        }
    }

    fn line<'a>(sizing: &'a Sizing, what: &str, unit: &str) -> &'a Line {
        sizing.lines.iter().find(|line| line.what == what && line.unit == unit).unwrap()
    }

    #[test]
    fn the_arithmetic() {
        let sizing = Sizing::of(wanted(1_000_000), Costs::default()).unwrap();
        let received = (100_000.0 * 60.0 + 250_000.0 * 14.0 + 650_000.0 * 4.0) / DAY * day::peak();
        assert!((line(&sizing, "received at the peak", "messages/s").value - received).abs() < 1e-6);
        assert!(
            (line(&sizing, "workers", "cores").value - received * Costs::default().worker_message).abs()
                < 1e-9
        );
        // A mean of a sample of the population comes near to the mean of its distribution.
        let population = crate::population::Population::new(1, 20_000, "example").unwrap();
        let kept: u64 = population.iter().map(|account| account.unwrap().messages).sum();
        let expected = line(&sizing, "mail on disk", "octets").value
            / (line(&sizing, "a message on average", "octets").value + Costs::default().index_message)
            / 50.0;
        let ratio = count(kept) / expected;
        assert!((0.8..1.2).contains(&ratio), "{ratio}");
        assert!(sizing.gateways >= 2 && sizing.brokers % 2 == 1);
    }

    #[test]
    fn more_users_need_more() {
        let small = Sizing::of(wanted(1000), Costs::default()).unwrap();
        assert_eq!(
            (small.gateways, small.workers, small.access_nodes, small.brokers),
            (2, 2, 2, 3),
            "one and a spare of each"
        );
        let large = Sizing::of(wanted(100_000_000), Costs::default()).unwrap();
        assert!(large.access_nodes > 10 * small.access_nodes && large.workers > small.workers);
        for (change, what) in [
            (Wanted { users: 0, ..wanted(1) }, "no users"),
            (Wanted { corporate: 0.9, personal: 0.2, ..wanted(1) }, "more than all"),
            (Wanted { utilization: 0.0, ..wanted(1) }, "nothing may be used"),
            (Wanted { memory_per_node: 1e6, ..wanted(1) }, "no memory"),
        ] {
            assert!(Sizing::of(change, Costs::default()).is_err(), "{what}");
        }
    }
}
