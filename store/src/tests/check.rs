use std::fs;

use super::*;

fn found(mailbox: &Mailbox, contents: bool) -> Vec<(Difference, Option<u32>)> {
    let check = mailbox.check(contents).unwrap();
    check.findings.iter().map(|finding| (finding.difference, finding.uid.map(|uid| uid.0))).collect()
}

/// Each damage is told by its name, is gone after a rebuild, and the check itself repairs nothing.
fn each(damage: impl Fn(&Rig, &[String]), expected: &[(Difference, Option<u32>)]) {
    let rig = Rig::with(|config| config.pending_rename_interval = Span::millis(0));
    let inbox = rig.inbox();
    for number in 1..=4 {
        deliver(&inbox, number).unwrap();
    }
    inbox.store(&[Uid(4)], FlagChange::Add, &seen(), None).unwrap();
    assert_eq!(found(&inbox, true), []);
    damage(&rig, &files(&rig.path()));
    for _ in 0..2 {
        let other = super::inbox(&rig.reopened());
        assert_eq!(found(&other, true), expected);
    }
    let other = super::inbox(&rig.reopened());
    other.rebuild().unwrap();
    let left = found(&other, true);
    assert!(left.iter().all(|(difference, _)| *difference == Difference::NotAMessage), "{left:?}");
}

#[test]
fn every_difference_has_its_name() {
    use Difference::*;
    let path = |rig: &Rig, name: &str| rig.path().join(name);
    each(|_, _| {}, &[]);
    each(|rig, files| fs::remove_file(path(rig, &files[1])).unwrap(), &[(NoFile, Some(1))]);
    each(
        |rig, files| {
            let read = files[1].replace("new/", "cur/") + ":2,F";
            fs::rename(path(rig, &files[1]), path(rig, &read)).unwrap();
        },
        &[(Flags, Some(1)), (Place, Some(1))],
    );
    each(
        |rig, _| fs::write(path(rig, "new/1600000000.M1P1.host"), "A: b\n\nc\n").unwrap(),
        &[(NotInIndex, None)],
    );
    each(
        |rig, files| {
            let twin = files[1].replace("new/", "cur/") + ":2,";
            fs::copy(path(rig, &files[1]), path(rig, &twin)).unwrap();
        },
        &[(Twice, Some(1))],
    );
    each(|rig, _| fs::create_dir(path(rig, "cur/directory")).unwrap(), &[(NotAMessage, None)]);
    each(|rig, _| fs::write(path(rig, "cur/empty"), "").unwrap(), &[(NotAMessage, None)]);
    each(|rig, _| fs::remove_file(path(rig, "sluice.index")).unwrap(), &[(Index, None)]);
    each(|rig, _| fs::remove_file(path(rig, "sluice.uidvalidity")).unwrap(), &[(Counters, None)]);
    each(
        |rig, _| {
            let cache = path(rig, "sluice.cache");
            let mut bytes = fs::read(&cache).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(cache, bytes).unwrap();
        },
        &[(Summary, Some(4))],
    );
    each(
        |rig, files| {
            let file = path(rig, &files[2]);
            let text = fs::read_to_string(&file).unwrap().replace("number", "NUMBER");
            fs::write(file, text).unwrap();
        },
        &[(Content, Some(2))],
    );
}

#[test]
fn a_file_of_another_length_is_told_with_both_lengths() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    deliver(&inbox, 1).unwrap();
    fs::write(rig.path().join(&files(&rig.path())[0]), "A: b\r\n\r\n").unwrap();
    let check = inbox.check(false).unwrap();
    let [finding] = check.findings.as_slice() else { panic!("{check:?}") };
    assert_eq!((finding.difference, finding.uid), (Difference::Size, Some(Uid(1))));
    assert_eq!(finding.detail, format!("8 octets, the index says {}", text(1).len()));
}

#[test]
fn a_mailbox_that_nobody_used_is_sound() {
    let rig = Rig::new();
    let sent = rig.account().special(SpecialUse::Sent).unwrap();
    assert_eq!(found(&sent, true), []);
    // Opening it made an index, which a later start takes as it is.
    sent.view().unwrap();
    let index = fs::metadata(sent.path().join("sluice.index")).unwrap().modified().unwrap();
    let again = rig.reopened().account(&ann()).unwrap().mailbox(&sent.name()).unwrap();
    assert_eq!(found(&again, true), []);
    again.view().unwrap();
    assert_eq!(fs::metadata(sent.path().join("sluice.index")).unwrap().modified().unwrap(), index);
    for name in ["sluice.index", "sluice.journal"] {
        fs::remove_file(sent.path().join(name)).unwrap();
    }
    let sent = rig.reopened().account(&ann()).unwrap().mailbox(&sent.name()).unwrap();
    fs::write(sent.path().join("new/1600000000.M1P1.host"), "A: b\n\nc\n").unwrap();
    assert_eq!(found(&sent, true), [(Difference::Index, None)]);
}

#[test]
fn renames_that_wait_are_no_difference() {
    let rig = Rig::with(|config| config.small_change_max = 0);
    let inbox = rig.inbox();
    for number in 1..=3 {
        deliver(&inbox, number).unwrap();
    }
    inbox.store(&[Uid(1)], FlagChange::Add, &seen(), None).unwrap();
    inbox.expunge(&[Uid(2)]).unwrap();
    assert_eq!(found(&inbox, true), []);
    assert_eq!(found(&super::inbox(&rig.reopened()), true), []);
}

#[test]
fn a_rebuild_makes_twins_two_messages() {
    let rig = Rig::new();
    let inbox = rig.inbox();
    for number in 1..=2 {
        deliver(&inbox, number).unwrap();
    }
    let files = files(&rig.path());
    let path = |name: &str| rig.path().join(name);
    let twin = |name: &str| path(&(name.replace("new/", "cur/") + ":2,S"));
    fs::write(twin(&files[0]), text(9)).unwrap();
    fs::hard_link(path(&files[1]), twin(&files[1])).unwrap();
    inbox.rebuild().unwrap();
    let view = inbox.view().unwrap();
    let mut texts: Vec<_> = uids(&view).into_iter().map(|uid| inbox.content(Uid(uid)).unwrap()).collect();
    texts.sort();
    assert_eq!(texts, [text(1), text(2), text(9)]);
    assert_eq!(
        (inbox.content(Uid(1)).unwrap(), inbox.content(Uid(2)).unwrap()),
        (text(1).into(), text(2).into())
    );
    assert!(view.get(2).unwrap().flags.seen, "flags of the other file are kept");
    assert_eq!(found(&inbox, true), []);
}
