//! Messages that one program reads otherwise than another.

use cel::objects::Key;

use super::super::cases::{self, Situation};
use super::{PolicyConfig, Value};

/// The variable `name`, with `field` when it has fields.
fn fact(message: &str, name: &str, field: &str) -> Value {
    let names = vec![(name.to_owned(), field.to_owned())];
    let mut facts = cases::facts(&Situation::default(), message.as_bytes(), &names, &PolicyConfig::default());
    let found = facts.remove(name).unwrap();
    if field.is_empty() { found } else { field_of(&found, field) }
}

fn field_of(value: &Value, field: &str) -> Value {
    let Value::Map(map) = value else { panic!("{value:?} has no fields") };
    map.get(&Key::from(field)).unwrap().clone()
}

/// Of each element of a list a field, as text.
fn texts(message: &str, name: &str, field: &str) -> Vec<String> {
    let Value::List(list) = fact(message, name, "") else { panic!("{name} is a list") };
    let text = |value: &Value| match field_of(value, field) {
        Value::String(text) => text.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::List(list) => list.iter().map(|one| format!("{one:?}")).collect(),
        other => panic!("{other:?}"),
    };
    list.iter().map(text).collect()
}

fn mixed(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect();
    format!("From: a@b.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
}

fn check(message: &str, field: &str, expected: &[&str]) {
    assert_eq!(texts(message, "parts", field), expected, "{field} of {message}");
}

fn check_ambiguous(message: &str, expected: bool) {
    assert_eq!(fact(message, "message", "ambiguous"), Value::Bool(expected), "{message}");
}

const EXE: &str = "Content-Type: application/octet-stream; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA";

#[test]
fn attack_a_file_in_a_forwarded_message() {
    let inner =
        mixed(&["Content-Type: text/html\r\n\r\n<a href='http://evil.test'>card 4111111111111111</a>", EXE]);
    let outer = mixed(&[
        "\r\nhello",
        &format!("Content-Type: message/rfc822\r\n\r\n{}", inner.replace("=b", "=c").replace("--b", "--c")),
    ]);
    check(&outer, "extension", &["", "", "", "exe"]);
    check(&outer, "detected", &["", "", "", "exe"]);
    assert_eq!(texts(&outer, "urls", "host"), ["evil.test"]);
    let Value::String(text) = fact(&outer, "message", "text") else { panic!() };
    assert!(text.contains("hello") && text.contains("4111111111111111"), "{text}");
    let Value::Bool(true) = fact(&outer, "message", "has_html") else { panic!() };
    check_ambiguous(&outer, false);
}

#[test]
fn attack_a_message_in_base64() {
    use base64::Engine as _;
    let inner = base64::engine::general_purpose::STANDARD.encode(mixed(&[EXE]));
    let outer = mixed(&[&format!(
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}"
    )]);
    check(&outer, "extension", &["", "exe"]);
}

#[test]
fn attack_messages_within_messages() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    assert!(texts(&deep, "parts", "type").len() <= PolicyConfig::default().parts_max);
    assert!(matches!(fact(&deep, "message", "text"), Value::String(_)));
}

#[test]
fn attack_base64_with_garbage() {
    let part = |encoding: &str, body: &str| {
        mixed(&[&format!(
            "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
        )])
    };
    for (encoding, body) in [
        ("base64", "TVqQ!AAM*AAAA\r\nEAAAA"),
        ("base64", "TVqQ\u{e4}AAMAAAAEAAAA"),
        ("base64 (yes)", "TVqQAAMAAAAEAAAA"),
        ("\"base64\"", "TVqQAAMAAAAEAAAA"),
        ("x-base64", "TVqQAAMAAAAEAAAA"),
        ("7bit\r\nContent-Transfer-Encoding: base64", "TVqQAAMAAAAEAAAA"),
        ("base64\r\nContent-Transfer-Encoding: 7bit", "TVqQAAMAAAAEAAAA"),
    ] {
        let message = part(encoding, body);
        check(&message, "detected", &["exe"]);
        check_ambiguous(&message, true);
    }
    check(&part("BASE64", "TVqQ AAMA\tAAAE\r\n\r\nAAAA"), "detected", &["exe"]);
    check_ambiguous(&part("base64", "TVqQAAMAAAAEAAAA"), false);
    check(&part("base64", "TVqQAAMAAAAEAAAA===="), "detected", &["exe"]);
}

#[test]
fn attack_names_in_pieces_and_words() {
    for name in [
        "Content-Disposition: attachment; filename=a.exe",
        "Content-Disposition: attachment; filename=\"a.exe \"",
        "Content-Disposition: attachment; filename=\"a.exe.\"",
        "Content-Disposition: attachment; filename*=utf-8''a%2Eexe",
        "Content-Disposition: attachment; filename*0=a.; filename*1=exe",
        "Content-Disposition: attachment; filename*0*=utf-8''a%2E; filename*1=exe",
        "Content-Disposition: attachment; filename=\"=?utf-8?B?YS5leGU=?=\"",
        "Content-Disposition: attachment; filename==?utf-8?Q?a=2Eexe?=",
        "Content-Disposition: attachment;\r\n filename=\r\n a.exe",
        "Content-Disposition: attachment; FileName = a.exe",
        "Content-Type: image/png; name=a.exe",
        "Content-Type: image/png; name=\"a.e\u{200b}xe\"",
        "Content-Disposition: attachment; filename=\"C:\\\\x\\\\a.exe\"",
        "Content-Disposition: attachment; filename=\"a.ex\\e\"",
        "Content-Disposition: attachment; filename=(x)a.exe",
    ] {
        check(&mixed(&[&format!("{name}\r\n\r\nMZ")]), "extension", &["exe"]);
    }
}

#[test]
fn attack_fields_that_stand_there_twice() {
    for fields in [
        "Content-Type: text/plain\r\nContent-Type: application/octet-stream; name=a.exe",
        "Content-Disposition: inline\r\nContent-Disposition: attachment; filename=a.exe",
        "Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=a.exe",
    ] {
        check_ambiguous(&mixed(&[&format!("{fields}\r\n\r\nMZ")]), true);
    }
    check_ambiguous(
        &mixed(&[
            "Content-Type: image/png; name=\"a b.png\"\r\nContent-Disposition: attachment; filename=a.PNG\r\n\r\nx",
        ]),
        false,
    );
    check_ambiguous(
        "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
        true,
    );
}

#[test]
fn attack_the_first_field_and_the_last_one() {
    for fields in [
        "Content-Disposition: attachment; filename=a.txt\r\nContent-Disposition: attachment; filename=a.exe",
        "Content-Disposition: attachment; filename=a.exe\r\nContent-Disposition: attachment; filename=a.txt",
        "Content-Type: x/y; name=a.exe\r\nContent-Disposition: attachment; filename=a.txt",
        "Content-Type: x/y; name=a.exe\r\nContent-Type: x/y; name=a.txt",
        "Content-Disposition: attachment; filename=a.txt; filename*=utf-8''a.exe",
        "Content-Disposition: attachment; filename*=utf-8''a.txt; filename=a.exe",
        "Content-Disposition: attachment; filename=a.txt; filename=a.exe",
    ] {
        let mut found = texts(&mixed(&[&format!("{fields}\r\n\r\nMZ")]), "parts", "extension");
        found.sort();
        assert_eq!(found, ["exe", "txt"], "{fields}");
    }
    let body = format!("\r\n\r\n--b\r\n{EXE}\r\n--b--\r\n--c\r\n\r\nhttp://a.test\r\n--c--\r\n");
    for (first, last) in [("b", "c"), ("c", "b")] {
        let message = format!(
            "Content-Type: multipart/mixed; boundary={first}\r\nContent-Type: multipart/mixed; boundary={last}{body}"
        );
        assert!(texts(&message, "parts", "extension").contains(&"exe".to_owned()), "{message}");
        assert!(texts(&message, "urls", "host").contains(&"a.test".to_owned()), "{message}");
    }
}

#[test]
fn attack_boundaries() {
    let body = format!("\r\n\r\n--b\r\n{EXE}\r\n--b--\r\n");
    check_ambiguous(&format!("Content-Type: multipart/mixed{body}"), true);
    check_ambiguous(&format!("Content-Type: multipart/mixed; boundary=c{body}"), true);
    check_ambiguous(&format!("Content-Type: multipart/mixed; boundary=b; boundary=c{body}"), false);
    for boundary in [
        "boundary=b",
        "boundary=\"b\"",
        "boundary*=us-ascii''b",
        "boundary*0=b",
        "BOUNDARY = b",
        "x=y; boundary=b",
    ] {
        check(&format!("Content-Type: multipart/mixed; {boundary}{body}"), "extension", &["exe"]);
    }
    // Behind the end, before the beginning, without an end, one boundary the beginning of the other.
    let after = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n{EXE}");
    check(&after, "extension", &["", "exe"]);
    let prefix = format!(
        "Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{EXE}\r\n--b--\r\n--bb--\r\n"
    );
    assert!(texts(&prefix, "parts", "extension").contains(&"exe".to_owned()));
}

#[test]
fn attack_a_file_where_a_text_is_expected() {
    let alternative = mixed(&["\r\ntext", EXE]).replace("multipart/mixed", "multipart/alternative");
    check(&alternative, "extension", &["", "exe"]);
    check(&alternative, "attachment", &["false", "true"]);
    let uu = "From: a@b.test\r\n\r\nHello\r\nbegin 644 a.exe\r\n\"35H\r\n`\r\nend\r\n";
    check(uu, "extension", &["", "exe"]);
    check(uu, "detected", &["", "exe"]);
    let related =
        mixed(&["Content-Type: text/html\r\n\r\n<p>", EXE]).replace("multipart/mixed", "multipart/related");
    check(&related, "extension", &["", "exe"]);
    let report = mixed(&[EXE]).replace("multipart/mixed", "multipart/x-strange");
    check(&report, "extension", &["exe"]);
}

#[test]
fn attack_pages_that_carry_a_file() {
    let page = "Content-Type: text/html; name=a.html\r\nContent-Disposition: attachment\r\n\r\n<html><script>new Blob([atob('TVqQ')])</script>";
    check(&mixed(&[page]), "scripts", &["true"]);
    check(&mixed(&[page]), "attachment", &["true"]);
    let data = "From: a@b.test\r\nContent-Type: text/html\r\n\r\n<a href=' da\tta:application/zip;base64,UEsD'>open</a>";
    assert_eq!(texts(data, "urls", "href"), ["data:application/zip;base64,UEsD"]);
    let base = "From: a@b.test\r\nContent-Type: text/html\r\n\r\n<base href=http://evil.test/><a href=login>https://bank.test</a>";
    assert_eq!(texts(base, "urls", "misleading"), ["false", "true"]);
}

#[test]
fn attack_letters_that_nobody_sees() {
    let message = "From: \"Car\u{200b}la Chief\" <a@b.test>\r\nSubject: In\u{ad}voice\r\nContent-Type: text/plain; charset=utf-8\r\n\r\npass\u{200b}wo\u{feff}rd\r\n";
    assert_eq!(fact(message, "message", "from_name"), Value::from("Carla Chief"));
    assert_eq!(fact(message, "message", "subject"), Value::from("Invoice"));
    let Value::String(text) = fact(message, "message", "text") else { panic!() };
    assert_eq!(text.trim(), "password");
}

#[test]
fn attack_names_of_authors() {
    let check = |value: &str, expected: &str| {
        let message = format!("From: {value}\r\n\r\nx");
        assert_eq!(fact(&message, "message", "from_name"), Value::from(expected), "{value}");
    };
    check("Carla Chief <a@b.test>", "Carla Chief");
    check("\"Carla Chief\" <a@b.test>", "Carla Chief");
    check("=?utf-8?Q?Carla_Chief?= <a@b.test>", "Carla Chief");
    check("=?utf-8?B?Q2FybGEg?= =?utf-8?B?Q2hpZWY=?= <a@b.test>", "Carla Chief");
    check("\"=?utf-8?Q?Carla_Chief?=\" <a@b.test>", "Carla Chief");
    check("a@b.test (Carla Chief)", "Carla Chief");
    check("Carla\r\n Chief <a@b.test>", "Carla Chief");
}

#[test]
fn attack_pages_and_texts_by_another_type() {
    let page = "<a href='http://evil.test'>card 4111111111111111</a><script>x</script>";
    let wide: String = page.chars().flat_map(|letter| [letter, '\0']).collect();
    let encoded = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode([b"\xff\xfe", text.as_bytes()].concat())
    };
    for part in [
        format!("Content-Type: application/octet-stream; name=a.html\r\n\r\n{page}"),
        format!("Content-Type: image/png; name=a.SHTML.\r\n\r\n<!--{}-->{page}", "x".repeat(2000)),
        format!(
            "Content-Type: text/html; name=a.html\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            encoded(&wide)
        ),
        format!(
            "Content-Type: application/x; name=a.htm\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            encoded(&wide)
        ),
        format!(
            "Content-Type: text/html; name=a.htm\r\nContent-Transfer-Encoding: base64\r\n\r\n!{}",
            encoded(page)
        ),
    ] {
        let message = mixed(&[&part]);
        check(&message, "scripts", &["true"]);
        assert_eq!(texts(&message, "urls", "host"), ["evil.test"], "{message}");
        let Value::String(text) = fact(&message, "message", "text") else { panic!() };
        assert!(text.contains("4111111111111111"), "{text}");
    }
    let table = mixed(&["Content-Type: application/vnd.ms-excel; name=a.csv\r\n\r\nA;4111111111111111"]);
    let Value::String(text) = fact(&table, "message", "text") else { panic!() };
    assert!(text.contains("4111111111111111"), "{text}");
}

#[test]
fn attack_a_message_as_a_file() {
    let inner = mixed(&[EXE]).replace("=b", "=c").replace("--b", "--c");
    let outer = mixed(&[&format!("Content-Type: application/octet-stream; name=a.eml\r\n\r\n{inner}")]);
    check(&outer, "extension", &["eml", "exe"]);
    let upper = mixed(&[&format!("Content-Type: MESSAGE/RFC822\r\n\r\n{inner}")]);
    check(&upper, "extension", &["", "exe"]);
    let mut deep = EXE.to_owned();
    for _ in 0..9 {
        deep = format!("Content-Type: application/x; name=a.eml\r\n\r\n{deep}");
    }
    assert!(texts(&deep, "parts", "extension").len() <= 5);
}
