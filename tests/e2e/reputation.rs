//! `sluice reputation` over a running node.

use crate::node::{Node, PASSWORD};
use crate::wire::{Wire, imap};

/// One login over IMAP that may be refused; whether it was accepted.
fn login(node: &Node, password: &str) -> bool {
    let mut wire = Wire::connect(node.address("imap"));
    wire.line();
    wire.imap(&format!("LOGIN alice@example.test \"{password}\"")).contains("x OK")
}

#[test]
fn failed_logins_are_seen_and_forgiven() {
    let node = Node::start();
    let blocked = |text: &str| text.contains("login:blocked:account:alice@example.test");
    let list = || node.sluice(&["reputation", "list", "throttle"], "");
    assert!(!blocked(&list()));
    // Five are free, then each waits: guess until one is not looked at.
    crate::node::wait_for("a delay", || {
        assert!(!login(&node, "wrong"));
        blocked(&list()).then_some(())
    });
    let cleared = node.sluice(&["reputation", "clear", "alice@example.test"], "");
    assert!(cleared.contains("forgotten") && !cleared.starts_with('0'), "{cleared}");
    assert!(!list().contains("alice"));
    drop(imap(node.address("imap"), "alice@example.test", PASSWORD));
}

#[test]
fn a_network_is_blocked_until_it_is_cleared() {
    let mut node = Node::start();
    let show = |node: &Node| node.sluice(&["reputation", "show", "192.0.2.7", "--json"], "");
    assert!(show(&node).contains("\"at_connect\": \"accepted\""), "{}", show(&node));
    let reason = ["--for", "7d", "--reason", "it sends spam"];
    node.sluice(&[["reputation", "set", "192.0.2.0/24", "block"].as_slice(), &reason].concat(), "");
    let refused = "\"at_connect\": \"refused: it is on the local block list\"";
    assert!(show(&node).contains(refused), "{}", show(&node));
    let listed = node.sluice(&["reputation", "list", "lists"], "");
    assert!(listed.contains("192.0.2.0/24") && listed.contains("local block it sends spam"), "{listed}");
    assert!(node.terminate());
    let nobody = node.try_sluice(&["reputation", "list"], "");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no process runs"));
    node.up();
    assert!(show(&node).contains(refused), "it outlives the process");
    node.sluice(&["reputation", "clear", "192.0.2.0/24"], "");
    assert!(show(&node).contains("\"at_connect\": \"accepted\""));
    let odd = node.try_sluice(&["reputation", "clear", "reputation:other:x"], "");
    assert_eq!(odd.status.code(), Some(1));
}
