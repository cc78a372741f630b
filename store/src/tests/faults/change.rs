//! What is done to messages that are there, and what is seen of them.

use std::cell::Cell;
use std::sync::Mutex;

use super::*;

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

/// What the journal holds and the names don't say yet is brought there, and what was acknowledged before that stays.
#[test]
fn settling() {
    let config = Config { small_change_max: 0, ..config() };
    let (marked, removed) = (Cell::new(false), Cell::new(false));
    for network in [false, true] {
        check_on(
            disk(network),
            &config,
            1,
            &|store| {
                marked.set(false);
                removed.set(false);
                let inbox = open_inbox(store)?;
                inbox.store(&[Uid(1), Uid(3)], FlagChange::Add, &seen(), None)?;
                marked.set(true);
                inbox.expunge(&[Uid(2)])?;
                removed.set(true);
                inbox.settle_pending()
            },
            &|_| {},
            &|store, _| {
                untouched(store, &[1, 3]);
                let view = inbox(store).refresh().unwrap();
                let is_seen = |uid: u32| view.by_uid(Uid(uid)).is_some_and(|(_, entry)| entry.flags.seen);
                assert!(!marked.get() || (is_seen(1) && is_seen(3)), "acknowledged flags are lost");
                assert!(!removed.get() || view.by_uid(Uid(2)).is_none(), "what was expunged is back");
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

/// What other nodes are told by this one.
fn hears(store: &Store) -> Arc<Mutex<Vec<(AccountId, String)>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    store.on_change(move |account, mailbox| {
        hears.lock().unwrap().push((account.clone(), mailbox.as_str().to_owned()));
    });
    told
}

#[test]
fn while_other_nodes_tell_of_changes_a_poll_makes_no_call() {
    let scene = Scene::new();
    let (store, other) = (scene.store(), scene.store());
    let told = hears(&other);
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

#[test]
fn other_nodes_hear_of_mailboxes_that_go() {
    let scene = Scene::new();
    let (store, other) = (scene.store(), scene.store());
    let told = hears(&other);
    let (here, there) = (store.account(&ann()).unwrap(), other.account(&ann()).unwrap());
    for made in ["Old", "Work", "Work/Plans"] {
        there.create(&name(made)).unwrap();
    }
    let watched: Vec<_> =
        ["Old", "Work", "Work/Plans"].iter().map(|made| here.mailbox(&name(made)).unwrap()).collect();
    store.attach(true);
    for mailbox in &watched {
        mailbox.refresh().unwrap();
    }
    told.lock().unwrap().clear();
    there.delete(&name("Old")).unwrap();
    there.rename(&name("Work"), &name("Jobs")).unwrap();
    let mut heard: Vec<String> = told.lock().unwrap().drain(..).map(|(_, mailbox)| mailbox).collect();
    heard.sort();
    assert_eq!(heard, ["Old", "Work", "Work/Plans"]);
    // Without the word they would be there for another `attached_poll_interval`.
    assert!(watched.iter().all(|mailbox| mailbox.view_within(Duration::ZERO).is_ok()));
    for mailbox in heard {
        store.notice(&ann(), &name(&mailbox)).unwrap();
    }
    assert!(watched.iter().all(|mailbox| mailbox.view_within(Duration::ZERO).is_err()));
}
