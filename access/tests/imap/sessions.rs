//! Two sessions on one mailbox, and what a session is told when.

use access::ImapConfig;
use units::Span;

use crate::harness::{Node, config, message, node, node_with};

#[tokio::test]
async fn expunges_and_flags_are_seen_by_the_other() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 4).await;
    let mut one = node.alice("INBOX").await;
    let mut two = node.alice("INBOX").await;
    one.ok("STORE 2 +FLAGS (\\Deleted $Done)").await;
    let lines = two.ok("NOOP").await;
    assert_eq!(lines.last().unwrap(), "* 2 FETCH (UID 2 FLAGS (\\Deleted $Done))");
    assert!(lines.iter().any(|line| line.starts_with("* FLAGS (") && line.contains("$Done")), "{lines:?}");
    assert_eq!(one.ok("EXPUNGE").await, ["* 2 EXPUNGE"]);
    // No EXPUNGE in the answers to FETCH, STORE and SEARCH (RFC 3501 §7.4.1): the numbers stay.
    assert_eq!(two.ok("FETCH 3 UID").await, ["* 3 FETCH (UID 3)"]);
    assert_eq!(two.ok("SEARCH ALL").await, ["* SEARCH 1 2 3 4"]);
    assert_eq!(two.ok("STORE 3 +FLAGS (\\Seen)").await, ["* 3 FETCH (UID 3 FLAGS (\\Seen))"]);
    assert_eq!(two.end_of("FETCH 2 BODY[]").await, "NO [EXPUNGEISSUED]");
    assert_eq!(one.ok("NOOP").await, ["* 2 FETCH (UID 3 FLAGS (\\Seen \\Recent))"]);
    // The UID form may tell it.
    assert_eq!(two.ok("UID FETCH 3 UID").await, ["* 3 FETCH (UID 3)", "* 2 EXPUNGE"]);
    assert_eq!(two.ok("UID SEARCH ALL").await, ["* SEARCH 1 3 4"]);
}

/// More messages than a part of a picture holds, so that pictures share parts.
#[tokio::test]
async fn changes_far_apart_are_told_once() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 700).await;
    let mut one = node.alice("INBOX").await;
    let mut two = node.alice("INBOX").await;
    one.ok("STORE 3,690 +FLAGS (\\Flagged)").await;
    one.ok("UID STORE 300 +FLAGS (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    let flagged = |number, uid| format!("* {number} FETCH (UID {uid} FLAGS (\\Flagged))");
    // FETCH tells of flags and not of what is gone, and what was told is not told again.
    let lines = two.ok("FETCH 10 UID").await;
    assert_eq!(lines, ["* 10 FETCH (UID 10)".to_owned(), flagged(3, 3), flagged(690, 690)]);
    assert_eq!(two.ok("FETCH 10 UID").await, ["* 10 FETCH (UID 10)"]);
    // Back to what the picture said before it was told otherwise.
    one.ok("STORE 689 -FLAGS (\\Flagged)").await;
    assert_eq!(two.ok("FETCH 10 UID").await, ["* 10 FETCH (UID 10)", "* 690 FETCH (UID 690 FLAGS ())"]);
    assert_eq!(two.ok("NOOP").await, ["* 300 EXPUNGE"]);
    assert!(two.ok("NOOP").await.is_empty());
    one.ok("STORE 1,699 +FLAGS (\\Flagged)").await;
    assert_eq!(two.ok("NOOP").await, [flagged(1, 1), flagged(699, 700)]);
}

#[tokio::test]
async fn silent_stores_tell_others_changes_only() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 2).await;
    let mut one = node.alice("INBOX").await;
    let mut two = node.alice("INBOX").await;
    assert!(one.ok("STORE 1:2 +FLAGS.SILENT (\\Seen)").await.is_empty());
    assert!(one.ok("NOOP").await.is_empty());
    two.ok("NOOP").await;
    two.ok("STORE 1 +FLAGS (\\Flagged)").await;
    // The result is not what the silent client takes for granted.
    let lines = one.ok("STORE 1 +FLAGS.SILENT (\\Answered)").await;
    assert_eq!(lines, ["* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Seen \\Recent))"]);
}

#[tokio::test]
async fn recent_goes_to_one_session() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 2).await;
    let mut looking = node.log_in("alice").await;
    assert!(looking.ok("EXAMINE INBOX").await.contains(&"* 2 RECENT".to_owned()));
    let mut one = node.log_in("alice").await;
    assert!(one.ok("SELECT INBOX").await.contains(&"* 2 RECENT".to_owned()));
    let mut two = node.log_in("alice").await;
    assert!(two.ok("SELECT INBOX").await.contains(&"* 0 RECENT".to_owned()));
    assert_eq!(two.ok("SEARCH RECENT").await, ["* SEARCH"]);
    assert_eq!(one.ok("SEARCH NEW").await, ["* SEARCH 1 2"]);
}

#[tokio::test]
async fn idle_is_woken() {
    let node = node_with(ImapConfig { idle_poll_interval: Span::hours(1), ..config() }).await;
    let mut idle = node.alice("INBOX").await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    node.deliver("alice", "INBOX", message("x").as_bytes()).await;
    assert_eq!(idle.line().await, "* 1 EXISTS");
    assert_eq!(idle.line().await, "* 1 RECENT");
    let mut other = node.alice("INBOX").await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    assert_eq!(idle.line().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))");
    other.ok("EXPUNGE").await;
    assert_eq!(idle.line().await, "* 1 EXPUNGE");
    idle.send("DONE\r\n").await;
    assert_eq!(idle.line().await, "i OK IDLE completed");
    idle.send("j IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    idle.send("k NOOP\r\n").await;
    assert!(idle.line().await.starts_with("j BAD"));
    // Without a mailbox it only waits.
    idle.ok("UNSELECT").await;
    idle.send("l IDLE\r\nDONE\r\n").await;
    assert_eq!(idle.answer("l").await, ["+ idling", "OK IDLE completed"]);
}

#[tokio::test]
async fn what_another_process_does_shows_within_the_poll_interval() {
    let often =
        ImapConfig { poll_interval: Span::millis(20), idle_poll_interval: Span::millis(20), ..config() };
    let node = node_with(often).await;
    let (mut idle, mut noop) = (node.alice("INBOX").await, node.alice("INBOX").await);
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    Node::deliver_by(&node.other_process(), "alice", "INBOX", message("x").as_bytes()).await;
    assert_eq!(idle.line().await, "* 1 EXISTS");
    let mut told = Vec::new();
    for _ in 0..1000 {
        told = noop.ok("NOOP").await;
        if !told.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(told.first().map(String::as_str), Some("* 1 EXISTS"));
}

#[tokio::test]
async fn what_another_process_does_shows_at_once_when_it_says_so() {
    let hour = Span::hours(1);
    let node = node_with(ImapConfig { poll_interval: hour, idle_poll_interval: hour, ..config() }).await;
    let (mut idle, mut noop) = (node.alice("INBOX").await, node.alice("INBOX").await);
    noop.ok("STATUS INBOX (MESSAGES)").await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    Node::deliver_by(&node.other_process(), "alice", "INBOX", message("x").as_bytes()).await;
    assert!(noop.ok("NOOP").await.is_empty(), "nobody has looked");
    let store = node.store.clone();
    let said = move || store.notice(&"alice@example.test".parse().unwrap(), &store::MailboxName::inbox());
    tokio::task::spawn_blocking(said).await.unwrap().unwrap();
    assert_eq!(idle.line().await, "* 1 EXISTS");
    let said = noop.ok("STATUS INBOX (MESSAGES)").await;
    assert!(said.iter().any(|line| line == "* STATUS INBOX (MESSAGES 1)"), "{said:?}");
}

#[tokio::test]
async fn idle_ends() {
    let node = node_with(ImapConfig { idle_command_timeout: Span::millis(50), ..config() }).await;
    let mut client = node.alice("INBOX").await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.until_closed().await, ["+ idling", "* BYE Nothing was heard for too long"]);
}

#[tokio::test]
async fn silence_ends_a_session() {
    let node = node_with(ImapConfig { idle_timeout: Span::millis(200), ..config() }).await;
    let mut client = node.alice("INBOX").await;
    assert_eq!(client.until_closed().await, ["* BYE Nothing was heard for too long"]);
}

#[tokio::test]
async fn a_deleted_mailbox_ends_its_sessions() {
    let node = node_with(ImapConfig { poll_interval: Span::millis(1), ..config() }).await;
    let mut one = node.log_in("alice").await;
    one.ok("CREATE gone").await;
    one.ok("SELECT gone").await;
    let mut two = node.log_in("alice").await;
    two.ok("DELETE gone").await;
    one.send("a NOOP\r\n").await;
    assert_eq!(one.until_closed().await, ["a OK NOOP completed", "* BYE The mailbox was deleted"]);
    assert_eq!(two.end_of("SELECT gone").await, "NO [NONEXISTENT]");
}

#[tokio::test]
async fn a_session_may_rename_and_delete_what_it_has_selected() {
    let node = node_with(ImapConfig { poll_interval: Span::millis(1), ..config() }).await;
    let mut client = node.log_in("alice").await;
    client.ok("CREATE a/b").await;
    client.append("a/b", &message("x")).await;
    client.ok("SELECT a/b").await;
    client.ok("RENAME a c").await;
    assert_eq!(client.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
    client.ok("RENAME c/b d").await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    client.append("d", &message("y")).await;
    assert!(client.ok("NOOP").await.is_empty(), "APPEND has told it");
    assert_eq!(client.ok("FETCH 2 UID").await, ["* 2 FETCH (UID 2)"]);
    client.ok("DELETE d").await;
    assert_eq!(client.end_of("FETCH 1 UID").await, "BAD");
    client.ok("SELECT INBOX").await;
    client.append("INBOX", &message("z")).await;
    client.ok("RENAME INBOX old").await;
    client.ok("NOOP").await;
    assert_eq!(client.ok("STATUS old (MESSAGES)").await, ["* STATUS old (MESSAGES 1)"]);
    assert_eq!(client.ok("SEARCH ALL").await, ["* SEARCH"]);
}

#[tokio::test]
async fn a_failed_select_leaves_nothing_selected() {
    let node = node().await;
    let mut client = node.alice("INBOX").await;
    assert_eq!(client.end_of("SELECT nowhere").await, "NO [NONEXISTENT]");
    assert_eq!(client.end_of("SEARCH ALL").await, "BAD");
}

#[tokio::test]
async fn examine_changes_nothing() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 1).await;
    let mut client = node.log_in("alice").await;
    client.ok("EXAMINE INBOX").await;
    for command in ["STORE 1 +FLAGS (\\Seen)", "EXPUNGE", "UID EXPUNGE 1", "MOVE 1 Trash"] {
        assert_eq!(client.end_of(command).await, "NO [READ-ONLY]", "{command}");
    }
    client.ok("FETCH 1 BODY[]").await;
    assert_eq!(client.ok("FETCH 1 FLAGS").await, ["* 1 FETCH (FLAGS (\\Recent))"]);
    client.ok("CLOSE").await;
    assert_eq!(client.ok("STATUS INBOX (UNSEEN)").await, ["* STATUS INBOX (UNSEEN 1)"]);
}

#[tokio::test]
async fn one_segment_and_octet_by_octet() {
    let node = node().await;
    let script = "a LOGIN alice@example.test \"open sesame\"\r\nb APPEND INBOX {17}\r\nSubject: x\r\n\r\nyz\n\r\n\
                  c SELECT INBOX\r\nd FETCH 1 BODY.PEEK[TEXT]\r\ne LOGOUT\r\n";
    let script = script.replace("{17}", "{17+}");
    let mut whole = node.connect().await;
    whole.send(&script).await;
    let whole = whole.until_closed().await;
    assert!(whole.iter().any(|line| line.starts_with("d OK")), "{whole:?}");
    let mut slow = node.connect().await;
    for octet in script.bytes() {
        slow.send([octet]).await;
    }
    let slow = slow.until_closed().await;
    assert_eq!(slow.last().unwrap(), "e OK LOGOUT completed");
    assert_eq!(slow.len(), whole.len());
}
