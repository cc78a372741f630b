//! `<Postmaster>` without a domain (RFC 5321 §4.5.1).

use crate::node::start;

#[tokio::test]
async fn it_is_the_address_that_was_named_or_the_host_s_or_the_first_domain_s() {
    for (named, hostname, expected) in [
        ("al@example.test", "mx.example.test", Some("al@example.test")),
        ("", "example.test", Some("postmaster@example.test")),
        // The host's name is no domain of ours.
        ("", "mx.example.test", Some("bob@example.test")),
        // Who was named is not here: that is for the operator to hear.
        ("ann@elsewhere.test", "mx.example.test", None),
    ] {
        let node = start(|config| {
            config.postmaster = named.to_owned();
            config.hostname = hostname.to_owned();
        })
        .await;
        let mut peer = node.greeted("mx").await;
        peer.ask("MAIL FROM:<>", "250").await;
        let Some(expected) = expected else {
            peer.ask("RCPT TO:<Postmaster>", "550 5.7.1").await;
            continue;
        };
        peer.ask("RCPT TO:<Postmaster>", "250").await;
        // Somebody else in the same transaction is not touched by it.
        peer.ask("RCPT TO:<alice@example.test>", "250").await;
        peer.ask("DATA", "354").await;
        peer.send(b"Subject: x\r\n\r\nx\r\n.\r\n").await;
        peer.expect("250 2.0.0").await;
        let recipients: Vec<String> =
            node.message().await.0.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
        assert_eq!(recipients, [expected, "alice@example.test"], "{named} {hostname}");
    }
}

#[tokio::test]
async fn a_directory_that_is_down_says_neither_yes_nor_no() {
    let node = start(|config| config.postmaster = String::new()).await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<>", "250").await;
    node.directory.down.store(true, std::sync::atomic::Ordering::SeqCst);
    peer.ask("RCPT TO:<Postmaster>", "451 4.3.0").await;
}
