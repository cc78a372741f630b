use envelope::Recipient;
use mail_parser::{MessageParser, MimeHeaders as _};

use super::{Entrance, Envelope, Failed, Report, ReversePath, Timestamp};
use crate::outcome::Failure;
use crate::worker::fakes::{address, envelope};

const BODY: &[u8] = b"Received: from x\r\nMessage-ID: <q1@client.test>\r\nFrom: a@example.test\r\nSubject: gr\xc3\xbc\xc3\x9fe\r\n\r\nText\r\n";

fn failed(recipient: &str, expanded_from: &[&str], failure: Failure) -> Failed {
    let expanded_from = expanded_from.iter().map(|from| address(from)).collect();
    Failed { recipient: Recipient { address: address(recipient), expanded_from }, failure }
}

fn report(sender: &str, body: &[u8], failed: &[Failed], header_max: usize) -> (Envelope, String) {
    let (original, sender) = (envelope(1, sender, &["b"]), address(sender));
    let now = Timestamp::from_unix_milliseconds(1_700_000_100_000);
    let report = Report {
        original: &original,
        sender: &sender,
        body,
        failed,
        hostname: "mx.example.test",
        now,
        header_max,
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
