//! Writing, sending, drafts.

use store::MailboxName;

use super::super::Config;
use super::super::content;
use super::harness::{ALICE, Answer, Browser, Server};

const QUESTION: &str = "From: Ann <ann@y.test>\nTo: alice@x.test, Carl <carl@y.test>\nSubject: A question\nMessage-ID: <q@y.test>\n\
    References: <p@y.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nWhat now?\n--b\n\
    Content-Type: application/pdf; name=plan.pdf\nContent-Disposition: attachment\n\nPDF\n--b--\n";

/// The fields of the page's form, with changes.
pub(super) fn fields<'a>(
    page: &'a Answer,
    names: &[&'a str],
    change: &[(&'a str, &'a str)],
) -> Vec<(&'a str, String)> {
    let mut fields: Vec<(&str, String)> = ["csrf", "nonce", "reply", "forward", "draft", "source"]
        .map(|name| (name, page.field(name)))
        .to_vec();
    fields.extend(names.iter().map(|name| (*name, value(page, name))));
    fields.extend(change.iter().map(|(name, value)| (*name, (*value).to_owned())));
    fields
}

pub(super) fn value(page: &Answer, name: &str) -> String {
    let raw = if name == "text" {
        page.body
            .split_once("<textarea")
            .unwrap()
            .1
            .split_once(">\n")
            .unwrap()
            .1
            .split_once("</textarea>")
            .unwrap()
            .0
            .to_owned()
    } else {
        page.field(name)
    };
    raw.replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
}

pub(super) async fn send(
    browser: &mut Browser,
    fields: &[(&str, String)],
    files: &[(&str, &[u8])],
) -> Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.upload("/compose", &fields, files).await
}

#[tokio::test]
async fn an_answer_is_threaded_copied_and_flagged() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", QUESTION);
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get(&format!("/reply-all/{at}")).await;
    assert_eq!(
        (value(&page, "to"), value(&page, "cc")),
        ("Ann <ann@y.test>".to_owned(), "Carl <carl@y.test>".to_owned())
    );
    assert_eq!(value(&page, "subject"), "Re: A question");
    assert!(value(&page, "text").contains("Ann wrote:\n> What now?"));
    let form = fields(
        &page,
        &["to", "cc", "subject"],
        &[("bcc", "hidden@z.test"), ("text", "Wait.\n"), ("do", "send")],
    );
    let answer = send(&mut browser, &form, &[("a.html", b"<p>".as_slice()), ("", b"".as_slice())]).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/folder/INBOX"));
    {
        let sent = server.sink.0.lock().unwrap();
        let mail = &sent[0];
        assert_eq!((mail.login.as_str(), mail.sender.to_string().as_str()), (ALICE, ALICE));
        let to: Vec<String> = mail.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["ann@y.test", "carl@y.test", "hidden@z.test"]);
        assert!(!String::from_utf8_lossy(&mail.content).contains("hidden@"));
        let letter = content::read(&mail.content, 10_000);
        assert_eq!(letter.in_reply_to, ["q@y.test"]);
        assert_eq!(letter.references, ["p@y.test", "q@y.test"]);
        assert_eq!((letter.text.trim(), letter.attachments.len()), ("Wait.", 1));
    }
    let copy = content::read(server.newest(ALICE, "Sent").as_bytes(), 10_000);
    assert_eq!(copy.bcc[0].address, "hidden@z.test");
    assert!(server.flags(ALICE, &at).answered);
    // The same sheet again, by a second click: sent once.
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    assert_eq!((server.sink.0.lock().unwrap().len(), server.count(ALICE, "Sent")), (1, 1));
}

#[tokio::test]
async fn a_forward_takes_the_files_that_stay_checked() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", QUESTION);
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get(&format!("/forward/{at}")).await;
    assert_eq!(value(&page, "subject"), "Fwd: A question");
    assert!(page.body.contains("plan.pdf"));
    let keep = page.field("keep");
    let form = fields(&page, &["subject", "text"], &[("to", "dora@y.test"), ("keep", &keep), ("do", "send")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    let raw = server.sink.0.lock().unwrap()[0].content.clone();
    let letter = content::read(&raw, 10_000);
    assert!(letter.text.contains("Forwarded message") && letter.text.contains("What now?"));
    let (file, octets) = content::part(&raw, letter.attachments[0].part).unwrap();
    assert_eq!(
        (file.name.as_str(), file.media_type.as_str(), octets.as_slice()),
        ("plan.pdf", "application/pdf", b"PDF".as_slice())
    );
    assert!(server.flags(ALICE, &at).keywords.contains("$Forwarded"));
    let page = browser.get(&format!("/forward/{at}")).await;
    let form = fields(&page, &["subject", "text"], &[("to", "dora@y.test"), ("do", "send")]);
    send(&mut browser, &form, &[]).await;
    let raw = server.sink.0.lock().unwrap()[1].content.clone();
    assert!(content::read(&raw, 10_000).attachments.is_empty(), "unchecked, left out");
}

#[tokio::test]
async fn what_is_not_sent_is_kept_as_a_draft_with_its_files() {
    let server = Server::start().await;
    let mut browser = server.signed_in(ALICE).await;
    for (to, words) in [
        ("refused@y.test", "no such mailbox"),
        ("not an address", "is no mail address"),
        ("", "Nobody to send it to"),
    ] {
        let page = browser.get("/compose").await;
        let form =
            fields(&page, &[], &[("to", to), ("subject", "S"), ("text", "precious words"), ("do", "send")]);
        let answer = send(&mut browser, &form, &[("f.txt", b"precious file".as_slice())]).await;
        assert!(
            answer.status >= 400 && answer.body.contains(words),
            "{to}: {} {}",
            answer.status,
            answer.body
        );
        assert_eq!(
            (value(&answer, "to").as_str(), value(&answer, "text").trim_end()),
            (to, "precious words")
        );
        assert!(answer.body.contains("f.txt"));
        // The sheet that came back is sent with its file, and its draft goes.
        let keep = answer.field("keep");
        let form =
            fields(&answer, &["subject", "text"], &[("to", "ok@y.test"), ("keep", &keep), ("do", "send")]);
        assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
        let raw = server.sink.0.lock().unwrap().pop().unwrap().content;
        let letter = content::read(&raw, 10_000);
        assert_eq!(content::part(&raw, letter.attachments[0].part).unwrap().1, b"precious file");
        assert_eq!(server.count(ALICE, "Drafts"), 0);
    }
}

#[tokio::test]
async fn drafts_are_saved_taken_up_and_thrown_away() {
    let server = Server::start().await;
    let at = server.put(ALICE, "INBOX", QUESTION);
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get(&format!("/reply/{at}")).await;
    let change = [("bcc", "b@y.test"), ("text", "half a thou\u{161}ght"), ("do", "save")];
    let answer =
        send(&mut browser, &fields(&page, &["to", "subject"], &change), &[("f.txt", b"file".as_slice())])
            .await;
    assert_eq!(answer.status, 303);
    let place = answer.header("location").to_owned();
    assert!(place.starts_with("/edit/"));
    let page = browser.get(&place).await;
    assert_eq!(value(&page, "bcc"), "b@y.test");
    assert_eq!(value(&page, "text").trim_end(), "half a thou\u{161}ght");
    assert_eq!(page.field("reply"), at);
    let keep = page.field("keep");
    let form = fields(
        &page,
        &["to", "bcc", "subject", "text"],
        &[("keep", &keep), ("keep", &keep), ("keep", &keep), ("do", "save")],
    );
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    assert_eq!(server.count(ALICE, "Drafts"), 1, "saving again replaces the draft");
    let drafts = server.account(ALICE).mailbox(&MailboxName::parse("Drafts").unwrap()).unwrap();
    let view = drafts.refresh().unwrap();
    let uid = view.iter().next_back().unwrap().uid;
    assert!(view.by_uid(uid).unwrap().1.flags.draft);
    // Taken up another day, the thread is in the draft itself.
    let page = browser.get(&format!("/edit/{}/{}/Drafts", view.uid_validity.0, uid.0)).await;
    assert_eq!(page.body.matches("name=\"keep\"").count(), 1, "named three times, kept once");
    let form = fields(&page, &["to", "bcc", "subject", "text"], &[("do", "send")]);
    assert_eq!(send(&mut browser, &form, &[]).await.status, 303);
    let letter = content::read(&server.sink.0.lock().unwrap()[0].content.clone(), 10_000);
    assert_eq!(letter.in_reply_to, ["q@y.test"]);
    assert_eq!(server.count(ALICE, "Drafts"), 0);
    let page = browser.get("/compose").await;
    send(&mut browser, &fields(&page, &[], &[("text", "x"), ("do", "save")]), &[]).await;
    let draft = browser.get("/folder/Drafts").await;
    let link = draft.body.split("href=\"/edit/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let page = browser.get(&format!("/edit/{link}")).await;
    send(&mut browser, &fields(&page, &[], &[("do", "discard")]), &[]).await;
    assert_eq!((server.count(ALICE, "Drafts"), server.count(ALICE, "Trash")), (0, 1));
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let limits = Config {
        message_size_max: units::ByteSize::kib(64),
        attachments_max: 2,
        recipients_max: 3,
        form_size_max: units::ByteSize::kib(8),
        ..Config::default()
    };
    let server = Server::start_with(limits).await;
    let mut browser = server.signed_in(ALICE).await;
    let page = browser.get("/compose").await;
    let sheet = |to: &str| {
        fields(&page, &[], &[("to", to), ("text", "t"), ("do", "send")])
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v))
            .collect::<Vec<_>>()
    };
    let plain = sheet("a@y.test");
    let form: Vec<(&str, String)> = plain.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let big = vec![0xff; 60 * 1024];
    let answer = send(&mut browser, &form, &[("big", &big)]).await;
    assert!(answer.status == 422 && answer.body.contains("larger than 64 KB"), "{}", answer.status);
    let huge = vec![b'x'; 4 << 20];
    assert_eq!(send(&mut browser, &form, &[("huge", &huge)]).await.status, 413);
    let three: [(&str, &[u8]); 3] = [("a", b"a"), ("b", b"b"), ("c", b"c")];
    assert_eq!(send(&mut browser, &form, &three).await.status, 413);
    for (to, status) in [("a@y.test,b@y.test,c@y.test", 303), ("a@y.test,b@y.test,c@y.test,d@y.test", 422)] {
        let page = browser.get("/compose").await;
        let form = fields(&page, &[], &[("to", to), ("text", "t"), ("do", "send")]);
        assert_eq!(send(&mut browser, &form, &[]).await.status, status, "{to}");
    }
    let token = browser.token().await;
    let long = "x".repeat(9000);
    assert_eq!(
        browser.post("/folders", &[("csrf", &token), ("do", "create"), ("name", &long)]).await.status,
        413
    );
    assert_eq!(server.sink.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_goes_where_it_was_asked_to_go() {
    let server = Server::start().await;
    let list = server.put(
        ALICE,
        "INBOX",
        "From: ann@y.test\nReply-To: list@y.test\nTo: alice@x.test\nSubject: Re: x\n\nx\n",
    );
    let own =
        server.put(ALICE, "INBOX", "From: alice@x.test\nTo: ann@y.test\nCc: alice@x.test\nSubject: y\n\ny\n");
    let mut browser = server.signed_in(ALICE).await;
    for (path, to, cc, subject) in [
        (format!("/reply/{list}"), "list@y.test", "", "Re: x"),
        (format!("/reply-all/{list}"), "list@y.test", "", "Re: x"),
        (format!("/reply/{own}"), "ann@y.test", "", "Re: y"),
        (format!("/reply-all/{own}"), "ann@y.test", "", "Re: y"),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(
            (value(&page, "to").as_str(), value(&page, "cc").as_str(), value(&page, "subject").as_str()),
            (to, cc, subject),
            "{path}"
        );
    }
    let page = browser.get("/compose?to=a%40y.test%0d%0aBcc:x&subject=%3Cb%3E").await;
    assert_eq!((value(&page, "to").as_str(), value(&page, "subject").as_str()), ("a@y.testBcc:x", "<b>"));
}
