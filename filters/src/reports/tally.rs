//! Counting by day: in memory, and at intervals into a file that only grows.
//!
//! ```text
//! {"begin":1}                                      a process opened the file: numbers begin anew
//! {"n":1,"row":{…},"count":3}                      three of these
//! {"n":1,"count":2}                                two more
//! ```
//! A line without its line end was torn by a crash; the next process ends it, and readers leave it out.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde::Serialize;
use tracing::{error, warn};

use super::{Day, ReportKind, ReportsConfig};

/// The first line of a process.
const BEGIN: &str = "{\"begin\":1}\n";

/// Why nothing can be counted.
#[derive(Debug, thiserror::Error)]
pub enum TallyError {
    /// Two metrics have one name.
    #[error("failed to register the metrics of reports")]
    Metrics(#[from] prometheus::Error),
}

/// The counts of a process, of one kind.
pub struct Tally {
    kind: ReportKind,
    folder: PathBuf,
    config: ReportsConfig,
    counting: Mutex<Counting>,
    writing: Mutex<Option<Writing>>,
    metrics: Metrics,
}

/// The day under way, and the one before it while it is not written.
struct Counting {
    before: Option<DayRows>,
    now: DayRows,
}

struct DayRows {
    day: Day,
    rows: HashMap<Box<str>, Pending>,
    by_domain: HashMap<Box<str>, u32>,
    octets: u64,
    number_last: u32,
}

/// What is not in the file yet of a row; number 0: nothing of it.
struct Pending {
    number: u32,
    count: u64,
}

struct Writing {
    day: Day,
    file: File,
    octets: u64,
}

/// What was taken out to be written: row, number it had, count.
type Taken = Vec<(Box<str>, u64)>;

struct Metrics {
    rows: IntGauge,
    dropped: IntCounterVec,
}

impl Tally {
    /// Counts into the files of `folder`. Nothing is read or written yet.
    pub fn new(
        kind: ReportKind,
        folder: PathBuf,
        config: ReportsConfig,
        registry: &Registry,
    ) -> Result<Arc<Self>, TallyError> {
        let metrics = Metrics::new(kind, config.rows_max, registry)?;
        let now = DayRows::new(Day::of(0));
        let counting = Mutex::new(Counting { before: None, now });
        Ok(Arc::new(Self { kind, folder, config, counting, writing: Mutex::new(None), metrics }))
    }

    /// Counts one of `row`, which is about `domain`, at a moment in seconds since 1970. Touches no disk.
    pub fn count(&self, domain: &str, row: &impl Serialize, unix_seconds: u64) {
        let Ok(text) = serde_json::to_string(row) else { return };
        let mut counting = self.counting();
        self.turn(&mut counting, Day::of(unix_seconds));
        let rows = &mut counting.now;
        if let Some(pending) = rows.rows.get_mut(text.as_str()) {
            pending.count = pending.count.saturating_add(1);
            return;
        }
        let octets = rows.octets.saturating_add(text.len() as u64);
        let of_domain = rows.by_domain.get(domain).copied().unwrap_or(0);
        let full = rows.rows.len() >= usize::try_from(self.config.rows_max).unwrap_or(usize::MAX);
        let reason = if full || octets > self.config.octets_max.as_u64() {
            "full"
        } else if of_domain >= self.config.domain_rows_max {
            "domain-full"
        } else {
            rows.octets = octets;
            rows.by_domain.insert(domain.into(), of_domain + 1);
            rows.rows.insert(text.into(), Pending { number: 0, count: 1 });
            self.metrics.rows.set(i64::try_from(rows.rows.len()).unwrap_or(i64::MAX));
            return;
        };
        drop(counting);
        self.metrics.dropped(reason, 1);
    }

    /// Writes at intervals, for as long as it is polled.
    pub async fn upkeep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.config.sync_interval.as_duration());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let tally = Arc::clone(&self);
            // A disk that hangs holds nothing else up.
            if let Err(failure) = tokio::task::spawn_blocking(move || tally.flush(SystemTime::now())).await {
                error!(%failure, "writing counts for reports ended badly");
            }
        }
    }

    /// Writes and syncs what is not in the file yet. Blocks. What the disk does not take stays for the next time.
    pub fn flush(&self, now: SystemTime) {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.turn(&mut self.counting(), Day::of(seconds));
        for which in [Which::Before, Which::Now] {
            if let Err(error) = self.flush_day(&mut writing, which) {
                *writing = None;
                warn!(kind = %self.kind, %error, "counts for reports could not be written, they wait");
                return;
            }
        }
    }

    fn flush_day(&self, writing: &mut Option<Writing>, which: Which) -> io::Result<()> {
        let day = {
            let mut counting = self.counting();
            let Some(rows) = which.of(&mut counting) else { return Ok(()) };
            if rows.rows.values().all(|pending| pending.count == 0) {
                if which == Which::Before {
                    counting.before = None;
                }
                return Ok(());
            }
            rows.day
        };
        let is_new = writing.as_ref().is_none_or(|writing| writing.day != day);
        if is_new {
            *writing = Some(self.open(day)?);
        }
        let Some(writing) = writing.as_mut() else { return Ok(()) };
        let (text, taken) = self.take(which, is_new, writing.octets);
        let written = writing.append(text.as_bytes());
        if let Err(error) = written {
            self.give_back(which, day, taken);
            return Err(error);
        }
        if which == Which::Before {
            self.counting().before = None;
        }
        Ok(())
    }

    /// The lines of what is pending, as far as there is room for them.
    fn take(&self, which: Which, is_new: bool, octets: u64) -> (String, Taken) {
        let mut text = String::new();
        let mut taken = Vec::new();
        let mut dropped = 0;
        let mut counting = self.counting();
        let Some(rows) = which.of(&mut counting) else { return (text, taken) };
        let room = self.config.octets_max.as_u64().saturating_sub(octets);
        if is_new {
            if BEGIN.len() as u64 <= room {
                text.push_str(BEGIN);
            }
            rows.number_last = 0;
            rows.rows.values_mut().for_each(|pending| pending.number = 0);
        }
        for (row, pending) in rows.rows.iter_mut().filter(|(_, pending)| pending.count > 0) {
            let count = pending.count;
            let (number, line) = if pending.number == 0 {
                let number = rows.number_last + 1;
                (number, format!("{{\"n\":{number},\"row\":{row},\"count\":{count}}}\n"))
            } else {
                (pending.number, format!("{{\"n\":{},\"count\":{count}}}\n", pending.number))
            };
            pending.count = 0;
            if (text.len() + line.len()) as u64 > room {
                dropped += count;
                continue;
            }
            rows.number_last = rows.number_last.max(number);
            pending.number = number;
            text.push_str(&line);
            taken.push((row.clone(), count));
        }
        drop(counting);
        self.metrics.dropped("file-full", dropped);
        (text, taken)
    }

    fn give_back(&self, which: Which, day: Day, taken: Taken) {
        let mut counting = self.counting();
        let Some(rows) = which.of(&mut counting).filter(|rows| rows.day == day) else {
            drop(counting);
            return self.metrics.dropped("not-written", taken.iter().map(|(_, count)| count).sum());
        };
        for (row, count) in taken {
            if let Some(pending) = rows.rows.get_mut(&row) {
                pending.count = pending.count.saturating_add(count);
            }
        }
    }

    /// A new day begins when one is seen; a clock that goes back changes nothing.
    fn turn(&self, counting: &mut Counting, day: Day) {
        if day <= counting.now.day {
            return;
        }
        let old = std::mem::replace(&mut counting.now, DayRows::new(day));
        self.metrics.rows.set(0);
        if old.rows.values().all(|pending| pending.count == 0) {
            return;
        }
        // The disk took nothing for a whole day.
        if let Some(lost) = counting.before.replace(old) {
            self.metrics.dropped("not-written", lost.rows.values().map(|pending| pending.count).sum());
        }
    }

    fn open(&self, day: Day) -> io::Result<Writing> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.forget_old(day);
        let path = self.kind.counts_path(&self.folder, day);
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut octets = file.metadata()?.len();
        if octets > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                octets += 1;
            }
        } else {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(Writing { day, file, octets })
    }

    /// Removes files of days that are long over.
    fn forget_old(&self, today: Day) {
        let keep = self.config.keep.as_duration().as_secs();
        let first = Day::of(today.begin().saturating_sub(keep));
        if let Err(error) = remove_before(self.kind, &self.folder, first) {
            warn!(kind = %self.kind, %error, "old counts for reports could not be removed");
        }
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("kind", &self.kind)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Before,
    Now,
}

impl Which {
    const fn of(self, counting: &mut Counting) -> Option<&mut DayRows> {
        match self {
            Self::Before => counting.before.as_mut(),
            Self::Now => Some(&mut counting.now),
        }
    }
}

impl DayRows {
    fn new(day: Day) -> Self {
        Self { day, rows: HashMap::new(), by_domain: HashMap::new(), octets: 0, number_last: 0 }
    }
}

impl Writing {
    /// All of it, synced, or nothing as far as the disk lets it be undone.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.octets += text.len() as u64,
            Err(_) => {
                let _ = self.file.set_len(self.octets);
            }
        }
        written
    }
}

fn remove_before(kind: ReportKind, folder: &Path, first: Day) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().and_then(|name| kind.day_of(name)).is_some_and(|(day, _)| day < first) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Metrics {
    fn new(kind: ReportKind, rows_max: u32, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = |noun: &str, help: &str| {
            Opts::new(format!("sluice_filters_reports_{noun}"), help).const_label("kind", kind.as_str())
        };
        let rows = IntGauge::with_opts(opts("rows", "Different findings of this day."))?;
        let limit = IntGauge::with_opts(opts("rows_limit", "How many of them are told apart."))?;
        let dropped =
            IntCounterVec::new(opts("dropped_total", "Findings that are in no report."), &["reason"])?;
        limit.set(i64::from(rows_max));
        registry.register(Box::new(rows.clone()))?;
        registry.register(Box::new(limit))?;
        registry.register(Box::new(dropped.clone()))?;
        Ok(Self { rows, dropped })
    }

    fn dropped(&self, reason: &str, count: u64) {
        if count > 0 {
            self.dropped.with_label_values(&[reason]).inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests;
