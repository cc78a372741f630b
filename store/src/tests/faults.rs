//! For every operation and every file-system call in it: the call fails, lies, or is where power goes. Afterwards
//! nothing that was acknowledged is lost, nothing is there twice or in half, and no UID means another message.

mod account;
mod change;
mod deliver;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::error::At as _;
use crate::fs::simulated::{Fault, Loss, SimulatedFs};
use crate::fs::{Fs as _, replace};

struct Scene {
    fs: SimulatedFs,
    config: Config,
    /// What each UID of INBOX was seen to mean.
    meant: BTreeMap<u32, Vec<u8>>,
}

/// With a second volume.
fn config_of_two() -> Config {
    let other = VolumeConfig { path: "/other".into(), weight: 0 };
    Config { volumes: [("other".to_owned(), other)].into(), ..config() }
}

fn config() -> Config {
    Config {
        root: "/mail".into(),
        lock_wait_max: Span::millis(200),
        foreign_check_interval: Span::millis(0),
        cache_waste_max: units::ByteSize::bytes(0),
        // The n-th call is the same one each time.
        batch_threads: 1,
        ..Config::default()
    }
}

impl Scene {
    /// An account with messages 1 to 3, the second seen, and Sent with message 4.
    fn new() -> Self {
        Self::on(SimulatedFs::new(), config())
    }

    fn on(fs: SimulatedFs, config: Config) -> Self {
        for volume in ["/mail", "/other"].map(Path::new) {
            fs.create_dir(volume).unwrap();
            fs.sync_dir(Path::new("/")).unwrap();
            replace(&fs, volume, "sluice.volume", b"x").unwrap();
        }
        let mut scene = Self { fs, config, meant: BTreeMap::new() };
        let store = scene.store();
        let inbox = inbox(&store);
        for number in 1..=3 {
            deliver(&inbox, number).unwrap();
        }
        inbox.store(&[Uid(2)], FlagChange::Add, &seen(), None).unwrap();
        deliver(&sent(&store), 4).unwrap();
        store.account(&ann()).unwrap().create(&name("a/b")).unwrap();
        scene.observe(&inbox);
        scene
    }

    fn store(&self) -> Store {
        Store::open(&self.config, Arc::new(self.fs.clone()), &Registry::new()).unwrap()
    }

    /// Every UID still means what it meant, every message is whole and there once.
    fn observe(&mut self, inbox: &Mailbox) {
        let view = inbox.refresh().unwrap();
        let mut contents = Vec::new();
        for entry in view.iter() {
            let content = inbox.content(entry.uid).unwrap().to_vec();
            assert_eq!(content.len() as u64, entry.size);
            assert!(!contents.contains(&content), "twice: {:?}", String::from_utf8_lossy(&content));
            let meant = self.meant.entry(entry.uid.0).or_insert_with(|| content.clone());
            assert_eq!(*meant, content, "{:?} means another message", entry.uid);
            assert_eq!(*inbox.summary(entry.uid).unwrap(), parse_summary(&content));
            contents.push(content);
        }
        assert!(view.uid_next.0 > self.meant.keys().max().copied().unwrap_or(0));
    }
}

fn sent(store: &Store) -> Arc<Mailbox> {
    open_sent(store).unwrap()
}

/// What an operation under a fault opens: opening may fail too.
fn open_inbox(store: &Store) -> Result<Arc<Mailbox>, StoreError> {
    store.account(&ann())?.mailbox(&MailboxName::inbox())
}

fn open_sent(store: &Store) -> Result<Arc<Mailbox>, StoreError> {
    store.account(&ann())?.mailbox(&name("Sent"))
}

fn has(mailbox: &Mailbox, number: u8) -> bool {
    let view = mailbox.refresh().unwrap();
    view.iter().any(|entry| mailbox.content(entry.uid).unwrap() == text(number))
}

/// Runs `operation` with a fault at each of its calls. `after` gets whether it was acknowledged, on a store opened
/// anew after what is left of the disk, and once more after a power cut that loses everything not synced.
fn check(operation: impl Fn(&Store) -> Result<(), StoreError>, after: impl Fn(&Store, bool)) {
    check_with(operation, |_| {}, after);
}

/// As [`check`]; `first` comes before anybody looks at what the fault left.
fn check_with(
    operation: impl Fn(&Store) -> Result<(), StoreError>,
    first: impl Fn(&Store),
    after: impl Fn(&Store, bool),
) {
    for network in [false, true] {
        check_on(disk(network), &config(), 1, &operation, &first, &after);
    }
}

fn disk(network: bool) -> impl Fn() -> SimulatedFs {
    move || {
        let fs = SimulatedFs::new();
        if network {
            fs.share();
        }
        fs
    }
}

fn check_on(
    disk: impl Fn() -> SimulatedFs,
    config: &Config,
    stride: usize,
    operation: &impl Fn(&Store) -> Result<(), StoreError>,
    first: &impl Fn(&Store),
    after: &impl Fn(&Store, bool),
) {
    let cuts = [Loss::Nothing, Loss::Contents, Loss::Names, Loss::Both].map(|loss| (Fault::Cut, loss));
    let faults =
        [(Fault::FailBefore, Loss::Nothing), (Fault::FailAfter, Loss::Nothing)].into_iter().chain(cuts);
    for (number, (fault, loss)) in faults.enumerate() {
        for call in (1 + number as u64 % stride as u64..).step_by(stride) {
            let mut scene = Scene::on(disk(), config.clone());
            let store = scene.store();
            inbox(&store).refresh().unwrap();
            scene.fs.plan(call, fault);
            let acknowledged = operation(&store).is_ok();
            if !scene.fs.clear_plan() {
                assert!(acknowledged, "without a fault it works");
                assert!(call > 3, "the operation makes file-system calls");
                break;
            }
            let context = format!("{fault:?} at call {call}, {loss:?} lost, acknowledged: {acknowledged}");
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                if fault == Fault::Cut {
                    scene.fs.power_on(loss);
                } else {
                    // The process lives on after a failed call.
                    let _ = inbox(&store).refresh();
                }
                drop(store);
                let store = scene.store();
                first(&store);
                scene.observe(&inbox(&store));
                after(&store, acknowledged);
                scene.observe(&inbox(&store));
                deliver(&inbox(&store), 100).unwrap();
                scene.observe(&inbox(&store));
                drop(store);
                scene.fs.power_on(Loss::Both);
                let store = scene.store();
                scene.observe(&inbox(&store));
                assert!(has(&inbox(&store), 100), "an acknowledged delivery survives a power cut");
                after(&store, acknowledged);
            }));
            if let Err(panic) = result {
                eprintln!("{context}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn untouched(store: &Store, numbers: &[u8]) {
    for number in numbers {
        assert!(has(&inbox(store), *number), "message {number} is lost");
    }
}
