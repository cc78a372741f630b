//! New messages.

use super::*;

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

/// Each message of a batch for one mailbox has its own answer, whichever call fails: the same id twice, one that is there already, one with a
/// flag.
#[test]
fn each_of_a_batch_has_its_own_answer() {
    let numbers = [9, 10, 9, 1, 11, 12];
    let flags = |number: u8| if number == 11 { seen() } else { Flags::default() };
    let run = |store: &Store| -> Vec<bool> {
        let texts = numbers.map(text);
        let Ok(inbox) = open_inbox(store) else { return vec![false; numbers.len()] };
        let filing = |(number, content)| Filing {
            delivery: Delivery { message_id: id(number), content, received_at: DATE, flags: flags(number) },
            mailboxes: vec![inbox.clone()],
        };
        let contents = texts.iter().map(Vec::as_slice);
        let filings: Vec<Filing<'_>> = numbers.into_iter().zip(contents).map(filing).collect();
        store.deliver_batch(&filings, Patience::Little).into_iter().flatten().map(|one| one.is_ok()).collect()
    };
    for network in [false, true] {
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            for call in 1.. {
                let mut scene = Scene::on(disk(network)(), config());
                let store = scene.store();
                scene.fs.plan(call, fault);
                let answers = run(&store);
                let ended = !scene.fs.clear_plan();
                for (number, _) in numbers.iter().zip(&answers).filter(|(_, done)| **done) {
                    assert!(has(&inbox(&store), *number), "call {call}: message {number} is lost");
                }
                assert_eq!(run(&store), [true; 6], "call {call}");
                untouched(&store, &[1, 2, 3, 9, 10, 11, 12]);
                assert_eq!(inbox(&store).refresh().unwrap().len(), 7, "call {call}: one is there twice");
                scene.observe(&inbox(&store));
                inbox(&store).rebuild().unwrap();
                scene.observe(&inbox(&store));
                if ended {
                    break;
                }
            }
        }
    }
}

/// A process is killed before it synced the names it gave, and the queue gives its message to the next one, which says that it is there.
#[test]
fn a_message_that_is_said_to_be_here_is_on_disk() {
    for network in [false, true] {
        for call in 1.. {
            let scene = Scene::on(disk(network)(), config());
            let store = scene.store();
            inbox(&store).refresh().unwrap();
            scene.fs.plan(call, Fault::Cut);
            let first = open_inbox(&store).and_then(|inbox| deliver(&inbox, 9));
            if !scene.fs.clear_plan() {
                assert!(first.is_ok() && call > 3);
                break;
            }
            // The machine has not lost anything yet.
            scene.fs.power_on(Loss::Nothing);
            drop(store);
            let store = scene.store();
            deliver(&inbox(&store), 9).unwrap();
            scene.fs.power_on(Loss::Both);
            drop(store);
            assert!(has(&inbox(&scene.store()), 9), "call {call}: an acknowledged delivery is lost");
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

/// Whoever hears that nothing came tries again, under another id: what came all the same would be there twice.
#[test]
fn what_is_refused_does_not_come() {
    let operations: [Operation<'_>; 2] =
        [&|store| open_inbox(store)?.append(&text(9), &seen(), DATE).map(drop), &|store| {
            open_sent(store)?.copy(&[Uid(1)], &*open_inbox(store)?).map(drop)
        }];
    for (network, operation) in
        [false, true].into_iter().flat_map(|network| operations.map(|one| (network, one)))
    {
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            for call in 1.. {
                let scene = Scene::on(disk(network)(), config());
                let store = scene.store();
                inbox(&store).refresh().unwrap();
                scene.fs.plan(call, fault);
                let acknowledged = operation(&store).is_ok();
                if !scene.fs.clear_plan() {
                    assert!(acknowledged && call > 3);
                    break;
                }
                let expected = 3 + usize::from(acknowledged);
                for _ in 0..2 {
                    assert_eq!(inbox(&store).refresh().unwrap().len(), expected, "{fault:?} at call {call}");
                    inbox(&store).rebuild().unwrap();
                }
            }
        }
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
