use std::fmt::Write as _;

use proptest::prelude::*;

use bytes::Bytes;

use super::*;

fn tree(part: &Part) -> String {
    let own = format!("{}/{}", part.media_type.escape_ascii(), part.media_subtype.escape_ascii());
    match &part.kind {
        PartKind::Leaf => own,
        PartKind::Multipart(parts) => {
            format!("{own}[{}]", parts.iter().map(tree).collect::<Vec<_>>().join(" "))
        }
        PartKind::Message(inner) => format!("{own}({})", tree(&inner.structure)),
    }
}

fn body<'a>(content: &'a str, part: &Part) -> &'a str {
    &content[part.body_start as usize..part.end as usize]
}

const NESTED: &str = "From: Ann <ann@x.test>\r\nSubject: hello\r\n there\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\
Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\r\nfirst\r\ntext\r\n--b\r\n\
Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
--c\r\nContent-Type: text/plain\r\n\r\nplain\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--c--\r\n\r\n\
--b\r\nContent-Type: image/png; name=x\r\nContent-Transfer-Encoding: base64\r\n\
Content-Disposition: attachment; filename=\"x.png\"\r\n\r\nAAAA\r\n--b--\r\nepilogue\r\n";

#[test]
fn a_nested_message() {
    let summary = parse(NESTED.as_bytes());
    assert_eq!(
        tree(&summary.structure),
        "multipart/mixed[text/plain message/rfc822(multipart/alternative[text/plain text/html]) image/png]"
    );
    assert_eq!(summary.subject.as_deref(), Some(&b"hello there"[..]));
    assert_eq!((summary.sent_at, summary.preview.as_str()), (Some(1_057_049_557), "first text"));
    assert_eq!((&summary.sender, &summary.reply_to), (&summary.from, &summary.from));
    let PartKind::Multipart(parts) = &summary.structure.kind else { panic!("{:?}", summary.structure) };
    assert_eq!((body(NESTED, &parts[0]), parts[0].lines), ("first\r\ntext", 1));
    assert_eq!(body(NESTED, &parts[2]), "AAAA");
    assert_eq!(
        parts[2].disposition.as_ref().unwrap().1,
        [(Bytes::from_static(b"filename"), Bytes::from_static(b"x.png"))]
    );
    let PartKind::Message(inner) = &parts[1].kind else { panic!("{:?}", parts[1]) };
    assert_eq!(inner.subject.as_deref(), Some(&b"inner"[..]));
    let PartKind::Multipart(parts) = &inner.structure.kind else { panic!("{:?}", inner.structure) };
    assert_eq!(body(NESTED, &parts[1]), "<p>html</p>");
    fuzz_summary(NESTED.as_bytes());
}

#[test]
fn small_and_broken_messages() {
    for (content, expected) in [
        ("", "text/plain"),
        ("no header at all", "text/plain"),
        ("Subject: x\r\n\r\n", "text/plain"),
        ("Content-Type: nonsense\r\n\r\nx", "text/plain"),
        ("Content-Type: multipart/mixed\r\n\r\nx", "multipart/mixed"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\nx", "multipart/mixed[text/plain]"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b", "multipart/mixed[text/plain]"),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y", "multipart/mixed[text/plain]"),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\nx\r\n--b--",
            "multipart/mixed[text/plain text/plain]",
        ),
        (
            "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: y\r\n\r\nx",
            "multipart/digest[message/rfc822(text/plain)]",
        ),
        ("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA", "message/rfc822"),
        ("Content-Type: message/rfc822\r\n\r\n", "message/rfc822(text/plain)"),
        // An outer boundary ends an inner multipart that was never closed.
        (
            "Content-Type: multipart/a; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/b; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--o\r\n\r\ny\r\n--o--\r\n",
            "multipart/a[multipart/b[text/plain] text/plain]",
        ),
    ] {
        assert_eq!(tree(&parse(content.as_bytes()).structure), expected, "{content:?}");
        fuzz_summary(content.as_bytes());
    }
}

#[test]
fn previews_are_decoded() {
    for (header, text, expected) in [
        ("", "  a\r\n\tb\r\n", "a b"),
        (
            "Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=iso-8859-1\r\n",
            "J=F6rg=\r\n x",
            "Jörg x",
        ),
        (
            "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=utf-8\r\n",
            "SsO2\r\ncmc=\r\n",
            "Jörg",
        ),
        ("Content-Type: text/html\r\n", "<html><style>p{}</style><p>Hi <b>you</b></p>", "Hi you"),
        ("Content-Type: image/png\r\n", "xx", ""),
    ] {
        assert_eq!(parse(format!("{header}\r\n{text}").as_bytes()).preview, expected, "{header}");
    }
    assert_eq!(parse(format!("\r\n{}", "ü".repeat(1000)).as_bytes()).preview.chars().count(), 200);
}

#[test]
fn nesting_a_thousand_deep_is_one_opaque_leaf_at_the_budget() {
    let mut multipart = String::new();
    let mut message = String::new();
    for level in 0..1000 {
        let _ = write!(multipart, "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        message.push_str("Content-Type: message/rfc822\r\n\r\n");
    }
    for content in [multipart, message] {
        fuzz_summary(content.as_bytes());
        let mut part = parse(content.as_bytes()).structure;
        let mut depth = 0;
        loop {
            part = match part.kind {
                PartKind::Leaf => break,
                PartKind::Multipart(mut parts) => parts.remove(0),
                PartKind::Message(inner) => inner.structure,
            };
            depth += 1;
        }
        assert_eq!(depth, DEPTH_MAX);
    }
}

#[test]
fn parts_beyond_the_budget_are_left_out() {
    for (count, expected) in
        [(PARTS_MAX - 2, PARTS_MAX - 2), (PARTS_MAX - 1, PARTS_MAX - 1), (PARTS_MAX, PARTS_MAX - 1)]
    {
        let content =
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(count));
        let PartKind::Multipart(parts) = parse(content.as_bytes()).structure.kind else {
            panic!("no multipart")
        };
        assert_eq!(parts.len(), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes(input: Vec<u8>) {
        fuzz_summary(&input);
    }

    #[test]
    fn anything_that_looks_like_mime(pieces in proptest::collection::vec(prop::sample::select(vec![
        "--b\r\n", "--b--\r\n", "--c\r\n", "--c--\r\n", "\r\n", "\n", "--", "x", "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: multipart/x; boundary=c\r\n", "Content-Type: message/rfc822\r\n", "Subject: s\r\n", " folded\r\n", "From: a:b,;<\r\n",
    ]), 0..60)) {
        fuzz_summary(pieces.concat().as_bytes());
    }
}
