use std::num::{NonZeroU32, NonZeroU64};

use envelope::Secret;

use super::{LIMITS, check, parse, parse_with, refused};
use crate::{
    Append, Authenticate, AuthenticateLine, CommandBody, Create, Date, DateTime, Fetch, FetchItem, Flag,
    Keyword, Line, Login, Mailbox, MessageSet, Numbering, ParseError, ParseLimits, Partial, Section,
    SectionText, Select, SequenceNumber, SequenceSet, SpecialUse, StatusItem, Store, StoreChange, Transfer,
    parse_authenticate_line,
};

fn number(n: u32) -> SequenceNumber {
    SequenceNumber::Number(NonZeroU32::new(n).unwrap())
}

fn set(start: u32, end: u32) -> MessageSet {
    MessageSet::Numbers(SequenceSet::new([(number(start), number(end))]).unwrap())
}

fn from(start: u32) -> MessageSet {
    MessageSet::Numbers(SequenceSet::new([(number(start), SequenceNumber::Largest)]).unwrap())
}

fn mailbox(name: &str) -> Mailbox {
    Mailbox::from_text(name)
}

#[test]
fn without_arguments() {
    for (name, body) in [
        ("CAPABILITY", CommandBody::Capability),
        ("NOOP", CommandBody::Noop),
        ("LOGOUT", CommandBody::Logout),
        ("STARTTLS", CommandBody::StartTls),
        ("NAMESPACE", CommandBody::Namespace),
        ("IDLE", CommandBody::Idle),
        ("CHECK", CommandBody::Check),
        ("CLOSE", CommandBody::Close),
        ("UNSELECT", CommandBody::Unselect),
        ("EXPUNGE", CommandBody::Expunge),
    ] {
        assert_eq!(body.name(), name);
        check(name, body.clone());
        check(&name.to_lowercase(), body.clone());
        check(&format!("{name}  "), body);
        refused(&format!("{name} x"), ParseError::Trailing);
        refused(&format!("{name}("), ParseError::Trailing);
    }
}

#[test]
fn login() {
    let expected = |user: &str, word: &str| {
        CommandBody::Login(Login { user: user.into(), password: Secret::new(word.into()) })
    };
    check("LOGIN SMITH SESAME", expected("SMITH", "SESAME")); // RFC 3501 §6.2.3
    check("LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man", expected("FRED FOOBAR", "fat man")); // RFC 3501 §8
    check("LOGIN \"a\\\"b\" \"\\\\\"", expected("a\"b", "\\"));
    check("LOGIN \"é\" \"ü\"", expected("é", "ü"));
    check("LOGIN \"\" \"\"", expected("", ""));
    check("LOGIN a]b {0+}\r\n", expected("a]b", ""));
    refused("LOGIN", ParseError::Expected("a space"));
    refused("LOGIN a", ParseError::Expected("a space"));
    refused("LOGIN a ", ParseError::Expected("a string"));
    refused("LOGIN a b c", ParseError::Trailing);
    refused("LOGIN a\\ b", ParseError::Expected("a space"));
    refused("LOGIN \"a b", ParseError::Expected("a closing quote"));
    refused("LOGIN \"a\\b\" c", ParseError::Expected("a quote or a backslash"));
    refused("LOGIN {1}\r\n\0 c", ParseError::Nul);
    refused("LOGIN \"{3}\r\nabc", ParseError::Expected("a closing quote"));
    refused("LOGIN a b{3}\r\nabc", ParseError::Trailing);
    assert_eq!(parse_with(&LIMITS, b"LOGIN \"\xff\" x"), Err(ParseError::Utf8));
    assert!(!format!("{:?}", parse("LOGIN bob hunter2")).contains("hunter2"));
}

#[test]
fn authenticate() {
    let expected = |mechanism: &str, response: Option<&[u8]>| {
        CommandBody::Authenticate(Authenticate {
            mechanism: mechanism.into(),
            initial_response: response.map(|octets| Secret::new(octets.to_vec())),
        })
    };
    check("AUTHENTICATE GSSAPI", expected("GSSAPI", None));
    check("AUTHENTICATE plain dGVzdAB0ZXN0AHRlc3Q=", expected("PLAIN", Some(b"test\0test\0test"))); // RFC 4959 §6
    check("AUTHENTICATE EXTERNAL =", expected("EXTERNAL", Some(b"")));
    refused("AUTHENTICATE", ParseError::Expected("a space"));
    for bad in ["d", "dGVzdA", "dGVzdA==x", "dGVz dGVz", "dGVzdB==", "*", "=="] {
        assert!(parse(&format!("AUTHENTICATE PLAIN {bad}")).is_err(), "{bad}");
    }
    refused(&format!("AUTHENTICATE {}", "X".repeat(21)), ParseError::WordTooLong);

    let line = |text: &[u8]| parse_authenticate_line(&Line(text.to_vec()));
    assert_eq!(line(b"*"), Ok(AuthenticateLine::Cancel));
    assert_eq!(line(b""), Ok(AuthenticateLine::Response(Secret::new(Vec::new()))));
    assert_eq!(line(b"aGk="), Ok(AuthenticateLine::Response(Secret::new(b"hi".to_vec()))));
    assert_eq!(line(b"aGk"), Err(ParseError::Base64));
    assert_eq!(line(b"="), Err(ParseError::Base64));
}

#[test]
fn id_and_enable() {
    check("ID NIL", CommandBody::Id(vec![]));
    check("ID ()", CommandBody::Id(vec![]));
    check(
        "ID (\"name\" \"sodr\" \"x\" NIL)",
        CommandBody::Id(vec![("name".into(), Some("sodr".into())), ("x".into(), None)]),
    );
    refused("ID (\"name\")", ParseError::Expected("a space"));
    refused("ID", ParseError::Expected("a space"));
    let pairs = |n: usize| format!("ID ({})", vec!["\"a\" \"b\""; n].join(" "));
    assert!(parse(&pairs(29)).is_ok() && parse(&pairs(30)).is_ok());
    refused(&pairs(31), ParseError::TooMany("ID fields"));
    refused(&format!("ID (\"a\" \"{}\")", "x".repeat(1025)), ParseError::WordTooLong);

    check("ENABLE condstore X-GOOD", CommandBody::Enable(vec!["CONDSTORE".into(), "X-GOOD".into()]));
    refused("ENABLE", ParseError::Expected("a space"));
}

#[test]
fn mailboxes() {
    check("SELECT INBOX", CommandBody::Select(Select { mailbox: mailbox("INBOX"), condstore: false }));
    check("EXAMINE inbox", CommandBody::Examine(Select { mailbox: mailbox("INBOX"), condstore: false }));
    check("SELECT a (CONDSTORE)", CommandBody::Select(Select { mailbox: mailbox("a"), condstore: true }));
    refused("SELECT a (QRESYNC (1 2))", ParseError::Unknown("SELECT parameter"));
    check("DELETE \"Entw&APw-rfe\"", CommandBody::Delete(mailbox("Entwürfe")));
    check("SUBSCRIBE #news.comp.mail.mime", CommandBody::Subscribe(mailbox("#news.comp.mail.mime")));
    check("UNSUBSCRIBE {3}\r\na b", CommandBody::Unsubscribe(mailbox("a b")));
    check(
        "RENAME blurdybloop sarasoop",
        CommandBody::Rename { from: mailbox("blurdybloop"), to: mailbox("sarasoop") },
    );
    check("DELETE ../../etc", CommandBody::Delete(mailbox("../../etc"))); // for the store to refuse
    for bad in ["&AAA-", "a&b", "&Jjo-&Jjo-", "\"é\""] {
        refused(&format!("DELETE {bad}"), ParseError::MailboxName);
    }
    refused("DELETE a%b", ParseError::Trailing);
    refused("DELETE (a)", ParseError::Expected("a string"));

    let utf8 = ParseLimits { utf8_mailboxes: true, ..LIMITS };
    assert_eq!(parse_with(&utf8, "DELETE \"é\"".as_bytes()), Ok(CommandBody::Delete(mailbox("é"))));
    assert_eq!(parse_with(&utf8, b"DELETE &AOk-"), Ok(CommandBody::Delete(mailbox("é"))));
    assert_eq!(parse_with(&utf8, b"DELETE \"\xc0\xae\""), Err(ParseError::Utf8));
}

#[test]
fn create() {
    let expected = |name: &str, special_uses: &[SpecialUse]| {
        CommandBody::Create(Create { mailbox: mailbox(name), special_uses: special_uses.to_vec() })
    };
    check("CREATE owatagusiam/", expected("owatagusiam", &[])); // RFC 3501 §6.3.3
    check("CREATE owatagusiam/blurdybloop", expected("owatagusiam/blurdybloop", &[]));
    check("CREATE /", expected("/", &[]));
    check("CREATE Everything (USE (\\All))", expected("Everything", &[SpecialUse::All])); // RFC 6154 §5.3
    check("CREATE x (USE (\\sent \\drafts))", expected("x", &[SpecialUse::Sent, SpecialUse::Drafts]));
    refused("CREATE x (USE (\\Frob))", ParseError::Unknown("special use"));
    refused("CREATE x (FROB)", ParseError::Unknown("CREATE parameter"));
}

#[test]
fn status_items() {
    check(
        "STATUS blurdybloop (UIDNEXT MESSAGES)",
        CommandBody::Status {
            mailbox: mailbox("blurdybloop"),
            items: vec![StatusItem::UidNext, StatusItem::Messages],
        },
    );
    for item in StatusItem::EVERY {
        let expected = CommandBody::Status { mailbox: mailbox("x"), items: vec![item] };
        check(&format!("STATUS x ({0} {0})", item.as_str()), expected);
    }
    refused("STATUS x ()", ParseError::Expected("a STATUS item"));
    refused("STATUS x MESSAGES", ParseError::Expected("a parenthesis"));
    refused("STATUS x (FROB)", ParseError::Unknown("STATUS item"));
}

#[test]
fn append() {
    let date_time = DateTime::new(Date::new(1994, 2, 7).unwrap(), 21 * 3600 + 52 * 60 + 25, -480);
    let expected = |flags: &[Flag], date_time, message: &[u8]| {
        CommandBody::Append(Append {
            mailbox: mailbox("a b"),
            flags: flags.to_vec(),
            date_time,
            message: message.into(),
        })
    };
    check("APPEND \"a b\" {2}\r\nhi", expected(&[], None, b"hi"));
    check("APPEND \"a b\" (\\Seen) {2+}\r\nhi", expected(&[Flag::Seen], None, b"hi"));
    check(
        "APPEND {3}\r\na b (\\Seen $x) \" 7-Feb-1994 21:52:25 -0800\" {2}\r\nhi",
        expected(&[Flag::Seen, Flag::Keyword(Keyword::parse(b"$x").unwrap())], date_time, b"hi"),
    );
    check("APPEND \"a b\" \"7-feb-1994 21:52:25 -0800\" {2}\r\nhi", expected(&[], date_time, b"hi"));
    check("APPEND \"a b\" ~{2}\r\n\0\0", expected(&[], None, b"\0\0"));
    refused("APPEND x {2}\r\n\0\0", ParseError::Nul);
    refused("APPEND x {2}\r\nhi {2}\r\nho", ParseError::Trailing);
    refused("APPEND x \"hi\"", ParseError::Expected("a digit"));
    refused("APPEND x", ParseError::Expected("a space"));
    for bad in [
        "30-Feb-1994 21:52:25 -0800",
        " 0-Feb-1994 21:52:25 -0800",
        " 7-Feb-0000 21:52:25 -0800",
        " 7-Feb-1994 24:00:00 -0800",
        " 7-Feb-1994 21:60:25 -0800",
        " 7-Feb-1994 21:52:61 -0800",
        " 7-Feb-1994 21:52:25 -2400",
        " 7-Feb-1994 21:52:25 -0060",
    ] {
        refused(&format!("APPEND x \"{bad}\" {{2}}\r\nhi"), ParseError::Date);
    }
}

#[test]
fn sets() {
    let shown = |text: &str| {
        let CommandBody::UidExpunge(set) = parse(&format!("UID EXPUNGE {text}"))? else { panic!() };
        Ok::<_, ParseError>(match set {
            MessageSet::Saved => "$".to_owned(),
            MessageSet::Numbers(set) => set.to_string(),
        })
    };
    for (text, expected) in [
        ("1", "1"),
        ("$", "$"),
        ("*", "*"),
        ("*:*", "*"),
        ("2,4:7,9,12:*", "2,4:7,9,12:*"), // RFC 3501 §9
        ("*:4,5:7", "4:*"),
        ("7:5,1,2,3", "1:3,5:7"),
        ("4294967295", "4294967295"),
        ("1:5,3:9", "1:9"),
    ] {
        assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
    }
    for bad in ["0", "1:0", "4294967296", "18446744073709551616", "00"] {
        assert_eq!(shown(bad), Err(ParseError::Number), "{bad}");
    }
    for bad in ["", "1,", ",1", "a", "1:", ":1", "-1", "1,$"] {
        assert_eq!(shown(bad), Err(ParseError::Expected("a sequence set")), "{bad}");
    }
    for bad in ["1:2:3", "$1", "1-2", "**"] {
        assert_eq!(shown(bad), Err(ParseError::Trailing), "{bad}");
    }
}

#[test]
fn store() {
    let expected = |numbering, messages, change, silent| {
        CommandBody::Store(Store {
            numbering,
            messages,
            change,
            silent,
            flags: vec![Flag::Deleted],
            unchanged_since: None,
        })
    };
    check("STORE 2:4 +FLAGS (\\Deleted)", expected(Numbering::Sequence, set(2, 4), StoreChange::Add, false));
    check(
        "UID STORE 2:* -flags.silent \\Deleted",
        expected(Numbering::Uid, from(2), StoreChange::Remove, true),
    );
    check(
        "UID STORE $ FLAGS (\\Deleted)",
        expected(Numbering::Uid, MessageSet::Saved, StoreChange::Replace, false),
    );
    let CommandBody::Store(store) = parse("STORE 1 (UNCHANGEDSINCE 0) FLAGS ()").unwrap() else { panic!() };
    assert_eq!(store.unchanged_since, Some(0));
    refused("STORE 1 FROB ()", ParseError::Expected("FLAGS"));
    refused("STORE 1 (FROB 1) FLAGS ()", ParseError::Unknown("STORE modifier"));
    refused("STORE 1 FLAGS", ParseError::Expected("a space"));
    refused("STORE 1 FLAGS ", ParseError::Expected("a flag"));
}

#[test]
fn transfers() {
    let expected = |numbering| Transfer { numbering, messages: set(2, 4), mailbox: mailbox("MEETING") };
    check("COPY 2:4 MEETING", CommandBody::Copy(expected(Numbering::Sequence)));
    check("UID COPY 2:4 MEETING", CommandBody::Copy(expected(Numbering::Uid)));
    check("MOVE 2:4 MEETING", CommandBody::Move(expected(Numbering::Sequence)));
    check("uid move 2:4 MEETING", CommandBody::Move(expected(Numbering::Uid)));
    check("UID EXPUNGE 2:4", CommandBody::UidExpunge(set(2, 4)));
    refused("EXPUNGE 2:4", ParseError::Trailing);
}

fn items(text: &str) -> Result<Vec<FetchItem>, ParseError> {
    match parse(&format!("FETCH 1 {text}"))? {
        CommandBody::Fetch(fetch) => Ok(fetch.items),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_items() {
    use FetchItem::{Body, BodyStructure, Envelope, Flags, InternalDate, ModSeq, Rfc822Size, Uid};
    assert_eq!(items("ALL").unwrap(), [Flags, InternalDate, Rfc822Size, Envelope]);
    assert_eq!(items("fast").unwrap(), [Flags, InternalDate, Rfc822Size]);
    assert_eq!(items("FULL").unwrap(), [Flags, InternalDate, Rfc822Size, Envelope, Body]);
    assert_eq!(items("(FLAGS UID FLAGS MODSEQ BODYSTRUCTURE)").unwrap(), [Flags, Uid, ModSeq, BodyStructure]);
    assert_eq!(items("(ALL)").unwrap_err(), ParseError::Unknown("FETCH item"));
    assert_eq!(items("()").unwrap_err(), ParseError::Expected("a FETCH item"));
    assert_eq!(items("RFC822.FROB").unwrap_err(), ParseError::Unknown("FETCH item"));
    assert_eq!(items("FLAGS[]").unwrap_err(), ParseError::Unknown("FETCH item"));
    assert_eq!(items("RFC822").unwrap(), [FetchItem::Rfc822]);
    assert!(items("RFC822.TEXT").unwrap()[0].sets_seen());
    assert!(!items("RFC822.HEADER").unwrap()[0].sets_seen());

    let fetch = Fetch {
        numbering: Numbering::Uid,
        messages: from(1),
        items: vec![Uid, Flags, ModSeq],
        changed_since: NonZeroU64::new(12345),
    };
    check("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)", CommandBody::Fetch(fetch)); // RFC 7162 §3.1.4
    refused("UID FETCH 1:* FLAGS (CHANGEDSINCE 0)", ParseError::Number);
    refused("UID FETCH 1:* FLAGS (VANISHED)", ParseError::Unknown("FETCH modifier"));
    assert!(parse("UID FETCH 1 (UID)").is_ok());
}

#[test]
fn fetch_sections() {
    let body = |text: &str| match items(text)?.as_slice() {
        [FetchItem::BodySection { section, partial, peek }] => Ok((section.clone(), *partial, *peek)),
        other => panic!("{other:?}"),
    };
    let part = |numbers: &[u32]| numbers.iter().map(|n| NonZeroU32::new(*n).unwrap()).collect::<Vec<_>>();
    assert_eq!(body("BODY[]").unwrap(), (Section::default(), None, false));
    // Section texts come back as they are written in the response.
    for text in [
        "",
        "1",
        "1.2.3",
        "HEADER",
        "TEXT",
        "1.MIME",
        "4.1.MIME",
        "4.2.2.1",
        "3.HEADER",
        "3.TEXT",
        "HEADER.FIELDS (DATE FROM)",
        "HEADER.FIELDS.NOT (a]b)",
        "1.2.HEADER.FIELDS (\"a b\" c)",
    ] {
        assert_eq!(body(&format!("BODY.PEEK[{text}]")).unwrap().0.to_string(), text);
    }
    let (section, partial, peek) = body("body.peek[1.header.fields (Subject)]<0.2048>").unwrap();
    assert_eq!(
        section,
        Section { part: part(&[1]), text: SectionText::HeaderFields(vec!["Subject".into()]) }
    );
    assert_eq!(partial, Some(Partial { offset: 0, length: NonZeroU64::new(2048).unwrap() }));
    assert!(peek);
    assert_eq!(body("BODY[]<9223372036854775807.1>").unwrap().1.unwrap().offset, i64::MAX as u64);
    for bad in [
        "BODY[]<0.0>",
        "BODY[]<18446744073709551616.1>",
        "BODY[]<9223372036854775808.1>",
        "BODY[0]",
        "BODY[1.0]",
        "BODY[4294967296]",
        "BODY[]<1.18446744073709551616>",
    ] {
        assert_eq!(body(bad), Err(ParseError::Number), "{bad}");
    }
    for bad in [
        "BODY[",
        "BODY[1",
        "BODY[1.]",
        "BODY[MIME]",
        "BODY[.1]",
        "BODY[FROB]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS ()]",
        "BODY[]<1>",
        "BODY[]<1.2",
        "BODY[]<-1.2>",
        "BODY[1.2.HEADER.FIELDS (a",
        "BODY[HEADER.FIELDS (\"\")]",
        "BODY[HEADER.FIELDS (\"é\")]",
        "BODYSTRUCTURE[]",
    ] {
        assert!(body(bad).is_err(), "{bad}");
    }
    assert_eq!(items("BINARY.SIZE[1.2]").unwrap(), [FetchItem::BinarySize(part(&[1, 2]))]);
    let binary = FetchItem::Binary { part: part(&[1]), partial: None, peek: true };
    assert_eq!(items("BINARY.PEEK[1]").unwrap(), [binary]);
    assert!(items("BINARY[1.MIME]").is_err() && items("BINARY[1.]").is_err());
}
