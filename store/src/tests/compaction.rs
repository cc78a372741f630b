//! The cache gets smaller when messages go, under whoever has it open.

use super::*;
use crate::cache;

/// Delivers messages and gives their number and the cache's size.
fn fill(rig: &Rig, numbers: std::ops::RangeInclusive<u8>) -> u64 {
    for number in numbers {
        deliver(&rig.inbox(), number).unwrap();
    }
    size(rig)
}

fn size(rig: &Rig) -> u64 {
    std::fs::metadata(rig.path().join(cache::FILE)).unwrap().len()
}

/// Every summary is the one of its text; gives how many had to be parsed for it.
fn look(store: &Store) -> u64 {
    let inbox = inbox(store);
    let before = inbox.stats().unwrap().unparsed;
    for entry in inbox.refresh().unwrap().iter() {
        let content = inbox.content(entry.uid).unwrap();
        assert_eq!(*inbox.summary(entry.uid).unwrap(), parse_summary(&content));
    }
    before
}

#[test]
fn records_of_messages_that_are_gone_are_left_out() {
    let rig = Rig::with(|config| config.cache_waste_max = units::ByteSize::bytes(100));
    let full = fill(&rig, 1..=40);
    // Somebody else has the mailbox and its cache open all the time.
    let other = rig.reopened();
    assert_eq!(look(&other), 0);
    let gone: Vec<Uid> = (1..=30).map(Uid).collect();
    rig.inbox().expunge(&gone).unwrap();
    rig.inbox().fold().unwrap();
    let small = size(&rig);
    assert!(small * 3 < full, "{small} of {full}");
    for store in [&rig.store, &other, &rig.reopened()] {
        assert_eq!(look(store), 0);
        assert_eq!(inbox(store).check(true).unwrap().findings, []);
    }
    // What the other one appends lands in the new file.
    deliver(&inbox(&other), 41).unwrap();
    assert!(size(&rig) > small);
    assert_eq!(look(&rig.store), 0);
    assert_eq!(inbox(&rig.store).check(true).unwrap().findings, []);
    // Nothing to win: the file stays.
    let before = size(&rig);
    rig.inbox().fold().unwrap();
    assert_eq!(size(&rig), before);
}

#[test]
fn a_reader_with_the_old_file_under_the_new_index_parses_and_remembers_in_the_new() {
    let rig = Rig::with(|config| config.cache_waste_max = units::ByteSize::bytes(100));
    fill(&rig, 1..=20);
    let gone: Vec<Uid> = (1..=15).map(Uid).collect();
    rig.inbox().expunge(&gone).unwrap();
    // As a crash leaves it that comes before the new file has its name: the index knows places in a file that is not there.
    let old = std::fs::read(rig.path().join(cache::FILE)).unwrap();
    rig.inbox().fold().unwrap();
    std::fs::write(rig.path().join(cache::FILE), old).unwrap();
    let later = rig.reopened();
    look(&later);
    look(&rig.reopened());
    assert_eq!(inbox(&rig.reopened()).check(true).unwrap().findings, []);
}
