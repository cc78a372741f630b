//! Shapes in which mail comes: what lists and clients show of each.

#[path = "../../../tests/corpus/expected.rs"]
mod expected;

use super::{Part, PartKind, fuzz_summary, parse};
use expected::shapes;

#[test]
fn summaries_show_who_wrote_and_the_first_words() {
    for shape in shapes() {
        let summary = parse(&shape.octets);
        let [author] = summary.from.as_slice() else { panic!("{}: {:?}", shape.name, summary.from) };
        let part = |part: &Option<bytes::Bytes>| String::from_utf8(part.clone().unwrap().to_vec()).unwrap();
        assert_eq!(format!("{}@{}", part(&author.mailbox), part(&author.host)), shape.from, "{}", shape.name);
        if shape.subject.is_some_and(str::is_ascii) {
            let words = summary.subject.as_deref().unwrap_or_default();
            assert!(!words.contains(&b'\n'), "{}: {words:?}", shape.name);
        }
        let mut names = Vec::new();
        files(&summary.structure, &mut names);
        assert!(names.len() >= shape.files.len(), "{}: {names:?}", shape.name);
        for file in shape.files.iter().filter(|file| file.is_ascii()) {
            assert!(
                names.iter().any(|name| name.contains(file)),
                "{}: {file} is not in {names:?}",
                shape.name
            );
        }
    }
}

/// Names as they are written: of a part each.
fn files(part: &Part, names: &mut Vec<String>) {
    let disposition = part.disposition.iter().flat_map(|(_, parameters)| parameters);
    let named = part.parameters.iter().chain(disposition).filter(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name.starts_with(b"name") || name.starts_with(b"filename")
    });
    let written: Vec<String> = named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    if !written.is_empty() {
        names.push(written.join(" "));
    }
    match &part.kind {
        PartKind::Leaf => {}
        PartKind::Multipart(parts) => parts.iter().for_each(|part| files(part, names)),
        PartKind::Message(message) => files(&message.structure, names),
    }
}

#[test]
fn previews_are_the_first_words() {
    for shape in shapes() {
        let preview = parse(&shape.octets).preview;
        // What stands in a forwarded message, behind the first words, or in parts that nobody can tell apart is not in a preview.
        let deep = ["boundary-missing", "cron", "digest", "forwarded-twice", "outlook-related", "pgp-inline"]
            .contains(&shape.name);
        if let Some(words) = shape.text.filter(|_| !deep) {
            let shown = preview.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(shown.contains(words), "{}: {words:?} is not in {shown:?}", shape.name);
        }
    }
}

#[test]
fn the_fuzz_entry_takes_them() {
    for shape in shapes() {
        fuzz_summary(&shape.octets);
    }
}
