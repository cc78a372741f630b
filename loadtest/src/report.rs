//! What a run measured: one value that is written as JSON and as a page, compared and held against requirements.
//!
//! Latencies are in microseconds, times in seconds since the run began, rates in operations a second.

mod chart;
mod compare;
mod html;
mod metrics;
mod requirement;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::ledger::Verdict;

pub use compare::{Comparison, compare};
pub(crate) use metrics::Scraped;
pub use metrics::Series;
pub use requirement::{Judged, Requirement};

/// Version of the JSON: a report of another is not compared.
const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this form.
    pub format: u32,
    /// What was done, such as `smtp`.
    pub load: String,
    /// How, by setting.
    pub settings: BTreeMap<String, String>,
    /// When it began: RFC 3339, UTC.
    pub begun: String,
    /// From the first operation to the last.
    pub seconds: f64,
    /// By operation.
    pub operations: Vec<Operation>,
    /// What was done to the system meanwhile.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// What the servers said of themselves.
    #[serde(default)]
    pub metrics: Vec<Series>,
    /// Whether every message was found.
    #[serde(default)]
    pub ledger: Option<Verdict>,
    /// What was required, and whether it was so.
    #[serde(default)]
    pub requirements: Vec<Judged>,
}

/// Figures of one kind of operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Such as `smtp.message`.
    pub name: String,
    /// Answered as they should be.
    pub done: u64,
    /// Refused or broken off.
    pub failed: u64,
    /// Done a second.
    pub rate: f64,
    /// Octets that they moved.
    pub octets: u64,
    /// How long they took.
    pub latency: Sample,
    /// Why they failed.
    pub failures: BTreeMap<String, u64>,
    /// Interval by interval.
    pub points: Vec<Point>,
}

/// Quantiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Half were faster.
    pub p50: u64,
    /// 95 in 100 were faster.
    pub p95: u64,
    /// 99 in 100 were faster.
    pub p99: u64,
    /// 999 in 1,000 were faster.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// One interval of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it ended.
    pub at: f64,
    /// Done a second in it.
    pub rate: f64,
    /// Failed a second in it.
    pub failed: f64,
    /// How long those took that ended in it.
    pub latency: Sample,
}

/// Something that was done to the system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When it began.
    pub at: f64,
    /// In words.
    pub label: String,
    /// How the command ended; nothing while it runs.
    pub outcome: Option<String>,
}

impl Sample {
    /// Of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

impl Report {
    /// A report without anything measured yet.
    pub fn new(load: &str, settings: BTreeMap<String, String>, begun: String) -> Self {
        Self {
            format: FORMAT,
            load: load.to_owned(),
            settings,
            begun,
            seconds: 0.0,
            operations: Vec::new(),
            marks: Vec::new(),
            metrics: Vec::new(),
            ledger: None,
            requirements: Vec::new(),
        }
    }

    /// The figures of an operation.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.name == name)
    }

    /// Operations that failed, of all kinds.
    pub fn failed(&self) -> u64 {
        self.operations.iter().map(|operation| operation.failed).sum()
    }

    /// Holds it against requirements, and keeps what came out.
    pub fn require(&mut self, requirements: &[Requirement]) {
        self.requirements = requirements.iter().map(|requirement| requirement.judge(self)).collect();
    }

    /// Whether every requirement is met and no promise was broken.
    pub fn is_good(&self) -> bool {
        self.requirements.iter().all(|judged| judged.met)
            && self.ledger.as_ref().is_none_or(Verdict::is_clean)
    }

    /// Reads a file that [`Self::write`] wrote.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let report: Self = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is no report of a load test", path.display()))?;
        anyhow::ensure!(
            report.format == FORMAT,
            "`{}` is a report of form {}, and this program knows form {FORMAT}: make it anew",
            path.display(),
            report.format
        );
        Ok(report)
    }

    /// Writes the page to `path` and the JSON beside it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))
        };
        write(
            &path.with_extension("json"),
            serde_json::to_string_pretty(self).context("failed to write JSON")?,
        )?;
        if path.extension().is_some_and(|extension| extension == "json") {
            return Ok(());
        }
        write(path, html::page(self))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} for {:.1} s", self.load, self.seconds)?;
        let width = self.operations.iter().map(|operation| operation.name.len()).max().unwrap_or(0).max(9);
        let columns = ["done", "failed", "a second", "p50", "p95", "p99", "slowest"];
        write!(f, "{:<width$}", "operation")?;
        for column in columns {
            write!(f, " {column:>10}")?;
        }
        writeln!(f)?;
        for operation in &self.operations {
            let latency = &operation.latency;
            write!(
                f,
                "{:<width$} {:>10} {:>10} {:>10.1}",
                operation.name, operation.done, operation.failed, operation.rate
            )?;
            for microseconds in [latency.p50, latency.p95, latency.p99, latency.max] {
                write!(f, " {:>10}", shown(microseconds))?;
            }
            writeln!(f)?;
            for (kind, count) in &operation.failures {
                writeln!(f, "  {count} failed: {kind}")?;
            }
        }
        for mark in &self.marks {
            let outcome = mark.outcome.as_deref().unwrap_or("did not end");
            writeln!(f, "at {:.1} s: {} ({outcome})", mark.at, mark.label)?;
        }
        if let Some(verdict) = &self.ledger {
            writeln!(f, "ledger: {verdict}")?;
        }
        for judged in &self.requirements {
            writeln!(f, "{}", judged)?;
        }
        Ok(())
    }
}

/// Microseconds for people.
pub(crate) fn shown(microseconds: u64) -> String {
    let seconds = Duration::from_micros(microseconds).as_secs_f64();
    match microseconds {
        0..1000 => format!("{microseconds} us"),
        1000..100_000 => format!("{:.2} ms", seconds * 1e3),
        100_000..10_000_000 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report(rate: f64, p99: u64, failed: u64) -> Report {
        let latency = Sample { p50: p99 / 10, p95: p99 / 2, p99, p999: p99 * 2, max: p99 * 3 };
        let failures = if failed == 0 {
            BTreeMap::new()
        } else {
            BTreeMap::from([("452 4.3.1 <full>".to_owned(), failed)])
        };
        let points = (1..=30).map(|at| Point { at: f64::from(at), rate, failed: 0.0, latency }).collect();
        let operation = Operation {
            name: "smtp.message".to_owned(),
            done: 1000,
            failed,
            rate,
            octets: 5_000_000,
            latency,
            failures,
            points,
        };
        let settings = BTreeMap::from([("sessions".to_owned(), "50".to_owned())]);
        let mut report = Report::new("smtp", settings, "2026-11-30T17:00:00Z".to_owned());
        report.seconds = 30.0;
        report.operations.push(operation);
        report.marks.push(Mark {
            at: 12.0,
            label: "kill a worker".to_owned(),
            outcome: Some("exit status: 0".to_owned()),
        });
        report
    }

    #[test]
    fn it_comes_back_as_it_was_written() {
        let place = tempfile::tempdir().unwrap();
        let report = report(500.0, 25_000, 3);
        report.write(&place.path().join("run.html")).unwrap();
        assert_eq!(Report::read(&place.path().join("run.json")).unwrap(), report);
        assert!(std::fs::read_to_string(place.path().join("run.html")).unwrap().contains("<svg"));
        report.write(&place.path().join("only.json")).unwrap();
        assert_eq!(Report::read(&place.path().join("only.json")).unwrap(), report);
        let other = Report { format: 7, ..report };
        other.write(&place.path().join("other.json")).unwrap();
        let error = Report::read(&place.path().join("other.json")).unwrap_err().to_string();
        assert!(error.contains("form 7"), "{error}");
    }

    #[test]
    fn people_can_read_it() {
        let text = report(500.0, 25_000, 3).to_string();
        assert!(
            text.contains(
                "smtp.message       1000          3      500.0    2.50 ms   12.50 ms   25.00 ms   75.00 ms"
            ),
            "{text}"
        );
        assert!(
            text.contains("3 failed: 452 4.3.1 <full>")
                && text.contains("at 12.0 s: kill a worker (exit status: 0)"),
            "{text}"
        );
        assert_eq!([999, 1500, 100_000, 12_000_000].map(shown), ["999 us", "1.50 ms", "100 ms", "12.0 s"]);
    }
}
