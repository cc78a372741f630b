//! What a run measured.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Figures of one run. Latencies are in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done, such as `smtp accept`.
    pub load: String,
    /// Operations that were answered as they should be.
    pub done: u64,
    /// Operations that were refused or broken off.
    pub failed: u64,
    /// From the first operation to the last.
    pub seconds: f64,
    /// Done a second.
    pub rate: f64,
    /// Half of the operations were faster.
    pub p50_us: u64,
    /// 95 in 100 were faster.
    pub p95_us: u64,
    /// 99 in 100 were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Report {
    /// Sums up a histogram of microseconds.
    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    pub fn new(load: &str, histogram: &hdrhistogram::Histogram<u64>, failed: u64, took: Duration) -> Self {
        let done = histogram.len();
        let seconds = took.as_secs_f64();
        Self {
            load: load.to_owned(),
            done,
            failed,
            seconds,
            rate: if seconds > 0.0 { done as f64 / seconds } else { 0.0 },
            p50_us: histogram.value_at_quantile(0.5),
            p95_us: histogram.value_at_quantile(0.95),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1000.0;
        write!(
            f,
            "{}: {} done, {} failed in {:.2} s: {:.0}/s; latency p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            self.load,
            self.done,
            self.failed,
            self.seconds,
            self.rate,
            ms(self.p50_us),
            ms(self.p95_us),
            ms(self.p99_us),
            ms(self.max_us)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up() {
        let mut histogram = hdrhistogram::Histogram::<u64>::new(3).unwrap();
        for us in [1000, 2000, 3000, 100_000] {
            histogram.record(us).unwrap();
        }
        let report = Report::new("smtp accept", &histogram, 1, Duration::from_secs(2));
        assert_eq!((report.done, report.failed), (4, 1));
        assert!((report.rate - 2.0).abs() < 1e-9);
        assert!(
            report
                .to_string()
                .starts_with("smtp accept: 4 done, 1 failed in 2.00 s: 2/s; latency p50 2.00 ms"),
            "{report}"
        );
    }
}
