//! Input that nobody sends by accident. Everything gets an answer or a goodbye, and the node serves on.

use access::ImapConfig;
use units::ByteSize;

use crate::harness::{Node, config, message, node, node_with};

/// Sends octets on a fresh connection, logged in or not; the answer must hold one of the words.
async fn check(node: &Node, logged_in: bool, input: &[u8], expected: &[&str]) {
    let mut client = if logged_in { node.alice("INBOX").await } else { node.connect().await };
    client.try_send(input).await;
    client.try_send(b"\r\nend NOOP\r\n").await;
    let shown = String::from_utf8_lossy(&input[..input.len().min(60)]).into_owned();
    loop {
        let line = client.line().await;
        assert!(line != "<closed>" && !line.starts_with("end "), "{shown}: nothing of {expected:?} came");
        if expected.iter().any(|word| line.contains(word)) {
            break;
        }
    }
}

#[tokio::test]
async fn before_login() {
    let node = node().await;
    let check = |input: Vec<u8>, expected: &'static [&'static str]| {
        let node = &node;
        async move { check(node, false, &input, expected).await }
    };
    for literal in ["{4294967296}", "{18446744073709551616}", "{-1}", "{99999}", "{2000}", "{x}", "{}"] {
        check(format!("a LOGIN {literal}").into_bytes(), &["a BAD", "BYE"]).await;
    }
    check(format!("a LOGIN {}", "{1+}\r\nx ".repeat(100_000)).into_bytes(), &["a BAD", "BYE"]).await;
    check([b"a SEARCH ".to_vec(), vec![b'('; 1_000_000]].concat(), &["a BAD", "BYE"]).await;
    check(vec![b'('; 7000], &["* BAD"]).await;
    check(b"a LOGIN \"x\0y\" z".to_vec(), &["BAD"]).await;
    check(b"a LOGIN \"x\ry\" z".to_vec(), &["BAD"]).await;
    check(b"\0\0\0\0".to_vec(), &["* BAD"]).await;
    check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), &["GET BAD"]).await;
    check([b"a ID (".to_vec(), vec![b'x'; 1_000_000]].concat(), &["a BAD", "BYE"]).await;
    check([b"a AUTHENTICATE PLAIN ".to_vec(), vec![b'A'; 1_000_000]].concat(), &["a BAD", "BYE"]).await;
    check("é è".as_bytes().to_vec(), &["* BAD"]).await;
    check(vec![b'a'; 100_000], &["* BAD", "BYE"]).await;
}

#[tokio::test]
async fn nonsense_without_end_ends_the_connection() {
    let node = node().await;
    let mut client = node.connect().await;
    for _ in 0..100 {
        client.try_send("nonsense\r\n").await;
    }
    let lines = client.until_closed().await;
    assert_eq!(lines.last().unwrap(), "* BYE Too many bad commands");
    assert_eq!(lines.len(), 11);
    // A good command in between starts the count anew.
    let mut client = node.connect().await;
    for _ in 0..5 {
        for _ in 0..9 {
            assert_eq!(client.end_of("NONSENSE").await, "BAD");
        }
        client.ok("NOOP").await;
    }
}

#[tokio::test]
async fn complicated_commands() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 3).await;
    let check = |input: String, expected: &'static [&'static str]| {
        let node = &node;
        async move { check(node, true, input.as_bytes(), expected).await }
    };
    check(format!("a SEARCH {}ALL", "NOT ".repeat(10_000)), &["a BAD"]).await;
    check(format!("a SEARCH {}ALL", "OR ALL ".repeat(8000)), &["a BAD"]).await;
    check(format!("a SEARCH {}ALL{}", "(".repeat(10_000), ")".repeat(10_000)), &["a BAD"]).await;
    check(format!("a FETCH {}1 UID", "1,".repeat(9000)), &["a OK"]).await;
    check(format!("a FETCH {}1 UID", "1,".repeat(20_000)), &["a BAD"]).await;
    check(format!("a FETCH 1 BODY[1{}]", ".1".repeat(10_000)), &["a BAD"]).await;
    check("a FETCH 1 BODY[1.1.1.1.1.1.1.1]".to_owned(), &["] NIL"]).await;
    check("a FETCH 1 BODY[]<0.0>".to_owned(), &["a BAD"]).await;
    check("a FETCH 1 BODY[]<18446744073709551616.1>".to_owned(), &["a BAD"]).await;
    check("a FETCH 1 BODY[]<18446744073709551615.1>".to_owned(), &["{0}", "\"\"", "a BAD"]).await;
    check("a FETCH 1 BODY[]<0.18446744073709551615>".to_owned(), &["{", "a BAD"]).await;
    check("a FETCH 4 UID".to_owned(), &["a BAD"]).await;
    check("a FETCH 0 UID".to_owned(), &["a BAD"]).await;
    check("a FETCH 4294967296 UID".to_owned(), &["a BAD"]).await;
    check("a UID FETCH 4294967295 UID".to_owned(), &["a OK"]).await;
    check(format!("a LIST \"\" {}", "*%".repeat(500)), &["a OK"]).await;
    check(format!("a LIST \"\" {}", "*%".repeat(5000)), &["a NO [LIMIT]"]).await;
    check("a SEARCH CHARSET KOI8-R ALL".to_owned(), &["a NO [BADCHARSET"]).await;
    check(format!("a STORE 1 +FLAGS ({}x)", "k ".repeat(1000)), &["a BAD", "a NO"]).await;
    check(format!("a STORE 1 +FLAGS ({})", "k".repeat(60_000)), &["a BAD"]).await;
}

#[tokio::test]
async fn mailbox_names() {
    let node = node().await;
    let mut client = node.log_in("alice").await;
    let refused = |answer: &str| answer == "BAD" || answer == "NO [CANNOT]" || answer == "NO [ALREADYEXISTS]";
    for name in [
        "../bob",
        "\"a/../../b\"",
        "..",
        ".",
        "\"a/./b\"",
        "\"a//b\"",
        "\"/etc\"",
        "\"\"",
        "\"a\x01b\"",
        "&AAA-",
        "&AGE-",
        "&*",
        "\"a*\"",
        "\"a%\"",
        "inbox",
        "InBoX",
    ] {
        let answer = client.end_of(&format!("CREATE {name}")).await;
        assert!(refused(&answer), "CREATE {name}: {answer}");
        let answer = client.end_of(&format!("RENAME INBOX {name}")).await;
        assert!(refused(&answer), "RENAME {name}: {answer}");
        client.ok("NOOP").await;
    }
    let long = "x".repeat(5000);
    let deep = vec!["d"; 5000].join("/");
    for name in [long, deep] {
        let answer = client.end_of(&format!("CREATE {name}")).await;
        assert!(refused(&answer), "{answer}");
    }
    for name in
        ["~bob", "cur", "new", "tmp", "a.b", "\"a b\"", "Entw&APw-rfe", "&ZeVnLIqe-", "Maildir", "#user/bob"]
    {
        let answer = client.end_of(&format!("CREATE {name}")).await;
        if answer == "OK" {
            client.ok(&format!("SELECT {name}")).await;
            client.append(name, &message("x")).await;
            client.ok(&format!("STATUS {name} (MESSAGES)")).await;
            client.ok("UNSELECT").await;
            client.ok(&format!("DELETE {name}")).await;
        } else {
            assert!(refused(&answer), "{name}: {answer}");
        }
        assert_eq!(client.end_of(&format!("SELECT {name}")).await, "NO [NONEXISTENT]", "{name}");
    }
    // Nothing of it touched the other account.
    let mut bob = node.log_in("bob").await;
    let names = bob.ok("LIST \"\" *").await;
    assert_eq!(names.len(), 5, "{names:?}");
}

#[tokio::test]
async fn anothers_mailboxes_are_absent() {
    let node = node().await;
    let mut bob = node.log_in("bob").await;
    bob.ok("CREATE secret").await;
    let mut alice = node.alice("INBOX").await;
    alice.append("INBOX", &message("x")).await;
    for name in ["secret", "../bob@example.test/secret", "#user/bob/secret", "user/bob/secret", "~bob/secret"]
    {
        for command in ["SELECT", "EXAMINE", "DELETE"] {
            assert_eq!(
                alice.end_of(&format!("{command} {name}")).await,
                "NO [NONEXISTENT]",
                "{command} {name}"
            );
        }
        assert_eq!(alice.end_of(&format!("STATUS {name} (MESSAGES)")).await, "NO [NONEXISTENT]");
        assert_eq!(alice.end_of(&format!("RENAME {name} mine")).await, "NO [NONEXISTENT]");
        let size = message("x").len();
        let append = format!("APPEND {name} {{{size}+}}\r\n{}", message("x"));
        assert_eq!(alice.end_of(&append).await, "NO [TRYCREATE]");
        alice.ok("SELECT INBOX").await;
        assert_eq!(alice.end_of(&format!("COPY 1 {name}")).await, "NO [TRYCREATE]");
        assert_eq!(alice.end_of(&format!("MOVE 1 {name}")).await, "NO [TRYCREATE]");
    }
}

#[tokio::test]
async fn appends_at_their_limit() {
    let node = node_with(ImapConfig {
        append_max: ByteSize::kib(100),
        append_memory_max: ByteSize::kib(200),
        ..config()
    })
    .await;
    let mut client = node.log_in("alice").await;
    let body = |size: usize| format!("Subject: x\r\n\r\n{}", "y".repeat(size - 14));
    for (size, expected) in
        [(102_399, "OK [APPENDUID]"), (102_400, "OK [APPENDUID]"), (102_401, "NO [TOOBIG]")]
    {
        let answer = client.end_of(&format!("APPEND INBOX {{{size}+}}\r\n{}", body(size))).await;
        assert_eq!(answer, expected, "{size}");
        client.ok("NOOP").await;
    }
    client.send("a APPEND INBOX {102401}\r\n").await;
    assert!(client.line().await.starts_with("a NO [TOOBIG]"));
    client.send("b APPEND INBOX {20}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("Subject: x\r\n\r\n 12345\r\n").await;
    assert!(client.line().await.starts_with("b OK [APPENDUID "));
    assert_eq!(client.end_of("APPEND INBOX {0+}\r\n").await, "NO [CANNOT]");
    assert_eq!(client.end_of("APPEND nowhere {1+}\r\nx").await, "NO [TRYCREATE]");
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_only_itself() {
    let node = node().await;
    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcde\r\n".repeat(60_000));
    node.deliver("alice", "INBOX", large.as_bytes()).await;
    let mut greedy = node.alice("INBOX").await;
    for _ in 0..1000 {
        if !greedy.try_send("x FETCH 1:* BODY.PEEK[]\r\n").await {
            break;
        }
    }
    let mut other = node.alice("INBOX").await;
    other.ok("NOOP").await;
    let lines = other.ok("FETCH 1 BODY.PEEK[]<1000000.10>").await;
    assert_eq!(lines.first().unwrap(), "* 1 FETCH (BODY[]<1000000> {10}");
}

#[tokio::test]
async fn connections_cut_in_each_state() {
    let node = node().await;
    node.deliver_many("alice", "INBOX", 2).await;
    for cut in ["", "a", "a LOGIN alice", "a LOGIN {5}\r\nal", "a AUTHENTICATE PLAIN\r\nAAA"] {
        let mut client = node.connect().await;
        client.send(cut).await;
    }
    for cut in [
        "a APPEND INBOX {1000+}\r\nSubject",
        "a IDLE\r\n",
        "a IDLE\r\nDO",
        "a FETCH 1:* BODY[]\r\n",
        "a SEARCH TEXT {9+}\r\nx",
        "a STORE 1:* +FLAGS (\\Deleted)\r\na EXP",
        "a LOGOUT\r\n",
    ] {
        let mut client = node.alice("INBOX").await;
        client.send(cut).await;
    }
    let mut client = node.alice("INBOX").await;
    let lines = client.ok("STATUS INBOX (MESSAGES)").await;
    assert_eq!(lines, ["* STATUS INBOX (MESSAGES 2)"]);
    drop(client);
    node.drain.begin();
    assert_eq!(node.drain.finish(std::time::Duration::from_secs(10)).await, 0, "every session ended");
}
