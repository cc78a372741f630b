//! What a client puts into its name, its envelope and its login to get a line of its own into a header, an answer or a log.

use units::ByteSize;

use crate::node::start;

#[tokio::test]
async fn attack_header_injection_by_the_client_s_name() {
    let node = start(|_| {}).await;
    for name in [
        "a%0d%0aX-Injected: yes",
        "a\\r\\nX-Injected: yes",
        "a)\tX-Injected: (",
        "a (comment",
        "a\"quoted",
        "a;by=evil",
        "a<b>@c",
        "=?utf-8?q?=0d=0aX-Injected:_yes?=",
        "a\u{2028}X-Injected: yes",
    ] {
        for hello in ["HELO", "EHLO"] {
            let mut peer = node.connect("mx").await;
            peer.expect("220 ").await;
            peer.send(format!("{hello} {name}\r\n").as_bytes()).await;
            let reply = peer.reply().await;
            assert!(!reply.contains("Injected"), "{reply}");
            if !reply.starts_with("250") {
                assert!(reply.starts_with('5'), "{reply}");
                continue;
            }
            peer.up_to_data().await;
            peer.send(b"A: b\r\n\r\ntext\r\n.\r\n").await;
            peer.expect("250 2.0.0").await;
            let (envelope, body) = node.message().await;
            let header: Vec<&str> = body.split("\r\n\r\n").next().unwrap().split("\r\n").collect();
            let fields: Vec<&&str> = header.iter().filter(|line| !line.starts_with(['\t', ' '])).collect();
            assert_eq!(fields.len(), 2, "{body}");
            let safe = |c: char| c.is_ascii_alphanumeric() || "-._:[]?".contains(c);
            assert!(envelope.origin.helo.chars().all(safe), "{}", envelope.origin.helo);
        }
    }
    // A real CR or LF ends the session; nothing before it was a line.
    for name in ["a\rX-Injected: yes", "a\nX-Injected: yes"] {
        let mut peer = node.connect("mx").await;
        peer.expect("220 ").await;
        peer.send(format!("EHLO {name}\r\n").as_bytes()).await;
        peer.expect("500 5.5.2").await;
        peer.expect_close().await;
    }
}

#[tokio::test]
async fn attack_injection_by_parameters_and_paths() {
    let node = start(|config| {
        config.limits.errors_max = 100;
        config.limits.errors_prompt = 100;
        config.limits.login_failures_max = 100;
    })
    .await;
    let mut peer = node.logged_in().await;
    for mail in [
        "<alice@example.test> ENVID=a+0D+0AX-Injected:+20yes",
        "<alice@example.test> ENVID=a+0AX",
        "<alice@example.test> ENVID=a+00b",
        "<alice@example.test> ENVID=a+C2+85b",
        "<alice@example.test> ENVID=a+0dX",
        "<alice@example.test> AUTH=a+0D+0AX",
        "<alice@example.test> RET=HDRS+0D+0A",
        "<\"a\\\u{1}b\"@example.test>",
        "<\"a\u{85}b\"@example.test> SMTPUTF8",
        "<alice@exam\u{7}ple.test>",
    ] {
        peer.ask(&format!("MAIL FROM:{mail}"), "50").await;
    }
    peer.ask("MAIL FROM:<alice@example.test> ENVID=a+2Bb", "250").await;
    for rcpt in [
        "<bob@example.test> ORCPT=rfc822;a+0D+0AX-Injected:+20yes",
        "<bob@example.test> ORCPT=rfc822;a+0Ab",
        "<bob@example.test> ORCPT=rfc822;a+00b",
        "<bob@example.test> ORCPT=;a",
        "<bob@example.test> NOTIFY=SUCCESS+0D",
    ] {
        peer.ask(&format!("RCPT TO:{rcpt}"), "501 5.5.4").await;
    }
    // A name with a line end in a login is no name.
    let mut peer = node.greeted("submissions").await;
    for login in [
        // NUL alice@example.test CR LF X NUL wonderland; NUL alice NUL x NUL y; LF
        "AGFsaWNlQGV4YW1wbGUudGVzdA0KWAB3b25kZXJsYW5k",
        "AGFsaWNlAHgAeQ==",
        "Cg==",
        "====",
        "AGFsaWNl\u{1}",
    ] {
        peer.ask(&format!("AUTH PLAIN {login}"), "5").await;
    }
    peer.ask("NOOP", "250").await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_nul_everywhere() {
    let node = start(|config| {
        config.limits.errors_max = 100;
        config.limits.errors_prompt = 100;
    })
    .await;
    let mut peer = node.greeted("mx").await;
    for line in [
        &b"\0"[..],
        b"NO\0OP",
        b"EHLO a\0.test",
        b"MAIL FROM:<a\0@b.test>",
        b"MAIL FROM:<a@b.test>\0",
        b"RCPT TO:<\0>",
        b"DATA\0",
        b"BDAT 5\0 LAST",
        b"AUTH PLAIN \0",
        b"\0QUIT",
        b"QUIT\0",
    ] {
        peer.send(&[line, b"\r\n"].concat()).await;
        peer.expect("500 5.5.2").await;
    }
    for text in [
        &b"Sub\0ject: x\r\n\r\nx\r\n"[..],
        b"Subject: x\0\r\n\r\nx\r\n",
        b"A: b\r\n\r\nx\0y\r\n",
        b"\0",
        b"A: b\r\n\r\n\0\r\n",
    ] {
        peer.up_to_recipient().await;
        peer.send(&[format!("BDAT {} LAST\r\n", text.len()).as_bytes(), text].concat()).await;
        peer.expect("550 5.6.0").await;
        peer.up_to_data().await;
        peer.send(&[text, b"\r\n.\r\n"].concat()).await;
        peer.expect("550 5.6.0").await;
    }
    // Within a login the whole exchange ends.
    let mut peer = node.greeted("submissions").await;
    peer.ask("AUTH LOGIN", "334").await;
    peer.send(b"YWxp\0Y2U=\r\n").await;
    peer.expect("500 5.5.2").await;
    peer.ask("NOOP", "250").await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn eight_bits_without_asking_and_characters_of_every_kind() {
    let node = start(|_| {}).await;
    let mut peer = node.connect("mx").await;
    peer.expect("220 ").await;
    peer.ask("HELO client.test", "250").await;
    let text = b"Subject: \xfcber\r\n\r\n\xe4\xf6\xfc \x80\xff\r\n";
    peer.up_to_data().await;
    peer.send(&[&text[..], b".\r\n"].concat()).await;
    peer.expect("250 2.0.0").await;
    assert!(node.octets().await.1.ends_with(text), "kept as it came");
    // Each spelling of a name is a name of its own or refused; none is taken for alice, and nothing is lost on the way.
    let mut peer = node.greeted("mx").await;
    for (name, expected) in [
        ("\u{fc}ser", "250 2.1.5"),
        ("\u{feff}alice", "550 5.1.1"),
        ("alice\u{200d}", "550 5.1.1"),
        ("a\u{200b}lice", "550 5.1.1"),
        ("\u{ff41}lice", "550 5.1.1"),
        ("\u{430}lice", "550 5.1.1"),
        ("\u{202e}ecila", "550 5.1.1"),
    ] {
        peer.ask("MAIL FROM:<a@b.test> SMTPUTF8", "250").await;
        peer.send(format!("RCPT TO:<{name}@example.test>\r\n").as_bytes()).await;
        let reply = peer.reply().await;
        assert!(
            reply.starts_with(expected) || (expected.starts_with('5') && reply.starts_with("501")),
            "{name}: {reply}"
        );
        peer.ask("RSET", "250").await;
    }
}

#[tokio::test]
async fn attack_a_login_of_a_megabyte() {
    let node = start(|_| {}).await;
    let mut peer = node.greeted("submissions").await;
    peer.ask(&format!("AUTH PLAIN {}", "A".repeat(1 << 20)), "500 5.5.2").await;
    peer.ask("AUTH PLAIN", "334").await;
    peer.ask(&"A".repeat(1 << 20), "500 5.5.2").await;
    // The exchange is over: the next line is a command.
    peer.ask("NOOP", "250").await;
    peer.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k", "235").await;
}

#[tokio::test]
async fn attack_many_recipients_and_messages() {
    let node = start(|config| {
        config.limits.recipients_max = 1000;
        config.limits.transactions_max = 3;
    })
    .await;
    let mut peer = node.greeted("mx").await;
    peer.ask("MAIL FROM:<a@b.test>", "250").await;
    let mut group = String::new();
    for n in 0..1100 {
        group.push_str(&format!("RCPT TO:<user{n}@example.test>\r\n"));
    }
    peer.send(group.as_bytes()).await;
    for n in 0..1100 {
        peer.expect(if n < 1000 { "250 2.1.5" } else { "452 4.5.3" }).await;
    }
    for _ in 0..2 {
        peer.ask("RSET", "250").await;
        peer.ask("MAIL FROM:<a@b.test>", "250").await;
    }
    peer.ask("RSET", "250").await;
    peer.ask("MAIL FROM:<a@b.test>", "421 4.7.0").await;
    peer.expect_close().await;
    assert_eq!(node.queued().await, 0);
}

#[tokio::test]
async fn attack_a_header_of_ten_megabytes_and_a_line_without_an_end() {
    let node = start(|config| config.limits.discard_max = ByteSize::mib(16)).await;
    for (text, answer) in [
        (format!("{}\r\n", "A: b\r\n".repeat(1_700_000)), "5"),
        (format!("A: {}\r\n\r\n", "x".repeat(10 << 20)), "550 5.6.0"),
        (format!("A: b\r\n\r\n{}\r\n", "x".repeat(10 << 20)), "550 5.6.0"),
        ("Received: x\r\n".repeat(100_000), "554 5.4.6"),
    ] {
        let mut peer = node.greeted("mx").await;
        peer.up_to_data().await;
        assert!(peer.try_send(text.as_bytes()).await && peer.try_send(b"\r\n.\r\n").await);
        peer.expect(answer).await;
        // The same in one chunk.
        peer.up_to_recipient().await;
        peer.send(format!("BDAT {} LAST\r\n", text.len()).as_bytes()).await;
        assert!(peer.try_send(text.as_bytes()).await);
        peer.expect(answer).await;
        peer.ask("NOOP", "250").await;
    }
    assert_eq!((node.queued().await, node.metric("message_memory_bytes")), (0, 0.0));
}
