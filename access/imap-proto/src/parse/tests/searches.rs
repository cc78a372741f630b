use SearchKey::{All, And, Answered, Deleted, Flagged, From, Not, Or, Recent, Seen, Since, Subject, Text};

use super::parse;
use crate::{CommandBody, Date, MessageSet, ParseError, Search, SearchKey, SearchReturn};

fn search(text: &str) -> Result<Search, ParseError> {
    match parse(&format!("SEARCH {text}"))? {
        CommandBody::Search(search) => Ok(search),
        other => panic!("{other:?}"),
    }
}

fn key(text: &str) -> SearchKey {
    search(text).unwrap_or_else(|error| panic!("{text}: {error}")).key
}

fn not(key: SearchKey) -> SearchKey {
    Not(Box::new(key))
}

#[test]
fn examples() {
    // RFC 3501 §6.4.4
    let date = Date::new(1994, 2, 1).unwrap();
    assert_eq!(
        key("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\""),
        And(vec![Flagged, Since(date), not(From("Smith".into()))])
    );
    assert_eq!(key("TEXT \"string not in mailbox\""), Text("string not in mailbox".into()));
    assert_eq!(key("CHARSET UTF-8 TEXT {6}\r\nпри"), Text("при".into()));
    // Quirk search-utf8.
    assert_eq!(key("SUBJECT \"é\""), Subject("é".into()));
    // RFC 4731 §3.1
    let found = search("RETURN (MIN COUNT) FLAGGED SINCE \"1-Feb-1994\" NOT FROM \"Smith\"").unwrap();
    assert_eq!(found.returns, Some(SearchReturn { min: true, count: true, ..SearchReturn::default() }));
    assert_eq!(
        search("RETURN () ALL").unwrap().returns,
        Some(SearchReturn { all: true, ..SearchReturn::default() })
    );
    assert_eq!(
        search("RETURN (SAVE) ALL").unwrap().returns,
        Some(SearchReturn { save: true, ..SearchReturn::default() })
    );
    assert_eq!(search("ALL").unwrap().returns, None);
    assert_eq!(parse("UID SEARCH $").map(|body| body.name()), Ok("SEARCH"));
}

#[test]
fn every_key() {
    for text in GOOD {
        assert!(search(text).is_ok(), "{text}: {:?}", search(text));
        assert!(search(&text.to_lowercase()).is_ok(), "{text}");
        assert!(search(&format!("NOT {text} (OR {text} {text})")).is_ok(), "{text}");
    }
    for text in BAD {
        assert!(search(text).is_err(), "{text}: {:?}", search(text));
    }
    assert_eq!(search("CHARSET ISO-8859-1 ALL"), Err(ParseError::Charset));
    assert!(key("OR (NOT MODSEQ 1) ALL").names_mod_seq());
    assert!(!key("OR (NOT UID 1) ALL").names_mod_seq());
    assert_eq!(key("$"), SearchKey::Sequence(MessageSet::Saved));
}

#[test]
fn trees() {
    assert_eq!(key("UNSEEN"), not(Seen));
    assert_eq!(key("NOT UNSEEN"), Seen);
    assert_eq!(key("NOT NOT SEEN"), Seen);
    assert_eq!(key("NOT NOT NOT SEEN"), not(Seen));
    assert_eq!(key("NEW"), And(vec![Recent, not(Seen)]));
    assert_eq!(key("(((SEEN)))"), Seen);
    assert_eq!(key("SEEN ALL"), And(vec![Seen, All]));
    assert_eq!(key("(SEEN ALL) DELETED"), And(vec![And(vec![Seen, All]), Deleted]));
    assert_eq!(key("OR SEEN DELETED"), Or(vec![Seen, Deleted]));
    assert_eq!(key("OR SEEN OR DELETED FLAGGED"), Or(vec![Seen, Deleted, Flagged]));
    assert_eq!(key("OR OR SEEN DELETED FLAGGED ALL"), And(vec![Or(vec![Seen, Deleted, Flagged]), All]));
    assert_eq!(
        key("OR NOT OR SEEN DELETED (ANSWERED ALL)"),
        Or(vec![not(Or(vec![Seen, Deleted])), And(vec![Answered, All])])
    );
    assert_eq!(
        key("NOT (SUBJECT a TEXT b) ALL"),
        And(vec![not(And(vec![Subject("a".into()), Text("b".into())])), All])
    );
}

const GOOD: &[&str] = &[
    "ALL",
    "ANSWERED",
    "BCC a",
    "BEFORE 1-Jan-2020",
    "BODY a",
    "CC a",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "FROM a",
    "HEADER a b",
    "HEADER a \"\"",
    "KEYWORD $a",
    "LARGER 1",
    "NEW",
    "NOT ALL",
    "OLD",
    "ON 01-jan-2020",
    "OR ALL ALL",
    "RECENT",
    "SEEN",
    "SENTBEFORE 1-Jan-2020",
    "SENTON 1-Jan-2020",
    "SENTSINCE 1-Jan-2020",
    "SINCE 1-Jan-2020",
    "SMALLER 0",
    "SUBJECT a",
    "TEXT a",
    "TO a",
    "UID 1:*",
    "UNANSWERED",
    "UNDELETED",
    "UNDRAFT",
    "UNFLAGGED",
    "UNKEYWORD a",
    "UNSEEN",
    "OLDER 5",
    "YOUNGER 5",
    "MODSEQ 0",
    "MODSEQ \"/flags/\\\\draft\" all 620162338",
    "1",
    "1:*",
    "*",
    "$",
    "(ALL)",
];

const BAD: &[&str] = &[
    "",
    " ",
    "FROB",
    "BCC",
    "BCC ",
    "BEFORE x",
    "BEFORE 32-Jan-2020",
    "BEFORE 1-Foo-2020",
    "BEFORE \"1-Jan-2020",
    "LARGER",
    "LARGER -1",
    "LARGER 18446744073709551616",
    "NOT",
    "NOT ",
    "OR ALL",
    "OR",
    "OR ALL ",
    "(ALL",
    "ALL)",
    "()",
    "( ALL)",
    "(ALL )",
    "OLDER 0",
    "OLDER 4294967296",
    "UID a",
    "0",
    "ALL  ALL",
    "KEYWORD \\Seen",
    "HEADER \"\" x",
    "HEADER a",
    "CHARSET UTF-8",
    "CHARSET UTF-8 ",
    "RETURN ALL ALL",
    "RETURN (FROB) ALL",
    "RETURN (ALL)",
    "MODSEQ \"x\" y 1",
    "ALL CHARSET UTF-8 ALL",
];
