//! The worker with mailboxes on a disk.

use store::{Account, MailboxName};

use super::Lane;
use super::fakes::address;
use super::tests::{BODY, Setup, config, recipients};

fn account(setup: &Setup, name: &str) -> Account {
    setup.worker.deps.store.account(&envelope::AccountId::new(&address(name))).unwrap()
}

/// The messages of a mailbox, as texts.
fn mail(setup: &Setup, name: &str, mailbox: &str) -> Vec<String> {
    let mailbox = account(setup, name).mailbox(&MailboxName::parse(mailbox).unwrap()).unwrap();
    let view = mailbox.refresh().unwrap();
    let text = |uid| String::from_utf8(mailbox.content(uid).unwrap().to_vec()).unwrap();
    view.iter().map(|entry| text(entry.uid)).collect()
}

#[tokio::test]
async fn files_one_copy_an_account_with_its_header_fields() {
    let setup = Setup::new(&[("ann", "=ann"), ("bob", "=bob"), ("team", "ann bob")], config());
    setup.publish(1, "s@elsewhere.test", &["ann", "team", "bob"]).await;
    assert!(setup.settled().await.is_empty());
    for name in ["ann", "bob"] {
        // One body for both names neither.
        let head = "Return-Path: <s@elsewhere.test>\r\n".to_owned();
        assert_eq!(mail(&setup, name, "INBOX"), [head + std::str::from_utf8(BODY).unwrap()]);
    }
    assert_eq!((setup.outcomes("delivered"), setup.outcomes("merged")), (2, 2));
}

#[tokio::test]
async fn a_message_for_one_says_for_whom() {
    let setup = Setup::new(&[("ann", "=ann")], config());
    setup.publish(1, "s@elsewhere.test", &["ann"]).await;
    assert!(setup.settled().await.is_empty());
    let head = "Return-Path: <s@elsewhere.test>\r\nDelivered-To: ann@example.test\r\n".to_owned();
    assert_eq!(mail(&setup, "ann", "INBOX"), [head + std::str::from_utf8(BODY).unwrap()]);
}

#[tokio::test]
async fn of_many_recipients_each_has_an_outcome_of_its_own() {
    let names: Vec<String> = (0..150).map(|number| format!("user{number}")).collect();
    let entries: Vec<(String, String)> =
        names.iter().map(|name| (name.clone(), format!("={name}"))).collect();
    let entries: Vec<(&str, &str)> = entries.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
    let setup = Setup::new(&entries, config());
    // One had it before, one does not exist.
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("nobody");
    setup
        .publish_body(1, "s@elsewhere.test", &all, b"Delivered-To: user7@example.test\r\n\r\nText\r\n")
        .await;
    assert!(setup.settled().await.iter().all(|listed| listed.envelope.reverse_path.address().is_none()));
    for (number, name) in names.iter().enumerate() {
        assert_eq!(mail(&setup, name, "INBOX").len(), usize::from(number != 7), "{name}");
    }
    assert_eq!((setup.outcomes("delivered"), setup.outcomes("bounced")), (149, 2));
    assert_eq!(std::fs::read_dir(setup.root.path().join("sluice.tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_tag_names_a_folder_or_means_the_inbox() {
    for (tag, folder) in [
        ("news", "News"),
        ("NEWS", "News"),
        ("NoSuch", "INBOX"),
        ("inbox", "INBOX"),
        ("sent", "INBOX"),
        ("drafts", "INBOX"),
        ("trash", "INBOX"),
        ("junk", "Junk"),
        ("grüße", "Grüße"),
        ("a/b", "INBOX"),
        ("..", "INBOX"),
        ("", "INBOX"),
    ] {
        let setup = Setup::new(&[("t", &format!("=ann+{tag}"))], config());
        let ann = account(&setup, "ann");
        for name in ["News", "Grüße", "a/b"] {
            ann.create(&MailboxName::parse(name).unwrap()).unwrap();
        }
        setup.publish(1, "", &["t"]).await;
        assert!(setup.settled().await.is_empty(), "{tag}");
        assert_eq!(mail(&setup, "ann", folder).len(), 1, "{tag}");
    }
}

#[tokio::test]
async fn a_crash_before_the_ack_makes_no_second_copy() {
    let setup = Setup::new(&[("ann", "=ann"), ("bob", "=bob")], config());
    setup.publish(1, "", &["ann", "bob"]).await;
    setup.try_and_crash().await;
    assert!(setup.settled().await.is_empty());
    assert_eq!((mail(&setup, "ann", "INBOX").len(), mail(&setup, "bob", "INBOX").len()), (1, 1));
    assert_eq!(setup.count("sluice_delivery_duplicates_total", ""), 2);
}

#[tokio::test]
async fn two_messages_are_two_even_when_they_are_equal() {
    let setup = Setup::new(&[("ann", "=ann")], config());
    setup.publish(1, "", &["ann"]).await;
    setup.publish(2, "", &["ann"]).await;
    assert!(setup.settled().await.is_empty());
    assert_eq!(mail(&setup, "ann", "INBOX").len(), 2);
}

#[tokio::test]
async fn what_was_here_before_is_a_loop_and_its_sender_hears_of_it() {
    let setup = Setup::new(&[("ann", "=ann"), ("bob", "=bob")], config());
    setup.publish_body(1, "bob", &["ann"], b"Delivered-To: ann@example.test\r\n\r\nText\r\n").await;
    assert!(setup.settled().await.is_empty());
    assert!(mail(&setup, "ann", "INBOX").is_empty());
    let reports = mail(&setup, "bob", "INBOX");
    assert_eq!(reports.len(), 1);
    assert!(
        reports[0]
            .starts_with("Return-Path: <>\r\nDelivered-To: bob@example.test\r\nFrom: Mail Delivery System")
    );
    assert!(reports[0].contains("Status: 5.4.6\r\n"), "{}", reports[0]);
}

#[tokio::test]
async fn a_store_that_fails_makes_mail_wait() {
    let setup = Setup::new(&[("ann", "=ann")], config());
    for entry in std::fs::read_dir(setup.root.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
    }
    setup.publish(1, "s@elsewhere.test", &["ann", "unknown"]).await;
    let listed = setup.settled().await;
    let waiting = listed.iter().find(|listed| listed.lane == Lane::Local).unwrap();
    assert_eq!((recipients(waiting), waiting.attempts), (vec!["ann@example.test".to_owned()], 1));
    assert!(!waiting.last_error.is_empty());
    assert_eq!((setup.outcomes("deferred"), setup.outcomes("bounced")), (1, 1));
}

/// What an account may hold from here on.
fn limit(setup: &Setup, name: &str, octets: u64) {
    let quota = envelope::Quota { octets: Some(octets), messages: None };
    setup.directory.1.lock().unwrap().insert(envelope::AccountId::new(&address(name)), quota);
}

#[tokio::test]
async fn a_full_mailbox_makes_mail_wait_and_then_its_sender_hears_of_it() {
    for (grace, waiting, bounced) in [(units::Span::hours(1), 1, 0), (units::Span::millis(0), 0, 1)] {
        let setup = Setup::new(
            &[("ann", "=ann"), ("bob", "=bob"), ("sue", "=sue")],
            crate::Config { quota_grace: grace, ..config() },
        );
        limit(&setup, "ann", 10);
        limit(&setup, "bob", 10_000);
        setup.publish(1, "sue", &["ann", "bob"]).await;
        let listed = setup.settled().await;
        assert_eq!((mail(&setup, "ann", "INBOX").len(), mail(&setup, "bob", "INBOX").len()), (0, 1));
        assert_eq!(listed.len(), waiting, "{grace}");
        let reports = mail(&setup, "sue", "INBOX");
        assert_eq!(reports.len(), bounced, "{grace}");
        if waiting > 0 {
            assert!(
                listed[0].last_error.starts_with("the mailbox is full: 0 octets in 0 messages of 10 octets")
            );
            assert_eq!(recipients(&listed[0]), ["ann@example.test"]);
        } else {
            assert!(reports[0].contains("Status: 5.2.2\r\n"), "{}", reports[0]);
        }
    }
}

#[tokio::test]
async fn what_is_there_already_is_never_bounced_as_too_much() {
    let setup =
        Setup::new(&[("ann", "=ann")], crate::Config { quota_grace: units::Span::millis(0), ..config() });
    setup.publish(1, "s@elsewhere.test", &["ann"]).await;
    setup.try_and_crash().await;
    limit(&setup, "ann", 10);
    assert!(setup.settled().await.is_empty());
    assert_eq!((mail(&setup, "ann", "INBOX").len(), setup.outcomes("bounced")), (1, 0));
}

#[tokio::test]
async fn the_owner_is_told_once_when_the_mailbox_fills_up() {
    let setup = Setup::new(&[("ann", "=ann")], config());
    // The warning itself takes the mailbox over no further threshold.
    limit(&setup, "ann", 15_000);
    for number in 1..=4 {
        let body = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(3_000));
        setup.publish_body(number, "", &["ann"], body.as_bytes()).await;
    }
    assert!(setup.settled().await.is_empty());
    let texts = mail(&setup, "ann", "INBOX");
    let warnings: Vec<_> =
        texts.iter().filter(|text| text.contains("Auto-Submitted: auto-generated")).collect();
    assert_eq!((texts.len(), warnings.len()), (5, 1), "{texts:#?}");
    assert!(warnings[0].contains("Subject: Your mailbox is 80 % full\r\n"), "{}", warnings[0]);
}
