//! Drafts that hold more than this webmail writes, and forms that come slowly.

use std::time::Duration;

use store::{FlagChange, Flags, MailboxName, Uid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::{Config, content};
use super::harness::{ALICE, BOB, Server};
use super::writing::{fields, send, value};

const FORMATTED: &str = "From: alice@x.test\nTo: ben@y.test\nSubject: Plan\nMIME-Version: 1.0\n\
    Content-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<p>See <img src=\"cid:p1@x\"></p>\n\
    --r\nContent-Type: image/png\nContent-ID: <p1@x>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--r--\n";

#[tokio::test]
async fn a_wrong_address_stays_in_its_field_with_the_others() {
    let server = Server::start().await;
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get("/compose").await;
    let (to, cc) = ("ben@y.test, bob", "Ann <ann@");
    let form = fields(&page, &[], &[("to", to), ("cc", cc), ("text", "x"), ("do", "save")]);
    let answer = send(&mut browser, &form, &[]).await;
    assert_eq!((answer.status, value(&answer, "to").as_str()), (422, to));
    // Closed and taken up another day.
    let list = browser.get("/folder/Drafts").await;
    let link = list.body.split("href=\"/edit/").nth(1).unwrap().split('"').next().unwrap();
    let page = browser.get(&format!("/edit/{link}")).await;
    assert_eq!((value(&page, "to").as_str(), value(&page, "cc").as_str()), (to, cc));
    // Nobody gets it until it is put right.
    let form = fields(&page, &["to", "cc", "text"], &[("do", "send")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 422);
    assert!(server.sink.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_programs_draft_loses_neither_its_pictures_nor_its_form() {
    let server = Server::start().await;
    let at = server.put(ALICE, "Drafts", FORMATTED);
    let drafts = server.account(ALICE).mailbox(&MailboxName::parse("Drafts").unwrap()).unwrap();
    let uid = Uid(at.split('/').nth(1).unwrap().parse().unwrap());
    let draft = Flags { draft: true, ..Flags::default() };
    drafts.store(&[uid], FlagChange::Add, &draft, None).unwrap();
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get(&format!("/edit/{at}")).await;
    assert!(page.body.contains("This draft has formatting"));
    let keep = page.field("keep");
    let form = fields(&page, &["to", "subject", "text"], &[("keep", &keep), ("do", "save")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    assert_eq!((server.count(ALICE, "Drafts"), server.count(ALICE, "Trash")), (1, 1));
    assert!(server.newest(ALICE, "Trash").contains("cid:p1@x"));
    let raw = server.newest(ALICE, "Drafts");
    let letter = content::read(raw.as_bytes(), 1000);
    let (picture, octets) = content::part(raw.as_bytes(), letter.attachments[0].part).unwrap();
    assert_eq!(
        (picture.media_type.as_str(), octets.as_slice()),
        ("image/png", b"\x89PNG\r\n\x1a\n".as_slice())
    );
    // What was written here has no formatting: saving it again leaves nothing behind.
    let list = browser.get("/folder/Drafts").await;
    let link = list.body.split("href=\"/edit/").nth(1).unwrap().split('"').next().unwrap();
    let page = browser.get(&format!("/edit/{link}")).await;
    assert!(!page.body.contains("This draft has formatting"));
    let form = fields(&page, &["to", "subject", "text"], &[("do", "save")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    assert_eq!((server.count(ALICE, "Drafts"), server.count(ALICE, "Trash")), (1, 1));
}

#[tokio::test]
async fn a_forward_takes_the_pictures_inside_along() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", FORMATTED);
    let mut browser = server.signed_in(ALICE).await;
    let shown = browser.get(&format!("/message/{at}")).await;
    assert!(!shown.body.contains("picture-"), "where it belongs, not in the list of files");
    let page = browser.get(&format!("/forward/{at}")).await;
    let keep = page.field("keep");
    let form = fields(&page, &["subject", "text"], &[("to", "d@y.test"), ("keep", &keep), ("do", "send")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    let raw = server.sink.0.lock().unwrap()[0].content.clone();
    assert_eq!(content::read(&raw, 1000).attachments[0].media_type, "image/png");
}

#[tokio::test]
async fn slow_forms_of_one_account_keep_nobody_else_waiting() {
    let config = Config { uploads_max: 1, uploads_per_account_max: 2, ..Config::default() };
    let server = Server::start_with(config).await;
    let (mut alice, mut bob) = (server.signed_in(ALICE).await, server.signed_in(BOB).await);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let token = alice.token().await;
        let begin = format!(
            "--BB\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n--BB\r\nContent-"
        );
        let headers = [("content-type", "multipart/form-data; boundary=BB"), ("expect", "100-continue")];
        // More is announced than comes.
        let mut stream = alice.begin("/compose", &headers, 5000).await;
        let mut go_on = [0; 25];
        // The server asks for the body when the form is being read: its place is taken.
        stream.read_exact(&mut go_on).await.unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100 "));
        stream.write_all(begin.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let page = bob.get("/compose").await;
    let form = fields(&page, &[], &[("to", "a@y.test"), ("text", "x"), ("do", "send")]);
    assert_eq!(send(&mut bob, &form, &[]).await.status, 303);
    let page = alice.get("/compose").await;
    let form = fields(&page, &[], &[("to", "a@y.test"), ("text", "x"), ("do", "send")]);
    assert_eq!(send(&mut alice, &form, &[]).await.status, 503);
    drop(slow);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while send(&mut alice, &form, &[]).await.status != 303 {
        assert!(tokio::time::Instant::now() < deadline, "the places come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
