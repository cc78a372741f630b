//! For every operation and every file-system call in it: the call fails, lies, or is where power goes. Afterwards
//! nothing that was acknowledged is lost, nothing is there twice or in half, and no UID means another message.

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

#[test]
fn delivery() {
    check(
        |store| deliver(&*open_inbox(store)?, 9).map(drop),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            assert!(!acknowledged || has(&inbox(store), 9), "an acknowledged delivery is lost");
            // What was not acknowledged is delivered again, and then it is there once.
            deliver(&inbox(store), 9).unwrap();
            untouched(store, &[1, 2, 3, 9]);
        },
    );
}

/// Message 9 for INBOX, 10 for INBOX and Sent, 11 for Sent.
fn deliver_three(store: &Store) -> Result<(), StoreError> {
    let texts = [9, 10, 11].map(text);
    let (inbox, sent) = (open_inbox(store)?, open_sent(store)?);
    let to = [vec![inbox.clone()], vec![inbox, sent.clone()], vec![sent]];
    let filings: Vec<Filing<'_>> = (9..)
        .zip(&texts)
        .zip(to)
        .map(|((number, content), mailboxes)| Filing {
            delivery: Delivery {
                message_id: id(number),
                content,
                received_at: DATE,
                flags: Flags::default(),
            },
            mailboxes,
        })
        .collect();
    store
        .deliver_batch(&filings, Patience::Little)
        .into_iter()
        .flatten()
        .try_for_each(|answer| answer.map(drop))
}

#[test]
fn a_batch() {
    // With a sync of the volume for everything, and with one for each file and mailbox.
    for shared_sync_min in [1, 100] {
        let config = Config { shared_sync_min, ..config() };
        for network in [false, true] {
            check_on(disk(network), &config, 1, &deliver_three, &|_| {}, &|store, acknowledged| {
                untouched(store, &[1, 2, 3]);
                let there = |store: &Store| {
                    [9, 10].iter().all(|number| has(&inbox(store), *number))
                        && [10, 11].iter().all(|number| has(&sent(store), *number))
                };
                assert!(!acknowledged || there(store), "an acknowledged delivery is lost");
                deliver_three(store).unwrap();
                assert!(there(store));
                assert_eq!(sent(store).refresh().unwrap().len(), 3, "a message is there twice");
            });
        }
    }
}

/// The queue gives other messages before it gives the one that was under way again.
#[test]
fn delivery_after_another_one() {
    check_with(
        |store| deliver(&*open_inbox(store)?, 9).map(drop),
        |store| {
            for number in [10, 9] {
                deliver(&inbox(store), number).unwrap();
            }
        },
        |store, _| {
            untouched(store, &[1, 2, 3, 9, 10]);
            inbox(store).rebuild().unwrap();
            untouched(store, &[1, 2, 3, 9, 10]);
        },
    );
}

fn deliver_to_both(store: &Store, number: u8) -> Result<(), StoreError> {
    let content = text(number);
    let delivery =
        Delivery { message_id: id(number), content: &content, received_at: DATE, flags: Flags::default() };
    let mailboxes = [open_inbox(store)?, open_sent(store)?];
    store.deliver_to_all(&mailboxes, delivery).into_iter().try_for_each(|answer| answer.map(drop))
}

#[test]
fn delivery_to_many() {
    check(
        |store| deliver_to_both(store, 9),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            let there = has(&inbox(store), 9) && has(&sent(store), 9);
            assert!(!acknowledged || there, "an acknowledged delivery is lost");
            deliver_to_both(store, 9).unwrap();
            assert!(has(&inbox(store), 9) && has(&sent(store), 9));
            assert_eq!(sent(store).refresh().unwrap().len(), 2, "it is there twice");
        },
    );
}

#[test]
fn without_links_everybody_gets_a_copy() {
    let scene = Scene::new();
    scene.fs.refuse_links();
    let store = scene.store();
    deliver_to_both(&store, 9).unwrap();
    assert!(has(&inbox(&store), 9) && has(&sent(&store), 9));
}

#[test]
fn first_delivery_of_an_account() {
    let bob: AccountId = "bob@example.test".parse().unwrap();
    let inbox =
        |store: &Store| store.account(&bob).and_then(|account| account.mailbox(&MailboxName::inbox()));
    check(
        |store| deliver(&*inbox(store)?, 9).map(drop),
        |store, acknowledged| {
            assert!(!acknowledged || has(&inbox(store).unwrap(), 9), "an acknowledged delivery is lost");
            deliver(&inbox(store).unwrap(), 9).unwrap();
            assert_eq!(inbox(store).unwrap().refresh().unwrap().len(), 1);
            assert_eq!(
                store.account(&bob).unwrap().list().unwrap().iter().filter(|info| info.subscribed).count(),
                4
            );
        },
    );
}

#[test]
fn append() {
    check(
        |store| open_inbox(store)?.append(&text(9), &seen(), DATE).map(drop),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            assert!(!acknowledged || has(&inbox(store), 9), "an acknowledged append is lost");
        },
    );
}

#[test]
fn flags() {
    let flags = Flags { keywords: ["$New".to_owned()].into(), ..seen() };
    check(
        |store| open_inbox(store)?.store(&[Uid(1), Uid(3)], FlagChange::Add, &flags, None).map(drop),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            let view = inbox(store).refresh().unwrap();
            assert!(view.get(1).unwrap().flags.seen, "an old flag is lost");
            for index in [0, 2] {
                let now = &*view.get(index).unwrap().flags;
                assert!(*now == flags || !acknowledged, "an acknowledged flag is lost: {now:?}");
                assert!(*now == flags || *now == Flags::default(), "half a change: {now:?}");
            }
        },
    );
}

#[test]
fn expunge() {
    check(
        |store| open_inbox(store)?.expunge(&[Uid(1), Uid(3)]).map(drop),
        |store, acknowledged| {
            untouched(store, &[2]);
            let rest = [1, 3].map(|number| has(&inbox(store), number));
            assert!(!acknowledged || rest == [false, false], "an expunged message is back");
            assert!(rest[0] == rest[1], "half an expunge");
            for number in [1, 3] {
                let again = deliver(&inbox(store), number).unwrap();
                assert!(again.duplicate, "an expunged message can't be delivered again");
            }
        },
    );
}

#[test]
fn folding_with_a_compaction_of_the_cache() {
    check(
        |store| {
            let inbox = open_inbox(store)?;
            inbox.expunge(&[Uid(1), Uid(3)])?;
            inbox.fold()
        },
        |store, acknowledged| {
            let inbox = inbox(store);
            assert!(has(&inbox, 2));
            assert!(!acknowledged || (!has(&inbox, 1) && !has(&inbox, 3)));
            // Whoever goes on finds summaries or parses, and the next folding leaves out what is not needed.
            inbox.fold().unwrap();
            untouched(store, &[2]);
        },
    );
}

#[test]
fn copy() {
    check(
        |store| open_inbox(store)?.copy(&[Uid(1), Uid(2)], &*open_sent(store)?).map(drop),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            assert!(has(&sent(store), 4));
            assert!(!acknowledged || (has(&sent(store), 1) && has(&sent(store), 2)), "a copy is lost");
        },
    );
}

#[test]
fn move_to() {
    check(
        |store| open_inbox(store)?.move_to(&[Uid(1), Uid(2)], &*open_sent(store)?).map(drop),
        |store, acknowledged| {
            untouched(store, &[3]);
            for number in [1, 2] {
                let (here, there) = (has(&inbox(store), number), has(&sent(store), number));
                assert!(here || there, "a moved message is lost");
                assert!(!acknowledged || (there && !here), "a moved message is not where it should be");
            }
        },
    );
}

#[test]
fn recent() {
    check(|store| open_inbox(store)?.recent(true).map(drop), |store, _| untouched(store, &[1, 2, 3]));
}

#[test]
fn rebuild() {
    check(
        |store| open_inbox(store)?.rebuild(),
        |store, _| {
            untouched(store, &[1, 2, 3]);
            assert!(inbox(store).refresh().unwrap().get(1).unwrap().flags.seen);
        },
    );
}

/// A second file that claims to be message 1, on disk.
fn put_twin(store: &Store, number: u8) -> Result<(), StoreError> {
    let fs = &store.shared().fs;
    let inbox = open_inbox(store)?;
    let of_message_1 = |item: &DirectoryItem| item.name.to_string_lossy().contains(",U=1,");
    let known = fs.list(&inbox.path().join("new")).at("list", inbox.path())?;
    let Some(known) = known.into_iter().find(of_message_1) else { return Err(StoreError::NoSuchMessage) };
    let path = inbox.path().join("cur").join(known.name.to_string_lossy().into_owned() + ":2,F");
    let file = fs.create_new(&path).at("create", &path)?;
    file.write_all_at(&text(number), 0).at("write", &path)?;
    file.sync().at("sync", &path)?;
    fs.sync_dir(&inbox.path().join("cur")).at("sync", &path)
}

#[test]
fn rebuild_with_two_files_of_one_uid() {
    check(
        |store| {
            put_twin(store, 30)?;
            open_inbox(store)?.rebuild()
        },
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            assert!(!acknowledged || has(&inbox(store), 30), "the other file is no message");
        },
    );
}

fn exists(store: &Store, text: &str) -> bool {
    store
        .account(&ann())
        .unwrap()
        .list()
        .unwrap()
        .iter()
        .any(|info| info.exists && info.name.as_str() == text)
}

#[test]
fn create() {
    check(
        |store| store.account(&ann())?.create(&name("x/y")),
        |store, acknowledged| {
            let account = store.account(&ann()).unwrap();
            assert!(!acknowledged || (exists(store, "x") && exists(store, "x/y")), "a mailbox is lost");
            match account.create(&name("x/y")) {
                Ok(()) | Err(StoreError::AlreadyExists) => {}
                Err(error) => panic!("{error}"),
            }
            deliver(&account.mailbox(&name("x/y")).unwrap(), 1).unwrap();
        },
    );
}

#[test]
fn delete() {
    check(
        |store| store.account(&ann())?.delete(&name("Sent")),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            let there = exists(store, "Sent");
            assert!(!(acknowledged && there), "a deleted mailbox is back");
            assert!(!there || has(&sent(store), 4), "half a deletion");
        },
    );
}

#[test]
fn rename() {
    check(
        |store| store.account(&ann())?.rename(&name("Sent"), &name("z/Sent")),
        |store, acknowledged| {
            let (old, new) = (exists(store, "Sent"), exists(store, "z/Sent"));
            assert!(old != new, "the mailbox has one name");
            assert!(!acknowledged || new, "a renamed mailbox has its old name");
            let now = if new { "z/Sent" } else { "Sent" };
            let mailbox = store.account(&ann()).unwrap().mailbox(&name(now)).unwrap();
            assert!(has(&mailbox, 4), "a message is lost with the renamed mailbox");
        },
    );
}

#[test]
fn subscribe() {
    let subscribed = |store: &Store, text: &str| {
        store
            .account(&ann())
            .unwrap()
            .list()
            .unwrap()
            .iter()
            .any(|info| info.subscribed && info.name.as_str() == text)
    };
    check(
        |store| store.account(&ann())?.set_subscribed(&name("a/b"), true),
        |store, acknowledged| {
            assert!(subscribed(store, "Sent"), "an old subscription is lost");
            assert!(!acknowledged || subscribed(store, "a/b"), "a subscription is lost");
        },
    );
}

/// Another server's Maildir with two messages at `/old`, written as a part of the operation.
fn put_maildir(store: &Store) -> Result<(), StoreError> {
    let fs = &*store.shared().fs;
    let old = Path::new("/old");
    for directory in ["", "cur", "new", "tmp"] {
        let path = old.join(directory);
        fs.create_dir(&path).at("create", &path)?;
    }
    let list = b"3 V77 N9\n5 :a.host\n7 :b.host\n".to_vec();
    for (name, content) in
        [("cur/a.host:2,S", text(21)), ("cur/b.host:2,", text(22)), ("dovecot-uidlist", list)]
    {
        let path = old.join(name);
        let file = fs.create_new(&path).at("create", &path)?;
        file.write_all_at(&content, 0).at("write", &path)?;
        file.sync().at("sync", &path)?;
    }
    for directory in [old.join("cur"), old.to_owned(), "/".into()] {
        fs.sync_dir(&directory).at("sync", &directory)?;
    }
    Ok(())
}

fn newcomer() -> AccountId {
    "new@example.test".parse().unwrap()
}

/// UIDs and texts of an account's INBOX.
fn held(account: &Account) -> Vec<(u32, Vec<u8>)> {
    let inbox = account.mailbox(&MailboxName::inbox()).unwrap();
    let view = inbox.refresh().unwrap();
    view.iter().map(|entry| (entry.uid.0, inbox.content(entry.uid).unwrap().to_vec())).collect()
}

fn migrated(result: Result<Vec<Migrated>, MigrateError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(MigrateError::Store(error)) => Err(error),
        Err(refused) => panic!("{refused}"),
    }
}

#[test]
fn adoption() {
    check(
        |store| {
            put_maildir(store)?;
            migrated(store.adopt(&newcomer(), Path::new("/old"), &mut |_, _| {}))
        },
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            let account = store.existing_account(&newcomer()).unwrap();
            assert!(!acknowledged || account.is_some(), "an account that was taken over is away");
            // All or nothing.
            if let Some(account) = account {
                assert_eq!(held(&account), [(5, text(21)), (7, text(22))]);
            }
        },
    );
}

#[test]
fn adoption_in_the_place_of_an_empty_account() {
    check(
        |store| {
            store.account(&newcomer())?;
            put_maildir(store)?;
            migrated(store.adopt(&newcomer(), Path::new("/old"), &mut |_, _| {}))
        },
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            let account = store.existing_account(&newcomer()).unwrap();
            assert!(!acknowledged || account.is_some(), "an account that was taken over is away");
            let Some(account) = account else { return };
            let held = held(&account);
            assert!(held.is_empty() || held == [(5, text(21)), (7, text(22))], "half of it: {held:?}");
            assert!(!acknowledged || !held.is_empty());
        },
    );
}

#[test]
fn export() {
    check(
        |store| migrated(store.export(&ann(), Path::new("/out"), &mut |_, _| {})),
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            if acknowledged {
                let account: AccountId = "copy@example.test".parse().unwrap();
                if store.existing_account(&account).unwrap().is_none() {
                    migrated(store.adopt(&account, Path::new("/out"), &mut |_, _| {})).unwrap();
                }
                let texts: Vec<_> = held(&store.existing_account(&account).unwrap().unwrap());
                assert_eq!(texts, [(1, text(1)), (2, text(2)), (3, text(3))]);
            }
        },
    );
}

#[test]
fn usage() {
    let of = |octets, messages| envelope::Usage { octets, messages };
    let four = of((1..=4).map(|number| text(number).len() as u64).sum(), 4);
    check(
        |store| store.account(&ann())?.count_usage().map(|usage| assert_eq!(usage, four)),
        |store, _| {
            let account = store.account(&ann()).unwrap();
            let views = account.list().unwrap().into_iter().filter(|info| info.exists).map(|info| {
                let view = account.mailbox(&info.name).unwrap().refresh().unwrap();
                of(view.iter().map(|entry| entry.size).sum(), view.len() as u64)
            });
            assert_eq!(account.usage().unwrap(), views.fold(of(0, 0), |sum, one| sum.plus(one)));
            untouched(store, &[1, 2, 3]);
        },
    );
}

#[test]
fn moving_to_another_volume() {
    for network in [false, true] {
        check_on(
            disk(network),
            &config_of_two(),
            // A thousand calls: every fault comes at every fourth of them.
            4,
            &|store| match store.move_account(&ann(), "other", &mut |_| {}) {
                Ok(_) => Ok(()),
                Err(MigrateError::Store(error)) => Err(error),
                Err(refused) => panic!("{refused}"),
            },
            &|_| {},
            &|store, acknowledged| {
                untouched(store, &[1, 2, 3]);
                assert!(has(&sent(store), 4), "a folder's message is lost");
                let names = |store: &Store| store.account(&ann()).unwrap().list().unwrap().len();
                assert_eq!(names(store), 7, "a folder is lost");
                // There it is in one place, or it can be brought there, and then nothing is left at the old one.
                let again = store.move_account(&ann(), "other", &mut |_| {});
                assert!(acknowledged || !matches!(again, Err(MigrateError::Store(_))), "{again:?}");
                untouched(store, &[1, 2, 3]);
                let inbox = inbox(store);
                assert!(inbox.path().starts_with("/other"), "{inbox:?}");
                assert!(inbox.view().unwrap().iter().any(|entry| entry.uid == Uid(2) && entry.flags.seen));
                let old = layout::account_directory(Path::new("/mail"), &ann());
                let fs = &store.shared().fs;
                let names = fs.list(old.parent().unwrap()).unwrap();
                assert_eq!(names, [], "left at the old place");
                let new = layout::account_directory(Path::new("/other"), &ann());
                assert_eq!(fs.list(new.parent().unwrap()).unwrap().len(), 1, "left at the new place");
            },
        );
    }
}

type Operation<'a> = &'a dyn Fn(&Store) -> Result<(), StoreError>;

/// One node dies in a delivery, and another, which has the mailbox open too, goes on; all in one step of the clock.
#[test]
fn delivery_by_a_node_that_dies_beside_another() {
    let put = |store: &Store| {
        let path = layout::account_directory(Path::new("/mail"), &ann()).join("new/1600000000.M1.elsewhere");
        let file = store.shared().fs.create_new(&path).at("create", &path)?;
        file.write_all_at(&text(9), 0).at("write", &path)?;
        file.sync().at("sync", &path)?;
        open_inbox(store)?.refresh().map(drop)
    };
    let flagged = |store: &Store| {
        let content = text(9);
        let delivery = Delivery { message_id: id(9), content: &content, received_at: DATE, flags: seen() };
        open_inbox(store)?.deliver(&delivery).map(drop)
    };
    let copy = |store: &Store| open_sent(store)?.copy(&[Uid(1)], &*open_inbox(store)?).map(drop);
    let deliveries: [Operation<'_>; 6] = [
        &|store| deliver(&*open_inbox(store)?, 9).map(drop),
        &deliver_two,
        &flagged,
        &|store| open_inbox(store)?.append(&text(9), &seen(), DATE).map(drop),
        &put,
        &copy,
    ];
    // How many of them give the message an id that is known again.
    const KNOWN: usize = 3;
    // Nothing but the times of the directories tells.
    let patient = Config { foreign_check_interval: Span::hours(1), ..config() };
    for (kind, operation) in deliveries.iter().enumerate() {
        for network in [false, true] {
            for call in 1.. {
                let mut scene = Scene::on(disk(network)(), patient.clone());
                let (one, other) = (scene.store(), scene.store());
                for store in [&one, &other] {
                    deliver(&inbox(store), 20).unwrap();
                }
                scene.fs.stop_clock();
                deliver(&inbox(&one), 21).unwrap();
                inbox(&other).refresh().unwrap();
                scene.fs.plan(call, Fault::FailBefore);
                let done = operation(&one).is_ok();
                let ended = !scene.fs.clear_plan();
                drop(one);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let uid = deliver(&inbox(&other), 22).unwrap().uid.unwrap();
                    scene.observe(&inbox(&other));
                    inbox(&other).expunge(&[uid]).unwrap();
                    let directory = layout::account_directory(Path::new("/mail"), &ann());
                    for file in [journal::FILE, snapshot::FILE] {
                        scene.fs.remove_file(&directory.join(file)).unwrap();
                    }
                    let later = scene.store();
                    scene.observe(&inbox(&later));
                    // What was not answered comes again; an APPEND would be another message.
                    if kind < KNOWN {
                        deliver_two(&later).unwrap();
                        assert!(has(&inbox(&later), 9));
                    }
                    scene.observe(&inbox(&later));
                }));
                if let Err(panic) = result {
                    eprintln!("kind {kind}, call {call}, network: {network}, acknowledged: {done}");
                    std::panic::resume_unwind(panic);
                }
                if ended {
                    break;
                }
            }
        }
    }
}

/// Messages 9 and 10 for INBOX.
fn deliver_two(store: &Store) -> Result<(), StoreError> {
    let texts = [9, 10].map(text);
    let inbox = open_inbox(store)?;
    let filing = |(number, content)| Filing {
        delivery: Delivery { message_id: id(number), content, received_at: DATE, flags: Flags::default() },
        mailboxes: vec![inbox.clone()],
    };
    let filings: Vec<Filing<'_>> = (9..).zip(texts.iter().map(Vec::as_slice)).map(filing).collect();
    let answers = store.deliver_batch(&filings, Patience::Little);
    answers.into_iter().flatten().try_for_each(|answer| answer.map(drop))
}

/// What the journal holds and the names don't say yet is brought there.
#[test]
fn settling() {
    let config = Config { inline_renames_max: 0, ..config() };
    for network in [false, true] {
        check_on(
            disk(network),
            &config,
            1,
            &|store| {
                let inbox = open_inbox(store)?;
                inbox.store(&[Uid(1), Uid(3)], FlagChange::Add, &seen(), None)?;
                inbox.expunge(&[Uid(2)])?;
                inbox.settle_pending()
            },
            &|_| {},
            &|store, acknowledged| {
                untouched(store, &[1, 3]);
                let view = inbox(store).refresh().unwrap();
                let expected = [(Uid(1), true), (Uid(3), true)];
                let old = view.iter().filter(|entry| entry.uid <= Uid(3));
                let found: Vec<_> = old.map(|entry| (entry.uid, entry.flags.seen)).collect();
                assert!(!acknowledged || found == expected, "an acknowledged change is lost: {found:?}");
            },
        );
    }
}

/// A file of another program gets its number, and its summary.
#[test]
fn a_newcomer() {
    let path = layout::account_directory(Path::new("/mail"), &ann()).join("new/1600000000.M1.elsewhere");
    check(
        |store| {
            let fs = &store.shared().fs;
            let file = fs.create_new(&path).and_then(|file| {
                file.write_all_at(&text(9), 0)?;
                file.sync()?;
                fs.sync_dir(path.parent().unwrap())
            });
            if file.is_err() {
                // As any program does.
                let _ = fs.remove_file(&path);
            }
            file.at("write", &path)?;
            let inbox = open_inbox(store)?;
            let newest = inbox.refresh()?.iter().next_back().unwrap().uid;
            if newest == Uid(3) {
                // It could not be read: the next look tries again.
                return Err(StoreError::Busy);
            }
            inbox.summary(newest).map(drop)
        },
        |store, acknowledged| {
            untouched(store, &[1, 2, 3]);
            assert!(!acknowledged || has(&inbox(store), 9), "a message of another program is lost");
            let view = inbox(store).refresh().unwrap();
            let empty = view.iter().find(|entry| entry.size == 0);
            assert!(empty.is_none(), "an empty file counts as a message");
        },
    );
}

#[test]
fn delivery_without_the_lock() {
    let config = Config { lock_wait_max: Span::millis(1), ..config() };
    let path = layout::account_directory(Path::new("/mail"), &ann()).join(mailbox::LOCK_FILE);
    for network in [false, true] {
        check_on(
            disk(network),
            &config,
            1,
            &|store| {
                let held = store.shared().fs.open_write(&path).at("open", &path)?;
                if !held.try_lock().at("lock", &path)? {
                    return Err(StoreError::Busy);
                }
                deliver(&*open_inbox(store)?, 9).map(drop)
            },
            &|_| {},
            &|store, acknowledged| {
                untouched(store, &[1, 2, 3]);
                assert!(!acknowledged || has(&inbox(store), 9), "an acknowledged delivery is lost");
                deliver(&inbox(store), 9).unwrap();
                assert!(has(&inbox(store), 9));
            },
        );
    }
}

/// Another node replaced or removed what was just opened: it is looked for again, and nothing is told that is not so.
#[test]
fn a_file_that_goes_stale_is_opened_again() {
    for read in 1.. {
        let mut scene = Scene::on(disk(true)(), config());
        let (one, other) = (scene.store(), scene.store());
        inbox(&other).refresh().unwrap();
        deliver(&inbox(&one), 9).unwrap();
        inbox(&one).store(&[Uid(1)], FlagChange::Add, &seen(), None).unwrap();
        inbox(&one).fold().unwrap();
        deliver(&inbox(&one), 10).unwrap();
        scene.fs.plan_stale_read(read);
        let context = format!("read {read}");
        for (store, numbers) in [(&other, 1..=3), (&scene.store(), 9..=10)] {
            let view = inbox(store).refresh().expect(&context);
            assert_eq!(view.len(), 5, "{context}");
            assert!(view.get(0).unwrap().flags.seen, "{context}");
            for number in numbers {
                assert!(has(&inbox(store), number), "{context}: {number}");
            }
            let uids: Vec<_> = view.iter().map(|entry| entry.uid).collect();
            assert_eq!(inbox(store).summaries(&uids).expect(&context).len(), 5, "{context}");
            let range = inbox(store).content_range(Uid(2), 6, 6).expect(&context);
            assert_eq!(&range[..], b"a@x.te", "{context}");
        }
        scene.observe(&inbox(&one));
        if scene.fs.clear_stale_read() {
            assert!(read > 5, "files are read");
            break;
        }
    }
}

#[test]
fn calls_of_one_delivery_are_counted() {
    let scene = Scene::new();
    let store = scene.store();
    let inbox = inbox(&store);
    deliver(&inbox, 20).unwrap();
    let before = scene.fs.calls();
    deliver(&inbox, 21).unwrap();
    // The figure that the documentation of `deliver` gives.
    assert_eq!(scene.fs.calls() - before, 17);
}

#[test]
fn while_other_nodes_tell_of_changes_a_poll_makes_no_call() {
    let scene = Scene::new();
    let (store, other) = (scene.store(), scene.store());
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    other.on_change(move |account, mailbox| {
        hears.lock().unwrap().push((account.clone(), mailbox.as_str().to_owned()));
    });
    let watched = inbox(&store);
    store.attach(true);
    watched.refresh().unwrap();
    let polls = || {
        let before = scene.fs.calls();
        for _ in 0..1000 {
            watched.view_within(Duration::ZERO).unwrap();
        }
        scene.fs.calls() - before
    };
    assert_eq!(polls(), 0);
    // Another node's change is shown when it is told, and the polls after it are free again.
    deliver(&inbox(&other), 20).unwrap();
    assert_eq!(*told.lock().unwrap(), [(ann(), "INBOX".to_owned())]);
    assert_eq!(polls(), 0);
    assert_eq!(watched.view().unwrap().len(), 3, "nobody has told it yet");
    store.notice(&ann(), &name("INBOX")).unwrap();
    assert_eq!(watched.view().unwrap().len(), 4);
    assert_eq!(polls(), 0);
    assert_eq!(told.lock().unwrap().len(), 1, "what is seen of others is not told again");
    // After a gap everything is looked at, as before anybody told.
    store.attach(false);
    assert!(polls() >= 1000);
    store.attach(true);
    let before = scene.fs.calls();
    watched.view_within(Duration::ZERO).unwrap();
    assert!(scene.fs.calls() > before, "once, for what was not told during the gap");
    assert_eq!(polls(), 0);
}
