use super::body::{BodyContent, BodyPart, Parameter};
use super::envelope::{Address, Envelope};
use super::fetch::FetchLine;
use super::status::{Code, Condition};
use super::{body, data, envelope, status, word};
use crate::{DateTime, Section, StatusItem, Tag};
use bytes::Bytes;

fn check(write: impl Fn(&mut Vec<u8>), expected: &str) {
    let mut out = Vec::new();
    write(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn words() {
    check(|out| word::string(b"a\"b\\", out), r#""a\"b\\""#);
    check(|out| word::string(b"", out), "\"\"");
    check(|out| word::string(b"a\r\nb", out), "{4}\r\na\r\nb");
    check(|out| word::string("é".as_bytes(), out), "{2}\r\né");
    check(|out| word::string(&[b'x'; 1024], out), &format!("\"{}\"", "x".repeat(1024)));
    check(|out| word::string(&[b'x'; 1025], out), &format!("{{1025}}\r\n{}", "x".repeat(1025)));
    let mut out = Vec::new();
    word::string(b"a\0b", &mut out);
    assert_eq!(out, b"{3}\r\na\x80b");
    check(|out| word::nstring(None, out), "NIL");
    check(|out| word::astring(b"a]b", out), "a]b");
    check(|out| word::astring(b"nil", out), "\"nil\"");
    check(|out| word::astring(b"a b", out), "\"a b\"");
    check(|out| word::mailbox("Entwürfe", out), "Entw&APw-rfe");
    check(|out| word::mailbox("a b&", out), "\"a b&-\"");
    check(|out| word::mailbox_utf8("Entwürfe \"x\"", out), "\"Entwürfe \\\"x\\\"\"");
    check(|out| word::mailbox_utf8("é\n", out), "{3}\r\né\n");
    check(|out| word::text("a\r\nb é\0", out), "a  b ? ");
    check(|out| word::text("", out), "-");
}

#[test]
fn numbers() {
    for number in [0, 7, 10, 1_000_000, u64::MAX] {
        check(|out| word::number(number, out), &number.to_string());
    }
}

#[test]
fn sets() {
    check(|out| word::set([1, 2, 3, 7, 5, 6], out), "1:3,7,5:6");
    check(|out| word::set([], out), "");
    check(|out| word::set([u32::MAX], out), "4294967295");
    check(|out| word::set([5, 5], out), "5,5");
}

#[test]
fn status_responses() {
    let tag = Tag::parse(b"A44").unwrap();
    let line = |tag: Option<&Tag>, condition, code: Option<Code<'_>>, text: &str, expected: &str| {
        check(|out| status::write(tag, condition, code.as_ref(), text, out), expected);
    };
    line(Some(&tag), Condition::Ok, None, "done", "A44 OK done\r\n");
    line(None, Condition::Bye, Some(Code::Alert), "bye", "* BYE [ALERT] bye\r\n");
    line(None, Condition::Bad, None, "a\r\nA1 OK", "* BAD a  A1 OK\r\n");
    line(
        None,
        Condition::PreAuth,
        Some(Code::Capability(&["IMAP4rev1", "IDLE"])),
        "x",
        "* PREAUTH [CAPABILITY IMAP4rev1 IDLE] x\r\n",
    );
    // RFC 4315 §3
    let copied = Code::CopyUid { uid_validity: 38505, uids: &[(304, 3956), (319, 3957), (320, 3958)] };
    line(
        Some(&tag),
        Condition::Ok,
        Some(copied),
        "Done",
        "A44 OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n",
    );
    let appended = Code::AppendUid { uid_validity: 38505, uid: 3955 };
    line(Some(&tag), Condition::Ok, Some(appended), "x", "A44 OK [APPENDUID 38505 3955] x\r\n");
    for (code, expected) in [
        (Code::PermanentFlags(&["\\Deleted", "\\*"]), "PERMANENTFLAGS (\\Deleted \\*)"),
        (Code::PermanentFlags(&[]), "PERMANENTFLAGS ()"),
        (Code::UidNext(4392), "UIDNEXT 4392"),
        (Code::UidValidity(1), "UIDVALIDITY 1"),
        (Code::Unseen(12), "UNSEEN 12"),
        (Code::HighestModSeq(u64::MAX), "HIGHESTMODSEQ 18446744073709551615"),
        (Code::Modified(&[7, 9]), "MODIFIED 7,9"),
        (Code::BadCharset, "BADCHARSET (US-ASCII UTF-8)"),
        (Code::TryCreate, "TRYCREATE"),
        (Code::Limit, "LIMIT"),
        (Code::ReadWrite, "READ-WRITE"),
    ] {
        check(|out| code.write(out), expected);
    }
    check(|out| status::continuation("idling", out), "+ idling\r\n");
    check(|out| status::continuation("", out), "+ \r\n");
    check(|out| status::challenge(b"hi", out), "+ aGk=\r\n");
}

#[test]
fn data_responses() {
    check(|out| data::capability(&["IMAP4rev1"], out), "* CAPABILITY IMAP4rev1\r\n");
    check(|out| data::enabled(&[], out), "* ENABLED\r\n");
    let line = data::ListLine {
        attributes: &["\\HasNoChildren", "\\Sent"],
        delimiter: Some('/'),
        name: "Gesendéte",
        subscribed_below: false,
        utf8: false,
    };
    check(|out| data::list(&line, out), "* LIST (\\HasNoChildren \\Sent) \"/\" Gesend&AOk-te\r\n");
    let below =
        data::ListLine { attributes: &[], delimiter: None, name: "a", subscribed_below: true, utf8: true };
    check(|out| data::lsub(&below, out), "* LSUB () NIL a (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n");
    check(
        |out| {
            data::status(
                "blurdybloop",
                false,
                &[(StatusItem::Messages, 231), (StatusItem::UidNext, 44292)],
                out,
            )
        },
        "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n",
    );
    check(|out| data::search([2, 84, 882], None, out), "* SEARCH 2 84 882\r\n");
    check(|out| data::search([], Some(7), out), "* SEARCH (MODSEQ 7)\r\n");
    let tag = Tag::parse(b"A282").unwrap();
    // RFC 4731 §3.1
    let found = data::Esearch { min: Some(2), count: Some(3), ..data::Esearch::default() };
    check(|out| data::esearch(&tag, &found, out), "* ESEARCH (TAG \"A282\") MIN 2 COUNT 3\r\n");
    let found =
        data::Esearch { uid: true, all: Some(&[17, 900, 901]), mod_seq: Some(9), ..data::Esearch::default() };
    check(|out| data::esearch(&tag, &found, out), "* ESEARCH (TAG \"A282\") UID ALL 17,900:901 MODSEQ 9\r\n");
    let nothing = data::Esearch { all: Some(&[]), ..data::Esearch::default() };
    check(|out| data::esearch(&tag, &nothing, out), "* ESEARCH (TAG \"A282\")\r\n");
    check(|out| data::flags(["\\Seen", "$x"], out), "* FLAGS (\\Seen $x)\r\n");
    check(|out| data::exists(0, out), "* 0 EXISTS\r\n");
    check(|out| data::recent(5, out), "* 5 RECENT\r\n");
    check(|out| data::expunge(44, out), "* 44 EXPUNGE\r\n");
    check(|out| data::id(&[("name", "Sluice")], out), "* ID (\"name\" \"Sluice\")\r\n");
    check(|out| data::id(&[], out), "* ID NIL\r\n");
    check(|out| data::namespace([&[("", '/')], &[], &[]], out), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

#[test]
fn fetch_line() {
    check(
        |out| {
            let mut line = FetchLine::begin(12, out);
            line.uid(7);
            line.flags(["\\Seen"]);
            line.internal_date(DateTime::from_unix_seconds(837_571_465));
            line.size(44827);
            line.mod_seq(9);
            line.body_section(&Section::default(), Some(0), Some(b"hi"));
            line.body_section(&Section::default(), None, None);
            line.binary_size(&[], 3);
            line.binary(&[std::num::NonZeroU32::MIN], None, b"a\0");
            line.end();
        },
        "* 12 FETCH (UID 7 FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" RFC822.SIZE 44827 MODSEQ (9) \
         BODY[]<0> {2}\r\nhi BODY[] NIL BINARY.SIZE[] 3 BINARY[1] ~{2}\r\na\0)\r\n",
    );
}

type Mail = (&'static str, &'static str, &'static str);

fn address(mail: &Mail) -> Address<'_> {
    let some = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
    Address { name: some(mail.0), mailbox: some(mail.1), host: some(mail.2) }
}

/// RFC 3501 §8, the example session's message.
fn gray() -> Envelope<'static, Mail> {
    static FROM: [Mail; 1] = [("Terry Gray", "gray", "cac.washington.edu")];
    static TO: [Mail; 1] = [("", "imap", "cac.washington.edu")];
    static CC: [Mail; 2] = [("", "minutes", "CNRI.Reston.VA.US"), ("John Klensin", "KLENSIN", "MIT.EDU")];
    Envelope {
        date: Some(b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"),
        subject: Some(b"IMAP4rev1 WG mtg summary and minutes"),
        from: &FROM,
        sender: &[],
        reply_to: &[],
        to: &TO,
        cc: &CC,
        bcc: &[],
        in_reply_to: None,
        message_id: Some(b"<B27397-0100000@cac.washington.edu>"),
    }
}

const GRAY: &str = "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
    ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
    ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) \
    ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
    \"<B27397-0100000@cac.washington.edu>\")";

#[test]
fn envelopes() {
    check(|out| gray().write(&address, out), GRAY);
    let group: [Mail; 3] = [("", "friends", ""), ("", "a", "b"), ("", "", "")];
    check(
        |out| envelope::addresses(group.iter().map(address), out),
        "((NIL NIL \"friends\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL))",
    );
}

struct Part {
    kind: (&'static str, &'static str),
    parameters: Vec<Parameter>,
    children: Vec<Self>,
    message: bool,
}

impl Part {
    fn leaf(kind: (&'static str, &'static str)) -> Self {
        Self { kind, parameters: Vec::new(), children: Vec::new(), message: false }
    }
}

fn view(part: &Part) -> BodyPart<'_, Part, Mail> {
    let content = match part.children.as_slice() {
        [inner] if part.message => BodyContent::Message { envelope: gray(), structure: inner },
        children if part.kind.0 == "MULTIPART" => BodyContent::Multipart(children),
        _ => BodyContent::Leaf,
    };
    BodyPart {
        media_type: part.kind.0.as_bytes(),
        media_subtype: part.kind.1.as_bytes(),
        parameters: &part.parameters,
        id: None,
        description: None,
        encoding: b"7BIT",
        octets: 3028,
        lines: 92,
        md5: None,
        disposition: None,
        language: &[],
        location: None,
        content,
    }
}

fn structure(part: &Part, extended: bool, expected: &str) {
    check(|out| body::write(part, &view, &address, extended, out), expected);
}

#[test]
fn bodies() {
    let plain = Part {
        parameters: vec![(Bytes::from_static(b"CHARSET"), Bytes::from_static(b"US-ASCII"))],
        ..Part::leaf(("TEXT", "PLAIN"))
    };
    // RFC 3501 §8
    structure(&plain, false, "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92)");
    structure(
        &plain,
        true,
        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92 NIL NIL NIL NIL)",
    );
    structure(&Part::leaf(("IMAGE", "PNG")), false, "(\"IMAGE\" \"PNG\" NIL NIL NIL \"7BIT\" 3028)");
    let octets = "(\"APPLICATION\" \"OCTET-STRING\" NIL NIL NIL \"7BIT\" 3028)";
    structure(&Part::leaf(("message", "rfc822")), false, octets);
    let mixed = |children| Part { children, ..Part::leaf(("MULTIPART", "MIXED")) };
    structure(&mixed(vec![]), false, "((\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0) \"MIXED\")");
    let html = "(\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 3028 92)";
    let message = Part {
        children: vec![Part::leaf(("TEXT", "HTML"))],
        message: true,
        ..Part::leaf(("MESSAGE", "RFC822"))
    };
    structure(
        &mixed(vec![Part::leaf(("TEXT", "HTML")), mixed(vec![Part::leaf(("IMAGE", "PNG"))]), message]),
        false,
        &format!(
            "({html}((\"IMAGE\" \"PNG\" NIL NIL NIL \"7BIT\" 3028) \"MIXED\")\
             (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 3028 {GRAY} {html} 92) \"MIXED\")"
        ),
    );
    structure(
        &mixed(vec![Part::leaf(("TEXT", "HTML"))]),
        true,
        "((\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 3028 92 NIL NIL NIL NIL) \"MIXED\" NIL NIL NIL NIL)",
    );
}

#[test]
fn extension_data() {
    let languages = [Bytes::from_static(b"en"), Bytes::from_static(b"de")];
    let parameters = [(Bytes::from_static(b"filename"), Bytes::from_static("ü".as_bytes()))];
    let leaf = Part::leaf(("IMAGE", "PNG"));
    let part = |part| BodyPart {
        md5: Some(b"x"),
        disposition: Some((b"attachment", &parameters)),
        language: &languages,
        location: Some(b"http://a/"),
        ..view(part)
    };
    check(
        |out| body::write(&leaf, &part, &address, true, out),
        "(\"IMAGE\" \"PNG\" NIL NIL NIL \"7BIT\" 3028 \"x\" (\"attachment\" (\"filename\" {2}\r\nü)) (\"en\" \"de\") \"http://a/\")",
    );
}
