//! Several volumes: where accounts come, what goes on when one is full or away, and moves.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tempfile::tempdir;
use units::ByteSize;

use super::*;
use crate::fs::simulated::SimulatedFs;
use crate::fs::{Fs as _, replace};

fn account(number: u32) -> AccountId {
    format!("user{number}@example.test").parse().unwrap()
}

fn config(root: &Path, other: &Path) -> Config {
    let other = VolumeConfig { path: other.to_owned(), weight: 1 };
    Config {
        root: root.to_owned(),
        volumes: [("other".to_owned(), other)].into(),
        free_check_interval: Span::millis(0),
        free_space_min: ByteSize::mib(1),
        foreign_check_interval: Span::millis(0),
        ..Config::default()
    }
}

struct Two {
    _places: [TempDir; 2],
    config: Config,
}

impl Two {
    fn new() -> Self {
        let places = [tempdir().unwrap(), tempdir().unwrap()];
        let [root, other] = places.each_ref().map(TempDir::path);
        Store::init_volume(root).unwrap();
        Store::init_volume(other).unwrap();
        Self { config: config(root, other), _places: places }
    }

    fn node(&self) -> Store {
        Store::open(&self.config, Arc::new(RealFs), &Registry::new()).unwrap()
    }
}

fn inbox_of(store: &Store, account: &AccountId) -> Result<Arc<Mailbox>, StoreError> {
    store.account(account)?.mailbox(&MailboxName::inbox())
}

fn volume_of(store: &Store, account: &AccountId) -> String {
    inbox_of(store, account).unwrap().volume().name.clone()
}

fn names_below(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for item in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
        names.push(item.file_name().to_string_lossy().into_owned());
        if item.file_type().unwrap().is_dir() {
            names.extend(names_below(&item.path()));
        }
    }
    names
}

#[test]
fn everything_goes_along_when_an_account_moves() {
    let two = Two::new();
    let store = two.node();
    let elsewhere = two.node();
    let (from, to) = match volume_of(&store, &ann()).as_str() {
        "main" => ("main", "other"),
        _ => ("other", "main"),
    };
    let account = store.account(&ann()).unwrap();
    account.create(&name("Work/Plans")).unwrap();
    account.set_subscribed(&name("Work/Plans"), true).unwrap();
    for number in 1..=5 {
        deliver(&inbox(&store), number).unwrap();
    }
    let flags = Flags { keywords: ["urgent".to_owned()].into(), ..seen() };
    inbox(&store).store(&[Uid(2)], FlagChange::Add, &flags, None).unwrap();
    inbox(&store).expunge(&[Uid(1)]).unwrap();
    let plans = account.mailbox(&name("Work/Plans")).unwrap();
    inbox(&store).copy(&[Uid(3)], &plans).unwrap();
    let before = inbox(&store).refresh().unwrap();
    let open = inbox(&elsewhere);
    open.refresh().unwrap();

    let refused = store.move_account(&ann(), "nowhere", &mut |_| {}).unwrap_err().to_string();
    assert_eq!(refused, "there is no volume `nowhere`, but `main`, `other`");
    let refused = store.move_account(&ann(), from, &mut |_| {}).unwrap_err().to_string();
    assert_eq!(refused, format!("ann@example.test is on the volume `{from}` already"));
    let moved = store.move_account(&ann(), to, &mut |_| {}).unwrap();
    assert_eq!(moved, Transferred { mailboxes: 7, messages: 5, late: 0 });

    // Who had it open hears that it went, and finds it.
    assert!(matches!(open.refresh(), Err(StoreError::Gone)), "{:?}", open.refresh());
    for store in [&store, &elsewhere, &two.node()] {
        assert_eq!(volume_of(store, &ann()), to);
        let after = inbox(store).refresh().unwrap();
        assert_eq!(after.uid_validity, before.uid_validity);
        assert!(after.uid_next >= before.uid_next && after.highest_mod_seq >= before.highest_mod_seq);
        let entries = |view: &View| {
            view.iter()
                .map(|entry| (entry.uid, entry.flags.clone(), entry.mod_seq, entry.internal_date))
                .collect::<Vec<_>>()
        };
        assert_eq!(entries(&after), entries(&before));
        for uid in [2, 3, 4, 5_u8] {
            assert_eq!(*inbox(store).content(Uid(u32::from(uid))).unwrap(), text(uid));
        }
        // What was delivered, and expunged, is known there too.
        assert!(deliver(&inbox(store), 1).unwrap().duplicate);
        let list = store.account(&ann()).unwrap().list().unwrap();
        assert!(list.iter().any(|info| info.name == name("Work/Plans") && info.subscribed));
        assert_eq!(inbox(store).check(true).unwrap().findings, []);
    }
    let old = two.node().shared().volumes.named(from).unwrap().root.clone();
    let left: Vec<_> =
        names_below(&old).into_iter().filter(|name| name.len() > 2 && !name.starts_with("sluice.")).collect();
    assert_eq!(left, Vec::<String>::new(), "left at the old place");
    // And back.
    elsewhere.move_account(&ann(), from, &mut |_| {}).unwrap();
    assert_eq!(inbox(&store).refresh().unwrap().len(), 4);
}

#[test]
fn mail_that_arrives_during_moves_is_there_once() {
    let two = Two::new();
    let stop = AtomicBool::new(false);
    let total = AtomicU32::new(0);
    let delivered = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u8)
            .map(|writer| {
                let (store, stop, total) = (two.node(), &stop, &total);
                scope.spawn(move || {
                    let mut count = 0_u32;
                    while !stop.load(Ordering::Relaxed) && count < 200 {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        let mut bytes = [writer; 10];
                        bytes[..4].copy_from_slice(&count.to_be_bytes());
                        let content =
                            format!("Subject: {writer} {count}\r\n\r\n{writer}/{count}\r\n").into_bytes();
                        let delivery = Delivery {
                            message_id: MessageId::new(1_700_000_000_000, bytes),
                            content: &content,
                            received_at: DATE,
                            flags: Flags::default(),
                        };
                        // As a worker does: what failed comes again.
                        let done = inbox_of(&store, &ann()).and_then(|inbox| inbox.deliver(&delivery));
                        match done {
                            Ok(_) => {
                                count += 1;
                                total.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(StoreError::Gone | StoreError::NoSuchMailbox | StoreError::LockTimeout) => {}
                            Err(StoreError::Io { source, .. })
                                if source.kind() == std::io::ErrorKind::NotFound => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                    count
                })
            })
            .collect();
        let mover = two.node();
        for number in 1..=100 {
            let to = if volume_of(&mover, &ann()) == "main" { "other" } else { "main" };
            mover.move_account(&ann(), to, &mut |_| {}).unwrap();
            // Six moves at least, and some mail for each.
            if number >= 6 && total.load(Ordering::Relaxed) >= 5 * number {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let store = two.node();
    let inbox = inbox_of(&store, &ann()).unwrap();
    let mut found: Vec<String> = Vec::new();
    for entry in inbox.refresh().unwrap().iter() {
        let content = inbox.content(entry.uid).unwrap();
        let text = String::from_utf8_lossy(&content);
        found.push(text.rsplit("\r\n\r\n").next().unwrap().trim().to_owned());
    }
    let expected: Vec<String> = (0..3)
        .flat_map(|writer| (0..delivered[writer]).map(move |count| format!("{writer}/{count}")))
        .collect();
    assert!(delivered.iter().sum::<u32>() > 20, "{delivered:?}");
    let lost: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
    let all = found.len();
    found.sort();
    found.dedup();
    assert_eq!((lost, all - found.len()), (vec![], 0), "lost, doubled of {}", expected.len());
    assert_eq!(found.len(), expected.len());
    assert_eq!(inbox.check(true).unwrap().findings, []);
}

fn directory_on(two: &Two, volume: &str) -> PathBuf {
    two.node().shared().volumes.named(volume).unwrap().directory(&ann())
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_tree(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn what_is_late_comes_after_and_nothing_else_comes_back() {
    let two = Two::new();
    let store = two.node();
    for number in 1..=4 {
        deliver(&inbox(&store), number).unwrap();
    }
    let account = store.account(&ann()).unwrap();
    account.create(&name("Work")).unwrap();
    inbox(&store).copy(&[Uid(4)], &account.mailbox(&name("Work")).unwrap()).unwrap();
    let from = volume_of(&store, &ann());
    let to = if from == "main" { "other" } else { "main" };
    let (old, new) = (directory_on(&two, &from), directory_on(&two, to));
    std::fs::write(old.join("new/1600000000.M1.elsewhere"), "Subject: of another program\r\n\r\n").unwrap();
    let left = layout::beside(&old, layout::MOVED);
    let kept = old.with_file_name("kept");
    // A move that dies right after its decision: the old directory is still there.
    inbox(&store).refresh().unwrap();
    copy_tree(&old, &kept);
    store.move_account(&ann(), to, &mut |_| {}).unwrap();
    std::fs::rename(&kept, &left).unwrap();
    // What was delivered there without the lock in the last moment, what a DELETE left, and an odd name.
    let late = format!("1700000000.{},S=62:2,FS", id(9));
    std::fs::write(left.join("cur").join(late), text(9)).unwrap();
    std::fs::create_dir_all(left.join("sluice.deleted.1/cur")).unwrap();
    std::fs::write(left.join("sluice.deleted.1/cur/1600000000.M2.x:2,"), "Subject: deleted\n\n").unwrap();
    std::fs::write(left.join("new/odd\nname"), "Subject: odd\r\n\r\n").unwrap();
    // Life goes on at the new place.
    inbox(&store).expunge(&[Uid(1), Uid(5)]).unwrap();
    store.account(&ann()).unwrap().rename(&name("Work"), &name("Play")).unwrap();
    let done = store.move_account(&ann(), to, &mut |_| {}).unwrap();
    assert_eq!(done, Transferred { late: 2, ..Transferred::default() });
    let view = inbox(&store).refresh().unwrap();
    let subject = |uid| inbox(&store).summary(uid).unwrap().subject.clone().unwrap();
    let mut subjects: Vec<_> = view.iter().map(|entry| subject(entry.uid)).collect();
    subjects.sort();
    assert_eq!(subjects, [&b"number 2"[..], b"number 3", b"number 4", b"number 9", b"odd"]);
    let late = view.iter().find(|entry| entry.message_id == Some(id(9))).unwrap();
    assert!(late.flags.flagged && late.flags.seen);
    assert!(!left.exists() && new.join("cur").exists());
    assert!(matches!(store.move_account(&ann(), to, &mut |_| {}), Err(MigrateError::Refused(_))));
}

#[test]
fn a_message_for_many_has_one_body_on_each_volume() {
    use std::os::unix::fs::MetadataExt as _;

    let two = Two::new();
    let store = two.node();
    let mut mailboxes = Vec::new();
    for volume in ["main", "other"] {
        let here = (0..).map(account).filter(|account| volume_of(&store, account) == volume).take(3);
        mailboxes.extend(here.map(|account| inbox_of(&store, &account).unwrap()));
    }
    let content = text(9);
    let delivery =
        Delivery { message_id: id(9), content: &content, received_at: DATE, flags: Flags::default() };
    let answers = store.deliver_to_all(&mailboxes, delivery);
    assert!(answers.into_iter().all(|answer| !answer.unwrap().duplicate));
    let files = mailboxes.iter().map(|mailbox| {
        let mut new = std::fs::read_dir(mailbox.path().join("new")).unwrap();
        new.next().unwrap().unwrap().metadata().unwrap()
    });
    let files: Vec<_> = files.map(|file| (file.ino(), file.nlink())).collect();
    assert!(files.iter().all(|(_, links)| *links == 3), "{files:?}");
    assert_eq!(store.shared().metrics.shared_body_bytes.get(), content.len() as u64 * 4);
}

#[test]
fn the_upkeep_finishes_what_a_dead_mover_left() {
    let two = Two::new();
    let store = two.node();
    deliver(&inbox(&store), 1).unwrap();
    let from = volume_of(&store, &ann());
    store.move_account(&ann(), if from == "main" { "other" } else { "main" }, &mut |_| {}).unwrap();
    let notes = || {
        let items = std::fs::read_dir(two.config.root.join("sluice.placing")).unwrap().map(Result::unwrap);
        items.filter(|item| item.file_name().to_string_lossy().ends_with(".pending")).count()
    };
    assert_eq!(notes(), 0, "a move that came to its end leaves nothing to do");
    // It died before it cleared the old place, where a message without a number was put at the last moment.
    let left = layout::beside(&directory_on(&two, &from), layout::MOVED);
    std::fs::create_dir_all(left.join("new")).unwrap();
    std::fs::write(left.join("new").join(format!("1700000000.{},S=62", id(9))), text(9)).unwrap();
    store.leave_note(&ann()).unwrap();
    two.node().tick();
    let view = inbox(&store).refresh().unwrap();
    assert!(view.len() == 2 && view.iter().any(|entry| entry.message_id == Some(id(9))));
    assert!(!left.exists() && notes() == 0);
}

#[test]
fn a_place_that_is_taken_is_no_target() {
    let two = Two::new();
    let store = two.node();
    deliver(&inbox(&store), 1).unwrap();
    let from = volume_of(&store, &ann());
    let to = if from == "main" { "other" } else { "main" };
    let path = directory_on(&two, to);
    // What is left of an account that was never finished is no obstacle, other mail is.
    std::fs::create_dir_all(path.join("tmp")).unwrap();
    store.move_account(&ann(), to, &mut |_| {}).unwrap();
    let back = directory_on(&two, &from);
    copy_tree(&path, &back);
    // The volume that is looked at first counts.
    let (here, there) = match volume_of(&two.node(), &ann()).as_str() {
        "main" => ("main", "other"),
        _ => ("other", "main"),
    };
    let refused = two.node().move_account(&ann(), there, &mut |_| {}).unwrap_err().to_string();
    assert!(refused.contains("other mail of this account"), "{refused}");
    assert_eq!((volume_of(&two.node(), &ann()).as_str(), path.exists(), back.exists()), (here, true, true));
    // An account that went nobody knows where is not made anew.
    std::fs::remove_dir_all(&back).unwrap();
    std::fs::rename(&path, layout::beside(&path, layout::MOVED)).unwrap();
    let lost = two.node().account(&ann()).map(drop).unwrap_err();
    assert!(matches!(lost, StoreError::Damaged { .. }), "{lost:?}");
}

struct Simulated {
    fs: SimulatedFs,
    config: Config,
}

impl Simulated {
    fn new() -> Self {
        let fs = SimulatedFs::new();
        for volume in ["/mail", "/other"].map(Path::new) {
            fs.create_dir(volume).unwrap();
            replace(&fs, volume, "sluice.volume", b"x").unwrap();
        }
        Self { fs, config: config(Path::new("/mail"), Path::new("/other")) }
    }

    fn store(&self) -> Result<Store, StoreError> {
        Store::open(&self.config, Arc::new(self.fs.clone()), &Registry::new())
    }
}

#[test]
fn a_full_volume_waits_and_the_others_go_on() {
    let rig = Simulated::new();
    let store = rig.store().unwrap();
    let on = |volume: &str, store: &Store, from: u32| {
        (from..).map(account).find(|account| volume_of(store, account) == volume).unwrap()
    };
    let (full, fine) = (on("other", &store, 0), on("main", &store, 0));
    deliver(&inbox_of(&store, &full).unwrap(), 1).unwrap();
    rig.fs.set_free(Path::new("/other"), 1000);
    let inbox = inbox_of(&store, &full).unwrap();
    for refused in [
        deliver(&inbox, 2).map(drop),
        inbox.append(&text(2), &seen(), DATE).map(drop),
        store
            .deliver_to_all(
                &[inbox.clone(), inbox.clone()],
                Delivery { message_id: id(2), content: &text(2), received_at: DATE, flags: Flags::default() },
            )
            .pop()
            .unwrap()
            .map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.to_string(), "the volume `other` is full");
        assert!(matches!(refused.disposition(), envelope::Disposition::Defer { .. }));
    }
    // What is there already is not refused: its sender would hear that it is not.
    assert!(deliver(&inbox, 1).unwrap().duplicate);
    // Tidying up works: into the trash, and out of it.
    let trash = store.account(&full).unwrap().mailbox(&name("Trash")).unwrap();
    inbox.move_to(&[Uid(1)], &trash).unwrap();
    trash.expunge(&[Uid(1)]).unwrap();
    deliver(&inbox_of(&store, &fine).unwrap(), 2).unwrap();
    // New accounts come to the volume with room.
    for number in 1000..1020 {
        assert_eq!(volume_of(&store, &account(number)), "main");
    }
    assert!(store.move_account(&fine, "other", &mut |_| {}).is_err());
    // With all of them full somebody new may sign in, and gets no mail.
    rig.fs.set_free(Path::new("/mail"), 1000);
    let new = inbox_of(&store, &account(3000)).unwrap();
    assert!(matches!(deliver(&new, 1), Err(StoreError::VolumeFull(_))));
    rig.fs.set_free(Path::new("/mail"), 1 << 30);
    rig.fs.set_free(Path::new("/other"), 1 << 30);
    deliver(&inbox, 2).unwrap();
    on("other", &store, 2000);
}

#[test]
fn nobody_gets_a_second_account_while_a_volume_is_away() {
    let rig = Simulated::new();
    let store = rig.store().unwrap();
    let on = |volume: &str| (0..).map(account).find(|account| volume_of(&store, account) == volume).unwrap();
    let (away, here) = (on("other"), on("main"));
    deliver(&inbox_of(&store, &away).unwrap(), 1).unwrap();
    rig.fs.rename(Path::new("/other"), Path::new("/elsewhere")).unwrap();
    rig.fs.create_dir(Path::new("/other")).unwrap();
    for unknown in [&away, &account(5000)] {
        let refused = store.account(unknown).map(drop).unwrap_err();
        assert!(matches!(&refused, StoreError::NotMounted(root) if root == "/other"), "{refused:?}");
        assert!(matches!(refused.disposition(), envelope::Disposition::Defer { .. }));
        assert!(store.existing_account(unknown).is_err());
    }
    deliver(&inbox_of(&store, &here).unwrap(), 1).unwrap();
    assert!(rig.store().is_err(), "a node does not start without a volume");
    rig.fs.remove_dir(Path::new("/other")).unwrap();
    rig.fs.rename(Path::new("/elsewhere"), Path::new("/other")).unwrap();
    assert_eq!(inbox_of(&store, &away).unwrap().refresh().unwrap().len(), 1);
}

#[test]
fn a_node_that_lacks_a_volume_makes_no_accounts() {
    let mut rig = Simulated::new();
    let volumes = std::mem::take(&mut rig.config.volumes);
    let early = rig.store().unwrap();
    assert_eq!(early.volume_names(), ["main".to_owned()].into());
    rig.config.volumes = volumes;
    rig.config.root_weight = 0;
    let late = rig.store().unwrap();
    assert_eq!(volume_of(&late, &account(1)), "other");
    rig.config.volumes.clear();
    rig.config.root_weight = 1;
    let problem = rig.store().unwrap_err();
    assert!(matches!(&problem, StoreError::UnknownVolume(name) if name == "other"), "{problem:?}");
    // The one that was there first knows what it is missing.
    let refused = early.account(&account(1)).map(drop).unwrap_err();
    assert!(matches!(&refused, StoreError::UnknownVolume(_)), "{refused:?}");
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let good = config(Path::new("/mail"), Path::new("/other"));
    assert_eq!(good.faults(), []);
    let with = |name: &str, path: &str| {
        let volume = VolumeConfig { path: path.into(), weight: 1 };
        Config { volumes: [(name.to_owned(), volume)].into(), ..good.clone() }.faults()
    };
    for (name, path) in [("main", "/b"), ("a b", "/b"), ("b", ""), ("b", "/mail/b"), ("b", "/")] {
        assert_eq!(with(name, path).len(), 1, "{name} {path}");
    }
    let off = Config { root_weight: 0, volumes: Default::default(), ..good.clone() };
    assert_eq!(off.faults().len(), 1);
}
