//! People who log in.

use std::sync::atomic::Ordering;

use envelope::Secret;
use sasl::Mechanism;
use sasl::client::{ScramClient, oauthbearer, xoauth2};

use crate::node::{Peer, start};

const ALICE: &str = "AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k";

#[tokio::test]
async fn nothing_without_a_login() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("submissions").await;
    peer.ask("MAIL FROM:<alice@example.test>", "530 5.7.0").await;
    peer.ask("RCPT TO:<bob@example.test>", "503 5.5.1").await;
    peer.ask("DATA", "503 5.5.1").await;
}

#[tokio::test]
async fn no_password_in_the_clear() {
    let node = start(|_| {}).await;
    let mut peer = node.connect("submission").await;
    peer.expect("220 ").await;
    let reply = peer.ask("EHLO client.test", "250").await;
    assert!(reply.contains("STARTTLS") && !reply.contains("AUTH"), "{reply}");
    peer.ask(&format!("AUTH PLAIN {ALICE}"), "538 5.7.11").await;
    peer.ask("STARTTLS", "220 ").await;
    peer.encrypt(&node.trust).await;
    let reply = peer.ask("EHLO client.test", "250").await;
    assert!(
        reply.contains("AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS OAUTHBEARER XOAUTH2"),
        "{reply}"
    );
    peer.ask(&format!("AUTH PLAIN {ALICE}"), "235 2.7.0").await;
    let reply = peer.ask("EHLO client.test", "250").await;
    assert!(!reply.contains("AUTH"), "{reply}");
}

#[tokio::test]
async fn logins() {
    let node = start(|config| config.limits.login_failures_max = 10).await;
    let mut peer = node.greeted("submissions").await;
    // Wrong password and unknown name look alike.
    let wrong = peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==", "535 5.7.8").await;
    let unknown = peer.ask("AUTH PLAIN AG5vYm9keUBleGFtcGxlLnRlc3QAd3Jvbmc=", "535 5.7.8").await;
    assert_eq!(wrong, unknown);
    peer.ask("AUTH CRAM-MD5", "504 5.5.4").await;
    peer.ask("AUTH PLAIN !!!", "501 5.5.2").await;
    peer.ask("AUTH PLAIN", "334 ").await;
    peer.ask("*", "501 5.7.0").await;
    peer.ask("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    peer.ask("YWxpY2VAZXhhbXBsZS50ZXN0", "334 UGFzc3dvcmQ6").await;
    peer.ask("d29uZGVybGFuZA==", "235 2.7.0").await;
    peer.ask("AUTH LOGIN", "503 5.5.1").await;
}

#[tokio::test]
async fn failed_logins_end_the_session() {
    let node = start(|config| config.limits.login_failures_max = 2).await;
    let mut peer = node.greeted("submissions").await;
    peer.ask("AUTH PLAIN AGEAYg==", "535 ").await;
    peer.ask("AUTH PLAIN AGEAYg==", "535 ").await;
    peer.ask("AUTH PLAIN AGEAYg==", "421 4.7.0").await;
    peer.expect_close().await;
}

#[tokio::test]
async fn a_directory_that_is_down_is_no_wrong_password() {
    let node = start(|_| {}).await;
    node.directory.down.store(true, Ordering::SeqCst);
    let mut peer = node.greeted("submissions").await;
    peer.ask(&format!("AUTH PLAIN {ALICE}"), "454 4.7.0").await;
    node.directory.down.store(false, Ordering::SeqCst);
    // NUL throttled@example.test NUL x
    peer.ask("AUTH PLAIN AHRocm90dGxlZEBleGFtcGxlLnRlc3QAeA==", "454 4.7.0").await;
    peer.ask(&format!("AUTH PLAIN {ALICE}"), "235 2.7.0").await;
}

#[tokio::test]
async fn senders_and_recipients() {
    let node = start(|_| {}).await;
    let mut peer = node.logged_in().await;
    peer.ask("MAIL FROM:<bob@example.test>", "553 5.7.1").await;
    peer.ask("MAIL FROM:<al@example.test>", "250 2.1.0").await;
    peer.ask("RCPT TO:<somebody@elsewhere.test>", "250 2.1.5").await;
    peer.ask("RSET", "250 ").await;
    peer.ask("MAIL FROM:<>", "250 2.1.0").await;
}

#[tokio::test]
async fn what_leaves_has_a_lane_of_its_own() {
    for (recipients, lane) in [
        (&["x@elsewhere.test"][..], queue::Lane::Remote),
        (&["x@elsewhere.test", "bob@example.test"], queue::Lane::Local),
        // One who is named twice is one.
        (&["x@elsewhere.test", "X@elsewhere.test", "bob@example.test"], queue::Lane::Local),
        (&["x@elsewhere.test", "x@elsewhere.test"], queue::Lane::Remote),
        (&["bob@example.test"], queue::Lane::Local),
    ] {
        let node = start(|_| {}).await;
        let mut peer = node.logged_in().await;
        // What was asked before counts for nothing.
        peer.ask("MAIL FROM:<alice@example.test>", "250 ").await;
        peer.ask("RCPT TO:<y@elsewhere.test>", "250 ").await;
        peer.ask("RSET", "250 ").await;
        peer.ask("MAIL FROM:<alice@example.test>", "250 ").await;
        for recipient in recipients {
            peer.ask(&format!("RCPT TO:<{recipient}>"), "250 ").await;
        }
        peer.ask("DATA", "354").await;
        peer.send(b"Subject: x\r\n\r\ntext\r\n.\r\n").await;
        peer.expect("250 2.0.0").await;
        assert_eq!(node.lane().await, lane, "{recipients:?}");
    }
}

#[tokio::test]
async fn people_write_under_their_own_name() {
    for (from, checked, expected) in [
        ("From: Alice <Alice@example.test>, al@example.test\r\n", true, "250 2.0.0"),
        ("From: \"Alice\" <bob@example.test>\r\n", true, "550 5.7.1"),
        ("From: alice@example.test\r\nFrom: bob@example.test\r\n", true, "550 5.7.1"),
        ("From: alice@example.test,\r\n boss@elsewhere.test\r\n", true, "550 5.7.1"),
        ("From: bob@example.test\r\n", false, "250 2.0.0"),
        ("", true, "250 2.0.0"),
    ] {
        let node = start(|config| config.check_from = checked).await;
        let mut peer = node.logged_in().await;
        peer.up_to_data().await;
        peer.send(format!("{from}Subject: x\r\n\r\ntext\r\n.\r\n").as_bytes()).await;
        peer.expect(expected).await;
        // The session goes on either way.
        peer.ask("NOOP", "250 ").await;
        assert_eq!(node.queued().await, usize::from(expected.starts_with('2')), "{from}");
    }
}

#[tokio::test]
async fn missing_fields_are_added() {
    let node = start(|_| {}).await;
    let mut peer = node.logged_in().await;
    peer.up_to_data().await;
    peer.send(b"Subject: bare\r\n\r\ntext\r\n.\r\n").await;
    let reply = peer.expect("250 2.0.0 queued as ").await;
    let id = reply.rsplit(' ').next().unwrap();
    let (envelope, body) = node.message().await;
    assert_eq!(envelope.id.to_string(), id);
    assert_eq!(envelope.origin.authenticated.unwrap().to_string(), "alice@example.test");
    assert!(body.contains(&format!("with ESMTPSA id {id}\r\n\tfor <bob@example.test>;")), "{body}");
    assert!(
        body.contains("\r\nDate: ")
            && body.contains(&format!("\r\nMessage-ID: <{id}@mx.example.test>\r\n\r\n"))
    );
    assert_eq!(envelope.size, body.len() as u64);
}

#[tokio::test]
async fn what_the_sender_asked_to_hear_of_travels_with_the_message() {
    let node = start(|_| {}).await;
    let mut peer = node.logged_in().await;
    peer.ask("MAIL FROM:<alice@example.test> RET=FULL ENVID=QQ+2B1", "250 ").await;
    peer.ask("RCPT TO:<bob@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@old.test", "250 ").await;
    peer.ask("RCPT TO:<alice@example.test>", "250 ").await;
    peer.ask("DATA", "354").await;
    peer.send(b"Subject: x\r\n\r\ntext\r\n.\r\n").await;
    peer.expect("250 2.0.0").await;
    let (envelope, _) = node.message().await;
    assert_eq!(
        (envelope.envelope_id.as_deref(), envelope.returned),
        (Some("QQ+1"), Some(envelope::Return::Full))
    );
    let [bob, alice] = &envelope.recipients[..] else { panic!("{envelope:?}") };
    assert_eq!(bob.notify, Some(envelope::Notify { success: true, failure: false, delay: true }));
    let original = bob.original.as_ref().map(|original| (original.kind.as_str(), original.address.as_str()));
    assert_eq!(original, Some(("rfc822", "Bob+x@old.test")));
    assert_eq!((alice.notify, &alice.original), (None, &None));
}

#[tokio::test]
async fn strangers_may_ask_only_where_the_operator_says_so() {
    for (mx_dsn, expected) in [(false, "555 5.5.4"), (true, "250 2.1.0")] {
        let node = start(|config| config.mx_dsn = mx_dsn).await;
        let mut peer = node.connect("mx").await;
        peer.expect("220 ").await;
        let reply = peer.ask("EHLO client.test", "250").await;
        assert_eq!(reply.contains("DSN"), mx_dsn, "{reply}");
        peer.ask("MAIL FROM:<a@b.test> RET=HDRS", expected).await;
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// Ends a login by SCRAM whose challenge has come; gives the last reply.
async fn prove(peer: &mut Peer, client: &ScramClient, challenge: &str) -> String {
    let (answer, server) = client.answer(challenge.trim_start_matches("334 ").trim()).unwrap();
    peer.send(format!("{answer}\r\n").as_bytes()).await;
    let reply = peer.reply().await;
    let Some(last) = reply.strip_prefix("334 ") else { return reply };
    // RFC 4954 §4: what comes along with the success is a challenge of its own, answered with an empty line.
    assert!(server.is_proven_by(last.trim()), "the server proves itself: {last}");
    peer.send(b"\r\n").await;
    peer.reply().await
}

#[tokio::test]
async fn scram_proves_both_sides() {
    let node = start(|config| config.limits.login_failures_max = 10).await;
    let mut peer = node.greeted("submissions").await;
    for (login, password) in [("alice@example.test", "Wonderland"), ("nobody@example.test", "wonderland")] {
        let client = ScramClient::new(login, &secret(password), "nonce");
        let challenge = peer.ask(&format!("AUTH SCRAM-SHA-256 {}", client.first()), "334 ").await;
        let reply = prove(&mut peer, &client, &challenge).await;
        assert!(reply.starts_with("535 5.7.8"), "{login}: {reply}");
    }
    peer.ask("MAIL FROM:<alice@example.test>", "530 5.7.0").await;
    // Whom the server has proven itself to and who then says no is not in.
    let client = ScramClient::new("alice@example.test", &secret("wonderland"), "nonce");
    let challenge = peer.ask(&format!("AUTH SCRAM-SHA-256 {}", client.first()), "334 ").await;
    let answer = client.answer(challenge.trim_start_matches("334 ").trim()).unwrap().0;
    peer.ask(&answer, "334 ").await;
    peer.ask("*", "501 5.7.0").await;
    peer.ask("MAIL FROM:<alice@example.test>", "530 5.7.0").await;
    let challenge = peer.ask(&format!("AUTH SCRAM-SHA-256 {}", client.first()), "334 ").await;
    let answer = client.answer(challenge.trim_start_matches("334 ").trim()).unwrap().0;
    peer.ask(&answer, "334 ").await;
    peer.ask("AAAA", "501 5.5.2").await;
    // Without an initial response.
    peer.ask("AUTH SCRAM-SHA-256", "334 ").await;
    let challenge = peer.ask(&client.first(), "334 ").await;
    let reply = prove(&mut peer, &client, &challenge).await;
    assert!(reply.starts_with("235 2.7.0"), "{reply}");
    peer.ask("MAIL FROM:<alice@example.test>", "250 2.1.0").await;
}

#[tokio::test]
async fn a_binding_to_another_connection_is_refused_and_so_is_a_missing_announcement() {
    let node = start(|config| config.limits.login_failures_max = 10).await;
    let mut peer = node.greeted("submissions").await;
    // Somebody in between has another connection, with other keys.
    let client =
        ScramClient::bound("tls-exporter", vec![7; 32], "alice@example.test", &secret("wonderland"), "nonce");
    let challenge = peer.ask(&format!("AUTH SCRAM-SHA-256-PLUS {}", client.first()), "334 ").await;
    let reply = prove(&mut peer, &client, &challenge).await;
    assert!(reply.starts_with("535 5.7.8"), "{reply}");
    // y,,n=alice@example.test,r=x: the client was not told of the mechanism that we announced.
    peer.ask("AUTH SCRAM-SHA-256 eSwsbj1hbGljZUBleGFtcGxlLnRlc3Qscj14", "535 5.7.8").await;
    // Without TLS there is nothing to bind to: it is not announced, not taken, and nobody is deceived.
    let node = start(|config| config.allow_plaintext_auth = true).await;
    let mut peer = node.greeted("submission").await;
    let reply = peer.ask("EHLO client.test", "250").await;
    assert!(reply.contains("SCRAM-SHA-256") && !reply.contains("PLUS"), "{reply}");
    peer.ask(&format!("AUTH SCRAM-SHA-256-PLUS {}", client.first()), "504 5.5.4").await;
    peer.ask("AUTH SCRAM-SHA-256 eSwsbj1hbGljZUBleGFtcGxlLnRlc3Qscj14", "334 ").await;
}

#[tokio::test]
async fn tokens_are_taken_and_refusals_are_told_before_the_end() {
    let node = start(|config| config.limits.login_failures_max = 10).await;
    let mut peer = node.greeted("submissions").await;
    // {"status":"invalid_token"}, then whatever the client says to it.
    let wrong = oauthbearer("alice@example.test", &secret("wrong"));
    peer.ask(&format!("AUTH OAUTHBEARER {}", wrong.expose()), "334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=")
        .await;
    peer.ask("AQ==", "535 5.7.8").await;
    let wrong = xoauth2("alice@example.test", &secret("wrong"));
    peer.ask(&format!("AUTH XOAUTH2 {}", wrong.expose()), "334 eyJzdGF0dXMiOiI0MDEi").await;
    peer.ask("", "535 5.7.8").await;
    let nobody_can_say = xoauth2("alice@example.test", &secret("no.keys"));
    peer.ask(&format!("AUTH XOAUTH2 {}", nobody_can_say.expose()), "454 4.7.0").await;
    peer.ask("AUTH OAUTHBEARER", "334 ").await;
    peer.ask(oauthbearer("alice@example.test", &secret("alice.token")).expose(), "235 2.7.0").await;
}

#[tokio::test]
async fn a_long_token_fits_the_line_of_the_command() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("submissions").await;
    let long = xoauth2("alice@example.test", &secret(&"t".repeat(6000)));
    peer.ask(&format!("AUTH XOAUTH2 {}", long.expose()), "235 2.7.0").await;
    // The length is of AUTH alone, has an end, and is nothing for strangers.
    let mut peer = node.greeted("submissions").await;
    peer.ask(&format!("NOOP {}", "x".repeat(6000)), "500 ").await;
    peer.ask(&format!("AUTH XOAUTH2 {}", "x".repeat(13_000)), "500 ").await;
    peer.ask("NOOP", "250 ").await;
    let mut peer = node.greeted("mx").await;
    peer.ask(&format!("AUTH XOAUTH2 {}", long.expose()), "500 ").await;
}

#[tokio::test]
async fn only_what_is_configured_is_offered() {
    let node = start(|config| config.mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::XOAuth2]).await;
    let mut peer = node.greeted("submissions").await;
    let reply = peer.ask("EHLO client.test", "250").await;
    assert!(reply.contains("AUTH SCRAM-SHA-256-PLUS XOAUTH2"), "{reply}");
    peer.ask(&format!("AUTH PLAIN {ALICE}"), "504 5.5.4").await;
    peer.ask("AUTH SCRAM-SHA-256", "504 5.5.4").await;
}
