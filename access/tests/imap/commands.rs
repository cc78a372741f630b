//! What the RFCs ask of single commands, where a transcript can't show it: two sessions, or values that must stay the same.

use access::ImapConfig;
use units::Span;

use crate::harness::{Client, config, message, node, node_with};

/// One value of STATUS.
async fn status(client: &mut Client, mailbox: &str, item: &str) -> u64 {
    let lines = client.ok(&format!("STATUS {mailbox} ({item})")).await;
    let value = lines.first().and_then(|line| line.trim_end_matches(')').rsplit(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{lines:?}"))
}

/// Names that LIST or LSUB shows, with their attributes.
async fn names(client: &mut Client, command: &str) -> Vec<String> {
    let lines = client.ok(command).await;
    lines.iter().filter_map(|line| line.split_once(" (")).map(|(_, rest)| rest.to_owned()).collect()
}

#[tokio::test]
async fn an_answer_comes_before_the_goodbye() {
    let node = node_with(ImapConfig { poll_interval: Span::millis(1), ..config() }).await;
    let mut one = node.log_in("alice").await;
    one.ok("CREATE gone").await;
    one.ok("SELECT gone").await;
    node.log_in("alice").await.ok("DELETE gone").await;
    // The message is stored: a client that is not told so would send it again.
    let message = message("x");
    one.send(format!("a APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len())).await;
    let lines = one.until_closed().await;
    assert!(lines[0].starts_with("a OK [APPENDUID "), "{lines:?}");
    assert_eq!(lines[1..], ["* BYE The mailbox was deleted"]);
}

/// RFC 3501 §6.4.8: a UID that is not there is ignored without any error.
#[tokio::test]
async fn uids_that_others_expunged_are_ignored() {
    for command in [
        "UID FETCH 2 BODY.PEEK[]",
        "UID FETCH 2 BODYSTRUCTURE",
        "UID STORE 2 +FLAGS (\\Seen)",
        "UID STORE 2 +FLAGS.SILENT (\\Seen)",
        "UID COPY 2 Trash",
        "UID MOVE 2 Trash",
    ] {
        let node = node().await;
        node.deliver_many("alice", "INBOX", 3).await;
        let mut one = node.alice("INBOX").await;
        let mut two = node.alice("INBOX").await;
        one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
        one.ok("EXPUNGE").await;
        assert_eq!(two.ok(command).await, ["* 2 EXPUNGE"], "{command}");
    }
}

/// A sequence number, though, is one that the client may use until it is told otherwise (RFC 2180 §4).
#[tokio::test]
async fn numbers_that_others_expunged_are_refused() {
    for command in ["FETCH 2 BODY.PEEK[]", "STORE 2 +FLAGS (\\Seen)", "COPY 2 Trash", "MOVE 2 Trash"] {
        let node = node().await;
        node.deliver_many("alice", "INBOX", 3).await;
        let mut one = node.alice("INBOX").await;
        let mut two = node.alice("INBOX").await;
        one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
        one.ok("EXPUNGE").await;
        assert_eq!(two.end_of(command).await, "NO [EXPUNGEISSUED]", "{command}");
    }
}

/// RFC 6851 §3.3: allowed where COPY is.
#[tokio::test]
async fn messages_move_within_their_mailbox() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 2).await;
    let mut client = node.alice("INBOX").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged $Work)").await;
    let lines = client.ok("MOVE 1 INBOX").await;
    assert!(lines[0].starts_with("* OK [COPYUID ") && lines[0].contains(" 1 3] "), "{lines:?}");
    assert_eq!(lines[1..3], ["* 1 EXPUNGE", "* 2 EXISTS"], "{lines:?}");
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 2 3"]);
    assert_eq!(client.ok("UID SEARCH FLAGGED KEYWORD $Work").await, ["* SEARCH 3"]);
}

/// RFC 3501 §6.4.7: flags and internal date should be kept.
#[tokio::test]
async fn a_copy_keeps_flags_and_date() {
    let node = node().await;
    let mut client = node.alice("INBOX").await;
    let text = message("x");
    let date = "\" 7-Feb-1994 21:52:25 -0800\"";
    client.ok(&format!("APPEND INBOX (\\Answered $Work) {date} {{{}+}}\r\n{text}", text.len())).await;
    client.ok("COPY 1 Trash").await;
    client.ok("MOVE 1 Sent").await;
    for mailbox in ["Trash", "Sent"] {
        client.ok(&format!("EXAMINE {mailbox}")).await;
        let lines = client.ok("FETCH 1 (INTERNALDATE FLAGS)").await;
        let expected =
            "* 1 FETCH (INTERNALDATE \" 8-Feb-1994 05:52:25 +0000\" FLAGS (\\Answered \\Recent $Work))";
        assert_eq!(lines, [expected], "{mailbox}");
    }
}

/// RFC 3501 §6.3.1, §6.3.3 to §6.3.5: UIDs never mean another message under the same UIDVALIDITY.
#[tokio::test]
async fn a_name_that_comes_back_has_another_uid_validity() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE box").await;
    client.append("box", &message("x")).await;
    let first = status(&mut client, "box", "UIDVALIDITY").await;
    client.ok("DELETE box").await;
    client.ok("CREATE box").await;
    let second = status(&mut client, "box", "UIDVALIDITY").await;
    assert!(second > first, "{first} {second}");
    client.ok("RENAME box away").await;
    assert_eq!(status(&mut client, "away", "UIDVALIDITY").await, second);
    client.ok("CREATE box").await;
    assert!(status(&mut client, "box", "UIDVALIDITY").await > second);
    // EXPUNGE gives no UID back.
    client.append("away", &message("x")).await;
    client.ok("SELECT away").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("CLOSE").await;
    assert_eq!(status(&mut client, "away", "UIDNEXT").await, 2);
}

/// RFC 3501 §6.3.4: the children of a deleted mailbox stay, and its name with them.
#[tokio::test]
async fn a_parent_is_deleted_before_its_children() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE a/b").await;
    client.append("a", &message("x")).await;
    client.ok("DELETE a").await;
    let listed = names(&mut client, "LIST \"\" a*").await;
    assert_eq!(listed, ["\\NonExistent \\Noselect \\HasChildren) \"/\" a", "\\HasNoChildren) \"/\" a/b"]);
    assert_eq!(client.end_of("SELECT a").await, "NO [NONEXISTENT]");
    assert_eq!(client.end_of("DELETE a").await, "NO [CANNOT]");
    client.ok("DELETE a/b").await;
    assert!(names(&mut client, "LIST \"\" a*").await.is_empty());
}

/// RFC 3501 §6.3.5: what is below moves along, and missing levels are made.
#[tokio::test]
async fn renames_take_the_children_along() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE a/b/c").await;
    client.append("a/b/c", &message("x")).await;
    client.ok("RENAME a/b x/y").await;
    let listed = names(&mut client, "LIST \"\" (a* x*)").await;
    let expected = [
        "\\HasNoChildren) \"/\" a",
        "\\HasChildren) \"/\" x",
        "\\HasChildren) \"/\" x/y",
        "\\HasNoChildren) \"/\" x/y/c",
    ];
    assert_eq!(listed, expected);
    assert_eq!(status(&mut client, "x/y/c", "MESSAGES").await, 1);
    for (from, to, expected) in [
        ("x", "x/z", "NO [LIMIT]"),
        ("x", "a", "NO [ALREADYEXISTS]"),
        ("x", "INBOX", "NO [ALREADYEXISTS]"),
        ("nowhere", "z", "NO [NONEXISTENT]"),
    ] {
        assert_eq!(client.end_of(&format!("RENAME {from} {to}")).await, expected, "{from} {to}");
    }
}

/// RFC 3501 §6.3.6: subscriptions outlive what they name, and a RENAME leaves them alone.
#[tokio::test]
async fn subscriptions_are_only_changed_by_the_user() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE box").await;
    client.ok("SUBSCRIBE box").await;
    client.ok("RENAME box other").await;
    client.ok("DELETE other").await;
    assert_eq!(names(&mut client, "LSUB \"\" box").await, [") \"/\" box"]);
    assert!(names(&mut client, "LSUB \"\" other").await.is_empty());
    let listed = names(&mut client, "LIST (SUBSCRIBED) \"\" box").await;
    assert_eq!(listed, ["\\NonExistent \\Noselect \\HasNoChildren \\Subscribed) \"/\" box"]);
    client.ok("UNSUBSCRIBE box").await;
    assert!(names(&mut client, "LSUB \"\" box").await.is_empty());
}

/// RFC 3501 §6.4.8 and §9: `*` is the largest that is there, on either side of the colon.
#[tokio::test]
async fn ranges_to_the_largest() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 3).await;
    let mut client = node.alice("INBOX").await;
    for (command, expected) in [
        ("UID FETCH 9:* UID", &["* 3 FETCH (UID 3)"][..]),
        ("UID FETCH *:2 UID", &["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)"]),
        ("FETCH * UID", &["* 3 FETCH (UID 3)"]),
        ("FETCH 3:2,3 UID", &["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)"]),
        ("UID FETCH 4:8 UID", &[]),
        ("SEARCH UID 7:*", &["* SEARCH 3"]),
        ("SEARCH 4:9", &["* SEARCH"]),
    ] {
        assert_eq!(client.ok(command).await, expected, "{command}");
    }
    client.ok("SELECT Trash").await;
    for command in ["UID FETCH 1:* UID", "UID STORE 1:* +FLAGS (\\Seen)", "UID COPY 1:* INBOX"] {
        assert!(client.ok(command).await.is_empty(), "{command} in an empty mailbox");
    }
    assert_eq!(client.ok("UID SEARCH UID 1:*").await, ["* SEARCH"]);
}

/// RFC 3501 §6.4.5: which items mark a message as seen.
#[tokio::test]
async fn reading_marks_as_seen() {
    for (item, expected) in [
        ("BODY[]", true),
        ("BODY[TEXT]<0.1>", true),
        ("BODY[HEADER]", true),
        ("RFC822", true),
        ("RFC822.TEXT", true),
        ("RFC822.HEADER", false),
        ("BODY.PEEK[]", false),
        ("(FLAGS ENVELOPE BODYSTRUCTURE RFC822.SIZE)", false),
    ] {
        let node = node().await;
        node.deliver_many("alice", "INBOX", 1).await;
        let mut client = node.alice("INBOX").await;
        let lines = client.ok(&format!("FETCH 1 {item}")).await;
        let told = lines.iter().any(|line| line.contains("FLAGS (\\Seen \\Recent)"));
        assert_eq!(told, expected, "{item}: {lines:?}");
        assert_eq!(status(&mut client, "INBOX", "UNSEEN").await, u64::from(!expected), "{item}");
    }
}

/// RFC 3501 §9: a literal holds no NUL.
#[tokio::test]
async fn no_nul_is_sent() {
    let node = node().await;
    let large = format!("Subject: a\0b\r\n\r\n{}\0end\r\n", "0123456789abcde\r\n".repeat(20_000));
    for content in ["Subject: a\0b\r\n\r\nc\0d\r\n", &large] {
        node.deliver("alice", "INBOX", content.as_bytes()).await;
    }
    let mut client = node.alice("INBOX").await;
    for item in ["BODY.PEEK[]", "BODY.PEEK[TEXT]", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (Subject)]"]
    {
        for number in 1..=2 {
            let lines = client.ok(&format!("FETCH {number} {item}")).await;
            assert!(lines.iter().all(|line| !line.contains('\0')), "{item} of {number}");
            assert!(lines.iter().any(|line| line.contains('\u{fffd}')), "{item} of {number}");
        }
    }
}

/// A mailbox that can't be read under its new name has it all the same: it is not deleted.
#[tokio::test]
async fn a_renamed_mailbox_that_can_not_be_read_is_not_gone() {
    let node = node_with(ImapConfig { poll_interval: Span::millis(1), ..config() }).await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE a").await;
    client.append("a", &message("x")).await;
    client.ok("SELECT a").await;
    node.spoil_index(".a");
    client.ok("RENAME a b").await;
    client.ok("NOOP").await;
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 1"]);
}

/// RFC 9208 §4.4
#[tokio::test]
async fn nothing_comes_into_a_full_mailbox_and_room_is_made_by_deleting() {
    let node = node().await;
    let mut dave = node.log_in("dave").await;
    dave.append("INBOX", &message("one")).await;
    dave.ok("SELECT INBOX").await;
    let two = message("two");
    let append = format!("APPEND Sent {{{}+}}\r\n{two}", two.len());
    dave.ok(&append).await;
    assert_eq!(dave.end_of(&append).await, "NO [OVERQUOTA]");
    assert_eq!(dave.end_of("COPY 1 Trash").await, "NO [OVERQUOTA]");
    // A move makes nothing more.
    dave.ok("MOVE 1 Trash").await;
    dave.ok("SELECT Trash").await;
    dave.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    dave.ok("EXPUNGE").await;
    dave.ok(&append).await;
    // Others have no limit.
    let mut alice = node.alice("INBOX").await;
    for _ in 0..3 {
        alice.append("INBOX", &message("x")).await;
    }
}
