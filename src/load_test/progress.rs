//! What goes on, while it goes on: on a terminal a line for each operation, else a line from time to time.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use loadtest::{Point, Progress};

use crate::listing;

/// How often a long command says how far it is.
const SAY: Duration = Duration::from_secs(2);
/// How often a line is written where there is no terminal.
const QUIET: Duration = Duration::from_secs(10);

pub(super) struct Screen {
    bars: Option<Bars>,
    last: Instant,
}

struct Bars {
    screen: MultiProgress,
    clock: ProgressBar,
    lines: BTreeMap<&'static str, ProgressBar>,
    style: ProgressStyle,
}

impl Screen {
    pub(super) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let screen = MultiProgress::new();
            let style =
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            let clock = screen.add(ProgressBar::new_spinner().with_style(style.clone()));
            Bars { screen, clock, lines: BTreeMap::new(), style }
        });
        Self { bars, last: Instant::now() }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        let state = if progress.settling { ", waiting for what is under way" } else { "" };
        let clock = format!("{:.0} s{state}", progress.elapsed.as_secs_f64());
        if let Some(bars) = &mut self.bars {
            bars.clock.set_message(clock);
            for line in bars.lines.values() {
                line.set_message(String::new());
            }
            for (operation, point) in progress.points {
                let bar = bars.lines.entry(operation).or_insert_with(|| {
                    bars.screen.add(ProgressBar::new_spinner().with_style(bars.style.clone()))
                });
                bar.set_message(line(operation, point));
            }
        } else if self.last.elapsed() >= QUIET {
            self.last = Instant::now();
            let lines: Vec<String> =
                progress.points.iter().map(|(operation, point)| line(operation, point)).collect();
            eprintln!("{clock}\n  {}", lines.join("\n  "));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            bars.clock.finish_and_clear();
            bars.lines.values().for_each(ProgressBar::finish_and_clear);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn line(operation: &str, point: &Point) -> String {
    let ms = |microseconds: u64| microseconds as f64 / 1e3;
    let failed = if point.failed > 0.0 { format!(", {:.1}/s failed", point.failed) } else { String::new() };
    format!(
        "{operation:<14} {:>9.1}/s   p50 {:>9.2} ms   p99 {:>9.2} ms{failed}",
        point.rate,
        ms(point.latency.p50),
        ms(point.latency.p99)
    )
}

/// Says how many mailboxes the check of a ledger has read.
pub(super) fn mailboxes_read() -> impl FnMut(usize, usize) {
    let mut said = Said::new("mailboxes read", 0);
    move |read, all| {
        said.all = all as u64;
        said.say(read as u64);
    }
}

/// Says how far a command is, on standard error.
pub(super) struct Said {
    what: &'static str,
    all: u64,
    last: Instant,
}

impl Said {
    pub(super) fn new(what: &'static str, all: u64) -> Self {
        Self { what, all, last: Instant::now() }
    }

    pub(super) fn say(&mut self, count: u64) {
        if self.last.elapsed() >= SAY {
            self.last = Instant::now();
            listing::warn(&format!("{count} of {} {}", self.all, self.what));
        }
    }
}
