//! Before login: greeting, TLS, who gets in and who does not.

use access::{ImapConfig, PlaintextLogin};
use envelope::Secret;
use sasl::Mechanism;
use sasl::client::{ScramClient, oauthbearer, xoauth2};
use units::Span;

use crate::harness::{Client, PASSWORD, config, node, node_with};

#[tokio::test]
async fn capabilities_follow_the_state() {
    let node = node().await;
    let mut client = node.connect().await;
    let before = client.ok("CAPABILITY").await;
    assert_eq!(
        before,
        [
            "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256 AUTH=OAUTHBEARER AUTH=XOAUTH2"
        ]
    );
    let login = client.command(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await;
    assert!(login[0].starts_with("OK [CAPABILITY IMAP4rev1 "), "{login:?}");
    let after = client.ok("CAPABILITY").await;
    assert!(after[0].contains(" UIDPLUS ") && !after[0].contains("AUTH="), "{after:?}");
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_look_alike() {
    let node = node().await;
    let mut answers = Vec::new();
    for login in
        ["alice@example.test wrong", "nobody@example.test wrong", "throttled@example.test x", "\"\" \"\""]
    {
        let mut client = node.connect().await;
        answers.push(client.command(&format!("LOGIN {login}")).await);
    }
    assert_eq!(answers[0], ["NO [AUTHENTICATIONFAILED] Wrong name or password"]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let mut client = node.connect().await;
    assert_eq!(client.end_of("LOGIN down@example.test x").await, "NO [UNAVAILABLE]");
    client.ok(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await;
}

#[tokio::test]
async fn the_third_failure_ends_the_connection() {
    let node = node().await;
    let mut client = node.connect().await;
    for _ in 0..2 {
        assert_eq!(client.end_of("LOGIN alice@example.test wrong").await, "NO [AUTHENTICATIONFAILED]");
    }
    client.send("x LOGIN alice@example.test wrong\r\n").await;
    assert_eq!(client.until_closed().await, ["* BYE Too many failed logins"]);
}

#[tokio::test]
async fn authenticate() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let node = node().await;
    let good = encode(&format!("\0alice@example.test\0{PASSWORD}"));

    let mut client = node.connect().await;
    client.ok(&format!("AUTHENTICATE PLAIN {good}")).await;
    assert_eq!(client.end_of(&format!("AUTHENTICATE PLAIN {good}")).await, "BAD");

    let mut client = node.connect().await;
    client.send("a AUTHENTICATE plain\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send(format!("{good}\r\n")).await;
    assert!(client.line().await.starts_with("a OK "));

    let mut client = node.connect().await;
    client.send("a AUTHENTICATE LOGIN\r\n").await;
    assert_eq!(client.line().await, format!("+ {}", encode("Username:")));
    client.send(format!("{}\r\n", encode("alice@example.test"))).await;
    assert_eq!(client.line().await, format!("+ {}", encode("Password:")));
    client.send(format!("{}\r\n", encode(PASSWORD))).await;
    assert!(client.line().await.starts_with("a OK "));

    let mut client = node.connect().await;
    for (line, expected) in [("*", "a BAD "), ("!!!", "a BAD "), ("AAAA", "a NO [AUTHENTICATIONFAILED]")] {
        client.send("a AUTHENTICATE PLAIN\r\n").await;
        assert_eq!(client.line().await, "+ ");
        client.send(format!("{line}\r\n")).await;
        let answer = client.line().await;
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }
    assert_eq!(client.end_of("AUTHENTICATE CRAM-MD5").await, "NO [CANNOT]");
    // A line whose end can't be told ends the connection, as it does anywhere else.
    client.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send("AAAA\nb NOOP\r\n").await;
    assert_eq!(client.until_closed().await, ["* BYE The end of the line can't be found"]);
    let mut client = node.connect().await;
    let other = encode(&format!("bob@example.test\0alice@example.test\0{PASSWORD}"));
    assert_eq!(client.end_of(&format!("AUTHENTICATE PLAIN {other}")).await, "NO [AUTHENTICATIONFAILED]");
}

#[tokio::test]
async fn starttls_throws_away_what_came_before_it() {
    let node = node().await;
    let mut client = node.connect().await;
    client.send(format!("a STARTTLS\r\nb LOGIN alice@example.test \"{PASSWORD}\"\r\n")).await;
    assert_eq!(client.line().await, "a OK Begin TLS now");
    let mut client = client.start_tls(&node.client_tls).await;
    let answer = client.command("CAPABILITY").await;
    assert_eq!(
        answer[0],
        "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS AUTH=OAUTHBEARER AUTH=XOAUTH2"
    );
    assert_eq!(answer.len(), 2, "the injected command must not be answered: {answer:?}");
    assert_eq!(client.end_of("STARTTLS").await, "BAD");
    assert_eq!(client.end_of("SELECT INBOX").await, "BAD");
    client.ok(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await;
    assert_eq!(client.end_of("STARTTLS").await, "BAD");
}

#[tokio::test]
async fn tls_first() {
    let node = node().await;
    let tcp = tokio::net::TcpStream::connect(node.tls_address).await.unwrap();
    let mut client = Client::new(node.client_tls.connect(tcp, "localhost").await.unwrap());
    assert!(!client.line().await.contains("STARTTLS"));
    client.ok(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await;
    client.ok("SELECT INBOX").await;
}

#[tokio::test]
async fn no_passwords_without_tls_when_so_configured() {
    let node = node_with(ImapConfig { plaintext_login: PlaintextLogin::Never, ..config() }).await;
    let mut client = node.connect().await;
    let capabilities = client.ok("CAPABILITY").await;
    assert!(capabilities[0].ends_with(" STARTTLS LOGINDISABLED"), "{capabilities:?}");
    assert_eq!(
        client.end_of(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await,
        "NO [PRIVACYREQUIRED]"
    );
    assert_eq!(client.end_of("AUTHENTICATE PLAIN AAAA").await, "NO [PRIVACYREQUIRED]");
}

#[tokio::test]
async fn silence_before_login_is_short() {
    let node = node_with(ImapConfig { login_timeout: Span::millis(50), ..config() }).await;
    let mut client = node.connect().await;
    assert_eq!(client.until_closed().await, ["* BYE Nothing was heard for too long"]);
}

#[tokio::test]
async fn connections_of_an_account_are_counted() {
    let node = node_with(ImapConfig { connections_per_account_max: 2, ..config() }).await;
    let first = node.log_in("alice").await;
    let _second = node.log_in("alice").await;
    let login = format!("LOGIN alice@example.test \"{PASSWORD}\"");
    let mut third = node.connect().await;
    assert_eq!(third.end_of(&login).await, "NO [LIMIT]");
    let _bob = node.log_in("bob").await;
    drop(first);
    while third.end_of(&login).await != "OK [CAPABILITY]" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_of_an_address_are_counted() {
    let node = node_with(ImapConfig { connections_per_address_max: 1, ..config() }).await;
    let _first = node.connect().await;
    let tcp = tokio::net::TcpStream::connect(node.address).await.unwrap();
    let mut second = Client::new(runtime::Stream::Plain(tcp));
    assert_eq!(second.until_closed().await, ["* BYE [LIMIT] Too many connections from your address"]);
}

#[tokio::test]
async fn each_command_in_each_state() {
    let node = node().await;
    let logged_in = [
        "SELECT INBOX",
        "EXAMINE INBOX",
        "CREATE a",
        "DELETE a",
        "RENAME a b",
        "SUBSCRIBE a",
        "UNSUBSCRIBE a",
        "LIST \"\" *",
        "LSUB \"\" *",
        "STATUS INBOX (MESSAGES)",
        "NAMESPACE",
        "ENABLE X",
        "IDLE",
        "APPEND INBOX {1+}\r\nx",
    ];
    let selected = [
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
        "UID EXPUNGE 1",
        "SEARCH ALL",
        "UID SEARCH ALL",
        "FETCH 1 UID",
        "UID FETCH 1 UID",
        "STORE 1 +FLAGS (\\Seen)",
        "UID STORE 1 +FLAGS (\\Seen)",
        "COPY 1 INBOX",
        "UID COPY 1 INBOX",
        "MOVE 1 INBOX",
        "UID MOVE 1 INBOX",
    ];
    for command in logged_in.iter().chain(&selected) {
        let mut client = node.connect().await;
        assert_eq!(client.end_of(command).await, "BAD", "{command} before login");
    }
    for command in selected {
        let mut client = node.log_in("alice").await;
        assert_eq!(client.end_of(command).await, "BAD", "{command} without a mailbox");
    }
    for command in ["LOGIN a b", "AUTHENTICATE PLAIN", "STARTTLS"] {
        let mut client = node.log_in("alice").await;
        assert_eq!(client.end_of(command).await, "BAD", "{command} after login");
    }
    for mut client in [node.connect().await, node.log_in("alice").await, node.alice("INBOX").await] {
        client.ok("NOOP").await;
        client.ok("ID NIL").await;
        client.send("z LOGOUT\r\n").await;
        assert_eq!(client.until_closed().await, ["* BYE Logging out", "z OK LOGOUT completed"]);
    }
}

#[tokio::test]
async fn a_drain_ends_every_session() {
    let node = node().await;
    let mut idle = node.alice("INBOX").await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    let mut clients = [node.connect().await, node.log_in("alice").await, node.alice("INBOX").await, idle];
    node.drain.begin();
    for client in &mut clients {
        assert_eq!(client.until_closed().await, ["* BYE The server is shutting down"]);
    }
    assert_eq!(node.drain.finish(std::time::Duration::from_secs(10)).await, 0);
}

#[tokio::test]
async fn metrics_follow() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    assert_eq!(client.end_of("LOGIN a b").await, "BAD");
    let value = |name: &str, label: &str| {
        let family = node.registry.gather().into_iter().find(|family| family.name() == name).unwrap();
        let labelled = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        let metric = family.get_metric().iter().find(labelled).unwrap().clone();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    };
    assert_eq!(value("sluice_access_imap_connections", ""), 1.0);
    assert_eq!(value("sluice_access_imap_logins_total", "accepted"), 1.0);
    assert_eq!(value("sluice_access_imap_commands_total", "bad"), 1.0);
    client.ok("LOGOUT").await;
    client.until_closed().await;
    node.drain.begin();
    assert_eq!(node.drain.finish(std::time::Duration::from_secs(10)).await, 0);
    assert_eq!(value("sluice_access_imap_connections", ""), 0.0);
    assert_eq!(value("sluice_access_imap_sessions_ended_total", "logout"), 1.0);
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// A login by SCRAM; gives the tagged answer.
async fn scram(client: &mut Client, mechanism: &str, scram: &ScramClient) -> String {
    client.send(format!("x AUTHENTICATE {mechanism} {}\r\n", scram.first())).await;
    let challenge = client.line().await;
    let Some(challenge) = challenge.strip_prefix("+ ") else { return challenge };
    let (answer, server) = scram.answer(challenge).unwrap();
    client.send(format!("{answer}\r\n")).await;
    let last = client.line().await;
    let Some(proof) = last.strip_prefix("+ ") else { return last };
    // The tagged OK can't carry it (RFC 3501 §6.2.2): one more challenge, and an empty answer.
    assert!(server.is_proven_by(proof), "the server proves itself: {proof}");
    client.send("\r\n").await;
    client.line().await
}

#[tokio::test]
async fn scram_proves_both_sides() {
    let node = node().await;
    let good = ScramClient::new("alice@example.test", &secret(PASSWORD), "nonce");
    let mut client = node.connect().await;
    for (login, password) in [("alice@example.test", "wrong"), ("nobody@example.test", PASSWORD)] {
        let wrong = ScramClient::new(login, &secret(password), "nonce");
        let answer = scram(&mut client, "SCRAM-SHA-256", &wrong).await;
        assert_eq!(answer, "x NO [AUTHENTICATIONFAILED] Wrong name or password", "{login}");
    }
    assert!(scram(&mut client, "SCRAM-SHA-256", &good).await.starts_with("x OK [CAPABILITY "));
    client.ok("SELECT INBOX").await;
    // Whom the server has proven itself to and who then says no is not in.
    let mut client = node.connect().await;
    client.send(format!("x AUTHENTICATE SCRAM-SHA-256 {}\r\n", good.first())).await;
    let challenge = client.line().await;
    let answer = good.answer(challenge.trim_start_matches("+ ")).unwrap().0;
    client.send(format!("{answer}\r\n")).await;
    assert!(client.line().await.starts_with("+ "));
    client.send("*\r\n").await;
    assert_eq!(client.line().await, "x BAD AUTHENTICATE cancelled");
    assert_eq!(client.end_of("SELECT INBOX").await, "BAD");
}

#[tokio::test]
async fn a_binding_needs_tls_and_this_connection() {
    let node = node().await;
    let bound =
        ScramClient::bound("tls-exporter", vec![7; 32], "alice@example.test", &secret(PASSWORD), "nonce");
    let mut client = node.connect().await;
    assert_eq!(
        scram(&mut client, "SCRAM-SHA-256-PLUS", &bound).await,
        "x NO [CANNOT] The mechanism is not supported"
    );
    client.send("a STARTTLS\r\n").await;
    assert_eq!(client.line().await, "a OK Begin TLS now");
    let mut client = client.start_tls(&node.client_tls).await;
    let answer = scram(&mut client, "SCRAM-SHA-256-PLUS", &bound).await;
    assert!(answer.starts_with("x NO [AUTHENTICATIONFAILED]"), "{answer}");
    // y,,n=alice@example.test,r=x: somebody took the announcement out.
    let answer = client.end_of("AUTHENTICATE SCRAM-SHA-256 eSwsbj1hbGljZUBleGFtcGxlLnRlc3Qscj14").await;
    assert_eq!(answer, "NO [AUTHENTICATIONFAILED]");
}

#[tokio::test]
async fn tokens() {
    let node = node().await;
    let mut client = node.connect().await;
    let wrong = oauthbearer("alice@example.test", &secret("wrong"));
    client.send(format!("x AUTHENTICATE OAUTHBEARER {}\r\n", wrong.expose())).await;
    assert_eq!(client.line().await, "+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
    client.send("AQ==\r\n").await;
    assert_eq!(client.line().await, "x NO [AUTHENTICATIONFAILED] Wrong name or password");
    let unknown = xoauth2("alice@example.test", &secret("no.keys"));
    assert_eq!(
        client.end_of(&format!("AUTHENTICATE XOAUTH2 {}", unknown.expose())).await,
        "NO [UNAVAILABLE]"
    );
    let long = xoauth2("alice@example.test", &secret(&"t".repeat(8000)));
    client.ok(&format!("AUTHENTICATE XOAUTH2 {}", long.expose())).await;
    let mut client = node.connect().await;
    client.send("x AUTHENTICATE OAUTHBEARER\r\n").await;
    assert_eq!(client.line().await, "+ ");
    let good = oauthbearer("alice@example.test", &secret("alice.token"));
    client.send(format!("{}\r\n", good.expose())).await;
    assert!(client.line().await.starts_with("x OK "));
}

#[tokio::test]
async fn only_what_is_configured_is_offered() {
    let mechanisms = vec![Mechanism::ScramSha256, Mechanism::ScramSha256Plus];
    let node = node_with(ImapConfig { mechanisms, ..config() }).await;
    let mut client = node.connect().await;
    let capabilities = client.ok("CAPABILITY").await;
    assert!(capabilities[0].ends_with(" AUTH=SCRAM-SHA-256 LOGINDISABLED"), "{capabilities:?}");
    assert_eq!(client.end_of(&format!("LOGIN alice@example.test \"{PASSWORD}\"")).await, "NO [CANNOT]");
    assert_eq!(client.end_of("AUTHENTICATE PLAIN AGEAYg==").await, "NO [CANNOT]");
    let good = ScramClient::new("alice@example.test", &secret(PASSWORD), "nonce");
    assert!(scram(&mut client, "SCRAM-SHA-256", &good).await.starts_with("x OK "));
}
