//! What the journal says already and the Maildir shows later.

use std::time::{Duration, SystemTime};

use super::*;

/// What is left for the upkeep of other nodes.
fn notes(rig: &Rig) -> Vec<PathBuf> {
    let items = std::fs::read_dir(rig.root.path().join("sluice.placing")).unwrap();
    items.map(|item| item.unwrap().path()).filter(|path| path.extension().is_some()).collect()
}

#[test]
fn names_follow_flags_later_for_several_changes_together() {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::secs(30));
    let inbox = rig.inbox();
    for number in 1..=2 {
        deliver(&inbox, number).unwrap();
    }
    let names = files(&rig.path());
    let flagged = Flags { flagged: true, ..Flags::default() };
    inbox.store(&[Uid(1)], FlagChange::Add, &seen(), None).unwrap();
    inbox.store(&[Uid(1), Uid(2)], FlagChange::Add, &flagged, None).unwrap();
    inbox.store(&[Uid(2)], FlagChange::Remove, &flagged, None).unwrap();
    rig.store.tick();
    assert_eq!(files(&rig.path()), names, "not yet");
    assert_eq!(notes(&rig), [""; 0].map(PathBuf::from), "none for so little");
    // Whoever opens the mailbox has the flags from the journal.
    let again = super::inbox(&rig.reopened()).refresh().unwrap();
    let flags = |index: usize| Flags::clone(&again.get(index).unwrap().flags);
    assert_eq!((flags(0), flags(1)), (Flags { flagged: true, ..seen() }, Flags::default()));

    let soon = Config { pending_rename_interval: Span::millis(0), ..rig.config.clone() };
    let store = Store::open(&soon, Arc::new(RealFs), &Registry::new()).unwrap();
    super::inbox(&store).refresh().unwrap();
    store.tick();
    let mut expected = [names[0].replace("new/", "cur/") + ":2,FS", names[1].replace("new/", "cur/") + ":2,"];
    expected.sort();
    assert_eq!(files(&rig.path()), expected);
    assert_eq!(uids(&inbox.refresh().unwrap()), [1, 2]);
    // A file that goes at once goes with the name that it has.
    inbox.store(&[Uid(2)], FlagChange::Add, &flagged, None).unwrap();
    inbox.expunge(&[Uid(2)]).unwrap();
    assert_eq!(files(&rig.path()).len(), 1);
}

#[test]
fn a_large_change_is_written_ahead_and_settled_by_the_upkeep() {
    let rig =
        Rig::with(|config| (config.small_change_max, config.pending_rename_interval) = (2, Span::millis(0)));
    let inbox = rig.inbox();
    for number in 1..=6 {
        deliver(&inbox, number).unwrap();
    }
    let all: Vec<Uid> = (1..=6).map(Uid).collect();
    inbox.store(&all, FlagChange::Add, &seen(), None).unwrap();
    inbox.expunge(&all[..3]).unwrap();
    assert_eq!(files(&rig.path()).iter().filter(|name| name.starts_with("new/")).count(), 6);
    // A later start takes the journal's word and settles the rest.
    let store = rig.reopened();
    let again = super::inbox(&store);
    let view = again.refresh().unwrap();
    assert_eq!(uids(&view), [4, 5, 6]);
    assert!(view.iter().all(|entry| entry.flags.seen));
    store.tick();
    let names = files(&rig.path());
    assert!(names.len() == 3 && names.iter().all(|name| name.ends_with(":2,S")), "{names:?}");
    assert_eq!(uids(&inbox.refresh().unwrap()), [4, 5, 6]);
}

#[test]
fn what_a_dead_node_owed_is_done_by_the_upkeep_of_others() {
    let rig = Rig::with(|config| config.small_change_max = 1);
    let inbox = rig.inbox();
    for number in 1..=3 {
        deliver(&inbox, number).unwrap();
    }
    let unread = || files(&rig.path()).iter().filter(|name| !name.ends_with('S')).count();
    inbox.store(&[Uid(1), Uid(2)], FlagChange::Add, &seen(), None).unwrap();
    assert_eq!((notes(&rig).len(), unread()), (1, 3), "the journal has it, the names follow");
    // Another node lets the one that made the change do its work first.
    let other = rig.reopened();
    other.tick();
    assert_eq!(unread(), 3);
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&notes(&rig)[0]).unwrap().set_modified(hour_ago).unwrap();
    rig.reopened().tick();
    assert_eq!((notes(&rig).len(), unread()), (0, 1));
    // Who lives takes the note away.
    inbox
        .store(&[Uid(1), Uid(3)], FlagChange::Add, &Flags { flagged: true, ..Flags::default() }, None)
        .unwrap();
    assert_eq!(notes(&rig).len(), 1);
    rig.store.close();
    assert_eq!(notes(&rig).len(), 0);
}

#[test]
fn a_rebuild_by_another_process_keeps_flags_that_no_name_shows_yet() {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::secs(30));
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    inbox.store(&[Uid(1)], FlagChange::Add, &seen(), None).unwrap();
    // It has never looked at the mailbox, and nothing of it in memory says that something is owed.
    super::inbox(&rig.reopened()).rebuild().unwrap();
    assert!(inbox.refresh().unwrap().get(0).unwrap().flags.seen);
    assert!(files(&rig.path())[0].ends_with(":2,S"), "{:?}", files(&rig.path()));
    // One that has looked before the change.
    let other = super::inbox(&rig.reopened());
    other.refresh().unwrap();
    let flagged = Flags { flagged: true, ..Flags::default() };
    inbox.store(&[Uid(1)], FlagChange::Add, &flagged, None).unwrap();
    other.rebuild().unwrap();
    assert!(inbox.refresh().unwrap().get(0).unwrap().flags.flagged);
}
