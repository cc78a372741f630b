//! Folders: lists, what is done with picked messages, search.

use super::super::Config;
use super::harness::{ALICE, Server};

#[tokio::test]
async fn lists_are_paged_newest_first_and_say_what_is_unread() {
    let server = Server::start_with(Config { page_size: 3, ..Config::default() }).await;
    for n in 1..=7 {
        server.put(
            ALICE,
            "INBOX",
            &format!("From: <script>@y.test\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= {n} <b>\n\nbody {n} <i>\n"),
        );
    }
    let mut browser = server.signed_in(ALICE).await;
    let subjects = |body: &str| {
        let rows = body.split("<span class=\"subject\">").skip(1);
        rows.map(|row| row.split("Grüße ").nth(1).unwrap()[..1].parse().unwrap()).collect::<Vec<u32>>()
    };
    for (page, expected, range) in
        [(1, vec![7, 6, 5], "1–3 of 7"), (2, vec![4, 3, 2], "4–6 of 7"), (3, vec![1], "7–7 of 7")]
    {
        let answer = browser.get(&format!("/folder/INBOX?page={page}")).await;
        assert_eq!(subjects(&answer.body), expected);
        assert!(answer.body.contains(range), "{range}");
        assert_eq!(answer.body.contains(">Older<"), page < 3);
        assert_eq!(answer.body.contains(">Newer<"), page > 1);
        assert!(!answer.body.contains("<b>") && !answer.body.contains("<i>"), "escaped");
    }
    let answer = browser.get("/folder/INBOX").await;
    assert!(answer.body.contains("<span class=\"hidden\">unread: </span>7"));
    assert_eq!(answer.body.matches("class=\"row unread\"").count(), 3);
}

#[tokio::test]
async fn picked_messages_are_flagged_moved_and_deleted() {
    let server = Server::start().await;
    let one = server.put(ALICE, "INBOX", "Subject: one\n\n1\n");
    let two = server.put(ALICE, "INBOX", "Subject: two\n\n2\n");
    server.account(ALICE).create(&store::MailboxName::parse("Work").unwrap()).unwrap();
    let mut browser = server.signed_in(ALICE).await;
    let token = browser.token().await;
    let both = |action: &'static str| {
        vec![
            ("csrf", token.clone()),
            ("pick", one.clone()),
            ("pick", two.clone()),
            ("do", action.to_owned()),
            ("target", "Work".to_owned()),
        ]
    };
    for (action, seen, flagged) in
        [("read", true, false), ("flag", true, true), ("unread", false, true), ("unflag", false, false)]
    {
        let fields = both(action);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(browser.post("/act", &fields).await.status, 303);
        for at in [&one, &two] {
            let flags = server.flags(ALICE, at);
            assert_eq!((flags.seen, flags.flagged), (seen, flagged), "{action}");
        }
    }
    let fields = both("move");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    browser.post("/act", &fields).await;
    assert_eq!((server.count(ALICE, "INBOX"), server.count(ALICE, "Work")), (0, 2));
    let notice = browser.get("/folder/INBOX").await;
    assert!(notice.body.contains("2 messages moved to Work.") && notice.body.contains(">Undo<"));
    let picks: Vec<&str> =
        notice.body.split("name=\"pick\" value=\"").skip(1).map(|p| p.split('"').next().unwrap()).collect();
    let mut undo = vec![("csrf", token.as_str()), ("do", "move"), ("target", "INBOX")];
    undo.extend(picks.iter().map(|pick| ("pick", *pick)));
    browser.post("/act", &undo).await;
    assert_eq!((server.count(ALICE, "INBOX"), server.count(ALICE, "Work")), (2, 0));
    // The old places are gone: nothing happens, and the page says so.
    let stale = browser.post("/act", &[("csrf", &token), ("pick", &one), ("do", "delete")]).await;
    assert_eq!(stale.status, 303);
    assert!(browser.get("/folder/INBOX").await.body.contains("gone already"));
    assert_eq!(server.count(ALICE, "INBOX"), 2);
    assert_eq!(browser.post("/act", &[("csrf", &token), ("do", "delete")]).await.status, 303);
    for (target, back) in [("//evil.test", "/folder/INBOX"), ("/folder/Work?page=2", "/folder/Work?page=2")] {
        let answer = browser.post("/act", &[("csrf", &token), ("back", target)]).await;
        assert_eq!(answer.header("location"), back);
    }
}

#[tokio::test]
async fn folders_are_made_renamed_emptied_and_deleted_without_losing_mail() {
    let server = Server::start().await;
    let mut browser = server.signed_in(ALICE).await;
    let token = browser.token().await;
    let csrf = ("csrf", token.as_str());
    let mut change = async |fields: &[(&str, &str)]| {
        let mut all = vec![csrf];
        all.extend(fields);
        assert_eq!(browser.post("/folders", &all).await.status, 303);
        browser.get("/folders").await.body
    };
    assert!(
        change(&[("do", "create"), ("name", "Größe & <b>")])
            .await
            .contains("Größe &#38; &#60;b&#62; was made.")
    );
    assert!(change(&[("do", "create"), ("name", "Größe & <b>")]).await.contains("already"));
    for bad in ["../x", "a//b", "", "x\u{0}y"] {
        assert!(change(&[("do", "create"), ("name", bad)]).await.contains("be used"), "{bad}");
    }
    change(&[("do", "rename"), ("name", "Größe & <b>"), ("new", "Work")]).await;
    server.put(ALICE, "Work", "Subject: keep me\n\nx\n");
    change(&[("do", "delete"), ("name", "Work")]).await;
    assert_eq!(server.count(ALICE, "Trash"), 1, "its message is in the Trash");
    for (action, name) in [("delete", "INBOX"), ("delete", "Trash"), ("rename", "Sent")] {
        assert!(
            change(&[("do", action), ("name", name), ("new", "X")]).await.contains("stays"),
            "{action} {name}"
        );
    }
    server.put(ALICE, "INBOX", "Subject: mine\n\nx\n");
    change(&[("do", "empty"), ("name", "INBOX")]).await;
    assert_eq!(server.count(ALICE, "INBOX"), 1, "only Trash and Junk can be emptied");
    change(&[("do", "empty"), ("name", "Trash")]).await;
    assert_eq!(server.count(ALICE, "Trash"), 0);
}

#[tokio::test]
async fn search_looks_into_fields_and_bodies() {
    let server = Server::start().await;
    let long = "filler ".repeat(100);
    server.put(
        ALICE,
        "INBOX",
        &format!(
            "From: Zoe <zoe@y.test>\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n\n{long}\nneedle in the hay\n"
        ),
    );
    server.put(ALICE, "Work", "From: Ann <ann@y.test>\nSubject: other\n\nthread\n");
    let mut browser = server.signed_in(ALICE).await;
    for (query, found) in [
        ("needle", 1),
        ("NEEDLE+hay", 1),
        ("%22needle+in%22", 1),
        ("%22hay+needle%22", 0),
        ("gr%C3%BC%C3%9Fe", 1),
        ("from:zoe", 1),
        ("from:ann+needle", 0),
        ("y.test", 2),
        ("is:unread", 2),
        ("is:flagged", 0),
        ("has:attachment", 0),
        ("subject:other", 1),
        ("*%29%28%5C%00", 0),
        ("needle&in=Work", 0),
        ("needle&in=INBOX", 1),
        ("", 0),
    ] {
        let answer = browser.get(&format!("/search?q={query}")).await;
        assert_eq!((answer.status, answer.body.matches("<li class=\"row").count()), (200, found), "{query}");
    }
    assert_eq!(browser.get("/search?q=x&in=..").await.status, 404);
    let hostile = browser.get("/search?q=%3Cscript%3Ealert(1)%3C/script%3E&in=%22%3E%3Cscript%3E").await;
    assert!(!hostile.body.contains("<script>"));
    let limited = Server::start_with(Config { search_results_max: 1, ..Config::default() }).await;
    for n in 0..3 {
        limited.put(ALICE, "INBOX", &format!("Subject: same {n}\n\nx\n"));
    }
    let answer = limited.signed_in(ALICE).await.get("/search?q=same").await;
    assert!(answer.body.contains("1 found, and perhaps more"));
}
