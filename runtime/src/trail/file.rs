//! One file a day, and the old ones removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use time::{Date, OffsetDateTime};

use crate::telemetry::Output;

const DAY: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year]-[month]-[day]");

/// The process's trail, today's file open.
pub(crate) struct TrailFile {
    directory: PathBuf,
    process: String,
    days: u16,
    open: Option<(Date, File)>,
}

impl TrailFile {
    pub(crate) fn open(directory: &Path, process: &str, days: u16) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned(), process: process.to_owned(), days, open: None })
    }

    /// Today's file; the first use of a day makes it and removes those that are too old.
    fn file(&mut self, today: Date) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(day, _)| *day != today) {
            let name = format!("{}.{}.jsonl", self.process, today.format(DAY).map_err(io::Error::other)?);
            let file = OpenOptions::new().create(true).append(true).open(self.directory.join(name))?;
            self.remove_old(today);
            self.open = Some((today, file));
        }
        let file = self.open.as_mut().map(|(_, file)| file);
        file.ok_or_else(|| io::Error::other("the trail has no file"))
    }

    /// What can't be removed now is tried again tomorrow.
    fn remove_old(&self, today: Date) {
        let keep = time::Duration::days(i64::from(self.days));
        for (process, day, path) in files(&self.directory).unwrap_or_default() {
            if process == self.process && day.saturating_add(keep) <= today {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn write_at(&mut self, today: Date, lines: &[u8]) -> io::Result<()> {
        let written = self.file(today)?.write_all(lines);
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

impl Output for TrailFile {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_at(OffsetDateTime::now_utc().date(), lines)
    }
}

/// The files of a trail: process, day and path.
pub(super) fn files(directory: &Path) -> io::Result<Vec<(String, Date, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let parts = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
            let (process, day) = name.strip_suffix(".jsonl")?.rsplit_once('.')?;
            Some((process.to_owned(), Date::parse(day, DAY).ok()?))
        });
        if let Some((process, day)) = parts {
            files.push((process, day, path));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn makes_a_file_a_day_and_removes_its_own_old_ones() {
        let directory = tempfile::tempdir().unwrap();
        let mut trail = TrailFile::open(directory.path(), "gateway", 2).unwrap();
        let mut other = TrailFile::open(directory.path(), "worker", 30).unwrap();
        fs::write(directory.path().join("notes.txt"), "mine").unwrap();
        for day in [date!(2026 - 01 - 30), date!(2026 - 01 - 31), date!(2026 - 02 - 01)] {
            trail.write_at(day, b"{}\n").unwrap();
            trail.write_at(day, b"{}\n").unwrap();
            other.write_at(day, b"{}\n").unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "gateway.2026-01-31.jsonl",
                "gateway.2026-02-01.jsonl",
                "notes.txt",
                "worker.2026-01-30.jsonl",
                "worker.2026-01-31.jsonl",
                "worker.2026-02-01.jsonl",
            ]
        );
        let lines = fs::read_to_string(directory.path().join("gateway.2026-01-31.jsonl")).unwrap();
        assert_eq!(lines, "{}\n{}\n");
    }
}
