//! What servers say of themselves in the Prometheus text form, over time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most names of one server that are kept; a page of metrics is as long as the server likes.
const NAMES_MAX: usize = 400;

/// One name over time, summed over its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Which server said it.
    pub server: String,
    /// The metric.
    pub name: String,
    /// Whether the values are a counter's growth in a second.
    pub is_rate: bool,
    /// Seconds since the run began, and a value.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// Whether it says more than one thing.
    pub(super) fn moves(&self) -> bool {
        let first = self.points.first().map_or(0.0, |(_, value)| *value);
        self.points.iter().any(|(_, value)| (value - first).abs() > f64::EPSILON)
            || (self.is_rate && first > 0.0)
    }
}

/// Collects the pages of one server.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    last: BTreeMap<String, (f64, f64)>,
    series: BTreeMap<String, (bool, Vec<(f64, f64)>)>,
}

impl Scraped {
    /// Takes a page that was read at a time.
    pub(crate) fn take(&mut self, at: f64, page: &str) {
        for (name, value) in sums(page) {
            if !self.series.contains_key(&name) && self.series.len() >= NAMES_MAX {
                continue;
            }
            let is_rate = ["_total", "_count", "_sum"].iter().any(|end| name.ends_with(end));
            let before = self.last.insert(name.clone(), (at, value));
            let (_, points) = self.series.entry(name).or_insert_with(|| (is_rate, Vec::new()));
            match before {
                _ if !is_rate => points.push((at, value)),
                // A counter that went back begins anew: its server did.
                Some((then, was)) if at > then => {
                    points.push((at, (if value >= was { value - was } else { value }) / (at - then)))
                }
                _ => {}
            }
        }
    }

    /// All of it.
    pub(crate) fn into_series(self, server: &str) -> Vec<Series> {
        let series = self.series.into_iter().map(|(name, (is_rate, points))| Series {
            server: server.to_owned(),
            name,
            is_rate,
            points,
        });
        series.collect()
    }
}

/// By name, without the buckets of histograms.
fn sums(page: &str) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        // name{labels} value [timestamp]; a label may hold a space, and no brace ends one but the last.
        let (name, rest) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').map_or("", |(_, rest)| rest)),
            None => line.split_once(' ').unwrap_or((line, "")),
        };
        let value = rest.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        if let Some(value) =
            value.filter(|value| value.is_finite() && !name.is_empty() && !name.ends_with("_bucket"))
        {
            *sums.entry(name.trim().to_owned()).or_default() += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_become_rates_and_labels_are_summed() {
        let page = |accepted: u64, refused: u64, bytes: u64| {
            format!(
                "# HELP x y\n# TYPE x counter\nsluice_gateway_messages_total{{outcome=\"accepted\"}} {accepted}\nsluice_gateway_messages_total{{outcome=\"re }} fused\"}} {refused}\n\
                 process_resident_memory_bytes {bytes}\nlatency_bucket{{le=\"+Inf\"}} 5\nodd{{le=\"1\"}} NaN\nlatency_count 7 1700000000000\nbroken\n"
            )
        };
        let mut scraped = Scraped::default();
        scraped.take(1.0, &page(10, 5, 1000));
        scraped.take(3.0, &page(110, 5, 3000));
        // The server began anew.
        scraped.take(4.0, &page(20, 0, 500));
        let series = scraped.into_series("a:1");
        let find = |name: &str| series.iter().find(|series| series.name == name).unwrap();
        let messages = find("sluice_gateway_messages_total");
        assert_eq!((messages.is_rate, messages.points.clone()), (true, vec![(3.0, 50.0), (4.0, 20.0)]));
        assert_eq!(
            find("process_resident_memory_bytes").points,
            [(1.0, 1000.0), (3.0, 3000.0), (4.0, 500.0)]
        );
        assert_eq!(find("latency_count").points, [(3.0, 0.0), (4.0, 0.0)]);
        assert_eq!(series.len(), 3);
        assert!(messages.moves() && !find("latency_count").moves());
    }

    #[test]
    fn a_page_without_end_is_cut() {
        let mut scraped = Scraped::default();
        let page: String = (0..2000).map(|number| format!("name{number} 1\n")).collect();
        scraped.take(1.0, &page);
        assert_eq!(scraped.into_series("a").len(), NAMES_MAX);
    }
}
