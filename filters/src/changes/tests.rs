use proptest::prelude::*;

use super::*;

fn add(name: &str, value: &str) -> Change {
    Change::AddField { name: name.to_owned(), value: value.to_owned() }
}

fn insert(index: usize, name: &str, value: &str) -> Change {
    Change::InsertField { index, name: name.to_owned(), value: value.to_owned() }
}

fn set(name: &str, index: usize, value: &str) -> Change {
    Change::ChangeField { name: name.to_owned(), index, value: Some(value.to_owned()) }
}

fn remove(name: &str, index: usize) -> Change {
    Change::ChangeField { name: name.to_owned(), index, value: None }
}

fn body(text: &'static str) -> Change {
    Change::ReplaceBody(Bytes::from_static(text.as_bytes()))
}

fn made(message: &'static str, changes: &[Change]) -> String {
    String::from_utf8(apply(&Bytes::from_static(message.as_bytes()), changes).to_vec()).unwrap()
}

const MESSAGE: &str = "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n";

fn check(changes: &[Change], expected: &str) {
    assert_eq!(made(MESSAGE, changes), expected, "{changes:?}");
}

#[test]
fn added_behind_the_last() {
    check(&[add("C", "3")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nC: 3\r\n\r\ntext\r\n.\r\n");
    check(
        &[add("C", "3"), add("C", "4")],
        "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nC: 3\r\nC: 4\r\n\r\ntext\r\n.\r\n",
    );
}

#[test]
fn inserted_at_a_place() {
    check(&[insert(0, "C", "3")], "C: 3\r\nA: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[insert(1, "C", "3")], "A: 1\r\nC: 3\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[insert(3, "C", "3")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nC: 3\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[insert(4, "C", "3")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nC: 3\r\n\r\ntext\r\n.\r\n");
    check(
        &[insert(usize::MAX, "C", "3")],
        "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nC: 3\r\n\r\ntext\r\n.\r\n",
    );
    check(
        &[insert(0, "C", "3"), insert(0, "D", "4"), insert(1, "E", "5")],
        "D: 4\r\nE: 5\r\nC: 3\r\nA: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n",
    );
}

#[test]
fn changed_in_their_place() {
    check(&[set("a", 1, "x")], "a: x\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[set("A", 2, "x")], "A: 1\r\nB: 1\r\nA: x\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[set("A", 0, "x")], "A: x\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
}

#[test]
fn what_is_not_there_is_added_by_a_change_and_let_alone_by_a_removal() {
    check(&[set("A", 3, "x")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nA: x\r\n\r\ntext\r\n.\r\n");
    check(&[set("Z", 1, "x")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\nZ: x\r\n\r\ntext\r\n.\r\n");
    check(&[remove("Z", 1)], MESSAGE);
    check(&[remove("A", 3)], MESSAGE);
}

#[test]
fn removed_ones_are_not_counted_any_more() {
    check(&[remove("b", 1)], "A: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[remove("B", 1), remove("B", 1)], "A: 1\r\na : 2\r\n more\r\n\r\ntext\r\n.\r\n");
    check(&[remove("B", 1), remove("B", 2)], "A: 1\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[remove("B", 2), remove("B", 1)], "A: 1\r\na : 2\r\n more\r\n\r\ntext\r\n.\r\n");
    check(&[add("B", "3"), remove("B", 3)], MESSAGE);
    check(
        &[insert(0, "B", "0"), set("B", 2, "x")],
        "B: 0\r\nA: 1\r\nB: x\r\na : 2\r\n more\r\nB:2\r\n\r\ntext\r\n.\r\n",
    );
}

#[test]
fn bodies() {
    check(&[body("new\r\n")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\nnew\r\n");
    check(&[body("one\r\n"), body("")], "A: 1\r\nB: 1\r\na : 2\r\n more\r\nB:2\r\n\r\n");
    assert_eq!(made("A: 1\r\n", &[body("x\r\n")]), "A: 1\r\n\r\nx\r\n");
    assert_eq!(made("\r\nold", &[body("x\r\n")]), "\r\nx\r\n");
}

#[test]
fn folds_and_spaces() {
    assert_eq!(made("\r\n", &[add("A", "1\r\n\t2")]), "A: 1\r\n\t2\r\n\r\n");
    assert_eq!(made("\r\n", &[add("A", " 1")]), "A: 1\r\n\r\n");
    assert_eq!(made("\r\n", &[add("A", "  1")]), "A:  1\r\n\r\n");
    assert_eq!(made("\r\n", &[add("A", "\r\n 1")]), "A:\r\n 1\r\n\r\n");
    assert_eq!(made("\r\n", &[add("A", "")]), "A: \r\n\r\n");
    assert_eq!(made("\r\n", &[add("A", "ü")]), "A: ü\r\n\r\n");
}

#[test]
fn odd_messages() {
    assert_eq!(made("", &[add("A", "1")]), "A: 1\r\n");
    assert_eq!(made("B: 2", &[add("A", "1")]), "B: 2\r\nA: 1\r\n");
    assert_eq!(made("B: 2\r\n", &[add("A", "1")]), "B: 2\r\nA: 1\r\n");
    assert_eq!(made("no field\r\n", &[add("A", "1")]), "A: 1\r\n\r\nno field\r\n");
    assert_eq!(made("B: 2\r\nno field\r\n", &[add("A", "1")]), "B: 2\r\nA: 1\r\n\r\nno field\r\n");
    assert_eq!(made(" B: 2\r\n", &[add("A", "1")]), "A: 1\r\n\r\n B: 2\r\n");
    assert_eq!(made("B: 2\r\n\r\n\r\nC: 3\r\n", &[add("A", "1")]), "B: 2\r\nA: 1\r\n\r\n\r\nC: 3\r\n");
    assert_eq!(made("B:\r\n\r\nx", &[remove("B", 1)]), "\r\nx");
    assert_eq!(made("B: 2\r\n", &[remove("B", 1)]), "");
}

#[test]
fn without_changes_nothing_is_copied() {
    let message = Bytes::from_static(MESSAGE.as_bytes());
    let envelope = [Change::AddRecipient("a@b.test".parse().unwrap()), remove("Z", 1)];
    for changes in [&[][..], &envelope] {
        assert_eq!(apply(&message, changes).as_ptr(), message.as_ptr());
    }
}

#[test]
fn nothing_breaks_out_of_a_field() {
    for value in ["a\r\nB: c", "a\r\n\r\nx", "a\nb", "a\rb", "a\0", "a\r\n", "\r\n", "a\r\n b\r\nc"] {
        check(&[add("C", value), insert(0, "C", value), set("A", 1, value)], MESSAGE);
    }
    for name in ["", "a b", "a:", "ü", "a\r\nb", "\0"] {
        check(&[add(name, "1"), insert(0, name, "1"), set(name, 1, "1"), remove(name, 1)], MESSAGE);
    }
}

#[test]
fn octets_beyond_utf8_stay() {
    let message = Bytes::from_static(b"A: \xff\xfe\r\n\r\n\xff");
    assert_eq!(apply(&message, &[add("B", "1")]).as_ref(), b"A: \xff\xfe\r\nB: 1\r\n\r\n\xff");
}

proptest! {
    #[test]
    fn never_breaks(kinds: [u8; 4], text in "([AB]: ?[a-z]{0,3}\r\n( [a-z]{0,3}\r\n)?|\r\n|[a-z]\r\n|\r|\n|:){0,8}") {
        fuzz_changes(&[&kinds[..], text.as_bytes()].concat());
    }

    #[test]
    fn never_panics(input: Vec<u8>) {
        fuzz_changes(&input);
    }
}

#[test]
fn all_of_a_name_are_removed_as_they_are_by_then() {
    let all = |name: &str| Change::RemoveFields { name: name.to_owned() };
    check(&[all("a")], "B: 1\r\nB:2\r\n\r\ntext\r\n.\r\n");
    check(&[insert(0, "A", "0"), all("a"), add("A", "9")], "B: 1\r\nB:2\r\nA: 9\r\n\r\ntext\r\n.\r\n");
    check(&[all("c")], MESSAGE);
    for changes in [
        vec![all("A"), add("A", "9")],
        vec![insert(0, "B", "0"), remove("b", 2), all("B"), all("B")],
        vec![all("C"), add("C", "1"), all("c")],
    ] {
        let by_number = counted(MESSAGE.as_bytes(), changes.clone());
        assert!(!by_number.iter().any(|change| matches!(change, Change::RemoveFields { .. })));
        assert_eq!(made(MESSAGE, &by_number), made(MESSAGE, &changes), "{changes:?}");
    }
}
