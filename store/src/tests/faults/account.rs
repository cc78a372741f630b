//! Mailboxes and accounts: made, named, counted, taken over, moved.

use std::cell::Cell;

use super::*;

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
fn make() {
    let (folders, opened) = (["INBOX", "Drafts", "Junk", "Sent", "Trash"], ["INBOX", "Trash"]);
    let open = |account: &Account, text: &str| account.mailbox(&name(text)).unwrap();
    let validities =
        |account: &Account| opened.map(|text| open(account, text).refresh().unwrap().uid_validity.0);
    // UIDVALIDITYs that somebody has seen, and whether a message was delivered to each.
    let (told, delivered) = (Cell::new(None), Cell::new(false));
    check(
        |store| {
            told.set(None);
            delivered.set(false);
            let account = store.account(&newcomer())?;
            let mut seen = [0; 2];
            for (seen, text) in seen.iter_mut().zip(opened) {
                let mailbox = account.mailbox(&name(text))?;
                // Who saw a sync fail looks once more, and writes anew what is not to be trusted.
                *seen = mailbox.refresh().inspect_err(|_| drop(mailbox.refresh()))?.uid_validity.0;
            }
            told.set(Some(seen));
            Ok(())
        },
        |store, acknowledged| {
            // Where the last sync failed the account may have to be made once more; all else of it holds.
            let found = store.existing_account(&newcomer()).unwrap();
            assert!(!acknowledged || found.is_some(), "an account is lost");
            let before = told.get();
            let account = store.account(&newcomer()).unwrap();
            let listed = account.list().unwrap();
            for text in folders {
                let found = listed.iter().find(|info| info.name.as_str() == text).unwrap();
                assert!(found.exists && (found.subscribed || text == "INBOX"), "{text}");
            }
            let now = validities(&account);
            assert!(before.is_none_or(|before| before == now), "a UIDVALIDITY is another one");
            for text in opened {
                let mailbox = open(&account, text);
                assert!(!delivered.get() || has(&mailbox, 1), "a message is lost");
                deliver(&mailbox, 1).unwrap();
                let view = mailbox.refresh().unwrap();
                let first = view.get(0).unwrap();
                assert!(!delivered.get() || first.flags.flagged, "a flag is lost");
                let flagged = Flags { flagged: true, ..Flags::default() };
                mailbox.store(&[first.uid], FlagChange::Add, &flagged, None).unwrap();
            }
            delivered.set(true);
            told.set(Some(now));
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
