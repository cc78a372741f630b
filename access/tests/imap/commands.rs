//! What the RFCs ask of single commands, where a transcript can't show it: two sessions, or values that must stay the same.

use access::ImapConfig;
use units::Span;

use crate::harness::{config, message, node_with};

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
