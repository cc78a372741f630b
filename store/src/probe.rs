//! Whether a directory's file system does what the store needs: tried, not believed.
//!
//! Everything happens in a directory of its own, which is removed at the end. With a second path to the same directory
//! (another mount of it) what one does must show through the other, as between two machines.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::At as _;
use crate::fs::{self, Fs, is_stale};
use crate::mailbox::fresh_id;
use crate::{StoreError, mount};

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As needed.
    Good,
    /// It works, with a drawback that the detail names.
    Doubtful,
    /// Mail would be at risk.
    Unfit,
}

impl Verdict {
    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Unfit => "unfit",
        }
    }
}

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What was tried.
    pub check: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// Figures, or what is wrong and what to do.
    pub detail: String,
}

/// Renames that a reader must never catch half-way.
const RENAMES: usize = 300;
/// Writes that are timed.
const SYNCS: usize = 20;
/// Steps of the directory's time that are watched.
const STEPS: usize = 20;
/// How long each check waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// Octets of the files that are written.
const SIZE: usize = 4096;
/// The longest file name that the store makes or meets.
const NAME_MAX: usize = 250;

type Outcome = Result<String, Trouble>;

/// Why a check is not good.
enum Trouble {
    Wrong(Verdict, String),
    Failed(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

fn unfit(text: impl Into<String>) -> Trouble {
    Trouble::Wrong(Verdict::Unfit, text.into())
}

/// Tries what the store needs in `directory`; `other` is a second path to the same directory. `mtime_resolution` is what the
/// configuration says of the file system.
///
/// # Errors
/// When there is no place to try it in.
pub fn probe(
    directory: &Path,
    other: Option<&Path>,
    fs: &dyn Fs,
    mtime_resolution: Duration,
) -> Result<Vec<Probed>, StoreError> {
    let place = Place::new(directory, other, fs)?;
    let mut findings = mounted(directory);
    let mut check = |check, outcome: Outcome| {
        let (verdict, detail) = match outcome {
            Ok(detail) => (Verdict::Good, detail),
            Err(Trouble::Wrong(verdict, detail)) => (verdict, detail),
            Err(Trouble::Failed(error)) => (Verdict::Unfit, with_source(&error)),
        };
        findings.push(Probed { check, verdict, detail });
    };
    check("names", place.names());
    check("exclusive creation", place.exclusive());
    check("rename replaces at once", place.renames());
    check("links", place.links());
    check("locks", place.locks());
    check("appends are seen", place.appends());
    check("syncs", place.syncs());
    check("directory times", place.times(mtime_resolution));
    Ok(findings)
}

fn with_source(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn mounted(directory: &Path) -> Vec<Probed> {
    let finding = |verdict, detail| Probed { check: "mount", verdict, detail };
    let Some(mount) = mount::of(directory) else {
        return vec![finding(Verdict::Doubtful, "the system does not say what is mounted here".to_owned())];
    };
    let problems = mount.problems();
    if problems.is_empty() {
        return vec![finding(Verdict::Good, mount.kind)];
    }
    problems.into_iter().map(|(verdict, text)| finding(verdict, format!("{}: {text}", mount.kind))).collect()
}

/// The directory in which everything is tried.
struct Place<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    /// The same through the other mount, or the same path again.
    seen: PathBuf,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        for item in self.fs.list(&self.path).unwrap_or_default() {
            let _ = self.fs.remove_file(&self.path.join(item.name));
        }
        let _ = self.fs.remove_dir(&self.path);
    }
}

impl<'a> Place<'a> {
    fn new(directory: &Path, other: Option<&Path>, fs: &'a dyn Fs) -> Result<Self, StoreError> {
        let name = format!("sluice.probe.{}", fresh_id()?);
        let path = directory.join(&name);
        fs.create_dir(&path).at("create", &path)?;
        let place = Self { fs, path, seen: other.unwrap_or(directory).join(name) };
        // The other mount may know an older listing; asking for the directory refreshes it.
        if let Some(other) = other {
            fs.meta(other).at("look at", other)?;
        }
        fs.list(&place.seen).at("find the same directory through", &place.seen)?;
        Ok(place)
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        let file = self.fs.create_new(&path).at("create", &path)?;
        file.write_all_at(content, 0).at("write", &path)?;
        file.sync().at("sync", &path)?;
        Ok(path)
    }

    fn names(&self) -> Outcome {
        let message = "1700000000.01ARZ3NDEKTSV4RRFFQ69G5FAV,U=4294967295,S=4096:2,DFPRSTabcz";
        let long = "x".repeat(NAME_MAX);
        let wanted = [message, &long, "name", "NAME", "line\nend"];
        for name in wanted {
            self.create(name, b"x").map_err(|error| {
                unfit(format!(
                    "a name was refused, names may be folded or too short: {}",
                    with_source(&error)
                ))
            })?;
        }
        let listed = self.fs.list(&self.seen).at("list", &self.seen)?;
        let lost = wanted.iter().filter(|name| !listed.iter().any(|item| item.name == **name)).count();
        if lost > 0 {
            return Err(unfit(format!("{lost} names came back changed, or not at all")));
        }
        Ok(format!("{NAME_MAX} octets, upper and lower case, colons and commas are kept"))
    }

    fn exclusive(&self) -> Outcome {
        self.create("exclusive", b"x")?;
        match self.fs.create_new(&self.seen.join("exclusive")) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok("a taken name is refused".to_owned())
            }
            Err(error) => Err(unfit(format!("a taken name gives another error: {error}"))),
            Ok(_) => Err(unfit("two programs can create the same name")),
        }
    }

    /// One replaces a file again and again while another reads it.
    fn renames(&self) -> Outcome {
        let (target, version) = (self.path.join("target"), |byte: u8| vec![byte; SIZE]);
        self.create("target", &version(b'a'))?;
        let done = AtomicBool::new(false);
        let (renamed, read) = thread::scope(|scope| {
            let reader = scope.spawn(|| self.read_until(&done));
            let renamed = (0..RENAMES).try_for_each(|count| {
                let fresh = self.create("fresh", &version(if count % 2 == 0 { b'b' } else { b'a' }))?;
                self.fs.rename(&fresh, &target).at("rename to", &target)
            });
            done.store(true, Ordering::Release);
            (renamed, reader.join())
        });
        renamed?;
        let read = read.map_err(|_| unfit("the reader ended unexpectedly"))??;
        Ok(format!("{RENAMES} times under {read} reads"))
    }

    fn read_until(&self, done: &AtomicBool) -> Result<u64, Trouble> {
        let path = self.seen.join("target");
        let (mut reads, mut since) = (0, Instant::now());
        while !done.load(Ordering::Acquire) || reads == 0 {
            let content = match self.fs.open_read(&path).and_then(|file| fs::read_from(&*file, 0)) {
                // The server took the file away that was just replaced: every reader of the store asks again.
                Err(error) if is_stale(&error) && since.elapsed() < PATIENCE => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(unfit("while a file is replaced its name is gone"));
                }
                other => other.at("read", &path)?,
            };
            let whole = content.first().is_some_and(|first| content.iter().all(|byte| byte == first));
            if !whole || content.len() != SIZE {
                return Err(unfit("while a file is replaced a reader sees half of it"));
            }
            (reads, since) = (reads + 1, Instant::now());
        }
        Ok(reads)
    }

    fn links(&self) -> Outcome {
        let (from, to) = (self.create("body", b"x")?, self.path.join("second"));
        let doubtful = |error: io::Error| {
            let text = format!("no second names ({error}): a message for many is written once for each");
            Trouble::Wrong(Verdict::Doubtful, text)
        };
        self.fs.link(&from, &to).map_err(doubtful)?;
        let meta = |path: &Path| self.fs.meta(path).at("look at", path);
        if meta(&from)?.identity != meta(&to)?.identity {
            return Err(unfit("a link is a copy: what is there can't be told from what is not"));
        }
        match self.fs.link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok("two names of one file are one file".to_owned())
            }
            _ => Err(unfit("a link replaces another file")),
        }
    }

    fn locks(&self) -> Outcome {
        let name = self.create("lock", b"x")?;
        let open = |path: &Path| self.fs.open_write(path).at("open", path);
        let (mine, other) = (open(&name)?, open(&self.seen.join("lock"))?);
        let lock = |file: &dyn fs::FsFile| file.try_lock().at("lock", &name);
        if !lock(&*mine)? {
            return Err(unfit("a lock that nobody has is refused"));
        }
        if lock(&*other)? {
            return Err(unfit("two have the same lock at once: two nodes would write one mailbox together"));
        }
        drop(mine);
        let began = Instant::now();
        while !lock(&*other)? {
            if began.elapsed() > PATIENCE {
                return Err(unfit("a lock stays taken after its holder is gone"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(if self.seen == self.path {
            "between two programs of this machine"
        } else {
            "through both mounts"
        }
        .to_owned())
    }

    fn appends(&self) -> Outcome {
        let name = self.create("journal", b"one")?;
        let reader = self.seen.join("journal");
        let reader = self.fs.open_read(&reader).at("open", &reader)?;
        let writer = self.fs.open_write(&name).at("open", &name)?;
        writer.write_all_at(b"two", 3).at("write", &name)?;
        writer.sync().at("sync", &name)?;
        // Closing is what makes data visible to another NFS client.
        drop(writer);
        if fs::read_from(&*reader, 0).at("read", &name)? == b"onetwo" {
            return Ok("what is appended and synced shows in a file that is open already".to_owned());
        }
        Err(unfit("what another appends and syncs does not show"))
    }

    fn syncs(&self) -> Outcome {
        let mut times = Vec::with_capacity(SYNCS);
        for count in 0..SYNCS {
            let began = Instant::now();
            self.create(&format!("sync{count}"), &[b'x'; SIZE])?;
            self.fs.sync_dir(&self.path).at("sync", &self.path)?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        Ok(format!(
            "4 KiB and its name: {:.2} ms in the middle, {:.2} ms at most",
            milliseconds(times.get(SYNCS / 2)),
            milliseconds(times.last())
        ))
    }

    /// How fine the steps are in which a directory's time goes on.
    fn times(&self, configured: Duration) -> Outcome {
        let time = || self.fs.meta(&self.seen).at("look at", &self.seen).map(|meta| meta.modified);
        let (began, mut last, mut steps) = (Instant::now(), time()?, Vec::new());
        let mut count = 0;
        while steps.len() < STEPS && began.elapsed() < PATIENCE {
            count += 1;
            let path = self.path.join(format!("time{count}"));
            self.fs.create_new(&path).at("create", &path)?;
            self.fs.remove_file(&path).at("remove", &path)?;
            let now = time()?;
            if now != last {
                steps.push(now.saturating_sub(last));
                last = now;
            }
        }
        let Some(finest) = steps.iter().filter(|step| **step > 0).min() else {
            return Err(unfit(
                "a directory's time does not change with its names: other programs' mail stays unseen",
            ));
        };
        let finest = Duration::from_nanos(u64::try_from(*finest).unwrap_or(u64::MAX));
        let told = format!("steps of {:.3} ms", finest.as_secs_f64() * 1000.0);
        if finest > configured {
            let text = format!("{told}: store.mtime_resolution must be at least that, it is {configured:?}");
            return Err(Trouble::Wrong(Verdict::Doubtful, text));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealFs;
    use crate::fs::simulated::{Fault, SimulatedFs};

    #[test]
    fn a_local_disk_is_fit_and_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        for other in [None, Some(root.path())] {
            let findings = probe(root.path(), other, &RealFs, Duration::from_secs(1)).unwrap();
            assert_eq!(findings.len(), 9, "{findings:?}");
            assert!(findings.iter().all(|finding| finding.verdict == Verdict::Good), "{findings:?}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        let nowhere = root.path().join("nowhere");
        assert!(probe(&nowhere, None, &RealFs, Duration::ZERO).is_err());
        // Not the same directory.
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(probe(root.path(), Some(elsewhere.path()), &RealFs, Duration::ZERO).is_err());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        let coarse = probe(root.path(), None, &RealFs, Duration::ZERO).unwrap();
        let times = coarse.iter().find(|finding| finding.check == "directory times").unwrap();
        assert_eq!(times.verdict, Verdict::Doubtful, "{times:?}");
    }

    #[test]
    fn a_disk_that_fails_is_unfit() {
        let fs = SimulatedFs::new();
        fs.create_dir("/x".as_ref()).unwrap();
        let place = Place::new("/x".as_ref(), None, &fs).unwrap();
        assert!(place.exclusive().is_ok());
        fs.plan(1, Fault::FailBefore);
        assert!(matches!(place.locks(), Err(Trouble::Failed(_))));
        fs.plan(3, Fault::FailBefore);
        assert!(matches!(place.names(), Err(Trouble::Wrong(Verdict::Unfit, _))), "the first sync failed");
    }
}
