//! The webmail as a browser meets it: over HTTP, with a real store.

mod drafts;
mod folders;
mod harness;
mod writing;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Config;
use harness::{ALICE, BOB, Login, PASSWORD, Server};

const SECRET: &str = "From: Ann <ann@y.test>\nTo: alice@x.test\nCc: c@y.test\nSubject: The secret plan\nMessage-ID: <s@y.test>\n\
    MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n\
    <p>secret words</p><script>alert(1)</script><img src=\"http://z.test/p.gif\">\n--b\n\
    Content-Type: text/html; name=\"=?utf-8?Q?se=C3=A7ret=2Ehtml?=\"\nContent-Disposition: attachment\n\n\
    <script>alert('secret')</script>\n--b--\n";

/// Every page that shows a message, by its place.
fn message_pages(at: &str) -> Vec<String> {
    let (validity, rest) = at.split_once('/').unwrap();
    let (uid, mailbox) = rest.split_once('/').unwrap();
    let mut pages: Vec<String> =
        ["message", "body", "source", "raw", "reply", "reply-all", "forward", "edit"]
            .iter()
            .map(|what| format!("/{what}/{at}"))
            .collect();
    pages.extend((0..4).map(|part| format!("/part/{validity}/{uid}/{part}/{mailbox}")));
    pages
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_signing_out_ends_it() {
    let server = Server::start().await;
    let mut browser = server.browser();
    assert_eq!(browser.get("/").await.header("location"), "/sign-in");
    // A name that somebody else put into the browser is not taken over.
    browser.cookies.insert("sluice".to_owned(), "planted".to_owned());
    let answer = browser.sign_in(ALICE, PASSWORD).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/folder/INBOX"));
    let cookie = answer.headers.iter().find(|(k, v)| k == "set-cookie" && v.starts_with("sluice=")).unwrap();
    assert!(
        cookie.1.contains("; HttpOnly")
            && cookie.1.contains("; SameSite=Lax")
            && cookie.1.contains("; Path=/")
    );
    let first = browser.cookies["sluice"].clone();
    assert!(first != "planted" && first.len() == 43);
    // Signing in again, as from another tab, ends the session that was.
    let mut other = browser.clone();
    browser.cookies.remove("sluice");
    let token = browser.get("/sign-in").await.field("token");
    browser.cookies.insert("sluice".to_owned(), first.clone());
    let again = browser.post("/sign-in", &[("token", &token), ("name", ALICE), ("password", PASSWORD)]).await;
    assert_eq!(again.status, 303);
    assert_ne!(browser.cookies["sluice"], first);
    assert_eq!(other.get("/folder/INBOX").await.header("location"), "/sign-in");
    let mut kept = browser.clone();
    let token = browser.token().await;
    assert_eq!(browser.post("/sign-out", &[("csrf", &token)]).await.header("location"), "/sign-in");
    assert!(!browser.cookies.contains_key("sluice"));
    assert_eq!(
        kept.get("/folder/INBOX").await.header("location"),
        "/sign-in",
        "the name is worth nothing now"
    );
}

#[tokio::test]
async fn a_session_ends_with_the_login_that_it_rests_on() {
    let at_once = || Config { session_check_interval: units::Span::millis(0), ..Config::default() };
    for login in [Login::Changed, Login::Gone] {
        let server = Server::start_with(at_once()).await;
        let (mut alice, mut bob) = (server.signed_in(ALICE).await, server.signed_in(BOB).await);
        let mut other = alice.clone();
        server.turn_login(ALICE, login);
        for browser in [&mut alice, &mut other] {
            assert_eq!(browser.get("/folder/INBOX").await.header("location"), "/sign-in");
        }
        assert_eq!(bob.get("/folder/INBOX").await.status, 200);
    }
    // A directory that can't say ends nothing, and the windows that only wait are told as well.
    let server =
        Server::start_with(Config { live_updates_interval: units::Span::millis(5), ..at_once() }).await;
    let mut alice = server.signed_in(ALICE).await;
    let mut live = alice.open("GET", "/live/INBOX", &[], b"").await;
    server.turn_login(ALICE, Login::Unknown);
    assert_eq!(alice.get("/folder/INBOX").await.status, 200);
    server.turn_login(ALICE, Login::Gone);
    let mut told = Vec::new();
    let end = tokio::time::timeout(std::time::Duration::from_secs(20), live.read_to_end(&mut told)).await;
    assert!(end.is_ok(), "the window's updates end");
    assert_eq!(alice.get("/folder/INBOX").await.header("location"), "/sign-in");
}

#[tokio::test]
async fn a_browser_that_never_reads_is_given_up() {
    let config = Config { write_timeout: units::Span::millis(50), ..Config::default() };
    let server = Server::start_with(config).await;
    let mut silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /assets/app.css HTTP/1.1\r\nHost: mail.test\r\n\r\n".repeat(100);
    // Until both sides' buffers are full, which is when the server has let go.
    let ended = async { while silent.write_all(&request).await.is_ok() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.drain.open() > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_refused_sign_in_says_so_and_nothing_more() {
    let server = Server::start().await;
    for (name, password, status, words) in [
        (ALICE, "wrong", 401, "The address or the password is wrong."),
        ("nobody@x.test", PASSWORD, 401, "The address or the password is wrong."),
        ("", "", 401, "fill in"),
        ("throttled@x.test", "x", 429, "Too many failed attempts"),
        ("down@x.test", "x", 503, "try again soon"),
        ("<script>alert(1)</script>", "x", 401, "wrong"),
    ] {
        let mut browser = server.browser();
        let answer = browser.sign_in(name, password).await;
        assert_eq!(answer.status, status, "{name}");
        assert!(answer.body.contains(words), "{name}: {}", answer.body);
        assert!(!answer.body.contains("<script>alert") && !browser.cookies.contains_key("sluice"));
    }
    // Somebody else's form: no cookie, or another one.
    let mut browser = server.browser();
    let fields = [("token", "t"), ("name", ALICE), ("password", PASSWORD)];
    assert_eq!(browser.post("/sign-in", &fields).await.status, 403);
    let token = browser.get("/sign-in").await.field("token");
    let fields = [("token", token.as_str()), ("name", ALICE), ("password", PASSWORD)];
    let answer = browser.post_from("/sign-in", &fields, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(answer.status, 403);
    assert!(!browser.cookies.contains_key("sluice"));
}

#[tokio::test]
async fn passwords_need_tls_when_the_operator_says_so() {
    let never = Config { plaintext_login: crate::PlaintextLogin::Never, ..Config::default() };
    let server = Server::start_with(never.clone()).await;
    let answer = server.browser().sign_in(ALICE, PASSWORD).await;
    assert!(answer.status == 403 && answer.body.contains("https://"));
    let server = Server::start_with(Config { behind_tls_proxy: true, ..never }).await;
    let mut browser = server.browser();
    let answer = browser.sign_in(ALICE, PASSWORD).await;
    assert_eq!(answer.status, 303);
    assert!(answer.headers.iter().any(|(_, v)| v.starts_with("__Host-sluice=") && v.contains("; Secure")));
    assert!(answer.header("strict-transport-security").starts_with("max-age"));
}

#[tokio::test]
async fn nobody_sees_anything_without_a_session() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", SECRET);
    let mut pages = message_pages(&at);
    pages.extend(
        ["/folder/INBOX", "/folders", "/compose", "/search?q=secret", "/live/INBOX"].map(str::to_owned),
    );
    for page in pages {
        let answer = server.browser().get(&page).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/sign-in"), "{page}");
        assert!(!answer.body.contains("secret"));
    }
    for page in ["/act", "/folders", "/sign-out"] {
        let answer = server.browser().post(page, &[("csrf", "x")]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/sign-in"), "{page}");
    }
    assert_eq!(
        server.browser().upload("/compose", &[("csrf", "x")], &[]).await.header("location"),
        "/sign-in"
    );
}

#[tokio::test]
async fn one_persons_places_are_nothing_to_another() {
    let server = Server::start().await;
    // Alice's mailbox and UID exist for Bob as well, so that only the account tells them apart.
    let at = server.put(ALICE, "Plans", SECRET);
    server.put(BOB, "Plans", "Subject: Bob's own\n\nown words\n");
    let mut alice = server.signed_in(ALICE).await;
    let mut bob = server.signed_in(BOB).await;
    assert!(alice.get(&format!("/message/{at}")).await.body.contains("The secret plan"));
    for page in message_pages(&at) {
        let answer = bob.get(&page).await;
        assert!(answer.status == 404 || answer.status == 200, "{page}: {}", answer.status);
        assert!(!answer.body.to_lowercase().contains("secret"), "{page}");
    }
    for page in ["/search?q=secret", "/search?q=plan&in=Plans", "/folder/Plans", "/folders"] {
        assert!(!bob.get(page).await.body.contains("secret plan"), "{page}");
    }
    let (alice_token, bob_token) = (alice.token().await, bob.token().await);
    let flags = server.flags(ALICE, &at);
    for action in ["delete", "forever", "unread", "flag", "junk", "archive"] {
        bob.post("/act", &[("csrf", &bob_token), ("pick", &at), ("do", action)]).await;
        // A session's token is its own.
        let other = bob.post("/act", &[("csrf", &alice_token), ("pick", &at), ("do", action)]).await;
        assert_eq!(other.status, 403);
    }
    assert_eq!((server.count(ALICE, "Plans"), server.flags(ALICE, &at)), (1, flags));
    // Files of another's message don't go along.
    let fields = [
        ("csrf", bob_token.as_str()),
        ("nonce", "n"),
        ("do", "send"),
        ("to", "x@y.test"),
        ("text", "t"),
        ("source", at.as_str()),
        ("forward", at.as_str()),
        ("reply", at.as_str()),
        ("draft", at.as_str()),
        ("keep", "1"),
        ("keep", "2"),
    ];
    bob.upload("/compose", &fields, &[]).await;
    for sent in server.sink.0.lock().unwrap().iter() {
        assert!(!String::from_utf8_lossy(&sent.content).contains("secret"));
    }
    assert_eq!(server.count(ALICE, "Plans"), 1);
}

#[tokio::test]
async fn forms_need_their_token_and_their_origin() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", SECRET);
    let mut browser = server.signed_in(ALICE).await;
    let token = browser.token().await;
    let good = token.as_str();
    for csrf in ["", "wrong", &good[1..], &good.to_uppercase()] {
        for (page, fields) in [
            ("/act", vec![("csrf", csrf), ("pick", at.as_str()), ("do", "delete")]),
            ("/folders", vec![("csrf", csrf), ("do", "create"), ("name", "New")]),
            ("/sign-out", vec![("csrf", csrf)]),
        ] {
            assert_eq!(browser.post(page, &fields).await.status, 403, "{page} {csrf}");
        }
        let upload =
            browser.upload("/compose", &[("csrf", csrf), ("do", "send"), ("to", "x@y.test")], &[]).await;
        assert_eq!(upload.status, 403);
    }
    let late = browser.upload("/compose", &[("do", "send"), ("to", "x@y.test"), ("csrf", good)], &[]).await;
    assert_eq!(late.status, 403, "the token comes first");
    let fields = [("csrf", good), ("pick", at.as_str()), ("do", "delete")];
    for origin in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.test"),
        ("origin", "null"),
    ] {
        assert_eq!(browser.post_from("/act", &fields, &[origin]).await.status, 403, "{origin:?}");
    }
    assert_eq!(browser.request("PUT", "/act", &[], b"").await.status, 405);
    assert_eq!(browser.get(&format!("/act?csrf={good}&pick={at}&do=delete")).await.status, 404);
    assert_eq!((server.count(ALICE, "INBOX"), server.sink.0.lock().unwrap().len()), (1, 0));
    assert_eq!(browser.post_from("/act", &fields, &[("origin", "http://mail.test")]).await.status, 303);
    assert_eq!((server.count(ALICE, "INBOX"), server.count(ALICE, "Trash")), (0, 1));
}

#[tokio::test]
async fn every_page_is_closed_to_the_outside() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", SECRET);
    let mut browser = server.signed_in(ALICE).await;
    let mut pages = message_pages(&at);
    pages.extend(
        ["/folder/INBOX", "/folders", "/compose", "/search?q=x", "/nowhere", "/sign-in"].map(str::to_owned),
    );
    for page in pages {
        let answer = browser.get(&page).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{page}: {policy}");
        assert!(
            !policy.contains("unsafe-eval")
                && !policy.contains("script-src 'unsafe")
                && !policy.contains('*'),
            "{page}"
        );
        assert!(policy.contains("frame-ancestors"), "{page}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{page}");
        assert_eq!(answer.header("cache-control"), "no-store", "{page}");
        assert!(
            !answer.header("referrer-policy").is_empty() && !answer.header("x-frame-options").is_empty(),
            "{page}"
        );
        assert!(
            !answer.body.contains("<script>") || page.starts_with("/raw") || page.starts_with("/part"),
            "{page}"
        );
    }
    for (path, kind) in [
        ("/assets/app.css", "text/css"),
        ("/assets/app.js", "text/javascript"),
        ("/assets/icons.svg", "image/svg"),
    ] {
        let answer = browser.get(path).await;
        assert!(answer.status == 200 && answer.header("content-type").starts_with(kind), "{path}");
    }
}

#[tokio::test]
async fn a_message_is_shown_harmless_and_its_files_are_only_files() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", SECRET);
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get(&format!("/message/{at}")).await;
    assert!(page.body.contains("Remote images blocked") && page.body.contains("seçret.html"));
    assert!(page.body.contains("sandbox=\"allow-popups allow-popups-to-escape-sandbox\""));
    assert!(server.flags(ALICE, &at).seen);
    let frame = browser.get(&format!("/body/{at}")).await;
    assert!(frame.body.contains("<p>secret words</p>"));
    assert!(!frame.body.contains("script") && !frame.body.contains("z.test"));
    let policy = frame.header("content-security-policy");
    assert!(
        policy.contains("sandbox") && !policy.contains("script") && policy.contains("frame-ancestors 'self'")
    );
    assert_eq!(frame.header("referrer-policy"), "no-referrer");
    let link = page.body.split("href=\"/part/").nth(1).unwrap().split('"').next().unwrap();
    let file = browser.get(&format!("/part/{link}")).await;
    assert_eq!((file.status, file.header("content-type")), (200, "application/octet-stream"));
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"se_ret.html\"; filename*=UTF-8''se%C3%A7ret.html"
    );
    assert!(file.header("content-security-policy").contains("sandbox"));
    let raw = browser.get(&format!("/raw/{at}")).await;
    assert_eq!(raw.header("content-disposition"), "attachment; filename=\"The secret plan.eml\"");
    assert!(browser.get(&format!("/source/{at}")).await.body.contains("&#60;script&#62;alert(1)"));
}

#[tokio::test]
async fn places_that_are_not_there_are_not_there() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", SECRET);
    let (validity, _) = at.split_once('/').unwrap();
    let mut browser = server.signed_in(ALICE).await;
    for path in [
        "/folder/Nope",
        "/folder/..%2f..%2fetc",
        "/folder/..",
        "/folder/%2e%2e/x",
        "/folder/a%00b",
        "/folder/a%0d%0aX:y",
        "/folder/",
        "/folder/%ff",
        "/message/1/1/INBOX",
        "/message/x/1/INBOX",
        "/message/-1/1/INBOX",
        "/message/99999999999/1/INBOX",
        &format!("/message/{validity}/999/INBOX"),
        &format!("/message/{validity}/0/INBOX"),
        &format!("/part/{validity}/1/999/INBOX"),
        &format!("/part/{validity}/1/18446744073709551616/INBOX"),
        &format!("/body/{validity}/1/../INBOX"),
        "/reply/1/1/INBOX",
        "/wp-login.php",
        "//evil.test",
        "/assets/../Cargo.toml",
    ] {
        let answer = browser.get(path).await;
        assert!((400..405).contains(&answer.status), "{path}: {}", answer.status);
    }
    let huge = format!("/folder/{}", "a/".repeat(2000));
    assert!((400..500).contains(&browser.get(&huge).await.status));
    assert_eq!(browser.get("/folder/INBOX?page=999999999999").await.status, 200);
    assert_eq!(browser.get("/folder/INBOX?page=0").await.status, 200);
}

#[tokio::test]
async fn live_updates_come_and_end_with_the_drain() {
    let server = Server::start_with(Config { live_updates_max: 1, ..Config::default() }).await;
    server.put(ALICE, "INBOX", "Subject: one\n\n1\n");
    let mut browser = server.signed_in(ALICE).await;
    let mut stream = browser.open("GET", "/live/INBOX", &[], b"").await;
    let mut seen = String::new();
    let mut wait_for = async |count: usize| {
        let reading = async {
            let mut chunk = [0; 1024];
            while seen.matches("data: ").count() < count {
                let length = stream.read(&mut chunk).await.unwrap();
                assert!(length > 0, "ended early: {seen}");
                seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.unwrap();
    };
    wait_for(1).await;
    assert_eq!(browser.get("/live/INBOX").await.status, 204, "a second stream is over the limit");
    server.put(ALICE, "INBOX", "Subject: two\n\n2\n");
    wait_for(2).await;
    server.drain.begin();
    assert_eq!(server.drain.finish(std::time::Duration::from_secs(20)).await, 0);
    server.running.await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
}
