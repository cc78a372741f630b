//! Index, journal and cache cut and bit-flipped at any octet: the mailbox stays what it was.

use std::fs;

use super::*;

/// UID, whether it was read, and text of a message.
type Message = (u32, bool, Vec<u8>);

/// What must survive: every message and the counters.
fn seen_by_a_later_start(rig: &Rig) -> (Vec<Message>, Uid, ModSeq) {
    let inbox = inbox(&rig.reopened());
    let view = inbox.view().unwrap();
    let summaries = inbox.summaries(&view.iter().map(|entry| entry.uid).collect::<Vec<_>>()).unwrap();
    assert_eq!(summaries.len(), view.len());
    for (uid, summary) in summaries {
        assert_eq!(*summary, parse_summary(&inbox.content(uid).unwrap()), "{uid:?}");
    }
    let messages =
        view.iter().map(|entry| (entry.uid.0, entry.flags.seen, inbox.content(entry.uid).unwrap().to_vec()));
    (messages.collect(), view.uid_next, view.highest_mod_seq)
}

fn damaged_everywhere(file: &str, step: usize) {
    let rig = Rig::with(|config| config.mtime_resolution = Span::millis(5));
    let inbox = rig.inbox();
    for number in 1..=3 {
        deliver(&inbox, number).unwrap();
    }
    // An index with something in it, and a journal behind it.
    inbox.rebuild().unwrap();
    inbox.summaries(&[Uid(1), Uid(2), Uid(3)]).unwrap();
    for number in 4..=6 {
        deliver(&inbox, number).unwrap();
    }
    inbox.store(&[Uid(2), Uid(5)], FlagChange::Add, &seen(), None).unwrap();
    inbox.expunge(&[Uid(4)]).unwrap();
    let (messages, uid_next, mod_seq) = seen_by_a_later_start(&rig);
    assert_eq!(messages.iter().map(|(uid, ..)| *uid).collect::<Vec<_>>(), [1, 2, 3, 5, 6]);

    let names = ["sluice.index", "sluice.journal", "sluice.cache", "sluice.uidvalidity"];
    let saved = names.map(|name| (rig.path().join(name), fs::read(rig.path().join(name)).unwrap()));
    let target = rig.path().join(file);
    let whole = fs::read(&target).unwrap();
    assert!(whole.len() > 50, "there is something to damage in {file}: {}", whole.len());
    for at in (0..whole.len()).step_by(step) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        for (how, bytes) in [("cut", &whole[..at]), ("flipped", &flipped[..])] {
            for (path, content) in &saved {
                fs::write(path, content).unwrap();
            }
            fs::write(&target, bytes).unwrap();
            for _ in 0..2 {
                let (now, next, highest) = seen_by_a_later_start(&rig);
                assert_eq!(now, messages, "{file} {how} at {at}");
                assert!(next >= uid_next, "{file} {how} at {at}: UIDs are given again: {next:?}");
                // A journal that is cut between two records looks like one that ends there; what was synced does not vanish so.
                let whole_records = how == "cut";
                assert!(
                    whole_records || highest >= mod_seq,
                    "{file} {how} at {at}: mod-sequences went back: {highest:?}"
                );
            }
        }
    }
}

#[test]
fn the_journal() {
    damaged_everywhere("sluice.journal", 1);
}

#[test]
fn the_index() {
    damaged_everywhere("sluice.index", 1);
}

#[test]
fn the_cache() {
    damaged_everywhere("sluice.cache", 3);
}
