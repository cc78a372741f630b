//! `sluice reports`: aggregate reports to other systems, made of what gateways and workers counted.
//!
//! The counts are files in the data folder of each node. One command may be given those of several, so that a domain gets one report. The mails go into the
//! queue of the node where the command runs, in a log of this command's own (docs/decisions/002), and from there as any mail of ours.

mod send;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use filters::ReportsConfig;
use filters::reports::{Counts, Day, ReportKind, Sent, Subject, Submitter, subjects};
use serde::Serialize;

use crate::arguments::Place;
use crate::data::DataFolder;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which reports.
    kind: KindName,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// About mail that named a domain as its author's (RFC 9990).
    Dmarc,
    /// About the encryption of mail to a domain (RFC 8460).
    Tls,
}

#[derive(Subcommand)]
enum Action {
    /// The days of which there are counts, and how many mails went out for each.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        from: From,
    },
    /// Send the reports of a day that is over. What went out already does not go again.
    Send {
        /// Which day, in UTC; by default yesterday.
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: Option<Day>,
        /// Only say what would be sent, and to whom; the DNS is asked.
        #[arg(long)]
        dry_run: bool,
        /// Also what went out already, as reports with new names.
        #[arg(long)]
        again: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        from: From,
    },
    /// The domains of a day; with --domain, the report itself.
    Show {
        /// Which day, in UTC; by default yesterday.
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: Option<Day>,
        /// The report about this domain, as XML or JSON.
        #[arg(long, value_name = "NAME")]
        domain: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        from: From,
    },
}

/// Whose counts.
#[derive(clap::Args)]
struct From {
    #[command(flatten)]
    place: Place,
    /// The data folder of another node, or a copy of its `filters/reports`: its counts are added. May be given several times.
    #[arg(long, value_name = "DIR")]
    also: Vec<PathBuf>,
}

impl std::convert::From<KindName> for ReportKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Dmarc => Self::Dmarc,
            KindName::Tls => Self::Tls,
        }
    }
}

/// The counts that are given, and what was sent of them.
struct Source {
    settings: Settings,
    data: DataFolder,
    folder: PathBuf,
    also: Vec<PathBuf>,
    kind: ReportKind,
}

/// A day of `list`.
#[derive(Serialize)]
struct ListedDay {
    day: String,
    domains: usize,
    counted: u64,
    sent: usize,
}

/// A domain of `show`.
#[derive(Serialize)]
struct ListedDomain {
    domain: String,
    counted: u64,
    rows: usize,
    sent: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kind = arguments.kind.into();
    match &arguments.action {
        Action::List { json, from } => list(&Source::open(kind, from)?, *json),
        Action::Show { day, domain, json, from } => {
            let source = Source::open(kind, from)?;
            let day = day.unwrap_or_else(yesterday);
            match domain {
                Some(domain) => show_report(&source, day, domain),
                None => show(&source, day, *json),
            }
        }
        Action::Send { day, dry_run, again, json, from } => {
            let source = Source::open(kind, from)?;
            let day = day.unwrap_or_else(yesterday);
            send::run(&source, day, &send::Wish { dry_run: *dry_run, again: *again, json: *json })
        }
    }
}

impl Source {
    fn open(kind: ReportKind, from: &From) -> anyhow::Result<Self> {
        let data = DataFolder::open(&from.place.data)?;
        let settings = Settings::load(&from.place)?;
        let also = from.also.iter().map(|folder| reports_in(folder)).collect::<anyhow::Result<_>>()?;
        Ok(Self { settings, folder: data.reports(), data, also, kind })
    }

    const fn config(&self) -> &ReportsConfig {
        &self.settings.filters.reports
    }

    fn subjects(&self, day: Day) -> anyhow::Result<Vec<Subject>> {
        let octets_max = self.config().octets_max.as_u64();
        let mut counts = Counts::default();
        for folder in std::iter::once(&self.folder).chain(&self.also) {
            counts.add_file(&self.kind.counts_path(folder, day), octets_max)?;
        }
        if counts.unreadable() > 0 {
            listing::warn(&format!("{} lines of {day} make no sense and are left out", counts.unreadable()));
        }
        Ok(subjects(self.kind, &counts, self.config()))
    }

    fn submitter(&self) -> anyhow::Result<Submitter> {
        Submitter::of(self.config(), &self.settings.hostname).context(
            "reports are off: set `filters.reports.organization` and `filters.reports.contact`, which say who reports",
        )
    }
}

/// Where the counts of a node are, if its folder is given or the one with the counts.
fn reports_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let inside = folder.join("filters/reports");
    match (inside.is_dir(), folder.is_dir()) {
        (true, _) => Ok(inside),
        (false, true) => Ok(folder.to_owned()),
        (false, false) => bail!("there is no folder `{}`", folder.display()),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn yesterday() -> Day {
    Day::of(now()).before()
}

fn list(source: &Source, json: bool) -> anyhow::Result<()> {
    let mut days = Vec::new();
    for folder in std::iter::once(&source.folder).chain(&source.also) {
        match source.kind.days(folder) {
            Ok(found) => days.extend(found),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read `{}`", folder.display()));
            }
        }
    }
    days.sort_unstable();
    days.dedup();
    let mut listed = Vec::new();
    for day in days {
        let subjects = source.subjects(day)?;
        listed.push(ListedDay {
            day: day.to_string(),
            domains: subjects.len(),
            counted: subjects.iter().map(Subject::total).fold(0, u64::saturating_add),
            sent: Sent::read(source.kind, &source.folder, day)?.entries().len(),
        });
    }
    listing::print(json, &listed, &["day", "domains", "counted", "sent"], |one| {
        vec![one.day.clone(), one.domains.to_string(), one.counted.to_string(), one.sent.to_string()]
    })
}

fn show(source: &Source, day: Day, json: bool) -> anyhow::Result<()> {
    let sent = Sent::read(source.kind, &source.folder, day)?;
    let subjects = source.subjects(day)?;
    let listed = subjects.iter().map(|subject| ListedDomain {
        domain: subject.domain().to_owned(),
        counted: subject.total(),
        rows: subject.rows(),
        sent: sent.entries().iter().filter(|entry| entry.domain == subject.domain()).count(),
    });
    let listed: Vec<ListedDomain> = listed.collect();
    listing::print(json, &listed, &["domain", "counted", "rows", "sent"], |one| {
        vec![one.domain.clone(), one.counted.to_string(), one.rows.to_string(), one.sent.to_string()]
    })
}

fn show_report(source: &Source, day: Day, domain: &str) -> anyhow::Result<()> {
    let submitter = source.submitter()?;
    let subjects = source.subjects(day)?;
    let Some(subject) = subjects.iter().find(|subject| subject.domain().eq_ignore_ascii_case(domain)) else {
        bail!(
            "nothing was counted about `{domain}` on {day}; `sluice reports {} show` has the domains",
            source.kind
        );
    };
    listing::write(subject.draft(&submitter, day, 0).text() + "\n")
}
