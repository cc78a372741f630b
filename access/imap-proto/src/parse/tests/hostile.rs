use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::{LIMITS, parse, parse_with, refused};
use crate::{CommandBody, Mailbox, MessageSet, ParseError, ParseLimits, SearchKey};

#[test]
fn parentheses() {
    let nested = |n: usize| format!("SEARCH {}ALL{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(48)).is_ok());
    assert!(parse(&nested(49)).is_ok());
    refused(&nested(50), ParseError::TooDeep);
    refused(&nested(10_000), ParseError::TooDeep);
    refused(&format!("SEARCH {}", "(".repeat(1_000_000)), ParseError::TooDeep);
    for name in ["LIST", "STATUS x", "FETCH 1", "STORE 1 FLAGS", "ID", "CREATE x", "SELECT x", "APPEND x"] {
        assert!(parse(&format!("{name} {}", "(".repeat(1_000_000))).is_err(), "{name}");
    }
}

#[test]
fn chains_cost_no_depth() {
    let limits = ParseLimits { search_keys_max: 30_000, ..LIMITS };
    let nots = format!("SEARCH {}SEEN", "NOT ".repeat(10_001));
    assert!(matches!(parse_with(&limits, nots.as_bytes()), Ok(CommandBody::Search(search))
        if search.key == SearchKey::Not(Box::new(SearchKey::Seen))));
    let ors = format!("SEARCH {}SEEN", "OR ALL ".repeat(10_000));
    assert!(matches!(parse_with(&limits, ors.as_bytes()), Ok(CommandBody::Search(search))
        if matches!(&search.key, SearchKey::Or(keys) if keys.len() == 10_001)));
    let mixed = format!("SEARCH {}SEEN", "NOT OR ALL ".repeat(10_000));
    assert_eq!(parse_with(&limits, mixed.as_bytes()), Err(ParseError::TooDeep));
    refused(&ors, ParseError::TooMany("search keys"));
}

#[test]
fn number_of_search_keys() {
    let keys = |n: usize| format!("SEARCH {}", vec!["ALL"; n].join(" "));
    assert!(parse(&keys(999)).is_ok() && parse(&keys(1000)).is_ok());
    refused(&keys(1001), ParseError::TooMany("search keys"));
}

#[test]
fn ranges() {
    let ranges = |n: usize| format!("FETCH {} FLAGS", vec!["1"; n].join(","));
    assert!(parse(&ranges(999)).is_ok() && parse(&ranges(1000)).is_ok());
    refused(&ranges(1001), ParseError::TooMany("ranges"));
    let million: Vec<String> = (1..100_000).map(|n| (n * 2).to_string()).collect();
    refused(&format!("UID EXPUNGE {}", million.join(",")), ParseError::TooMany("ranges"));
    // All sets of a command count together.
    let many = vec!["1,2,3,4,5"; 201].join(" ");
    refused(&format!("SEARCH {many}"), ParseError::TooMany("ranges"));
    let CommandBody::UidExpunge(MessageSet::Numbers(set)) = parse("UID EXPUNGE 1,2,3,4:9,1:2").unwrap()
    else {
        panic!()
    };
    assert_eq!(set.range_count(), 1);
}

#[test]
fn lists() {
    let flags = |n: usize| format!("STORE 1 FLAGS ({})", vec!["a"; n].join(" "));
    assert!(parse(&flags(99)).is_ok() && parse(&flags(100)).is_ok());
    refused(&flags(101), ParseError::TooMany("flags"));
    refused(&format!("STORE 1 FLAGS {}", vec!["a"; 101].join(" ")), ParseError::TooMany("flags"));
    refused(&format!("FETCH 1 ({})", vec!["BODY[]"; 101].join(" ")), ParseError::TooMany("FETCH items"));
    refused(&format!("LIST \"\" ({})", vec!["*"; 101].join(" ")), ParseError::TooMany("patterns"));
    refused(&format!("ENABLE {}", vec!["X"; 101].join(" ")), ParseError::TooMany("capabilities"));
    let names = vec!["a"; 101].join(" ");
    refused(&format!("FETCH 1 BODY[HEADER.FIELDS ({names})]"), ParseError::TooMany("header names"));
}

#[test]
fn parts() {
    let part = |n: usize| format!("FETCH 1 BODY[{}]", vec!["1"; n].join("."));
    assert!(parse(&part(49)).is_ok() && parse(&part(50)).is_ok());
    refused(&part(51), ParseError::TooDeep);
    refused(&part(10_000), ParseError::TooDeep);
}

#[test]
fn literals_where_none_belongs() {
    for body in [
        "NOOP {3}\r\nabc",
        "FETCH {1}\r\n1 FLAGS",
        "FETCH 1 {5}\r\nFLAGS",
        "SELECT \"a {2}\r\nb\"",
        "{4}\r\nNOOP",
        "ID ({4}\r\nname {3}\r\nabc) {1}\r\nx",
        "SEARCH {3}\r\nALL",
        "SEARCH LARGER {1}\r\n1",
    ] {
        assert!(parse(body).is_err(), "{body:?}: {:?}", parse(body));
    }
}

proptest! {
    #[test]
    fn any_text(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
        crate::fuzz::fuzz_command(words.concat().as_bytes());
    }

    #[test]
    fn any_octets(octets: Vec<u8>) {
        crate::fuzz::fuzz_command(&octets);
    }

    /// What a client writes of a set is what the parser reads.
    #[test]
    fn sets_round_trip(numbers in prop::collection::vec(1u32..1000, 1..50)) {
        let set = crate::SequenceSet::from_numbers(numbers).unwrap();
        prop_assert_eq!(
            parse(&format!("UID EXPUNGE {set}")),
            Ok(CommandBody::UidExpunge(MessageSet::Numbers(set)))
        );
    }

    /// What a client writes of a mailbox is what the parser reads.
    #[test]
    fn mailboxes_round_trip(name in "[^\\x00]{0,20}") {
        let mut wire = b"DELETE ".to_vec();
        crate::response::word::mailbox(&name, &mut wire);
        prop_assert_eq!(parse_with(&LIMITS, &wire), Ok(CommandBody::Delete(Mailbox::from_text(name))));
    }

    /// The same for the date of APPEND.
    #[test]
    fn dates_round_trip(seconds in -62_135_596_800i64..=253_402_300_799) {
        let date_time = crate::DateTime::from_unix_seconds(seconds);
        let Ok(CommandBody::Append(append)) = parse(&format!("APPEND x \"{date_time}\" {{1}}\r\nx")) else {
            panic!("{date_time}")
        };
        prop_assert_eq!(append.date_time, Some(date_time));
    }
}

const WORDS: &[&str] = &[
    "a1 ",
    " ",
    " ",
    "(",
    ")",
    "\"",
    "\\",
    "{1}\r",
    "\n",
    "*",
    "%",
    "1",
    ":",
    ",",
    "$",
    ".",
    "<0.1>",
    "[",
    "]",
    "SEARCH ",
    "FETCH 1 ",
    "STORE 1 ",
    "UID ",
    "LIST ",
    "\"\"",
    "NOT ",
    "OR ",
    "ALL",
    "SEEN",
    "FLAGS",
    "\\Seen",
    "BODY[",
    "HEADER.FIELDS ",
    "APPEND x ",
    "RETURN ",
    "STATUS ",
    "1-Jan-2020",
    "\" 1-Jan-2020 00:00:00 +0000\"",
    "&AOk-",
    "CHARSET UTF-8 ",
    "é",
    "NIL",
    "ID ",
    "LOGIN ",
    "AUTHENTICATE PLAIN ",
    "=",
    "ENABLE ",
    "CREATE x (USE ",
    "MODSEQ ",
    "HEADER ",
    "KEYWORD ",
];
