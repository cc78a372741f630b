use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn put(rig: &Rig, name: &str, content: &str) {
    fs::write(rig.path().join(name), content).unwrap();
}

#[test]
fn messages_of_other_tools_get_uids_and_crlf() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    put(&rig, "cur/1600000000.M1P2.host:2,FS", "Subject: lf\n\nbody\n");
    put(&rig, "new/1600000001.M2P2.host", "Subject: crlf\r\n\r\nbody\r\n");
    let view = inbox.refresh().unwrap();
    assert_eq!(uids(&view), [1, 2, 3]);
    let entry = view.get(1).unwrap();
    assert!(entry.flags.seen && entry.flags.flagged && entry.message_id.is_none());
    assert_eq!(entry.size, 21);
    assert_eq!(inbox.content(Uid(2)).unwrap(), &b"Subject: lf\r\n\r\nbody\r\n"[..]);
    assert_eq!(inbox.content_range(Uid(2), 12, 6).unwrap(), &b"\n\r\nbod"[..]);
    assert_eq!(inbox.summary(Uid(2)).unwrap().preview, "body");
    assert!(files(&rig.path()).contains(&"cur/1600000000.M1P2.host,U=2,S=18,W=21:2,FS".to_owned()));
    // The names say it all.
    for file in ["sluice.index", "sluice.journal"] {
        fs::remove_file(rig.path().join(file)).unwrap();
    }
    let again = super::inbox(&rig.reopened()).view().unwrap();
    assert_eq!((uids(&again), again.get(1).unwrap().size), (vec![1, 2, 3], 21));
}

#[test]
fn flags_moves_and_removals_by_other_tools_are_seen() {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::millis(0));
    let inbox = rig.inbox();
    for number in 1..=3 {
        deliver(&inbox, number).unwrap();
    }
    let names = files(&rig.path());
    let path = |name: &str| rig.path().join(name);
    let read = names[0].replace("new/", "cur/") + ":2,S";
    fs::rename(path(&names[0]), path(&read)).unwrap();
    fs::rename(path(&names[1]), path(&(names[1].replace("new/", "cur/") + ":2,"))).unwrap();
    fs::remove_file(path(&names[2])).unwrap();
    assert_eq!(inbox.content(Uid(1)).unwrap(), text(1), "found under its new name");
    let view = inbox.refresh().unwrap();
    assert_eq!(uids(&view), [1, 2]);
    assert!(view.get(0).unwrap().flags.seen && !view.get(1).unwrap().flags.seen);
    inbox.store(&[Uid(1)], FlagChange::Add, &Flags { flagged: true, ..Flags::default() }, None).unwrap();
    assert_eq!(files(&rig.path())[0], read.replace(":2,S", ":2,FS"));
    assert!(matches!(inbox.content(Uid(3)), Err(StoreError::NoSuchMessage)));
}

#[test]
fn foreign_and_own_changes_of_flags_are_merged() {
    let rig = Rig::with(|config| config.small_change_max = 0);
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    inbox.store(&[Uid(1)], FlagChange::Add, &seen(), None).unwrap();
    let name = files(&rig.path()).remove(0);
    fs::rename(rig.path().join(&name), rig.path().join(name.replace("new/", "cur/") + ":2,F")).unwrap();
    let view = inbox.refresh().unwrap();
    let flags = &view.get(0).unwrap().flags;
    assert!(flags.seen && flags.flagged);
    rig.store.close();
    assert!(files(&rig.path())[0].ends_with(":2,FS"));
}

#[test]
fn odd_files_are_repaired_or_set_aside() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    let own = files(&rig.path()).remove(0);
    let long = "y".repeat(250);
    put(&rig, "cur/forged,U=1:2,", "Subject: u=1\n\n");
    put(&rig, "cur/forged,U=4294967295:2,", "Subject: u=max\n\n");
    put(&rig, "cur/two\nlines:2,S", "Subject: newline\n\n");
    put(&rig, &format!("new/{long}"), "Subject: long\n\n");
    put(&rig, "new/empty", "");
    std::os::unix::fs::symlink("/etc/passwd", rig.path().join("cur/link:2,")).unwrap();
    fs::create_dir(rig.path().join("cur/directory")).unwrap();
    // A reader of a pipe waits for ever, and one of a device gets what was never mail.
    for (program, arguments) in [("mkfifo", &[][..]), ("mknod", &["c", "1", "5"])] {
        let mut command = std::process::Command::new(program);
        let status = command.arg(rig.path().join(format!("cur/{program}:2,S"))).args(arguments).status();
        // Devices are root's to make.
        assert!(status.unwrap().success() || program == "mknod");
    }
    let _socket = std::os::unix::net::UnixListener::bind(rig.path().join("cur/socket:2,")).unwrap();
    put(&rig, "cur/.nfs0001", "x");
    let view = inbox.refresh().unwrap();
    assert_eq!(uids(&view), [1, 2, 3, 4, 5]);
    assert_eq!(inbox.content(Uid(1)).unwrap(), text(1));
    let subject = |uid: u32| {
        String::from_utf8(inbox.summary(Uid(uid)).unwrap().subject.as_ref().unwrap().to_vec()).unwrap()
    };
    let mut subjects: Vec<String> = (2..=5).map(subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["long", "newline", "u=1", "u=max"]);
    assert!(files(&rig.path()).contains(&own));
    assert_eq!(deliver(&inbox, 2).unwrap().uid, Some(Uid(6)));
    let again = super::inbox(&rig.reopened());
    again.rebuild().unwrap();
    assert_eq!(uids(&again.view().unwrap()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn without_the_lock_delivery_is_plain_maildir() {
    let rig = Rig::with(|config| config.lock_wait_max = Span::millis(30));
    let told = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&told);
    rig.store.on_change(move |_, _| {
        hears.fetch_add(1, Ordering::Relaxed);
    });
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    let lock = fs::File::open(rig.path().join("sluice.lock")).unwrap();
    lock.lock().unwrap();
    for number in [2, 2, 1] {
        assert_eq!(deliver(&inbox, number).unwrap(), Delivered { uid: None, duplicate: false });
    }
    assert_eq!(told.load(Ordering::Relaxed), 4, "other nodes hear of these too");
    assert_eq!(files(&rig.path()).len(), 3);
    assert!(matches!(inbox.expunge(&[Uid(1)]), Err(StoreError::LockTimeout)));
    assert_eq!(uids(&inbox.refresh().unwrap()), [1], "the latest picture, without waiting for ever");
    lock.unlock().unwrap();
    assert_eq!(deliver(&inbox, 2).unwrap(), Delivered { uid: Some(Uid(2)), duplicate: true });
    assert_eq!(files(&rig.path()).len(), 2);
    let view = inbox.refresh().unwrap();
    assert_eq!(view.len(), 2, "the second copy of a delivery goes");
    assert_eq!(view.get(1).unwrap().message_id, Some(id(2)));
}

#[test]
fn a_delivery_without_the_lock_is_found_whatever_the_times_say() {
    for in_a_new_process in [false, true] {
        let rig = Rig::with(|config| config.lock_wait_max = Span::millis(30));
        let inbox = rig.inbox();
        deliver(&inbox, 1).unwrap();
        let new = fs::File::open(rig.path().join("new")).unwrap();
        let before = new.metadata().unwrap().modified().unwrap();
        let lock = fs::File::open(rig.path().join("sluice.lock")).unwrap();
        lock.lock().unwrap();
        deliver(&inbox, 2).unwrap();
        // As when the holder of the lock renamed in between and recorded the time after both.
        new.set_modified(before).unwrap();
        lock.unlock().unwrap();
        if in_a_new_process {
            assert_eq!(super::inbox(&rig.reopened()).refresh().unwrap().len(), 2);
        } else {
            rig.store.tick();
            assert_eq!(inbox.view().unwrap().len(), 2);
        }
        assert_eq!(lock.metadata().unwrap().len(), 0, "the note is taken away");
    }
}

#[test]
fn a_clock_that_jumps_back_hides_nothing() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    // The clock was an hour ahead until now: directories, the counter of UIDVALIDITYs and what waits in tmp/ are of then.
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let date = |place: &str| {
        fs::File::open(rig.path().join(place)).unwrap().set_modified(ahead).unwrap();
    };
    let seconds = ahead.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    put(&rig, "sluice.folders", &format!("{seconds}\n"));
    put(&rig, "tmp/under-way", "half a mess");
    ["new", "cur", "tmp/under-way"].iter().for_each(|place| date(place));
    assert_eq!(uids(&inbox.refresh().unwrap()), [1]);
    put(&rig, "new/1600000000.M1P2.host", "Subject: later\n\n");
    assert_eq!(uids(&inbox.refresh().unwrap()), [1, 2]);
    fs::remove_file(rig.path().join(&files(&rig.path())[0])).unwrap();
    assert_eq!(inbox.refresh().unwrap().len(), 1);
    assert_eq!(deliver(&inbox, 3).unwrap().uid, Some(Uid(3)));
    assert!(deliver(&inbox, 3).unwrap().duplicate);
    rig.account().create(&name("Later")).unwrap();
    let later = rig.account().mailbox(&name("Later")).unwrap().refresh().unwrap();
    assert!(u64::from(later.uid_validity.0) > seconds, "a UIDVALIDITY that was used may come again");
    inbox.rebuild().unwrap();
    assert_eq!(uids(&inbox.view().unwrap()), [1, 3]);
    assert!(rig.path().join("tmp/under-way").exists());
}

/// Runs `work` while another program gives every file of `cur` the flag `S` and takes it away, as fast as it can.
fn while_renamed(cur: &std::path::Path, work: impl FnOnce()) {
    let done = std::sync::atomic::AtomicBool::new(false);
    let names = fs::read_dir(cur).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                for name in &names {
                    let (from, to) = if round % 2 == 0 { ("", "S") } else { ("S", "") };
                    // Our side may have renamed it too, or removed it.
                    let _ = fs::rename(cur.join(format!("{name}{from}")), cur.join(format!("{name}{to}")));
                }
                round += 1;
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_listing_while_another_program_renames_loses_a_message() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    for number in 1..=120 {
        deliver(&inbox, number).unwrap();
    }
    inbox.recent(true).unwrap();
    while_renamed(&rig.path().join("cur"), || {
        for _ in 0..200 {
            assert_eq!(inbox.refresh().unwrap().len(), 120);
        }
    });
}

#[test]
fn what_was_expunged_stays_so_though_another_program_renames_its_file() {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::millis(0));
    let inbox = rig.inbox();
    for number in 1..=120 {
        deliver(&inbox, number).unwrap();
    }
    inbox.recent(true).unwrap();
    let gone: Vec<Uid> = (1..=120).filter(|uid| uid % 2 == 0).map(Uid).collect();
    while_renamed(&rig.path().join("cur"), || {
        for uids in gone.chunks(10) {
            inbox.expunge(uids).unwrap();
            rig.store.tick();
        }
    });
    rig.store.tick();
    rig.store.close();
    let odd = |store: &Store| {
        let view = super::inbox(store).refresh().unwrap();
        assert!(
            view.iter().all(|entry| entry.uid.0 % 2 == 1),
            "{:?}",
            view.iter().map(|e| e.uid.0).collect::<Vec<_>>()
        );
        assert_eq!(view.len(), 60);
    };
    odd(&rig.store);
    for file in ["sluice.index", "sluice.journal", "sluice.cache"] {
        fs::remove_file(rig.path().join(file)).unwrap();
    }
    odd(&rig.reopened());
}
