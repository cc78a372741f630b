//! Aggregate reports for other systems: counts of what was found, collected by day, and the mails that are made of them.
//!
//! ```text
//!  a message is judged ──▶ Tally ──▶ <data>/filters/reports/dmarc-2026-11-29.jsonl    (RFC 9990, RFC 7489 §7.2)
//!  a session elsewhere ──▶ Tally ──▶ <data>/filters/reports/tls-2026-11-29.jsonl      (RFC 8460)
//!                                        └─▶ Counts (several nodes' files) ──▶ Draft ──▶ whoever sends mail
//! ```
//! Collecting touches no disk: a [`Tally`] counts in memory and appends what is new at intervals and at the end. Sending is another process's work,
//! by hand or by a timer; the files are all that it needs. Which reports went out stands beside them ([`Sent`]).
//!
//! # Failure behaviour
//! A crash loses the counts since the last interval; a disk that does not take them lets them wait in memory. Both make a report smaller and lose no
//! mail.
//!
//! # Security
//! What peers chose is in a row only after it was read as a domain or an address. Rows, octets, addresses and mails are bounded by names in the
//! configuration. Recipients' addresses are in no row. Mail goes to another domain than the one that was judged only when that other one agrees.

mod addresses;
mod config;
mod counts;
mod day;
mod dmarc;
mod draft;
mod sent;
mod subject;
mod tally;
mod tls;

pub use addresses::{Checked, ReportAddress, check_dmarc};
pub use config::ReportsConfig;
pub use counts::{Counts, CountsError, fuzz_counts};
pub use day::{Day, DayError};
pub use dmarc::{
    Applied, Disposition, DmarcRow, DmarcSubject, Override, RowSignature, RowSpf, dmarc_subjects,
};
pub use draft::{Draft, DraftError, Submitter};
pub use sent::{Sent, SentEntry, SentError};
pub use subject::{Subject, subjects};
pub use tally::{Tally, TallyError};
pub use tls::{
    TlsFailure, TlsPolicy, TlsPolicyKind, TlsPolicySubject, TlsResult, TlsRow, TlsSubject, fuzz_tls_record,
    tls_subjects,
};

use std::fmt;
use std::path::{Path, PathBuf};

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// What became of mail that named a domain as its author's (RFC 9990).
    Dmarc,
    /// How well sessions with a domain's servers were encrypted (RFC 8460).
    Tls,
}

impl ReportKind {
    /// As files are called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dmarc => "dmarc",
            Self::Tls => "tls",
        }
    }

    /// The counts of a day.
    pub fn counts_path(self, folder: &Path, day: Day) -> PathBuf {
        folder.join(format!("{self}-{day}.jsonl"))
    }

    /// What went out for a day.
    pub fn sent_path(self, folder: &Path, day: Day) -> PathBuf {
        folder.join(format!("{self}-{day}.sent"))
    }

    /// The days of which there are counts in the folder, the oldest first.
    pub fn days(self, folder: &Path) -> std::io::Result<Vec<Day>> {
        let mut days = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            days.extend(name.to_str().and_then(|name| self.day_of(name)).map(|(day, _)| day));
        }
        days.sort_unstable();
        days.dedup();
        Ok(days)
    }

    /// The day that is in a file's name, and what kind of file it is.
    fn day_of(self, name: &str) -> Option<(Day, &str)> {
        let (day, ending) = name.strip_prefix(self.as_str())?.strip_prefix('-')?.split_once('.')?;
        let day = day.parse().ok()?;
        matches!(ending, "jsonl" | "sent").then_some((day, ending))
    }
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
