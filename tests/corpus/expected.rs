//! The messages of this folder, and what must be found in each. Included by the tests of the rooms that read mail.

/// A message and what is in it. What is [`None`] nobody can say.
#[allow(dead_code, reason = "not every room looks at everything")]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) octets: Vec<u8>,
    pub(crate) subject: Option<&'static str>,
    pub(crate) from: &'static str,
    /// Names of files.
    pub(crate) files: Vec<&'static str>,
    /// Words of the text.
    pub(crate) text: Option<&'static str>,
}

/// Every message that `make.py` writes.
pub(crate) fn shapes() -> Vec<Shape> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/messages");
    let lines = include_str!("expected.tsv").lines().filter(|line| !line.starts_with('#'));
    let shapes: Vec<Shape> = lines
        .map(|line| {
            let [name, subject, from, files, text] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("five columns: {line}")
            };
            let known = |text: &'static str| (text != "?").then_some(text);
            let octets = std::fs::read(format!("{folder}/{name}.eml")).expect(name);
            let files = files.split('|').filter(|file| !file.is_empty()).collect();
            Shape { name, octets, subject: known(subject), from, files, text: known(text) }
        })
        .collect();
    let written = std::fs::read_dir(folder).expect("messages").count();
    assert_eq!(shapes.len(), written, "each message has its line");
    shapes
}
