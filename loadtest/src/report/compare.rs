//! Two runs beside each other.

use std::fmt;

use serde::Serialize;

use super::{Report, shown};

/// What changed between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Settings that differ: name, before, after.
    pub settings: Vec<(String, String, String)>,
    /// By operation that both did.
    pub rows: Vec<Row>,
    /// Operations of only one of them.
    pub only_in_one: Vec<String>,
}

/// One operation in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub operation: String,
    /// Done a second, before and after.
    pub rate: (f64, f64),
    /// Microseconds, before and after.
    pub p50: (u64, u64),
    /// Microseconds, before and after.
    pub p99: (u64, u64),
    /// Failed of a hundred, before and after.
    pub failed: (f64, f64),
    /// Whether the operations came at a rate of the load's own, so that a lower rate is no slower server.
    pub open_loop: bool,
}

/// Compares `after` with `before`.
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let setting =
        |report: &Report, name: &String| report.settings.get(name).cloned().unwrap_or_else(|| "-".to_owned());
    let mut names: Vec<&String> = before.settings.keys().chain(after.settings.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differ = names.into_iter().map(|name| (name.clone(), setting(before, name), setting(after, name)));
    let open_loop = [before, after].iter().any(|report| report.settings.contains_key("rate"));
    let mut rows = Vec::new();
    let mut only_in_one = Vec::new();
    for one in &before.operations {
        let Some(other) = after.operation(&one.name) else {
            only_in_one.push(one.name.clone());
            continue;
        };
        rows.push(Row {
            operation: one.name.clone(),
            rate: (one.rate, other.rate),
            p50: (one.latency.p50, other.latency.p50),
            p99: (one.latency.p99, other.latency.p99),
            failed: (part(one.failed, one.done), part(other.failed, other.done)),
            open_loop,
        });
    }
    only_in_one.extend(
        after
            .operations
            .iter()
            .filter(|one| before.operation(&one.name).is_none())
            .map(|one| one.name.clone()),
    );
    Comparison { settings: differ.filter(|(_, one, other)| one != other).collect(), rows, only_in_one }
}

#[allow(clippy::cast_precision_loss, reason = "a part of a hundred")]
fn part(failed: u64, done: u64) -> f64 {
    if failed + done == 0 { 0.0 } else { 100.0 * failed as f64 / (failed + done) as f64 }
}

impl Comparison {
    /// What became worse by more than so many percent: a lower rate where clients were as fast as the server, a higher p99, failures that were not there.
    pub fn worse_by(&self, percent: f64) -> Vec<String> {
        let mut worse = Vec::new();
        for row in &self.rows {
            let rate = change(row.rate.0, row.rate.1);
            if !row.open_loop && rate < -percent {
                worse.push(format!(
                    "{}: {:.1} a second, {:.1} before ({rate:+.0} %)",
                    row.operation, row.rate.1, row.rate.0
                ));
            }
            let latency = change(micros(row.p99.0), micros(row.p99.1));
            if latency > percent {
                worse.push(format!(
                    "{}: p99 {}, {} before ({latency:+.0} %)",
                    row.operation,
                    shown(row.p99.1),
                    shown(row.p99.0)
                ));
            }
            if row.failed.1 > row.failed.0 {
                worse.push(format!(
                    "{}: {:.2} % failed, {:.2} % before",
                    row.operation, row.failed.1, row.failed.0
                ));
            }
        }
        worse
    }
}

#[allow(clippy::cast_precision_loss, reason = "for a percentage")]
const fn micros(microseconds: u64) -> f64 {
    microseconds as f64
}

/// In percent of what was before.
fn change(before: f64, after: f64) -> f64 {
    if before > 0.0 { 100.0 * (after - before) / before } else { 0.0 }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, before, after) in &self.settings {
            writeln!(f, "{name}: {before}, then {after}")?;
        }
        let width = self.rows.iter().map(|row| row.operation.len()).max().unwrap_or(0).max(9);
        writeln!(
            f,
            "{:<width$} {:>28} {:>28} {:>28} {:>17}",
            "operation", "a second", "p50", "p99", "% failed"
        )?;
        for row in &self.rows {
            let rate =
                format!("{:.1} {:.1} ({:+.0} %)", row.rate.0, row.rate.1, change(row.rate.0, row.rate.1));
            let pair = |(one, other): (u64, u64)| {
                format!("{} {} ({:+.0} %)", shown(one), shown(other), change(micros(one), micros(other)))
            };
            let failed = format!("{:.2} {:.2}", row.failed.0, row.failed.1);
            writeln!(
                f,
                "{:<width$} {rate:>28} {:>28} {:>28} {failed:>17}",
                row.operation,
                pair(row.p50),
                pair(row.p99)
            )?;
        }
        for name in &self.only_in_one {
            writeln!(f, "{name}: in one of the runs only")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_became_worse() {
        let before = report(500.0, 25_000, 0);
        assert_eq!(compare(&before, &before).worse_by(0.0), Vec::<String>::new());
        let mut after = report(400.0, 30_000, 3);
        after.settings.insert("sessions".to_owned(), "20".to_owned());
        let comparison = compare(&before, &after);
        assert_eq!(comparison.settings, [("sessions".to_owned(), "50".to_owned(), "20".to_owned())]);
        assert_eq!(comparison.worse_by(10.0).len(), 3);
        let mild = comparison.worse_by(25.0);
        assert_eq!(mild.len(), 1, "{mild:?}");
        assert!(mild[0].contains("0.30 % failed, 0.00 % before"), "{mild:?}");
        let text = comparison.to_string();
        assert!(text.contains("500.0 400.0 (-20 %)") && text.contains("25.00 ms 30.00 ms (+20 %)"), "{text}");
    }

    #[test]
    fn a_lower_rate_of_an_open_loop_is_no_slower_server() {
        let (mut before, mut after) = (report(500.0, 25_000, 0), report(250.0, 25_000, 0));
        before.settings.insert("rate".to_owned(), "500".to_owned());
        after.settings.insert("rate".to_owned(), "250".to_owned());
        assert_eq!(compare(&before, &after).worse_by(1.0), Vec::<String>::new());
        after.operations[0].name = "pop3.visit".to_owned();
        assert_eq!(compare(&before, &after).only_in_one, ["smtp.message", "pop3.visit"]);
    }
}
