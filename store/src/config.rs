//! Settings of the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// What the root is called among the volumes.
pub(crate) const MAIN: &str = "main";

/// A volume beside the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeConfig {
    /// Its directory, best the mount point of a file system of its own. A relative path starts in the data folder.
    pub path: PathBuf,
    /// How many new accounts it gets in proportion to the other volumes; with 0 it only keeps those that it has.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// Where mail is kept and how patient the store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The directory that holds everyone's mail. It must carry the marker file `sluice.volume`, so that an unmounted mount point is not taken for an empty store.
    pub root: PathBuf,
    /// While other nodes tell of their changes, how long a mailbox is not looked at without word of one. It bounds how late a change shows that another
    /// program made, or a node that can't tell.
    pub attached_poll_interval: Span,
    /// How many new accounts the root gets in proportion to the volumes; with 0 it only keeps those that it has.
    pub root_weight: u32,
    /// More directories for mail, by name: `[store.volumes.NAME]` with `path` and `weight` (1). An account is on one of them or on the root, which is called `main`; `sluice mailbox move` takes it to another.
    pub volumes: BTreeMap<String, VolumeConfig>,
    /// A volume with less free space than this takes no new mail: it waits in the queue, and the other volumes go on.
    pub free_space_min: ByteSize,
    /// A volume on which fewer files than this can be made takes no new mail.
    pub free_files_min: u64,
    /// How long the answer to a question for free space holds.
    pub free_check_interval: Span,
    /// How long an operation waits for a mailbox that another process or thread is writing to. A delivery that waited in vain is written the plain Maildir way and gets its UID later. The first start with a new volume waits twelve times as long: as long as a server's time of grace.
    pub lock_wait_max: Span,
    /// How often a listing that misses a known message is repeated before the message counts as removed by another program.
    pub listing_retries: u32,
    /// The coarsest step in which the file system counts modification times; a directory changed more recently is looked at again.
    pub mtime_resolution: Span,
    /// How long after a change of our own a directory is listed once more for a change that another program made in the same instant.
    pub foreign_check_interval: Span,
    /// The deepest mailbox that may be made, counted in levels.
    pub folder_depth_max: u32,
    /// The most mailboxes one account may have.
    pub mailboxes_max: u32,
    /// The journal is folded into the index when it is larger than this and also larger than the index.
    pub journal_size_max: ByteSize,
    /// The cache of summaries is written anew, with the index, when the records of messages that are gone take more than this
    /// and also more than the others.
    pub cache_waste_max: ByteSize,
    /// A command that removes at most this many messages removes their files before it is answered; a larger one leaves it to the upkeep, and
    /// leaves a note for that of other nodes, as one does that changes the flags of more messages than this.
    pub small_change_max: u32,
    /// How long the names of files may show old flags, which the journal already holds, and files of a large removal may stay: what changes meanwhile
    /// is done together. 0: names of a small change follow before it is answered. Should the process die meanwhile, whoever opens the mailbox next sees to it.
    pub pending_rename_interval: Span,
    /// From how many files or mailboxes on the deliveries of a batch share one sync of the whole file system instead of syncing each. On a network file system they never do.
    pub shared_sync_min: u32,
    /// How long a batch of several messages waits for a mailbox that another process or thread is writing to; later its messages are delivered by themselves.
    pub batch_lock_wait: Span,
    /// How many mailboxes the upkeep brings up to date at once, and, on a network file system, how many of a batch are written to at once.
    pub batch_threads: u32,
    /// How many mailboxes are kept open although nobody uses them at the moment.
    pub open_mailboxes_max: u32,
    /// How long the sum of what an account holds is remembered; changes of other nodes count that much later against its quota.
    pub usage_interval: Span,
    /// How long the identity of a message that was moved or expunged is remembered, so that a repeated delivery does not bring it back.
    pub message_ids_kept: Span,
    /// Files in `tmp` older than this are left-overs and removed.
    pub tmp_age_max: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("mail"),
            attached_poll_interval: Span::secs(15),
            root_weight: 1,
            volumes: BTreeMap::new(),
            free_space_min: ByteSize::mib(256),
            free_files_min: 1000,
            free_check_interval: Span::secs(5),
            lock_wait_max: Span::secs(10),
            listing_retries: 3,
            mtime_resolution: Span::millis(20),
            foreign_check_interval: Span::secs(30),
            folder_depth_max: 20,
            mailboxes_max: 10_000,
            journal_size_max: ByteSize::kib(256),
            cache_waste_max: ByteSize::mib(1),
            small_change_max: 64,
            pending_rename_interval: Span::secs(2),
            shared_sync_min: 8,
            batch_lock_wait: Span::millis(100),
            batch_threads: 16,
            open_mailboxes_max: 200,
            usage_interval: Span::mins(1),
            message_ids_kept: Span::hours(7 * 24),
            tmp_age_max: Span::hours(36),
        }
    }
}

impl Config {
    /// Faults that a single field's type can't show: (key, problem).
    pub fn faults(&self) -> Vec<(String, String)> {
        let checks = [
            (self.root.as_os_str().is_empty(), "root", "must name a directory"),
            (self.lock_wait_max == Span::millis(0), "lock_wait_max", "must be longer than zero"),
            (self.listing_retries == 0, "listing_retries", "must be at least 1: one listing proves nothing"),
            (self.folder_depth_max == 0, "folder_depth_max", "must be at least 1"),
            (self.mailboxes_max < 10, "mailboxes_max", "must be at least 10"),
            (self.journal_size_max < ByteSize::kib(4), "journal_size_max", "must be at least 4 KiB"),
            (self.batch_threads == 0, "batch_threads", "must be at least 1"),
            (self.open_mailboxes_max == 0, "open_mailboxes_max", "must be at least 1"),
            (
                self.pending_rename_interval > Span::secs(30),
                "pending_rename_interval",
                "must be at most 30s: until then flags are only in the journal",
            ),
            (
                self.message_ids_kept < Span::hours(7 * 24),
                "message_ids_kept",
                "must be at least 7d: the queue may deliver again until then",
            ),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _, _)| *wrong);
        let wrong = wrong.map(|(_, key, problem)| (key.to_owned(), problem.to_owned()));
        wrong.chain(self.volume_faults()).collect()
    }

    /// Where a volume is; `main` is the root.
    pub fn volume_path(&self, name: &str) -> Option<&Path> {
        if name == MAIN {
            return Some(&self.root);
        }
        self.volumes.get(name).map(|volume| volume.path.as_path())
    }

    fn volume_faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut paths = vec![&self.root];
        for (name, volume) in &self.volumes {
            let mut fault = |problem: &str| faults.push((format!("volumes.{name}"), problem.to_owned()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name == MAIN {
                fault("is what the root is called: take another name");
            } else if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
                fault("a name is 1 to 32 letters, digits, - and _");
            }
            if volume.path.as_os_str().is_empty() {
                fault("`path` must name a directory");
            } else if paths.iter().any(|path| volume.path.starts_with(path) || path.starts_with(&volume.path))
            {
                fault("lies in another volume, or another volume in it");
            }
            paths.push(&volume.path);
        }
        if self.root_weight == 0 && self.volumes.values().all(|volume| volume.weight == 0) {
            faults.push((
                "root_weight".to_owned(),
                "one volume at least needs a weight for new accounts".to_owned(),
            ));
        }
        faults
    }
}
