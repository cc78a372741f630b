//! What must be true of a run, for a build server to fail on.
//!
//! ```abnf
//! requirement = operation SP figure SP comparison SP number [unit]
//! operation   = "smtp.message" / …  / "all"        ; as in the report; `all` for `failed` alone
//! figure      = "rate" / "done" / "failed" / "p50" / "p95" / "p99" / "p999" / "max"
//! comparison  = "<" / "<=" / ">" / ">="
//! unit        = "us" / "ms" / "s"                  ; of latencies
//!             / "%"                                ; of `failed`: the part of all operations of this kind
//! ```

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{Operation, Report};

/// One requirement, such as `smtp.message p99 < 30ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    text: String,
    operation: String,
    figure: Figure,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Rate,
    Done,
    Failed,
    FailedPart,
    Latency(Quantile),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantile {
    P50,
    P95,
    P99,
    P999,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Under,
    AtMost,
    Over,
    AtLeast,
}

/// A requirement held against a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub requirement: String,
    /// What the run has; nothing when it has no such operation.
    pub found: Option<f64>,
    /// Whether it is so.
    pub met: bool,
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = "a requirement is like `smtp.message p99 < 30ms`, `smtp.message rate >= 500`, `imap.login failed < 0.1%` or `all failed <= 0`";
        let words: Vec<&str> = text.split_whitespace().collect();
        let [operation, figure, comparison, bound] = *words else { bail!("`{text}`: {shape}") };
        let comparison = match comparison {
            "<" => Comparison::Under,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Over,
            ">=" => Comparison::AtLeast,
            _ => bail!("`{comparison}` in `{text}`: {shape}"),
        };
        let split =
            bound.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(bound.len());
        let (number, unit) = bound.split_at(split);
        let number: f64 = number.parse().with_context(|| format!("`{bound}` in `{text}`: {shape}"))?;
        let latency = |quantile| match unit {
            "us" => Ok((Figure::Latency(quantile), number)),
            "ms" => Ok((Figure::Latency(quantile), number * 1e3)),
            "s" => Ok((Figure::Latency(quantile), number * 1e6)),
            _ => bail!("`{bound}` in `{text}`: a latency has a unit: us, ms or s"),
        };
        let (figure, bound) = match (figure, unit) {
            ("rate", "") => (Figure::Rate, number),
            ("done", "") => (Figure::Done, number),
            ("failed", "") => (Figure::Failed, number),
            ("failed", "%") => (Figure::FailedPart, number),
            ("p50", _) => latency(Quantile::P50)?,
            ("p95", _) => latency(Quantile::P95)?,
            ("p99", _) => latency(Quantile::P99)?,
            ("p999", _) => latency(Quantile::P999)?,
            ("max", _) => latency(Quantile::Max)?,
            _ => bail!("`{figure}` with `{bound}` in `{text}`: {shape}"),
        };
        if operation == "all" && !matches!(figure, Figure::Failed | Figure::FailedPart) {
            bail!("`{text}`: only `failed` can be required of all operations together");
        }
        Ok(Self { text: words.join(" "), operation: operation.to_owned(), figure, comparison, bound })
    }
}

impl Requirement {
    /// An operation that was never done meets no requirement.
    pub(super) fn judge(&self, report: &Report) -> Judged {
        let found = if self.operation == "all" {
            let (done, failed) = report
                .operations
                .iter()
                .fold((0, 0), |(done, failed), one| (done + one.done, failed + one.failed));
            Some(self.count(done, failed))
        } else {
            report.operation(&self.operation).map(|operation| self.figure(operation))
        };
        let met = found.is_some_and(|found| match self.comparison {
            Comparison::Under => found < self.bound,
            Comparison::AtMost => found <= self.bound,
            Comparison::Over => found > self.bound,
            Comparison::AtLeast => found >= self.bound,
        });
        Judged { requirement: self.text.clone(), found, met }
    }

    #[allow(clippy::cast_precision_loss, reason = "compared with a number that somebody typed")]
    fn count(&self, done: u64, failed: u64) -> f64 {
        match self.figure {
            Figure::FailedPart if done + failed == 0 => 0.0,
            Figure::FailedPart => 100.0 * failed as f64 / (done + failed) as f64,
            _ => failed as f64,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "compared with a number that somebody typed")]
    fn figure(&self, operation: &Operation) -> f64 {
        let latency = &operation.latency;
        match self.figure {
            Figure::Rate => operation.rate,
            Figure::Done => operation.done as f64,
            Figure::Failed | Figure::FailedPart => self.count(operation.done, operation.failed),
            Figure::Latency(Quantile::P50) => latency.p50 as f64,
            Figure::Latency(Quantile::P95) => latency.p95 as f64,
            Figure::Latency(Quantile::P99) => latency.p99 as f64,
            Figure::Latency(Quantile::P999) => latency.p999 as f64,
            Figure::Latency(Quantile::Max) => latency.max as f64,
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met { "met" } else { "NOT met" };
        let latency = [" p50 ", " p95 ", " p99 ", " p999 ", " max "]
            .iter()
            .any(|figure| self.requirement.contains(figure));
        match self.found {
            None => write!(f, "{word}: {} (no such operation was done)", self.requirement),
            Some(microseconds) if latency => {
                write!(f, "{word}: {} (found {:.2} ms)", self.requirement, microseconds / 1e3)
            }
            Some(found) => write!(f, "{word}: {} (found {found:.2})", self.requirement),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn what_is_met() {
        let report = report(500.0, 25_000, 3);
        for (text, met) in [
            ("smtp.message p99 < 30ms", true),
            ("smtp.message p99 < 25ms", false),
            ("smtp.message p99 <= 25000us", true),
            ("smtp.message max <= 0.075s", true),
            ("smtp.message rate >= 500", true),
            ("smtp.message rate > 500", false),
            ("smtp.message done >= 1001", false),
            ("smtp.message failed <= 3", true),
            ("smtp.message failed < 0.3%", true),
            ("all failed < 0.2%", false),
            ("all failed <= 0", false),
            ("imap.login failed <= 0", false),
        ] {
            let judged = text.parse::<Requirement>().unwrap().judge(&report);
            assert_eq!(judged.met, met, "{judged}");
        }
        let missing = "imap.login p99 < 1s".parse::<Requirement>().unwrap().judge(&report);
        assert_eq!(missing.to_string(), "NOT met: imap.login p99 < 1s (no such operation was done)");
        let met = "smtp.message p99 < 30ms".parse::<Requirement>().unwrap().judge(&report);
        assert_eq!(met.to_string(), "met: smtp.message p99 < 30ms (found 25.00 ms)");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "smtp.message",
            "smtp.message p99 < 30",
            "smtp.message p99 = 30ms",
            "smtp.message rate < 30ms",
            "smtp.message p42 < 30ms",
            "smtp.message p99 < ms",
            "all rate > 5",
            "all p99 < 5ms",
        ] {
            let error = text.parse::<Requirement>().unwrap_err();
            assert!(format!("{error:#}").contains('`'), "{error}");
        }
    }
}
