//! Figures of all runs, as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;

/// Values by what was measured, under which load, and of which system, in the order in which they came first.
#[derive(Default)]
pub(super) struct Figures {
    /// What, and its unit.
    tables: Vec<(String, String)>,
    systems: Vec<String>,
    /// By table, load and system.
    values: BTreeMap<(usize, String, String), Vec<f64>>,
    /// Loads of each table.
    loads: BTreeMap<usize, Vec<String>>,
}

impl Figures {
    /// A figure of one run.
    pub(super) fn put(&mut self, (what, load, unit): (&str, &str, &str), system: &str, value: f64) {
        println!("{system}: {what}, {load}: {value:.1} {unit}");
        let key = (what.to_owned(), unit.to_owned());
        let table = self.tables.iter().position(|table| *table == key).unwrap_or_else(|| {
            self.tables.push(key);
            self.tables.len() - 1
        });
        if !self.systems.iter().any(|known| known == system) {
            self.systems.push(system.to_owned());
        }
        let loads = self.loads.entry(table).or_default();
        if !loads.iter().any(|known| known == load) {
            loads.push(load.to_owned());
        }
        self.values.entry((table, load.to_owned(), system.to_owned())).or_default().push(value);
    }

    /// A table for each thing that was measured: a line for each load, a column for each system.
    pub(super) fn tables(&self, runs: usize) -> anyhow::Result<String> {
        let machine = machine().context("failed to look at the machine")?;
        let mut text = format!(
            "{machine}. `cargo xtask bench --runs {runs}`: median (smallest to largest) of the runs.\n"
        );
        for (number, (what, unit)) in self.tables.iter().enumerate() {
            let has =
                |system: &&String| self.values.keys().any(|(table, _, of)| *table == number && of == *system);
            let systems: Vec<&String> = self.systems.iter().filter(has).collect();
            let _ = write!(text, "\n| {what}, {unit} |");
            systems.iter().for_each(|system| {
                let _ = write!(text, " {system} |");
            });
            let _ = writeln!(text, "\n|---|{}", "---|".repeat(systems.len()));
            for load in self.loads.get(&number).into_iter().flatten() {
                let _ = write!(text, "| {load} |");
                for system in &systems {
                    let values = self.values.get(&(number, load.clone(), (*system).clone()));
                    let _ =
                        write!(text, " {} |", values.map_or_else(|| "-".to_owned(), |values| spread(values)));
                }
                text.push('\n');
            }
        }
        Ok(text)
    }
}

fn spread(values: &[f64]) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let (low, middle, high) = (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)));
    format!("**{}** ({} to {})", shown(middle), shown(low), shown(high))
}

fn shown(value: f64) -> String {
    match value {
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Processors and memory of this machine.
fn machine() -> anyhow::Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("a processor", |(_, model)| model);
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism()?;
    Ok(format!(
        "{cores} cores of {model}, {} GiB, local disk; client and server share them",
        kib.unwrap_or(0) >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_with_their_ranges() {
        let mut figures = Figures::default();
        for (system, value) in [("a", 3.0), ("b", 200.0), ("a", 1.0), ("a", 20.0)] {
            figures.put(("accepted", "5 KB", "messages/s"), system, value);
        }
        figures.put(("p99", "5 KB", "ms"), "b", 1.5);
        let text = figures.tables(3).unwrap();
        assert!(text.contains("| accepted, messages/s | a | b |\n|---|---|---|\n| 5 KB | **3.00** (1.00 to 20.0) | **200** (200 to 200) |\n"), "{text}");
        assert!(text.contains("| p99, ms | b |\n|---|---|\n| 5 KB | **1.50** (1.50 to 1.50) |"), "{text}");
    }
}
