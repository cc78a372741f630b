//! Mailboxes and accounts: made, named, counted, taken over, moved.

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
    // UIDVALIDITYs that somebody may have seen.
    let told = std::cell::RefCell::new(Vec::new());
    let validities = |account: &Account| -> Vec<u32> {
        let view = |text: &str| account.mailbox(&name(text)).unwrap().refresh().unwrap();
        opened.iter().map(|text| view(text).uid_validity.0).collect()
    };
    check(
        |store| {
            let account = store.account(&newcomer())?;
            told.replace(Vec::new());
            for text in opened {
                let seen = account.mailbox(&name(text))?.refresh()?.uid_validity.0;
                told.borrow_mut().push(seen);
            }
            Ok(())
        },
        |store, acknowledged| {
            let account = match store.existing_account(&newcomer()).unwrap() {
                Some(account) => account,
                None => {
                    assert!(!acknowledged, "an account is lost");
                    store.account(&newcomer()).unwrap()
                }
            };
            let listed = account.list().unwrap();
            for text in folders {
                let found = listed.iter().find(|info| info.name.as_str() == text).unwrap();
                assert!(found.exists && (found.subscribed || text == "INBOX"), "{text}");
            }
            let now = validities(&account);
            assert!(!acknowledged || now == *told.borrow(), "a UIDVALIDITY is another one");
            for text in opened {
                deliver(&account.mailbox(&name(text)).unwrap(), 1).unwrap();
            }
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
