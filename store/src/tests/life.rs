use std::time::Duration;

use super::*;

#[test]
fn a_message_comes_is_read_marked_copied_moved_and_expunged() {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::millis(0));
    let inbox = rig.inbox();
    let mut changes = inbox.changes();
    assert_eq!(deliver(&inbox, 1).unwrap(), Delivered { uid: Some(Uid(1)), duplicate: false });
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(deliver(&inbox, 1).unwrap(), Delivered { uid: Some(Uid(1)), duplicate: true });
    let flags = Flags { keywords: ["$Work".to_owned()].into(), ..seen() };
    assert_eq!(inbox.append(&text(2), &flags, DATE).unwrap(), Uid(2));

    let view = inbox.view().unwrap();
    assert_eq!(uids(&view), [1, 2]);
    assert_eq!(
        (view.get(0).unwrap().message_id, view.get(0).unwrap().size),
        (Some(id(1)), text(1).len() as u64)
    );
    assert_eq!(*view.get(1).unwrap().flags, flags);
    assert_eq!(inbox.content(Uid(1)).unwrap(), text(1));
    assert_eq!(inbox.content_range(Uid(1), 6, 8).unwrap(), &b"a@x.test"[..]);
    assert_eq!(inbox.content_range(Uid(1), 1000, 8).unwrap(), &b""[..]);
    assert_eq!(inbox.summary(Uid(2)).unwrap().subject.as_deref(), Some(&b"number 2"[..]));
    let status = inbox.status().unwrap();
    assert_eq!((status.messages, status.recent, status.unseen, status.uid_next), (2, 2, 1, Uid(3)));
    assert_eq!(inbox.recent(true).unwrap(), [Uid(1), Uid(2)]);
    assert_eq!(inbox.recent(true).unwrap(), []);

    let before = inbox.view().unwrap();
    let stored = inbox.store(&[Uid(2), Uid(1), Uid(9)], FlagChange::Add, &seen(), None).unwrap();
    assert_eq!(stored.changed.iter().map(|entry| entry.uid.0).collect::<Vec<_>>(), [1]);
    assert!(!before.get(0).unwrap().flags.seen, "a picture never changes");
    assert!(inbox.view().unwrap().get(0).unwrap().flags.seen);
    let stored =
        inbox.store(&[Uid(1), Uid(2)], FlagChange::Replace, &Flags::default(), Some(before.highest_mod_seq));
    let stored = stored.unwrap();
    assert_eq!((stored.modified, stored.changed[0].uid), (vec![Uid(1)], Uid(2)));
    assert!(files(&rig.path())[0].ends_with(":2,S"), "{:?}", files(&rig.path()));

    let sent = rig.account().special(SpecialUse::Sent).unwrap();
    let copied = inbox.copy(&[Uid(2), Uid(1)], &sent).unwrap();
    assert_eq!(copied.uids, [(Uid(1), Uid(1)), (Uid(2), Uid(2))]);
    assert_eq!(copied.uid_validity, sent.view().unwrap().uid_validity);
    let moved = inbox.move_to(&[Uid(1)], &sent).unwrap();
    assert_eq!(moved.uids, [(Uid(1), Uid(3))]);
    assert_eq!((uids(&inbox.view().unwrap()), uids(&sent.view().unwrap())), (vec![2], vec![1, 2, 3]));
    assert_eq!(sent.content(Uid(3)).unwrap(), text(1));
    assert!(sent.view().unwrap().get(2).unwrap().flags.seen);
    assert!(matches!(inbox.content(Uid(1)), Err(StoreError::NoSuchMessage)));
    // Moved away is still delivered.
    assert_eq!(deliver(&inbox, 1).unwrap(), Delivered { uid: None, duplicate: true });

    assert_eq!(inbox.expunge(&[Uid(2), Uid(7)]).unwrap(), [Uid(2)]);
    assert_eq!(files(&rig.path()), [""; 0]);
    assert_eq!(deliver(&inbox, 3).unwrap().uid, Some(Uid(3)));
    assert_eq!(inbox.view().unwrap().first_recent, Uid(3));

    // A later start sees the same.
    let again = super::inbox(&rig.reopened());
    let (old, new) = (inbox.view().unwrap(), again.view().unwrap());
    assert_eq!((uids(&new), new.uid_validity, new.uid_next), (uids(&old), old.uid_validity, old.uid_next));
    assert_eq!(deliver(&again, 1).unwrap(), Delivered { uid: None, duplicate: true });
    assert_eq!(deliver(&again, 3).unwrap(), Delivered { uid: Some(Uid(3)), duplicate: true });
}

#[test]
fn a_picture_in_memory_is_remembered_as_long_as_its_look_at_the_disk_counts() {
    let rig = Rig::new();
    let (account, name, hour) = (rig.account(), MailboxName::inbox(), Duration::from_secs(3600));
    assert!(account.remembered(&name, hour).is_none(), "nobody looked yet");
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    deliver(&inbox, 2).unwrap();
    let flags = Flags { keywords: ["$Work".to_owned()].into(), ..seen() };
    inbox.store(&[Uid(1)], FlagChange::Add, &flags, None).unwrap();
    inbox.refresh().unwrap();

    let view = account.remembered(&name, hour).unwrap();
    assert!(!view.is_counted());
    assert_eq!((view.status().messages, view.status().unseen, view.first_unseen()), (2, 1, Some(1)));
    assert_eq!(view.keywords().into_iter().collect::<Vec<_>>(), ["$Work"]);
    assert!(view.is_counted() && account.remembered(&name, hour).unwrap().is_counted());
    assert!(account.remembered(&name, Duration::ZERO).is_none(), "that look does not count any more");

    // What this process changes is seen without a look.
    deliver(&inbox, 3).unwrap();
    assert_eq!(account.remembered(&name, hour).unwrap().status().messages, 3);
    let other = MailboxName::parse("Other").unwrap();
    account.create(&other).unwrap();
    account.mailbox(&other).unwrap().refresh().unwrap();
    assert!(account.remembered(&other, hour).is_some());
    account.delete(&other).unwrap();
    assert!(account.remembered(&other, hour).is_none(), "what is gone is not remembered");
}

#[test]
fn two_processes_see_each_other() {
    let rig = Rig::new();
    let (one, other) = (rig.inbox(), inbox(&rig.reopened()));
    for number in 0..20u8 {
        let mailbox = if number % 2 == 0 { &one } else { &other };
        assert_eq!(deliver(mailbox, number).unwrap().uid, Some(Uid(u32::from(number) + 1)));
    }
    one.store(&[Uid(5)], FlagChange::Add, &seen(), None).unwrap();
    other.expunge(&[Uid(6)]).unwrap();
    let (one, other) = (one.refresh().unwrap(), other.refresh().unwrap());
    assert_eq!(uids(&one), uids(&other));
    assert_eq!(one.len(), 19);
    assert!(other.by_uid(Uid(5)).unwrap().1.flags.seen);
    assert_eq!(one.highest_mod_seq, other.highest_mod_seq);
}

#[test]
fn many_writers_share_a_mailbox() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    let second = super::inbox(&rig.reopened());
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let mailbox = if thread % 2 == 0 { &inbox } else { &second };
            scope.spawn(move || {
                for number in 0..10 {
                    deliver(mailbox, thread * 10 + number).unwrap();
                }
            });
        }
    });
    let view = inbox.refresh().unwrap();
    assert_eq!(uids(&view), (1..=80).collect::<Vec<_>>());
    let summaries = inbox.summaries(&view.iter().map(|entry| entry.uid).collect::<Vec<_>>()).unwrap();
    for (uid, summary) in summaries {
        let content = inbox.content(uid).unwrap();
        assert_eq!(*summary, parse_summary(&content));
    }
}

#[test]
fn indexes_are_only_caches() {
    for lost in [
        &["sluice.index"][..],
        &["sluice.journal"],
        &["sluice.cache"],
        &["sluice.index", "sluice.journal", "sluice.cache"],
    ] {
        let rig = Rig::new();
        let inbox = rig.inbox();
        for number in 1..=5 {
            deliver(&inbox, number).unwrap();
        }
        let flags = Flags { keywords: ["$Work".to_owned()].into(), ..seen() };
        inbox.store(&[Uid(2)], FlagChange::Add, &flags, None).unwrap();
        inbox.expunge(&[Uid(5)]).unwrap();
        let before = inbox.view().unwrap();
        rig.store.close();
        for file in lost {
            std::fs::remove_file(rig.path().join(file)).unwrap();
        }
        let again = super::inbox(&rig.reopened());
        let after = again.view().unwrap();
        assert_eq!((uids(&after), after.uid_validity), (vec![1, 2, 3, 4], before.uid_validity), "{lost:?}");
        assert!(after.uid_next >= before.uid_next && after.highest_mod_seq >= before.highest_mod_seq);
        assert_eq!(*after.get(1).unwrap().flags, flags);
        assert_eq!(after.get(0).unwrap().message_id, Some(id(1)));
        assert_eq!(deliver(&again, 1).unwrap(), Delivered { uid: Some(Uid(1)), duplicate: true });
        let new = deliver(&again, 9).unwrap().uid.unwrap();
        assert!(new > Uid(5), "{lost:?}: {new:?}");
        assert_eq!(again.summary(Uid(3)).unwrap().subject.as_deref(), Some(&b"number 3"[..]));
    }
}

#[test]
fn a_damaged_journal_is_cut_and_made_good_from_the_files() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    for number in 1..=5 {
        deliver(&inbox, number).unwrap();
    }
    rig.store.close();
    let path = rig.path().join("sluice.journal");
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        for damage in 0..2 {
            let mut bad = good.clone();
            if damage == 0 {
                bad.truncate(at);
            } else {
                bad[at] ^= 0x10;
            }
            std::fs::write(&path, &bad).unwrap();
            let again = super::inbox(&rig.reopened());
            assert_eq!(uids(&again.refresh().unwrap()), [1, 2, 3, 4, 5], "at {at}");
            assert_eq!(deliver(&again, 5).unwrap(), Delivered { uid: Some(Uid(5)), duplicate: true });
        }
    }
}

#[test]
fn a_damaged_journal_behind_a_snapshot_keeps_the_numbers_in_the_names() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    for number in 1..=3 {
        deliver(&inbox, number).unwrap();
    }
    inbox.rebuild().unwrap();
    for number in 4..=6 {
        deliver(&inbox, number).unwrap();
    }
    inbox.expunge(&[Uid(5)]).unwrap();
    rig.store.close();
    let path = rig.path().join("sluice.journal");
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(5) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let again = super::inbox(&rig.reopened());
        assert_eq!(uids(&again.refresh().unwrap()), [1, 2, 3, 4, 6], "at {at}");
    }
}

#[test]
fn folders_are_made_listed_renamed_and_removed() {
    let rig = Rig::new();
    let account = rig.account();
    let list = |account: &Account| {
        let show = |info: MailboxInfo| {
            let marks = [
                (info.subscribed, "s"),
                (info.has_children, "c"),
                (!info.exists, "x"),
                (info.special_use.is_some(), "u"),
            ];
            let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
            format!("{}:{marks}", info.name)
        };
        account.list().unwrap().into_iter().map(show).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(&account), "INBOX: Drafts:su Junk:su Sent:su Trash:su");
    account.create(&name("Work/Plans/2024")).unwrap();
    assert!(matches!(account.create(&name("Work")), Err(StoreError::AlreadyExists)));
    account.set_subscribed(&name("Gone"), true).unwrap();
    account.set_subscribed(&name("Junk"), false).unwrap();
    let plans = account.mailbox(&name("Work/Plans")).unwrap();
    deliver(&plans, 1).unwrap();
    account.delete(&name("Work")).unwrap();
    assert_eq!(
        list(&account),
        "INBOX: Drafts:su Gone:sx Junk:u Sent:su Trash:su Work:cx Work/Plans:c Work/Plans/2024:"
    );
    assert!(matches!(account.delete(&name("Work")), Err(StoreError::HasChildren)));
    assert!(matches!(account.delete(&name("Nope")), Err(StoreError::NoSuchMailbox)));
    assert!(matches!(account.delete(&name("inbox")), Err(StoreError::InboxIsPermanent)));
    account.rename(&name("Work/Plans"), &name("Old/Work")).unwrap();
    assert_eq!(
        list(&account),
        "INBOX: Drafts:su Gone:sx Junk:u Old:c Old/Work:c Old/Work/2024: Sent:su Trash:su"
    );
    assert!(matches!(plans.refresh(), Err(StoreError::NoSuchMailbox)));
    assert!(matches!(deliver(&plans, 2), Err(StoreError::NoSuchMailbox)));
    let renamed = account.mailbox(&name("Old/Work")).unwrap();
    let old = renamed.view().unwrap();
    assert_eq!(uids(&old), [1]);
    account.delete(&name("Old/Work")).unwrap();
    account.create(&name("Old/Work")).unwrap();
    let made_again = account.mailbox(&name("Old/Work")).unwrap().view().unwrap();
    assert!(made_again.is_empty() && made_again.uid_validity > old.uid_validity);
    assert!(matches!(account.rename(&name("Old"), &name("Old/x")), Err(StoreError::Limit(_))));
    assert!(matches!(account.rename(&name("Sent"), &name("Trash")), Err(StoreError::AlreadyExists)));
    assert!(matches!(account.rename(&name("Sent"), &name("Sent")), Err(StoreError::AlreadyExists)));
    assert!(matches!(account.rename(&name("Nope"), &name("y")), Err(StoreError::NoSuchMailbox)));

    deliver(&rig.inbox(), 7).unwrap();
    account.rename(&name("INBOX"), &name("Archive")).unwrap();
    assert!(rig.inbox().view().unwrap().is_empty());
    assert_eq!(account.special(SpecialUse::Archive).unwrap().view().unwrap().len(), 1);
    let left = std::fs::read_dir(rig.path())
        .unwrap()
        .filter_map(|item| item.unwrap().file_name().into_string().ok());
    assert!(left.into_iter().all(|name| !name.starts_with("sluice.deleted")));
}

#[test]
fn limits_on_folders() {
    let rig = Rig::with(|config| (config.folder_depth_max, config.mailboxes_max) = (3, 10));
    let account = rig.account();
    account.create(&name("a/b/c")).unwrap();
    assert!(matches!(account.create(&name("a/b/c/d")), Err(StoreError::Limit(_))));
    account.create(&name("d")).unwrap();
    account.create(&name("e")).unwrap();
    account.create(&name("f")).unwrap();
    assert!(matches!(account.create(&name("g")), Err(StoreError::Limit(_))));
}

#[test]
fn an_unmounted_root_is_refused() {
    let rig = Rig::new();
    let account = rig.account();
    let inbox = rig.inbox();
    inbox.view().unwrap();
    let away = rig.root.path().join("away");
    std::fs::create_dir(&away).unwrap();
    for item in std::fs::read_dir(rig.root.path()).unwrap() {
        let item = item.unwrap();
        if item.file_name() != "away" {
            std::fs::rename(item.path(), away.join(item.file_name())).unwrap();
        }
    }
    assert!(matches!(rig.store.account(&ann()), Err(StoreError::NotMounted(_))));
    assert!(matches!(account.mailbox(&name("Sent")), Err(StoreError::NotMounted(_))));
    assert!(matches!(inbox.refresh(), Err(StoreError::NotMounted(_))));
    assert!(matches!(deliver(&inbox, 1), Err(StoreError::NotMounted(_))));
    assert!(Store::open(&rig.config, Arc::new(RealFs), &Registry::new()).is_err());
}

#[test]
fn a_rebuild_keeps_everything() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    for number in 1..=4 {
        deliver(&inbox, number).unwrap();
    }
    inbox.store(&[Uid(2)], FlagChange::Add, &seen(), None).unwrap();
    let before = inbox.view().unwrap();
    inbox.rebuild().unwrap();
    let after = inbox.view().unwrap();
    let list = |view: &View| {
        view.iter().map(|entry| (entry.uid, entry.flags.clone(), entry.size)).collect::<Vec<_>>()
    };
    assert_eq!((list(&after), after.uid_validity), (list(&before), before.uid_validity));
    let stats = inbox.stats().unwrap();
    assert_eq!((stats.messages, stats.pending, stats.unparsed), (4, 0, 4));
    inbox.summary(Uid(1)).unwrap();
    assert_eq!(inbox.stats().unwrap().unparsed, 3);
}

#[test]
fn the_journal_is_folded_into_the_index() {
    let rig = Rig::with(|config| config.journal_size_max = units::ByteSize::kib(1));
    let (inbox, other) = (rig.inbox(), inbox(&rig.reopened()));
    for number in 1..=60 {
        let mailbox = if number % 3 == 0 { &other } else { &inbox };
        deliver(mailbox, number).unwrap();
        if number % 5 == 0 {
            inbox.expunge(&[Uid(u32::from(number))]).unwrap();
        }
    }
    assert!(std::fs::metadata(rig.path().join("sluice.journal")).unwrap().len() < 4096 + 1024);
    assert_eq!(inbox.refresh().unwrap().len(), 48);
    assert_eq!(uids(&inbox.view().unwrap()), uids(&other.refresh().unwrap()));
    // Ids of expunged messages survive the folding.
    assert_eq!(deliver(&super::inbox(&rig.reopened()), 5).unwrap(), Delivered { uid: None, duplicate: true });
}

#[test]
fn a_message_for_many_is_written_once() {
    use std::os::unix::fs::MetadataExt as _;

    let rig = Rig::new();
    let names = ["INBOX", "Sent", "Drafts", "Trash", "Junk"];
    let mailboxes: Vec<_> = names.iter().filter_map(|text| rig.account().mailbox(&name(text)).ok()).collect();
    assert!(mailboxes.len() >= 4, "enough to share their syncs");
    let content = text(9);
    let delivery =
        Delivery { message_id: id(9), content: &content, received_at: DATE, flags: Flags::default() };
    let answers = rig.store.deliver_to_all(&mailboxes, delivery.clone());
    for (mailbox, answer) in mailboxes.iter().zip(answers) {
        assert!(!answer.unwrap().duplicate);
        let view = mailbox.view().unwrap();
        assert_eq!(mailbox.content(view.get(0).unwrap().uid).unwrap(), content);
    }
    let file = rig.path().join(&files(&rig.path())[0]);
    assert_eq!(std::fs::metadata(file).unwrap().nlink(), mailboxes.len() as u64);
    let saved = rig.store.shared().metrics.shared_body_bytes.get();
    assert_eq!(saved, content.len() as u64 * (mailboxes.len() as u64 - 1));
    assert_eq!(std::fs::read_dir(rig.root.path().join("sluice.tmp")).unwrap().count(), 0);
    let again = rig.store.deliver_to_all(&mailboxes, delivery);
    assert!(again.into_iter().all(|answer| answer.unwrap().duplicate));
}

#[test]
fn a_batch_answers_in_order_and_waits_for_nobody() {
    for shared_sync_min in [1, 100] {
        let rig = Rig::with(|config| {
            config.shared_sync_min = shared_sync_min;
            config.batch_lock_wait = Span::millis(30);
        });
        let (inbox, sent) = (rig.inbox(), rig.account().mailbox(&name("Sent")).unwrap());
        let batch = || {
            let texts = [1, 2, 3, 4].map(text);
            let to = [vec![&inbox], vec![&sent, &inbox], vec![&inbox], vec![&sent]];
            let filings: Vec<Filing<'_>> = [1, 2, 1, 4]
                .into_iter()
                .zip(&texts)
                .zip(to)
                .map(|((number, content), to)| Filing {
                    delivery: Delivery {
                        message_id: id(number),
                        content,
                        received_at: DATE,
                        flags: Flags::default(),
                    },
                    mailboxes: to.into_iter().cloned().collect(),
                })
                .collect();
            let short = |answer| match answer {
                Ok(Delivered { uid: Some(uid), duplicate }) => (uid.0, duplicate),
                Err(StoreError::LockTimeout) => (0, false),
                other => panic!("{other:?}"),
            };
            let answers = rig.store.deliver_batch(&filings, Patience::Little).into_iter();
            answers.map(|answers| answers.into_iter().map(short).collect()).collect::<Vec<Vec<_>>>()
        };
        let lock = std::fs::File::open(rig.path().join("sluice.lock"));
        let lock = lock.unwrap_or_else(|_| {
            inbox.refresh().unwrap();
            std::fs::File::open(rig.path().join("sluice.lock")).unwrap()
        });
        lock.lock().unwrap();
        let expected = [vec![(0, false)], vec![(1, false), (0, false)], vec![(0, false)], vec![(2, false)]];
        assert_eq!(batch(), expected, "INBOX is locked");
        lock.unlock().unwrap();
        let expected = [vec![(1, false)], vec![(1, true), (2, false)], vec![(1, true)], vec![(2, true)]];
        assert_eq!(batch(), expected);
        assert_eq!(inbox.content(Uid(2)).unwrap(), text(2));
        assert_eq!((uids(&inbox.refresh().unwrap()), uids(&sent.view().unwrap())), (vec![1, 2], vec![1, 2]));
        let tmp = |path: PathBuf| std::fs::read_dir(path).map_or(0, Iterator::count);
        assert_eq!(tmp(rig.path().join("tmp")) + tmp(rig.root.path().join("sluice.tmp")), 0);
    }
}

#[test]
fn files_of_writers_that_died_are_swept() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    let left = rig.path().join("tmp/left-over");
    std::fs::write(&left, "half a mess").unwrap();
    inbox.rebuild().unwrap();
    assert!(left.exists(), "somebody may still be writing it");
    let config = Config { tmp_age_max: Span::millis(0), ..rig.config.clone() };
    let store = Store::open(&config, Arc::new(RealFs), &Registry::new()).unwrap();
    super::inbox(&store).rebuild().unwrap();
    assert!(!left.exists());
}
