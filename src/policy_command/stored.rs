//! Stored messages, one at a time: files, Maildirs and mbox files.

use std::fs::{self, File, ReadDir};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use units::ByteSize;

use super::mbox::{Mbox, Part};
use crate::listing;

/// Folders within each other that are looked into.
const DEPTH_MAX: usize = 64;
/// How often a terminal is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// Walks over all messages below some paths.
pub(super) struct Walk<'a> {
    paths: &'a [PathBuf],
    message_max: ByteSize,
    progress: Progress,
    /// Messages that are too large, and files that can't be read; each is named on standard error.
    pub(super) left_out: u64,
}

impl<'a> Walk<'a> {
    /// A path that is not there is a fault of whoever typed it.
    pub(super) fn over(paths: &'a [PathBuf], message_max: ByteSize) -> anyhow::Result<Self> {
        for path in paths {
            fs::metadata(path).with_context(|| format!("`{}` can't be read", path.display()))?;
        }
        Ok(Self { paths, message_max, progress: Progress::new(), left_out: 0 })
    }

    /// Shows each message to `visit`, with the name of its place. In folders: the files of `cur` and `new`, and `*.eml` and `*.mbox`.
    pub(super) fn each(
        &mut self,
        mut visit: impl FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for path in self.paths {
            if path.is_dir() {
                self.folder(path, &mut visit)?;
            } else {
                self.file(path, true, &mut visit)?;
            }
        }
        self.progress.end();
        Ok(())
    }

    fn folder(
        &mut self,
        root: &Path,
        visit: &mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut open: Vec<(ReadDir, bool)> = Vec::new();
        self.enter(root, &mut open);
        while let Some((entries, is_maildir)) = open.last_mut() {
            let Some(entry) = entries.next() else {
                open.pop();
                continue;
            };
            let is_maildir = *is_maildir;
            let Ok(entry) = entry else {
                self.leave_out("a name", "can't be read");
                continue;
            };
            // Links are not followed: they could lead round in circles.
            let (path, kind) = (entry.path(), entry.file_type());
            let extension = path.extension().and_then(|extension| extension.to_str());
            match kind {
                Ok(kind) if kind.is_dir() => self.enter(&path, &mut open),
                Ok(kind) if kind.is_file() && (is_maildir || matches!(extension, Some("eml" | "mbox"))) => {
                    self.file(&path, !is_maildir, visit)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn enter(&mut self, path: &Path, open: &mut Vec<(ReadDir, bool)>) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if open.len() >= DEPTH_MAX {
            self.leave_out(&path.display().to_string(), "lies too deep");
            return;
        }
        match fs::read_dir(path) {
            Ok(entries) => open.push((entries, matches!(name, "cur" | "new"))),
            Err(error) => self.leave_out(&path.display().to_string(), &format!("can't be read: {error}")),
        }
    }

    fn file(
        &mut self,
        path: &Path,
        may_be_mbox: bool,
        visit: &mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let place = path.display().to_string();
        let failed = |error: std::io::Error| format!("can't be read: {error}");
        let mut reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) => {
                self.leave_out(&place, &failed(error));
                return Ok(());
            }
        };
        let is_mbox = may_be_mbox && reader.fill_buf().is_ok_and(|octets| octets.starts_with(b"From "));
        if !is_mbox {
            match whole(reader, self.message_max) {
                Ok(Some(octets)) => self.show(&place, &octets, visit)?,
                Ok(None) => self.leave_out(&place, "is too large (gateway.limits.message_size_max)"),
                Err(error) => self.leave_out(&place, &failed(error)),
            }
            return Ok(());
        }
        let mut mbox = Mbox::new(reader, self.message_max.as_usize());
        for number in 1u64.. {
            let place = format!("{place}#{number}");
            match mbox.next() {
                Ok(Some(Part::Whole(octets))) => self.show(&place, &octets, visit)?,
                Ok(Some(Part::TooLarge)) => {
                    self.leave_out(&place, "is too large (gateway.limits.message_size_max)");
                }
                Ok(None) => break,
                Err(error) => {
                    self.leave_out(&place, &failed(error));
                    break;
                }
            }
        }
        Ok(())
    }

    fn show(
        &mut self,
        place: &str,
        octets: &[u8],
        visit: &mut dyn FnMut(&str, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        visit(place, octets)?;
        self.progress.step();
        Ok(())
    }

    fn leave_out(&mut self, place: &str, why: &str) {
        self.progress.end();
        self.left_out += 1;
        listing::warn(&format!("`{}` {why}", listing::clean(place)));
    }
}

/// One message: a file, or `-` for standard input.
pub(super) fn read(path: &Path, max: ByteSize) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("`{}` can't be read", path.display());
    let found = if path == Path::new("-") {
        whole(std::io::stdin().lock(), max)
    } else {
        whole(File::open(path).with_context(failed)?, max)
    };
    match found.with_context(failed)? {
        Some(octets) => Ok(octets),
        None => bail!("`{}` has more than {max} (gateway.limits.message_size_max)", path.display()),
    }
}

/// `None` when there is more.
fn whole(reader: impl Read, max: ByteSize) -> std::io::Result<Option<Vec<u8>>> {
    let mut octets = Vec::new();
    reader.take(max.as_u64().saturating_add(1)).read_to_end(&mut octets)?;
    Ok((octets.len() as u64 <= max.as_u64()).then_some(octets))
}

/// Says on a terminal how far it is.
struct Progress {
    count: u64,
    told: Option<Instant>,
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { count: 0, told: std::io::stderr().is_terminal().then(Instant::now), shown: false }
    }

    fn step(&mut self) {
        self.count += 1;
        let Some(told) = &mut self.told else { return };
        if told.elapsed() >= TOLD_EVERY {
            *told = Instant::now();
            self.shown = true;
            let _ = write!(std::io::stderr().lock(), "\r{} messages", self.count);
        }
    }

    /// Clears the line.
    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(paths: &[PathBuf], max: u64) -> (Vec<String>, u64) {
        let mut walk = Walk::over(paths, ByteSize::bytes(max)).unwrap();
        let mut found = Vec::new();
        walk.each(|place, _| {
            found.push(place.rsplit('/').next().unwrap().to_owned());
            Ok(())
        })
        .unwrap();
        found.sort();
        (found, walk.left_out)
    }

    #[test]
    fn messages_are_found_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("mail/a@x.test/cur/1:2,S", "From here on it is text\n");
        put("mail/a@x.test/.Sent/new/2", "Subject: x\n\n");
        put("mail/a@x.test/tmp/3", "Subject: half\n");
        put("mail/a@x.test/sluice.index", "no message");
        put("old.mbox", "From a\nS: 1\n\nFrom b\nS: 2\n");
        put("one.eml", "Subject: y\n\n0123456789");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("mail/round")).unwrap();
        let all = [folder.path().to_path_buf()];
        let expected = ["1:2,S", "2", "old.mbox#1", "old.mbox#2", "one.eml"];
        assert_eq!(places(&all, 24), (expected.map(str::to_owned).to_vec(), 0));
        assert_eq!(places(&all, 23).1, 1, "one is too large then");
        assert_eq!(places(&[folder.path().join("old.mbox")], 100).0.len(), 2);
        assert!(Walk::over(&[folder.path().join("nothing")], "1KiB".parse().unwrap()).is_err());
    }

    #[test]
    fn a_message_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.eml");
        fs::write(&file, "0123456789").unwrap();
        for (max, good) in [(9, false), (10, true), (11, true)] {
            assert_eq!(read(&file, ByteSize::bytes(max)).is_ok(), good, "{max}");
        }
    }
}
