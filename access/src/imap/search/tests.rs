//! Keys against messages.

use std::sync::Arc;

use bytes::Bytes;
use envelope::Timestamp;
use imap_proto::{Date, SearchKey};
use store::{Entry, Flags, ModSeq, Uid, parse_summary};

use super::{Facts, Picture, Texts, fold, matches};

const MESSAGE: &str = "From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@example.test>\r\n\
To: \"Team, A\" <team@example.test>\r\n\
Cc: cc@example.test\r\n\
Subject: =?utf-8?B?R3LDvMOfZQ==?= from\r\n\tafar\r\n\
Date: Tue, 2 Jan 2024 23:30:00 +0000\r\n\
X-Spam:\r\n\
Content-Type: multipart/mixed; boundary=b\r\n\
\r\n\
--b\r\n\
Content-Type: text/plain; charset=iso-8859-1\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\
\r\n\
Stra=DFe and soft=\r\n break\r\n\
--b\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Transfer-Encoding: base64\r\n\
\r\n\
PGI+a8O8c3RlPC9iPg==\r\n\
--b\r\n\
Content-Type: application/octet-stream\r\n\
\r\n\
binary stuff\r\n\
--b\r\n\
Content-Type: message/rfc822\r\n\
\r\n\
Subject: inside\r\n\
\r\n\
innermost\r\n\
--b--\r\n";

/// With index alone, with the summary, with the text: None while more must be read.
fn answers(key: SearchKey) -> [Option<bool>; 3] {
    answers_of(MESSAGE, key)
}

fn answers_of(message: &str, mut key: SearchKey) -> [Option<bool>; 3] {
    fold(&mut key);
    let summary = Arc::new(parse_summary(message.as_bytes()));
    let texts = Texts::new(Bytes::copy_from_slice(message.as_bytes()), Arc::clone(&summary));
    let flags = Flags { seen: true, keywords: ["$Work".to_owned()].into(), ..Flags::default() };
    let entry = Entry {
        uid: Uid(7),
        flags: Arc::new(flags),
        internal_date: Timestamp::from_unix_milliseconds(1_704_326_400_000), // 4 January 2024, 0:00 UTC
        size: 1000,
        mod_seq: ModSeq(5),
        message_id: None,
    };
    let picture = Picture { count: 9, largest_uid: 12, saved: vec![(6, 7)], now: 1_704_326_400 + 60 };
    let borrowed = summary.fields.borrowed();
    let fields = Some(&borrowed);
    let levels = [(None, None), (fields, None), (fields, Some(&texts))];
    levels.map(|(fields, texts)| {
        let facts = Facts { picture: &picture, sequence: 3, entry: &entry, recent: false, fields, texts };
        matches(&key, &facts)
    })
}

fn check(key: SearchKey, expected: bool) {
    let shown = format!("{key:?}");
    let answers = answers(key);
    assert_eq!(answers[2], Some(expected), "{shown}");
    // What is cheaper never says something else.
    assert!(answers.iter().flatten().all(|answer| *answer == expected), "{shown}: {answers:?}");
}

fn text(make: fn(String) -> SearchKey, text: &str, expected: bool) {
    check(make(text.to_owned()), expected);
}

#[test]
fn header_keys() {
    text(SearchKey::From, "jürgen", true);
    text(SearchKey::From, "MÜLLER", true);
    text(SearchKey::From, "juergen@example", true);
    text(SearchKey::From, "team", false);
    text(SearchKey::To, "Team, a", true);
    text(SearchKey::Cc, "CC@", true);
    text(SearchKey::Bcc, "", false);
    text(SearchKey::Subject, "grüße from", true);
    text(SearchKey::Subject, "utf-8", false);
    let header =
        |field: &str, text: &str| SearchKey::Header { field: field.to_owned(), text: text.to_owned() };
    check(header("x-spam", ""), true);
    check(header("X-Ham", ""), false);
    check(header("SUBJECT", "GRÜSSE"), false);
    check(header("SUBJECT", "GRÜßE"), true);
    check(header("date", "jan 2024"), true);
}

#[test]
fn text_keys() {
    text(SearchKey::Body, "straße and softbreak", false);
    text(SearchKey::Body, "straße and soft break", true);
    text(SearchKey::Body, "KÜSTE", true);
    text(SearchKey::Body, "binary", false);
    text(SearchKey::Body, "innermost", true);
    text(SearchKey::Body, "inside", true);
    text(SearchKey::Body, "jürgen", false);
    text(SearchKey::Text, "jürgen", true);
    text(SearchKey::Text, "x-spam", true);
    text(SearchKey::Text, "nowhere", false);
}

#[test]
fn dates_sizes_flags() {
    let day = |day| Date::new(2024, 1, day).unwrap();
    check(SearchKey::On(day(4)), true);
    check(SearchKey::Before(day(4)), false);
    check(SearchKey::Since(day(4)), true);
    check(SearchKey::SentOn(day(2)), true);
    check(SearchKey::SentBefore(day(2)), false);
    check(SearchKey::SentSince(day(3)), false);
    check(SearchKey::Older(60), true);
    check(SearchKey::Older(61), false);
    check(SearchKey::Younger(60), true);
    check(SearchKey::Younger(59), false);
    check(SearchKey::Larger(999), true);
    check(SearchKey::Larger(1000), false);
    check(SearchKey::Smaller(1000), false);
    check(SearchKey::Seen, true);
    check(SearchKey::Deleted, false);
    check(SearchKey::Keyword(imap_proto::Keyword::parse(b"$WORK").unwrap()), true);
    check(SearchKey::Uid(imap_proto::MessageSet::Saved), true);
}

/// RFC 3501 §6.4.4: the day that the Date field names, whatever its time and zone.
#[test]
fn sent_days_are_those_of_the_field() {
    let message = |date: &str| format!("Date: {date}\r\n\r\n");
    for (date, day, expected) in [
        ("Mon, 1 Jan 2024 21:52:25 -0800", 1, true),
        ("Mon, 1 Jan 2024 21:52:25 -0800", 2, false),
        ("Tue, 2 Jan 2024 01:00:00 +0900 (JST)", 2, true),
        ("2 Jan 24 01:00:00 GMT", 2, true),
        // Not to be read: the internal date counts.
        ("yesterday", 4, true),
        ("yesterday", 2, false),
    ] {
        let message = message(date);
        let key = SearchKey::SentOn(Date::new(2024, 1, day).unwrap());
        assert_eq!(answers_of(&message, key)[1], Some(expected), "{date} {day}");
    }
}

#[test]
fn only_what_is_needed_is_read() {
    let from = || SearchKey::From("jürgen".to_owned());
    let body = || SearchKey::Body("innermost".to_owned());
    assert_eq!(answers(SearchKey::Seen)[0], Some(true));
    assert_eq!(answers(from())[0], None);
    assert_eq!(answers(from())[1], Some(true));
    assert_eq!(answers(body())[1], None);
    // A cheap key decides before a dear one is asked.
    assert_eq!(answers(SearchKey::And(vec![body(), SearchKey::Deleted]))[0], Some(false));
    assert_eq!(answers(SearchKey::Or(vec![body(), SearchKey::Seen]))[0], Some(true));
    assert_eq!(answers(SearchKey::Or(vec![body(), from()]))[1], Some(true));
    assert_eq!(answers(SearchKey::Not(Box::new(SearchKey::And(vec![body(), from()]))))[2], Some(false));
}
