mod attacks;
mod fake;

use std::sync::atomic::Ordering;

use bytes::Bytes;
use envelope::ReversePath;
use milter_proto::{Modification, Reply};
use prometheus::Registry;

use super::*;
use crate::apply;
use crate::verdict::{Action, Change, OnFailure, Refusal, Verdict};
use fake::{Fake, Say, config, packet, say, says};

const MESSAGE: &[u8] = b"From: <ann@a.test>\r\nSubject: hello\r\n there\r\n\r\ntext\r\n";

fn connection() -> Connection {
    Connection {
        peer: Some("192.0.2.7:4711".parse().unwrap()),
        hostname: Some("mail.a.test".to_owned()),
        daemon: "mx".to_owned(),
        our_name: "mx.b.test".to_owned(),
        listener: "mx".to_owned(),
        ..Connection::default()
    }
}

fn milters(configs: &[MilterConfig]) -> Milters {
    Milters::new(configs, &Registry::new()).unwrap()
}

fn sender() -> ReversePath {
    ReversePath::Address("ann@a.test".parse().unwrap())
}

/// A message all the way, with one recipient.
async fn whole(session: &mut MilterSession) -> Result<Verdict, Refusal> {
    session.connect().await?;
    session.helo("mail.a.test").await?;
    next(session).await
}

/// A message in a session that has begun.
async fn next(session: &mut MilterSession) -> Result<Verdict, Refusal> {
    session.mail(&sender(), &["SIZE=50"]).await?;
    session.rcpt(&"bob@b.test".parse().unwrap(), &[]).await?;
    session.data().await?;
    Ok(session.message("01JID", &Bytes::from_static(MESSAGE)).await)
}

fn refused(verdict: &Verdict) -> Option<(u16, &str)> {
    match &verdict.action {
        Action::Refuse(refusal) => Some((refusal.code, refusal.text.as_str())),
        _ => None,
    }
}

#[tokio::test]
async fn a_session_of_two_messages() {
    let fake = Fake::content().await;
    let milters = milters(&[fake.config("one")]);
    let mut session = milters.session(&connection());
    assert_eq!(whole(&mut session).await, Ok(Verdict::default()));
    session.set_authenticated(Some(Authenticated { mechanism: "PLAIN".to_owned(), login: "ann".to_owned() }));
    assert_eq!(next(&mut session).await, Ok(Verdict::default()));
    drop(session);
    fake.hears(|heard| heard.last().is_some_and(|line| line == "Q")).await;
    let heard = fake.heard();
    let expected = [
        "DC j=mx.b.test {daemon_name}=mx v=Sluice 0.1.0 _=mail.a.test [192.0.2.7] {client_addr}=192.0.2.7 \
         {client_name}=mail.a.test {client_port}=4711",
        "C mail.a.test 192.0.2.7:4711",
        "H mail.a.test",
        "DM {mail_addr}=ann@a.test {mail_host}=a.test {client_addr}=192.0.2.7 {client_name}=mail.a.test",
        "M <ann@a.test> SIZE=50",
        "DR {rcpt_addr}=bob@b.test {rcpt_host}=b.test",
        "R <bob@b.test>",
        "T",
        "L From:<ann@a.test>",
        "L Subject:hello\n there",
        "DN i=01JID",
        "N",
        "B text\r\n",
        "DE i=01JID",
        "E",
        "DM {auth_type}=PLAIN {auth_authen}=ann {mail_addr}=ann@a.test {mail_host}=a.test {client_addr}=192.0.2.7 \
         {client_name}=mail.a.test",
    ];
    assert_eq!(heard[..expected.len()], expected);
    assert_eq!(fake.letters(), "CHMRTLLNBEMRTLLNBEQ");
    assert_eq!(fake.connections.load(Ordering::SeqCst), 1, "one connection a session");
}

#[tokio::test]
async fn a_session_may_move_between_threads() {
    let fake = Fake::content().await;
    let mut session = milters(&[fake.config("one")]).session(&connection());
    let judged = tokio::spawn(async move { whole(&mut session).await });
    assert_eq!(judged.await.unwrap(), Ok(Verdict::default()));
}

#[tokio::test]
async fn starttls_and_a_new_ehlo() {
    let fake = Fake::content().await;
    let milters = milters(&[fake.config("one")]);
    let mut session = milters.session(&connection());
    session.connect().await.unwrap();
    session.helo("a").await.unwrap();
    let (version, cipher) = ("TLSv1.3".to_owned(), "TLS_AES_256_GCM_SHA384".to_owned());
    session.set_tls(Some(Tls { version, cipher, bits: Some(256), ..Tls::default() }));
    session.helo("b").await.unwrap();
    next(&mut session).await.unwrap();
    let heard = fake.heard();
    assert_eq!(
        heard[1..5],
        [
            "C mail.a.test 192.0.2.7:4711",
            "H a",
            "DH {tls_version}=TLSv1.3 {cipher}=TLS_AES_256_GCM_SHA384 {cipher_bits}=256",
            "H b"
        ]
    );
}

#[tokio::test]
async fn over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("milter");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut offer = [0; 17];
        stream.read_exact(&mut offer).await.unwrap();
        // A milter of version 2 that wants nothing but the end of the message.
        stream.write_all(b"\0\0\0\x0dO\0\0\0\x02\0\0\0\x01\0\0\0\x7f").await.unwrap();
        let mut rest = Vec::new();
        while !rest.ends_with(b"\0\0\0\x01E") {
            stream.read_buf(&mut rest).await.unwrap();
        }
        stream.write_all(b"\0\0\0\x07hX\0yes\0\0\0\0\x01c").await.unwrap();
        rest
    });
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let milters = milters(&[MilterConfig::new("old", address)]);
    let mut session = milters.session(&Connection::default());
    let verdict = whole(&mut session).await.unwrap();
    assert_eq!(verdict.changes, [Change::AddField { name: "X".to_owned(), value: "yes".to_owned() }]);
    assert!(!served.await.unwrap().contains(&b'L'), "it did not want the fields");
}

#[tokio::test]
async fn a_refusal_at_each_step() {
    for (letter, told) in [("C", "CQ"), ("H", "CH"), ("M", "CHM"), ("R", "CHMR"), ("T", "CHMRT")] {
        let fake =
            Fake::new(move |_, line| say(if line.starts_with(letter) { b"y554 5.7.9 no\0" } else { b"c" }))
                .await;
        let milters = milters(&[fake.config("one")]);
        let mut session = milters.session(&connection());
        let refusal = whole(&mut session).await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.enhanced, refusal.text.as_str()),
            (554, (5, 7, 9), "no"),
            "{letter}"
        );
        // What follows a refusal may be the end of the transaction or of the session, which nobody answers.
        let heard = fake.letters();
        assert_eq!(heard.trim_end_matches(['A', 'Q']), told.trim_end_matches('Q'), "{letter}: {heard}");
    }
    for letter in ["L", "N", "B", "E"] {
        for (packet, code) in [(&b"r"[..], 550), (b"t", 451), (b"y452 4.2.2 full\0", 452), (b"4", 421)] {
            let fake =
                Fake::new(move |_, line| say(if line.starts_with(letter) { packet } else { b"c" })).await;
            let milters = milters(&[fake.config("one")]);
            let mut session = milters.session(&connection());
            let verdict = whole(&mut session).await.unwrap();
            assert_eq!(refused(&verdict).map(|(code, _)| code), Some(code), "{letter}");
            assert_eq!(
                verdict.reasons,
                [format!("milter one: {}", if code < 500 { "deferred" } else { "refused" })]
            );
            let again = next(&mut session).await.unwrap();
            assert_eq!(
                refused(&again).map(|(code, _)| code),
                Some(code),
                "and the next message is judged anew"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_recipient_is_one() {
    let fake = Fake::new(|_, line| say(if line.contains("<bad@") { b"r" } else { b"c" })).await;
    let second = Fake::content().await;
    let milters = milters(&[fake.config("one"), second.config("two")]);
    let mut session = milters.session(&connection());
    session.connect().await.unwrap();
    session.helo("a").await.unwrap();
    session.mail(&ReversePath::Null, &[]).await.unwrap();
    session.rcpt(&"bob@b.test".parse().unwrap(), &["NOTIFY=NEVER"]).await.unwrap();
    assert_eq!(session.rcpt(&"bad@b.test".parse().unwrap(), &[]).await.unwrap_err().code, 550);
    session.rcpt(&"eve@b.test".parse().unwrap(), &[]).await.unwrap();
    session.data().await.unwrap();
    assert_eq!(session.message("1", &Bytes::from_static(MESSAGE)).await, Verdict::default());
    let told = |fake: &Fake| {
        fake.heard().into_iter().filter(|line| line.starts_with(['R', 'M'])).collect::<Vec<_>>()
    };
    assert_eq!(told(&second), ["M <>", "R <bob@b.test> NOTIFY=NEVER", "R <eve@b.test>"]);
}

#[tokio::test]
async fn accepted_is_not_asked_further() {
    for (letter, told) in [("C", "C"), ("M", "CHMAM"), ("R", "CHMRAM"), ("L", "CHMRTLAM")] {
        let fake = Fake::new(move |_, line| say(if line.starts_with(letter) { b"a" } else { b"c" })).await;
        let milters = milters(&[fake.config("one")]);
        let mut session = milters.session(&connection());
        assert_eq!(whole(&mut session).await, Ok(Verdict::default()));
        assert_eq!(next(&mut session).await, Ok(Verdict::default()));
        assert!(fake.letters().starts_with(told), "{letter}: {}", fake.letters());
    }
}

#[tokio::test]
async fn discarded_at_any_step() {
    for letter in ["M", "R", "T", "L", "N", "B", "E"] {
        let fake = Fake::new(move |_, line| say(if line.starts_with(letter) { b"d" } else { b"c" })).await;
        let second = Fake::content().await;
        let milters = milters(&[fake.config("one"), second.config("two")]);
        let mut session = milters.session(&connection());
        let verdict = whole(&mut session).await.unwrap();
        assert_eq!(
            (verdict.action, verdict.reasons),
            (Action::Discard, vec!["milter one: discarded".to_owned()])
        );
        assert!(!second.letters().contains('E'), "nobody else is asked about it: {}", second.letters());
        assert_eq!(session.mail(&sender(), &[]).await, Ok(()), "the next message is another one");
    }
}

#[tokio::test]
async fn all_changes() {
    let field = |index| Modification::InsertHeader { index, name: "X-In".to_owned(), value: "1".to_owned() };
    let changes = [
        Modification::AddHeader { name: "X-Add".to_owned(), value: "a\r\n\tb".to_owned() },
        field(0),
        field(1),
        field(3),
        Modification::ChangeHeader { index: 1, name: "subject".to_owned(), value: "[spam] hello".to_owned() },
        Modification::ChangeHeader { index: 2, name: "Received".to_owned(), value: String::new() },
        Modification::ReplaceBody(b"new\r".to_vec()),
        Modification::ReplaceBody(b"\nbody\r\n".to_vec()),
        Modification::ChangeFrom { address: "x@y.test".to_owned(), parameters: None },
        Modification::AddRecipient { address: "c@b.test".to_owned(), parameters: None },
        Modification::AddRecipient {
            address: "d@b.test".to_owned(),
            parameters: Some("NOTIFY=NEVER".to_owned()),
        },
        Modification::RemoveRecipient("bob@b.test".to_owned()),
        Modification::Quarantine("odd".to_owned()),
    ];
    let fake = Fake::new(move |_, line| {
        if line != "E" {
            return say(b"c");
        }
        let packets = changes.iter().map(|change| Say::Packet(packet(&Reply::Modification(change.clone()))));
        packets.chain(says(&[b"p", b"c"])).collect()
    })
    .await;
    let milters = milters(&[fake.config("one")]);
    let verdict = whole(&mut milters.session(&connection())).await.unwrap();
    assert_eq!(verdict.action, Action::Quarantine);
    assert_eq!(verdict.reasons, ["milter one: quarantined: odd"]);
    let insert = |index| Change::InsertField { index, name: "X-In".to_owned(), value: "1".to_owned() };
    let expected = [
        Change::AddField { name: "X-Add".to_owned(), value: "a\r\n\tb".to_owned() },
        insert(0),
        insert(1),
        insert(2),
        Change::ChangeField { name: "subject".to_owned(), index: 1, value: Some("[spam] hello".to_owned()) },
        Change::ChangeField { name: "Received".to_owned(), index: 2, value: None },
        Change::ChangeSender(ReversePath::Address("x@y.test".parse().unwrap())),
        Change::AddRecipient("c@b.test".parse().unwrap()),
        Change::AddRecipient("d@b.test".parse().unwrap()),
        Change::RemoveRecipient("bob@b.test".parse().unwrap()),
        Change::ReplaceBody(Bytes::from_static(b"new\r\nbody\r\n")),
    ];
    assert_eq!(verdict.changes, expected);
}

#[tokio::test]
async fn the_next_one_sees_what_was_changed() {
    let first = Fake::new(|_, line| {
        let changes: [&[u8]; 5] = [
            b"hX-One\0first\0",
            b"i\0\0\0\x01X-Top\0t\0",
            b"m\0\0\0\x01Subject\0changed\0",
            b"bother\r\n",
            b"a",
        ];
        if line == "E" { says(&changes) } else { say(b"c") }
    })
    .await;
    let second =
        Fake::new(|_, line| if line == "E" { says(&[b"m\0\0\0\x01X-One\0\0", b"c"]) } else { say(b"c") })
            .await;
    let milters = milters(&[first.config("one"), second.config("two")]);
    let verdict = whole(&mut milters.session(&connection())).await.unwrap();
    let seen: Vec<String> = second.heard().into_iter().filter(|line| line.starts_with(['L', 'B'])).collect();
    assert_eq!(
        seen,
        ["L X-Top:t", "L From:<ann@a.test>", "L Subject:changed", "L X-One:first", "B other\r\n"]
    );
    let made = apply(&Bytes::from_static(MESSAGE), &verdict.changes);
    assert_eq!(made, &b"X-Top: t\r\nFrom: <ann@a.test>\r\nSubject: changed\r\n\r\nother\r\n"[..]);
}

#[tokio::test]
async fn large_bodies_go_in_pieces() {
    let fake = Fake::content().await;
    let milters = milters(&[fake.config("one")]);
    let mut session = milters.session(&connection());
    session.connect().await.unwrap();
    session.mail(&sender(), &[]).await.unwrap();
    let message = [&b"A: b\r\n\r\n"[..], &vec![b'x'; 65_535 * 2 + 1]].concat();
    session.message("1", &message.into()).await;
    let pieces: Vec<usize> =
        fake.heard().iter().filter(|line| line.starts_with('B')).map(|line| line.len() - 2).collect();
    assert_eq!(pieces, [65_535, 65_535, 1]);
}

#[tokio::test]
async fn unanswered_steps_and_an_early_end() {
    // No reply to anything but the end of the message.
    let fake = Fake::with(
        0x1ff,
        0xf_f080,
        |_, line| if line.starts_with(['O', 'E']) { say(b"c") } else { Vec::new() },
    )
    .await;
    let milters = milters(&[fake.config("one")]);
    let mut session = milters.session(&connection());
    assert_eq!(whole(&mut session).await, Ok(Verdict::default()));
    assert_eq!(fake.letters(), "CHMRTLLNBE");
    session.mail(&sender(), &[]).await.unwrap();
    session.abort().await;
    fake.hears(|heard| heard.last().is_some_and(|line| line == "A")).await;
}

#[tokio::test]
async fn whose_mail_is_seen() {
    let (strangers, users, submission) =
        (Fake::content().await, Fake::content().await, Fake::content().await);
    let configs = [
        MilterConfig { clients: Clients::Strangers, ..strangers.config("strangers") },
        MilterConfig { clients: Clients::Authenticated, ..users.config("users") },
        MilterConfig { listeners: vec!["submission".to_owned()], ..submission.config("submission") },
    ];
    let milters = milters(&configs);
    let mut session = milters.session(&connection());
    whole(&mut session).await.unwrap();
    assert_eq!((strangers.letters().as_str(), users.letters().as_str()), ("CHMRTLLNBE", ""));
    session.set_authenticated(Some(Authenticated { mechanism: "PLAIN".to_owned(), login: "ann".to_owned() }));
    next(&mut session).await.unwrap();
    assert_eq!((strangers.letters().as_str(), users.letters().as_str()), ("CHMRTLLNBE", "CHMRTLLNBE"));
    assert_eq!(submission.connections.load(Ordering::SeqCst), 0);
    assert!(!milters.is_empty() && !session.is_empty());
    assert!(Milters::default().session(&connection()).is_empty());
}

#[tokio::test]
async fn figures() {
    let registry = Registry::new();
    let fake = Fake::content().await;
    let milters = Milters::new(&[fake.config("one")], &registry).unwrap();
    whole(&mut milters.session(&connection())).await.unwrap();
    assert_eq!(milters.milters[0].figures.counted(crate::peer::Outcome::Accepted), 1);
    let names: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    assert_eq!(
        names,
        [
            "sluice_filters_milter_breaker_open",
            "sluice_filters_milter_outcomes_total",
            "sluice_filters_milter_seconds"
        ]
    );
}
