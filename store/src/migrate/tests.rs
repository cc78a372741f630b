//! From the Maildirs of other servers and back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::MigrateError;
use crate::tests::{Rig, ann, name};
use crate::{FlagChange, Flags, MailboxName, Uid, UidValidity};

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn maildir(path: &Path) {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
}

/// INBOX with four messages (one of them new, one without a UID), Work/Plans with one, as Dovecot leaves them.
fn dovecot() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    maildir(root);
    write(&root.join("cur/1700000001.M1P1.host,S=16,W=18:2,Sa"), "Subject: one\n\nx\n");
    write(&root.join("cur/1700000002.M1P1.host,S=16,W=18:2,FR"), "Subject: two\n\nx\n");
    write(&root.join("cur/1700000004.M1P1.host:2,"), "Subject: four\n\nx\n");
    write(&root.join("new/1700000003.M1P1.host"), "Subject: three\r\n\r\nx\r\n");
    write(
        &root.join("dovecot-uidlist"),
        "3 V1234567 N40 Gabc\n17 W18 :1700000001.M1P1.host,S=16,W=18:2,\n20 :1700000002.M1P1.host,S=16,W=18:2,S\n\
         31 :1700000003.M1P1.host\n33 :1700000000.gone.host\n",
    );
    write(&root.join("dovecot-keywords"), "0 $Forwarded\n1 Later\n");
    write(&root.join("subscriptions"), "V\t2\n\nWork\tPlans\nArchive\n");
    maildir(&root.join(".Work.Plans"));
    write(&root.join(".Work.Plans/cur/1700000009.M1P1.host:2,S"), "Subject: plan\n\nx\n");
    write(&root.join(".Work.Plans/dovecot-uidlist"), "1 99 8\n7 1700000009.M1P1.host\n");
    folder
}

fn adopt(rig: &Rig, source: &Path) -> Vec<super::Migrated> {
    rig.store.adopt(&ann(), source, &mut |_, _| {}).unwrap()
}

fn refused(rig: &Rig, source: &Path) -> String {
    match rig.store.adopt(&ann(), source, &mut |_, _| {}) {
        Err(error @ MigrateError::Refused(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// UID, subject and flags of every message.
fn messages(rig: &Rig, mailbox: &str) -> Vec<(u32, String, String)> {
    let mailbox = rig.account().mailbox(&name(mailbox)).unwrap();
    let view = mailbox.refresh().unwrap();
    let tell = |entry: &crate::Entry| {
        let text = mailbox.content(entry.uid).unwrap();
        assert_eq!(text.len() as u64, entry.size, "{}", entry.uid.0);
        let subject = String::from_utf8_lossy(&text).lines().next().unwrap().replace("Subject: ", "");
        let flags = &entry.flags;
        let mut said = Vec::new();
        said.extend(flags.seen.then_some("seen".to_owned()));
        said.extend(flags.answered.then_some("answered".to_owned()));
        said.extend(flags.flagged.then_some("flagged".to_owned()));
        said.extend(flags.keywords.iter().cloned());
        (entry.uid.0, subject, said.join(" "))
    };
    view.iter().map(tell).collect()
}

fn told(list: &[(u32, &str, &str)]) -> Vec<(u32, String, String)> {
    list.iter().map(|(uid, subject, flags)| (*uid, (*subject).to_owned(), (*flags).to_owned())).collect()
}

#[test]
fn uids_flags_folders_and_subscriptions_come_along() {
    let (rig, source) = (Rig::new(), dovecot());
    let migrated = adopt(&rig, source.path());
    let counts: Vec<_> = migrated
        .iter()
        .map(|one| (one.mailbox.as_str(), one.messages, one.uids_kept, one.uid_validity.map(|v| v.0)))
        .collect();
    assert_eq!(counts, [("INBOX", 4, 3, Some(1_234_567)), ("Work/Plans", 1, 1, Some(99))]);
    // The one without a UID gets the next that was never given.
    let expected = [
        (17, "one", "seen $Forwarded"),
        (20, "two", "answered flagged"),
        (31, "three", ""),
        (40, "four", ""),
    ];
    assert_eq!(messages(&rig, "INBOX"), told(&expected));
    assert_eq!(messages(&rig, "Work/Plans"), told(&[(7, "plan", "seen")]));
    let inbox = rig.inbox();
    assert_eq!(inbox.view().unwrap().uid_validity, UidValidity(1_234_567));
    assert_eq!(inbox.check(true).unwrap().findings, []);
    let subscribed: Vec<_> = rig
        .account()
        .list()
        .unwrap()
        .into_iter()
        .filter(|info| info.subscribed)
        .map(|info| info.name)
        .collect();
    assert!(subscribed.contains(&name("Work/Plans")) && subscribed.contains(&name("Archive")));
    assert!(subscribed.contains(&name("Sent")), "made here, as every account has it");
    // Nothing is there twice, and the other server's names are what they were.
    let theirs = source.path().join("cur/1700000001.M1P1.host,S=16,W=18:2,Sa");
    assert_eq!(fs::metadata(theirs).unwrap().nlink(), 2);
    // A mailbox without a list gets a UIDVALIDITY above those that came along.
    let sent = rig.account().mailbox(&name("Sent")).unwrap();
    assert!(sent.refresh().unwrap().uid_validity.0 > 1_234_567);
}

#[test]
fn a_mailbox_goes_there_and_back() {
    let (rig, source) = (Rig::new(), dovecot());
    adopt(&rig, source.path());
    let before = messages(&rig, "INBOX");
    let flagged = Flags { flagged: true, ..Flags::default() };
    rig.inbox().store(&[Uid(31)], FlagChange::Add, &flagged, None).unwrap();
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("Maildir");
    rig.store.export(&ann(), &target, &mut |_, _| {}).unwrap();
    let list = fs::read_to_string(target.join("dovecot-uidlist")).unwrap();
    assert!(list.starts_with("3 V1234567 N") && list.contains("\n31 :1700000003.M1P1.host"), "{list}");
    assert!(fs::read_to_string(target.join("courierimapuiddb")).unwrap().starts_with("1 1234567 "));
    assert_eq!(fs::read_to_string(target.join("dovecot-keywords")).unwrap(), "0 $Forwarded\n1 Later\n");
    let subscribed = fs::read_to_string(target.join("courierimapsubscribed")).unwrap();
    assert!(subscribed.contains("INBOX.Work.Plans\n"), "{subscribed}");
    for gone in [None, Some("dovecot-uidlist")] {
        // Without Dovecot's list Courier's is read.
        if let Some(gone) = gone {
            fs::remove_file(target.join(gone)).unwrap();
        }
        let other = Rig::new();
        adopt(&other, &target);
        let mut expected = before.clone();
        expected[2].2 = "flagged".to_owned();
        assert_eq!(messages(&other, "INBOX"), expected, "{gone:?}");
        assert_eq!(messages(&other, "Work/Plans"), told(&[(7, "plan", "seen")]));
    }
    assert!(rig.store.export(&ann(), &target, &mut |_, _| {}).is_err(), "never into what is there");
}

#[test]
fn what_can_not_be_kept_is_named_and_nothing_is_done() {
    let (rig, source) = (Rig::new(), dovecot());
    let root = source.path();
    maildir(&root.join(".a%b"));
    maildir(&root.join("Fs"));
    std::os::unix::fs::symlink(root.join(".Work.Plans"), root.join(".Link")).unwrap();
    write(&root.join("cur/1700000005.M1P1.host,S=999:2,"), "\x1f\u{8b}");
    fs::write(root.join("cur/1700000005.M1P1.host,S=999:2,"), b"\x1f\x8bpacked").unwrap();
    write(&root.join(".Work.Plans/dovecot-uidlist"), "3 V9 N9\n5 :a\n4 :b\n");
    let said = refused(&rig, root);
    for words in [
        ".a%b`",
        "LAYOUT=fs",
        ".Link` is a link",
        "zlib plugin",
        "dovecot-uidlist`, line 3: UIDs do not ascend",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(rig.store.existing_account(&ann()).unwrap().is_none());
    assert!(refused(&rig, &root.join("nowhere")).contains("no Maildir"));
}

#[test]
fn odd_files_stay_behind_or_become_messages_of_their_own() {
    let (rig, source) = (Rig::new(), tempfile::tempdir().unwrap());
    let root = source.path();
    maildir(root);
    write(&root.join("cur/a:2,S"), "Subject: a\n\n1\n");
    fs::hard_link(root.join("cur/a:2,S"), root.join("new/a")).unwrap();
    write(&root.join("new/b"), "Subject: b\n\n1\n");
    write(&root.join("cur/b:2,"), "Subject: other b\n\n1\n");
    write(&root.join("cur/empty:2,"), "");
    write(&root.join("cur/c\nd:2,F"), "Subject: odd name\n\n1\n");
    write(&root.join("cur/e,X=1:2,"), "Subject: e1\n\n1\n");
    write(&root.join("cur/e,X=2:2,"), "Subject: e2\n\n1\n");
    fs::create_dir(root.join("cur/directory")).unwrap();
    let migrated = adopt(&rig, root);
    assert_eq!((migrated[0].messages, migrated[0].uids_kept, migrated[0].list), (6, 0, None));
    let mut subjects: Vec<_> =
        messages(&rig, "INBOX").into_iter().map(|(_, subject, flags)| (subject, flags)).collect();
    subjects.sort();
    let expected =
        [("a", "seen"), ("b", ""), ("e1", ""), ("e2", ""), ("odd name", "flagged"), ("other b", "")];
    let expected: Vec<_> = expected.map(|(subject, flags)| (subject.to_owned(), flags.to_owned())).into();
    assert_eq!(subjects, expected);
    assert_eq!(rig.inbox().check(true).unwrap().findings, []);
}

#[test]
fn an_account_with_mail_is_never_replaced_and_an_empty_one_is() {
    let (rig, source) = (Rig::new(), dovecot());
    // Somebody logged in before.
    rig.account().create(&name("Notes")).unwrap();
    adopt(&rig, source.path());
    assert_eq!(messages(&rig, "INBOX").len(), 4);
    let beside: Vec<_> = fs::read_dir(rig.path().parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    assert!(refused(&rig, source.path()).contains("has 5 messages here already"));
    let stats = rig.inbox().stats().unwrap();
    assert_eq!(stats.messages, 4);
    assert!(rig.account().mailbox(&MailboxName::inbox()).is_ok());
}
