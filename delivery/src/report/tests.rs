use envelope::Recipient;
use mail_parser::{MessageParser, MimeHeaders as _};

use super::{Entrance, Envelope, Kind, Report, Return, ReversePath, Timestamp, Told};
use crate::outcome::{Failed, Failure, RemoteReply};
use crate::worker::fakes::{address, envelope};

const BODY: &[u8] = b"Received: from x\r\nMessage-ID: <q1@client.test>\r\nFrom: a@example.test\r\nSubject: gr\xc3\xbc\xc3\x9fe\r\n\r\nText\r\n";

fn failed(recipient: &str, expanded_from: &[&str], failure: Failure) -> Failed {
    let expanded_from = expanded_from.iter().map(|from| address(from)).collect();
    Failed { recipient: Recipient { expanded_from, ..address(recipient).into() }, failure }
}

fn report(sender: &str, body: &[u8], failed: &[Failed], header_max: usize) -> (Envelope, String) {
    let (original, sender) = (envelope(1, sender, &["b"]), address(sender));
    let now = Timestamp::from_unix_milliseconds(1_700_000_100_000);
    let report = Report {
        original: &original,
        sender: &sender,
        body,
        kind: Kind::Failure,
        told: &failed.iter().map(Told::failed).collect::<Vec<_>>(),
        hostname: "mx.example.test",
        now,
        header_max,
        body_max: 0,
        retry_until: now,
    };
    let (envelope, body) = report.message();
    (envelope, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn is_what_rfc_3464_says() {
    let list = [failed("b", &[], Failure::UNKNOWN), failed("c", &[], Failure::TOO_OLD)];
    let (envelope, text) = report("a@example.test", BODY, &list, 16_384);
    assert_eq!(envelope.reverse_path, ReversePath::Null);
    assert_eq!(envelope.recipients, [address("a").into()]);
    assert_eq!((envelope.size, envelope.origin.entrance), (text.len() as u64, Entrance::Internal));
    assert!(text.is_ascii() && !text.replace("\r\n", "").contains(['\r', '\n']));
    assert!(text.lines().all(|line| line.len() <= 998));

    let message = MessageParser::default().parse(text.as_bytes()).unwrap();
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("a@example.test"));
    assert_eq!(message.in_reply_to().as_text(), Some("q1@client.test"));
    assert_eq!(message.header_raw("Auto-Submitted").unwrap().trim(), "auto-replied");
    let kind = message.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let parts: Vec<_> = message.parts[1..]
        .iter()
        .map(|part| {
            format!(
                "{}/{}",
                part.content_type().unwrap().ctype(),
                part.content_type().unwrap().subtype().unwrap()
            )
        })
        .collect();
    assert_eq!(parts, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
    let status = message.parts[2]
        .text_contents()
        .map(str::to_owned)
        .unwrap_or_else(|| String::from_utf8(message.parts[2].contents().to_vec()).unwrap());
    let groups: Vec<_> = status.trim_end().split("\r\n\r\n").collect();
    assert_eq!(groups.len(), 3, "{status}");
    assert!(groups[0].starts_with("Reporting-MTA: dns; mx.example.test\r\n"));
    assert!(groups[0].contains("Arrival-Date: "));
    assert!(groups[1].starts_with("Final-Recipient: rfc822; b@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 "));
    assert!(groups[2].contains("Status: 4.4.7\r\nDiagnostic-Code: smtp; 450 4.4.7 "));
    assert!(text.contains("Subject: gr????e\r\n") && !text.contains("Text\r\n"), "{text}");
}

#[test]
fn names_only_what_the_sender_knows_and_that_once() {
    let list = [
        failed("secret1", &["team"], Failure::UNKNOWN),
        failed("secret2", &["team", "x"], Failure::NO_ROUTE),
    ];
    let (_, text) = report("a@example.test", BODY, &list, 16_384);
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(text.matches("Final-Recipient: rfc822; team@example.test\r\n").count(), 1);
}

#[test]
fn escapes_addresses_beyond_ascii() {
    let (envelope, text) = report("a@example.test", BODY, &[failed("é", &[], Failure::UNKNOWN)], 16_384);
    assert!(text.contains("Final-Recipient: utf-8; \\x{E9}@example.test\r\n") && text.is_ascii());
    assert!(!envelope.smtp_utf8);
    let (envelope, text) = report("ö@example.test", BODY, &[failed("b", &[], Failure::UNKNOWN)], 16_384);
    assert!(envelope.smtp_utf8 && text.contains("To: <ö@example.test>\r\n"));
}

#[test]
fn the_same_failures_have_the_same_id() {
    let id = |failed: &[Failed]| report("a@example.test", BODY, failed, 100).0.id;
    let (b, c) = (failed("b", &[], Failure::UNKNOWN), failed("c", &[], Failure::LOOP));
    let both = id(&[b.clone(), c.clone()]);
    assert_eq!(both, id(&[c.clone(), b.clone()]));
    assert!(both != id(std::slice::from_ref(&b)) && id(&[b]) != id(&[c]));
    assert_eq!(both.unix_milliseconds(), 1_700_000_000_000);
}

#[test]
fn hostile_headers_do_no_harm() {
    let list = [failed("b", &[], Failure::UNKNOWN)];
    let long = format!("X: {}\r\nY: 1\r\n\r\n", "x".repeat(5000));
    for (body, header_max, expected) in [
        (long.as_bytes(), 16_384, Some("Y: 1\r\n")),
        (long.as_bytes(), 4_000, None),
        (b"Message-ID: <x>\r\nBcc: y\r\n\r\n", 16_384, Some("In-Reply-To: <x>\r\n")),
        (b"Message-ID: <x> <y\r\n\r\n", 16_384, None),
        (b"Message-ID: <x\r\n y>\r\n\r\n", 16_384, None),
        (b"\x00\xff: \x1b[2J\r\n\r\n", 16_384, Some("??: ?[2J\r\n")),
        (b"", 16_384, None),
    ] {
        let (_, text) = report("a@example.test", body, &list, header_max);
        assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998));
        match expected {
            Some(expected) => assert!(text.contains(expected), "{text}"),
            None => assert!(!text.contains("Y: 1") && !text.contains("In-Reply-To"), "{text}"),
        }
        assert!(
            MessageParser::default().parse(text.as_bytes()).is_some_and(|message| message.parts.len() == 4)
        );
    }
}

fn made(original: &Envelope, body: &[u8], kind: Kind, told: &[Told<'_>]) -> String {
    let sender = address("a@example.test");
    let report = Report {
        original,
        sender: &sender,
        body,
        kind,
        told,
        hostname: "mx.example.test",
        now: Timestamp::from_unix_milliseconds(1_700_000_100_000),
        header_max: 16_384,
        body_max: 1000,
        retry_until: Timestamp::from_unix_milliseconds(1_700_432_000_000),
    };
    String::from_utf8(report.message().1.to_vec()).unwrap()
}

#[test]
fn what_the_sender_named_comes_back_and_breaks_no_field() {
    let original = Envelope { envelope_id: Some("QQ\r\nX: ü".to_owned()), ..envelope(1, "a", &["b"]) };
    let named = envelope::OriginalRecipient { kind: "rfc822".to_owned(), address: "é@x.test\n".to_owned() };
    let recipient = Recipient { original: Some(named), ..address("b").into() };
    let remote = RemoteReply {
        mta: "mx.x.test\r\nY: 1".to_owned(),
        text: format!("250 2.0.0 \u{1b}[2J{}", "x".repeat(5000)),
    };
    let text = made(&original, BODY, Kind::Success, &[Told::relayed(&recipient, &remote)]);
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998), "{text}");
    for line in [
        "Original-Envelope-Id: QQ??X: \\x{FC}\r\n",
        "Original-Recipient: rfc822; \\x{E9}@x.test?\r\n",
        "Action: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.x.test??Y: 1\r\nDiagnostic-Code: smtp; 250 2.0.0 ?[2Jx",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("\nX:") && !text.contains("\nY:"), "{text}");
}

#[test]
fn a_delay_says_until_when_tries_are_made() {
    let recipient = address("b").into();
    let text = made(&envelope(1, "a", &["b"]), BODY, Kind::Delay, &[Told::delayed(&recipient)]);
    for line in [
        "Subject: Your message is delayed\r\n",
        "Action: delayed\r\nStatus: 4.0.0\r\n",
        "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("Diagnostic-Code"), "{text}");
}

#[test]
fn returns_the_whole_message_where_it_was_asked_for_and_fits() {
    let list = [failed("b", &[], Failure::UNKNOWN)];
    let told: Vec<_> = list.iter().map(Told::failed).collect();
    let long = [b"\r\n".as_slice(), &[b'x'; 999], b"\r\n"].concat();
    let fits = [b"\r\n".as_slice(), &[b'x'; 996], b"\r\n"].concat();
    for (returned, kind, body, whole) in [
        (Some(Return::Full), Kind::Failure, &b"Subject: x\r\n\r\nText\r\n"[..], true),
        (Some(Return::Full), Kind::Success, b"Subject: x\r\n\r\nText\r\n", false),
        (Some(Return::Headers), Kind::Failure, b"Subject: x\r\n\r\nText\r\n", false),
        (None, Kind::Failure, b"Subject: x\r\n\r\nText\r\n", false),
        (Some(Return::Full), Kind::Failure, b"Subject: x\r\n\r\nT\xc3\xa9xt\r\n", false),
        (Some(Return::Full), Kind::Failure, b"Subject: x\r\n\r\na\nb\r\n", false),
        (Some(Return::Full), Kind::Failure, b"Subject: x\r\n\r\na\0b\r\n", false),
        (Some(Return::Full), Kind::Failure, &fits, true),
        (Some(Return::Full), Kind::Failure, &long, false),
    ] {
        let original = Envelope { returned, ..envelope(1, "a", &["b"]) };
        let text = made(&original, body, kind, &told);
        assert_eq!(text.contains("Content-Type: message/rfc822\r\n\r\n"), whole, "{text}");
        assert_eq!(text.contains("Content-Type: text/rfc822-headers\r\n\r\n"), !whole, "{text}");
        assert_eq!(text.contains(std::str::from_utf8(body).unwrap_or("\0")) && kind == Kind::Failure, whole);
    }
}

#[test]
fn each_kind_has_an_id_of_its_own() {
    let original = envelope(1, "a", &["b"]);
    let recipient = address("b").into();
    let told = [Told::delivered(&recipient)];
    let ids: std::collections::BTreeSet<_> = [Kind::Delay, Kind::Failure, Kind::Success]
        .map(|kind| made(&original, BODY, kind, &told))
        .iter()
        .map(|text| text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
}
