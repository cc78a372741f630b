//! `cargo xtask growth`: how what Sluice does changes with accounts, messages in a mailbox, connections and processes. Tables and charts go into docs/growth.md.
//!
//! Each part starts a node of its own over data that it makes, asks the same of it at each size, and ends it. The load is `sluice loadtest`.

mod accounts;
mod chart;
mod connections;
mod mailbox;
mod node;
mod roles;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};

use crate::bench::peer;
use chart::{Chart, Line};

/// The folder of the charts, in docs.
const CHARTS: &str = "growth";

#[derive(Args)]
pub(crate) struct Arguments {
    /// What is measured; all of it without one.
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Accounts in the directory.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    accounts: Vec<u64>,
    /// Messages in a mailbox.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000,100000,1000000")]
    messages: Vec<u64>,
    /// Connections that idle.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    connections: Vec<u64>,
    /// Gateways, and as many workers, over one RabbitMQ node.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    processes: Vec<u64>,
    /// How often each figure is measured; its median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Folder for the data, on the disk that is measured. It is removed at the end.
    #[arg(long, value_name = "DIR", default_value = "target/growth")]
    folder: PathBuf,
    /// Write tables and charts into docs/growth.md.
    #[arg(long)]
    write: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The directory: 1,000 to 1,000,000 accounts.
    Accounts,
    /// A mailbox: 10 to 1,000,000 messages.
    Messages,
    /// IMAP: 1 to 10,000 connections that idle.
    Connections,
    /// Gateways and workers as processes of their own: 1, 2 and 4 of each.
    Processes,
}

impl Part {
    const ALL: [Self; 4] = [Self::Accounts, Self::Messages, Self::Connections, Self::Processes];

    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Messages => "messages",
            Self::Connections => "connections",
            Self::Processes => "processes",
        }
    }
}

/// What was measured at each size.
pub(crate) struct Growth {
    /// What grows.
    axis: &'static str,
    /// What, its unit, and the values of all runs at each size.
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    unit: &'static str,
    points: Vec<(u64, Vec<f64>)>,
}

impl Growth {
    const fn new(axis: &'static str) -> Self {
        Self { axis, rows: Vec::new() }
    }

    fn put(&mut self, (what, unit): (&'static str, &'static str), size: u64, value: f64) {
        println!("{size} {}: {what} {value:.3} {unit}", self.axis);
        let place = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.rows.push(Row { what, unit, points: Vec::new() });
            self.rows.len() - 1
        });
        let Some(row) = self.rows.get_mut(place) else { return };
        match row.points.iter_mut().find(|(at, _)| *at == size) {
            Some((_, values)) => values.push(value),
            None => row.points.push((size, vec![value])),
        }
    }

    /// A line for each figure, a column for each size.
    fn table(&self) -> String {
        let mut sizes: Vec<u64> =
            self.rows.iter().flat_map(|row| row.points.iter().map(|(size, _)| *size)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let head: String = sizes.iter().map(|size| format!(" {} |", chart::grouped(*size))).collect();
        let mut text = format!("| {} |{head}\n|---|{}\n", self.axis, "---|".repeat(sizes.len()));
        for row in &self.rows {
            let cells = sizes.iter().map(|size| {
                let values = row.points.iter().find(|(at, _)| at == size).map(|(_, values)| values);
                values.map_or_else(|| " - |".to_owned(), |values| format!(" {} |", shown(median(values))))
            });
            text.push_str(&format!("| {}, {} |{}\n", row.what, row.unit, cells.collect::<String>()));
        }
        text
    }

    /// One chart for each unit, with the figures of that unit as its lines.
    fn charts(&self) -> Vec<Chart> {
        let mut charts: Vec<Chart> = Vec::new();
        for row in self.rows.iter().filter(|row| row.points.len() > 1) {
            let points = row.points.iter().map(|(size, values)| (*size, median(values))).collect();
            let line = Line { name: row.what.to_owned(), points };
            match charts.iter_mut().find(|chart| chart.unit == row.unit) {
                Some(chart) => chart.lines.push(line),
                None => charts.push(Chart { axis: self.axis, unit: row.unit, lines: vec![line] }),
            }
        }
        charts
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn shown(value: f64) -> String {
    match value {
        v if v.abs() >= 100.0 => chart::grouped(v.round() as u64),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    peer::build()?;
    ensure!(!arguments.folder.exists(), "{} exists: name a folder that does not", arguments.folder.display());
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments.folder.canonicalize()?;
    for part in Part::ALL {
        if !arguments.parts.is_empty() && !arguments.parts.contains(&part) {
            continue;
        }
        let own = folder.join(part.name());
        std::fs::create_dir(&own)?;
        let growth = match part {
            Part::Accounts => accounts::measure(&own, arguments),
            Part::Messages => mailbox::measure(&own, arguments),
            Part::Connections => connections::measure(&own, arguments),
            Part::Processes => roles::measure(&own, arguments),
        };
        let growth = growth.with_context(|| format!("the growth with {}", part.name()))?;
        println!("{}", growth.table());
        if arguments.write {
            write(part, &growth)?;
        }
    }
    std::fs::remove_dir_all(&folder).context("failed to remove the data")
}

/// Puts the table and the charts of a part where docs/growth.md has its place for them.
fn write(part: Part, growth: &Growth) -> anyhow::Result<()> {
    let docs = peer::root().join("docs");
    let path = docs.join("growth.md");
    let text = std::fs::read_to_string(&path)?;
    let begin = format!("<!-- cargo xtask growth --part {}: begin -->\n", part.name());
    let end = format!("<!-- cargo xtask growth --part {}: end -->\n", part.name());
    let (before, rest) = text.split_once(&begin).with_context(|| format!("docs/growth.md has no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("docs/growth.md has no {end}"))?;
    let images = draw(&docs.join(CHARTS), part, growth)?;
    std::fs::write(&path, format!("{before}{begin}{}{images}{end}{after}", growth.table()))
        .context("failed to write docs/growth.md")
}

fn draw(folder: &Path, part: Part, growth: &Growth) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)?;
    let mut images = String::new();
    for chart in growth.charts() {
        let unit: String = chart.unit.chars().filter(char::is_ascii_alphanumeric).collect();
        let file = format!("{}-{unit}.svg", part.name());
        std::fs::write(folder.join(&file), chart.svg()).context("failed to write a chart")?;
        images.push_str(&format!("\n![{}, by {}]({CHARTS}/{file})\n", chart.unit, chart.axis));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_size() {
        let mut growth = Growth::new("messages");
        for (what, size, value) in [
            ("SELECT", 10, 1.0),
            ("SELECT", 10, 3.0),
            ("SELECT", 10, 2.0),
            ("SELECT", 1000, 250.0),
            ("STORE", 1000, 12.0),
        ] {
            growth.put((what, "ms"), size, value);
        }
        growth.put(("memory", "MB"), 10, 1234.0);
        assert_eq!(
            growth.table(),
            "| messages | 10 | 1,000 |\n|---|---|---|\n| SELECT, ms | 2.00 | 250 |\n| STORE, ms | - | 12.0 |\n| memory, MB | 1,234 | - |\n"
        );
        // One point is no line.
        let charts = growth.charts();
        let names: Vec<_> = charts.iter().flat_map(|chart| &chart.lines).map(|line| &line.name).collect();
        assert_eq!(names, ["SELECT"]);
    }
}
