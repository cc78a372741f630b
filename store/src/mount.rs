//! What the system says about the mount that holds a directory.

use std::path::Path;

use crate::Verdict;

const MOUNTS: &str = "/proc/self/mountinfo";

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// For example `ext4` or `nfs4`.
    pub(crate) kind: String,
    options: Vec<String>,
}

/// The mount under `directory`; `None` where the system does not say.
pub(crate) fn of(directory: &Path) -> Option<Mount> {
    let directory = std::fs::canonicalize(directory).ok()?;
    let table = std::fs::read_to_string(MOUNTS).ok()?;
    find(&table, &directory)
}

/// The deepest mount point counts; of two mounts on the same point the later.
fn find(table: &str, directory: &Path) -> Option<Mount> {
    let mounts = table.lines().filter_map(parse).filter(|(point, _)| directory.starts_with(point));
    mounts.max_by_key(|(point, _)| Path::new(point).components().count()).map(|(_, mount)| mount)
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda1 rw`
fn parse(line: &str) -> Option<(String, Mount)> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(4);
    let (point, own) = (unescape(front.next()?), front.next()?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?.to_owned(), back.nth(1)?);
    let options = own.split(',').chain(options.split(',')).map(str::to_owned).collect();
    Some((point, Mount { kind, options }))
}

/// The kernel writes a space as `\040`.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

impl Mount {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|found| found == option)
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='))
    }

    /// What is wrong with the options for mail that several machines share.
    pub(crate) fn problems(&self) -> Vec<(Verdict, String)> {
        let mut problems = Vec::new();
        if self.has("ro") {
            problems.push((Verdict::Unfit, "it is mounted read-only".to_owned()));
        }
        if !self.kind.starts_with("nfs") {
            return problems;
        }
        let version = self.value("vers").unwrap_or("unknown");
        if !version.starts_with('4') {
            let text =
                format!("NFS version {version}: locks are not fenced; mount with vers=4.2, 4.1 or 4.0");
            problems.push((Verdict::Unfit, text));
        }
        if self.has("nolock") || self.value("local_lock").is_some_and(|local| local != "none") {
            let text = "locks stay on this machine (nolock, local_lock); mount with local_lock=none";
            problems.push((Verdict::Unfit, text.to_owned()));
        }
        if self.has("soft") || self.has("softerr") {
            let text = "soft: a slow server fails operations half-way; mount with hard";
            problems.push((Verdict::Doubtful, text.to_owned()));
        }
        if !self.value("lookupcache").is_some_and(|cached| cached.starts_with("pos") || cached == "none") {
            let text = "a name that was asked for before another machine made it may stay unseen by other programs; mount with lookupcache=positive";
            problems.push((Verdict::Doubtful, text.to_owned()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
21 1 8:1 / / rw,relatime - ext4 /dev/vda1 rw
30 21 0:50 / /mail rw,relatime shared:1 - nfs4 server:/mail rw,vers=4.2,lookupcache=pos,hard,local_lock=none
31 30 0:51 / /mail/old\\040one ro,relatime - nfs server:/old ro,vers=3,soft,nolock,local_lock=all
32 30 0:52 / /mail/all rw - nfs4 server:/all rw,vers=4.1,hard,local_lock=none
";

    #[test]
    fn the_deepest_mount_counts() {
        for (path, kind) in
            [("/", "ext4"), ("/mailbox", "ext4"), ("/mail/a", "nfs4"), ("/mail/old one/x", "nfs")]
        {
            assert_eq!(find(TABLE, Path::new(path)).unwrap().kind, kind, "{path}");
        }
        assert_eq!(find("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn options_are_judged() {
        use Verdict::{Doubtful, Unfit};
        for (path, verdicts) in [
            ("/", vec![]),
            ("/mail", vec![]),
            ("/mail/all", vec![Doubtful]),
            ("/mail/old one", vec![Unfit, Unfit, Unfit, Doubtful, Doubtful]),
        ] {
            let problems = find(TABLE, Path::new(path)).unwrap().problems();
            assert_eq!(problems.iter().map(|(verdict, _)| *verdict).collect::<Vec<_>>(), verdicts, "{path}");
        }
    }
}
