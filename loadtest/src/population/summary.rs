//! What a population is in sum.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Class, Mailer, Population};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Counts over all accounts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Accounts.
    pub accounts: u64,
    /// Domains.
    pub domains: usize,
    /// By class.
    pub classes: BTreeMap<Class, ClassSummary>,
    /// Messages that arrive a second, averaged over a day.
    pub received_a_second: f64,
    /// Messages that are sent a second, averaged over a day.
    pub sent_a_second: f64,
    /// Visits a second with each mailer, averaged over a day.
    pub visits_a_second: BTreeMap<Mailer, f64>,
    /// Connections at the busiest time.
    pub connections: f64,
}

/// Counts over the accounts of one class.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ClassSummary {
    /// Accounts.
    pub accounts: u64,
    /// Messages that they keep.
    pub messages: u64,
    /// Folders beside their INBOXes.
    pub folders: u64,
}

impl Summary {
    /// Counts. A million accounts take about a second.
    #[allow(clippy::cast_precision_loss, reason = "rates need no more than 52 bits")]
    pub fn of(population: &Population) -> anyhow::Result<Self> {
        let mut classes: BTreeMap<Class, ClassSummary> = BTreeMap::new();
        let mut visits: BTreeMap<Mailer, f64> = BTreeMap::new();
        for account in population.iter() {
            let account = account?;
            let class = classes.entry(account.class).or_default();
            class.accounts += 1;
            class.messages += account.messages;
            class.folders += account.folders;
            for (mailer, a_day) in account.mailers {
                *visits.entry(mailer).or_default() += a_day / DAY;
            }
        }
        let sum = |of: fn(Class) -> f64| {
            classes.iter().map(|(class, found)| of(*class) * found.accounts as f64).sum::<f64>()
        };
        Ok(Self {
            accounts: population.len(),
            domains: population.domains()?.len(),
            received_a_second: sum(|class| class.habits().received_a_day) / DAY,
            sent_a_second: sum(|class| class.habits().sent_a_day) / DAY,
            connections: sum(|class| class.habits().connections),
            visits_a_second: visits,
            classes,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} accounts in {} domains", self.accounts, self.domains)?;
        writeln!(f, "{:<10} {:>10} {:>13} {:>11}", "class", "accounts", "messages", "folders")?;
        for (class, found) in &self.classes {
            writeln!(
                f,
                "{:<10} {:>10} {:>13} {:>11}",
                class.as_str(),
                found.accounts,
                found.messages,
                found.folders
            )?;
        }
        writeln!(
            f,
            "received {:.1}/s, sent {:.1}/s on average over a day; {:.0} connections at its busiest",
            self.received_a_second, self.sent_a_second, self.connections
        )?;
        for (mailer, rate) in &self.visits_a_second {
            writeln!(f, "visits with {:<12} {rate:>10.2}/s", mailer.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let population = Population::new(1, 3000, "example").unwrap();
        let summary = Summary::of(&population).unwrap();
        assert_eq!(summary.classes.values().map(|class| class.accounts).sum::<u64>(), 3000);
        let received: f64 = summary
            .classes
            .iter()
            .map(|(class, found)| {
                class.habits().received_a_day * f64::from(u32::try_from(found.accounts).unwrap())
            })
            .sum();
        assert!((summary.received_a_second * DAY - received).abs() < 1e-6);
        let text = summary.to_string();
        assert!(text.contains("3000 accounts in 192 domains") && text.contains("corporate"), "{text}");
    }
}
