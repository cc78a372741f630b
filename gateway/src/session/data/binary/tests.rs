//! Messages of any octets, and what is made of them.

use mail_parser::PartType;
use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { header_max: 64 << 10, line_max: 2000 };

fn check(message: &[u8], expected: &str) {
    let text = to_text(message, BOUNDS).unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected, "{}", message.escape_ascii());
}

#[test]
fn what_is_no_text_is_encoded_and_what_is_text_is_called_so() {
    for (kind, encoding, body, said, expected) in [
        ("image/png", "binary", &b"a\nb\0"[..], "base64", "YQpiAA=="),
        // A file is not given a line end that it has not.
        ("image/png", "BINARY ", b"a\r\nb", "base64", "YQ0KYg=="),
        ("image/png", "8bit", b"a\rb", "base64", "YQ1i"),
        ("text/plain", "binary", b"a\r\nb", "7bit", "a\r\nb"),
        ("text/plain", "binary (x)", "\u{fc}\r\n".as_bytes(), "8bit", "\u{fc}\r\n"),
        ("multipart/mixed", "binary", b"a\r\n", "7bit", "a\r\n"),
    ] {
        let head = format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\n");
        let message =
            [format!("{head}Content-Transfer-Encoding: {encoding}\r\n\r\n").as_bytes(), body].concat();
        check(&message, &format!("{head}Content-Transfer-Encoding: {said}\r\n\r\n{expected}"));
    }
    check(
        b"Subject: x\r\n\r\n\0",
        "MIME-Version: 1.0\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==",
    );
    for same in [
        "Subject: x\r\n\r\ntext\r\n",
        "",
        "\r\n",
        "\r\ntext",
        "Subject: x\r\n",
        "Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n",
        "Content-Transfer-Encoding: x-own\r\n\r\na\nb",
        // What is encoded is not looked into.
        "Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nContent-Transfer-Encoding: binary\r\n\r\n=00",
    ] {
        check(same.as_bytes(), same);
    }
    let long = "x".repeat(999);
    let text = to_text(format!("MIME-Version: 1.0\r\n\r\n{long}").as_bytes(), BOUNDS).unwrap();
    assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= 78), "lines are short");
}

#[test]
fn parts_are_told_apart_by_whole_lines() {
    check(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\ncontent-transfer-encoding : binary\r\n\r\n\
          before\r\n--b \r\nContent-Transfer-Encoding:\r\n binary\r\n\r\n\0--b\r\n--bb\r\n--b\r\n\r\nplain\r\n--b\r\n--b--\r\nbehind\r\n",
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         before\r\n--b \r\nContent-Transfer-Encoding: base64\r\n\r\nAC0tYg0KLS1iYg==\r\n--b\r\n\r\nplain\r\n--b\r\n--b--\r\nbehind\r\n",
    );
    check(
        b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nSubject: in\r\n\r\n\0",
        "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         MIME-Version: 1.0\r\nSubject: in\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==",
    );
    // Never closed.
    check(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\0",
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==",
    );
}

#[test]
fn what_may_not_be_encoded_is_refused() {
    let refused = |message: &str, expected: Unfit| {
        assert_eq!(to_text(message.as_bytes(), BOUNDS), Err(expected), "{message:?}");
    };
    refused("Content-Type: message/partial\r\n\r\n\0", Unfit::NotEncodable);
    refused("Content-Type: multipart/mixed\r\n\r\n\0", Unfit::NotEncodable);
    refused("Subject: x\r\nno field\r\n\r\n\0", Unfit::Header);
    refused("From a@b.test Mon Jan  1 10:00:00 2024\r\nSubject: x\r\n\r\n\0", Unfit::Header);
    refused("DKIM-Signature: v=1\r\n\r\n\0", Unfit::Signed);
    refused(&format!("X: {}\r\n\r\n", "x".repeat(BOUNDS.header_max)), Unfit::Header);
    refused(&format!("Content-Type: a/b;{}\r\n\r\n", "a*1=x;".repeat(TYPE_MAX / 6)), Unfit::Header);
    // Without a type a part of a digest is a message.
    check(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nMIME-Version: 1.0\r\nSubject: in\r\n\r\n\0\r\n--b--",
        "MIME-Version: 1.0\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nMIME-Version: 1.0\r\nSubject: in\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--b--",
    );
}

#[test]
fn what_is_signed_is_not_touched() {
    let signed = |body: &str| {
        format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n--b\r\n\
             Content-Transfer-Encoding: binary\r\n\r\n\0\r\n--b--\r\n"
        )
    };
    let text = String::from_utf8(to_text(signed("plain").as_bytes(), BOUNDS).unwrap()).unwrap();
    assert!(
        text.contains("\r\n\r\nplain\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n"),
        "{text}"
    );
    let relabelled = signed("x").replace("--b\r\n\r\nx", "--b\r\nContent-Transfer-Encoding: binary\r\n\r\nx");
    assert!(to_text(relabelled.as_bytes(), BOUNDS).is_ok(), "it is text, and stays as it is");
    assert!(to_text(signed(&"x".repeat(1500)).as_bytes(), BOUNDS).is_ok(), "lines that are accepted anyway");
    assert_eq!(to_text(signed("\0").as_bytes(), BOUNDS), Err(Unfit::Signed));
}

#[test]
fn attack_parts_without_end() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH_MAX + 1);
    assert_eq!(to_text(nested.as_bytes(), BOUNDS), Err(Unfit::TooManyParts));
    let many =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\n".repeat(ENTITIES_MAX));
    assert_eq!(to_text(many.as_bytes(), BOUNDS), Err(Unfit::TooManyParts));
}

proptest! {
    #[test]
    fn every_reader_finds_the_same_octets(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5)) {
        let mut message = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_edge\"\r\n\r\n".to_vec();
        for body in &bodies {
            message.extend_from_slice(b"--=_edge\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n");
            message.extend_from_slice(body);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"--=_edge--\r\n");
        let text = to_text(&message, BOUNDS).unwrap();
        prop_assert!(is_text(&text, LINE_MAX), "{}", text.escape_ascii());
        let parsed = MessageParser::default().parse(&text).unwrap();
        let found: Vec<&[u8]> = parsed.parts.iter().skip(1).map(|part| match &part.body {
            PartType::Binary(octets) | PartType::InlineBinary(octets) => octets.as_ref(),
            PartType::Text(text) | PartType::Html(text) => text.as_bytes(),
            _ => &[],
        }).collect();
        prop_assert_eq!(found, bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn anything_is_converted_or_refused(message in proptest::collection::vec(prop_oneof![
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()), Just(b"Content-Type: message/rfc822\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: binary\r\n".to_vec()), Just(b"--b\r\n".to_vec()), Just(b"--b--".to_vec()), Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(vec![0]), proptest::collection::vec(any::<u8>(), 0..8),
    ], 0..20)) {
        fuzz(&message.concat());
    }
}
