//! Logins by SASL beyond PLAIN and LOGIN, for which the transcripts are enough.

use envelope::Secret;
use sasl::Mechanism;
use sasl::client::{ScramClient, oauthbearer, xoauth2};
use units::Span;

use crate::rig::{Client, Mail, Node};

const WRONG: &str = "-ERR [AUTH] wrong name or password";

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn alice(password: &str) -> ScramClient {
    ScramClient::new("alice@example.test", &secret(password), "nonce")
}

async fn greeted(node: &Node) -> Client {
    let mut client = node.connect().await;
    client.line().await;
    client
}

/// A login by SCRAM; gives the last answer.
async fn scram(client: &mut Client, mechanism: &str, scram: &ScramClient) -> String {
    let challenge = client.command(&format!("AUTH {mechanism} {}", scram.first())).await;
    let Some(challenge) = challenge.strip_prefix("+ ") else { return challenge };
    let (answer, server) = scram.answer(challenge).unwrap();
    let last = client.command(&answer).await;
    let Some(proof) = last.strip_prefix("+ ") else { return last };
    // RFC 5034 §4: +OK can't carry it; one more challenge, and an empty answer.
    assert!(server.is_proven_by(proof), "the server proves itself: {proof}");
    client.command("").await
}

#[tokio::test]
async fn scram_proves_both_sides() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.failed_login_delay = Span::millis(1)).await;
    let mut client = greeted(&node).await;
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", &alice("wrong")).await, WRONG);
    let nobody = ScramClient::new("nobody@example.test", &secret("open sesame"), "nonce");
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", &nobody).await, WRONG);
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", &alice("open sesame")).await, "+OK 0 messages, 0 octets");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn a_binding_needs_tls_and_this_connection() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.failed_login_delay = Span::millis(1)).await;
    let bound = ScramClient::bound(
        "tls-exporter",
        vec![7; 32],
        "alice@example.test",
        &secret("open sesame"),
        "nonce",
    );
    let mut client = greeted(&node).await;
    assert_eq!(scram(&mut client, "SCRAM-SHA-256-PLUS", &bound).await, "-ERR that mechanism is not offered");
    client.command("STLS").await;
    let mut client = node.handshake(client).await;
    assert_eq!(scram(&mut client, "SCRAM-SHA-256-PLUS", &bound).await, WRONG);
    // y,,n=alice@example.test,r=x: somebody took the announcement out.
    assert_eq!(client.command("AUTH SCRAM-SHA-256 eSwsbj1hbGljZUBleGFtcGxlLnRlc3Qscj14").await, WRONG);
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn tokens() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.failed_login_delay = Span::millis(1)).await;
    let mut client = greeted(&node).await;
    let wrong = oauthbearer("alice@example.test", &secret("wrong"));
    let answer = client.command(&format!("AUTH OAUTHBEARER {}", wrong.expose())).await;
    assert_eq!(answer, "+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
    assert_eq!(client.command("AQ==").await, WRONG);
    let unknown = xoauth2("alice@example.test", &secret("no.keys"));
    let answer = client.command(&format!("AUTH XOAUTH2 {}", unknown.expose())).await;
    assert_eq!(answer, "-ERR [SYS/TEMP] logins can't be checked now, try again later");
    let long = xoauth2("alice@example.test", &secret(&"t".repeat(8000)));
    assert_eq!(client.command(&format!("AUTH XOAUTH2 {}", long.expose())).await, "+OK 0 messages, 0 octets");
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn only_what_is_configured_is_offered() {
    let mail = Mail::new();
    let node = mail.node_with(|config| config.mechanisms = vec![Mechanism::ScramSha256]).await;
    let mut client = greeted(&node).await;
    let capabilities = String::from_utf8(client.long("CAPA").await).unwrap();
    assert!(
        capabilities.contains("SASL SCRAM-SHA-256\r\n") && !capabilities.contains("USER"),
        "{capabilities}"
    );
    assert_eq!(client.command("USER alice@example.test").await, "-ERR log in with AUTH: no passwords here");
    assert_eq!(client.command("AUTH PLAIN").await, "-ERR that mechanism is not offered");
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", &alice("open sesame")).await, "+OK 0 messages, 0 octets");
    drop(client);
    node.stop().await;
}
