//! The counts of a day, from the files of all nodes that are given.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why counts can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CountsError {
    /// The disk.
    #[error("failed to read `{path}`")]
    Read {
        /// Which file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Rows and how many there were of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    rows: BTreeMap<String, u64>,
    unreadable: u64,
}

/// A line of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    begin: Option<u8>,
    n: Option<u32>,
    row: Option<serde_json::Value>,
    #[serde(default)]
    count: u64,
}

impl Counts {
    /// Adds what a file holds; one that is not there holds nothing. What is beyond `octets_max`, as after the limit was lowered, counts as one line
    /// that makes no sense. Blocks.
    pub fn add_file(&mut self, path: &Path, octets_max: u64) -> Result<(), CountsError> {
        let name = || path.display().to_string();
        let failed = |source| CountsError::Read { path: name(), source };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let mut octets = Vec::new();
        file.take(octets_max.saturating_add(1)).read_to_end(&mut octets).map_err(failed)?;
        if octets.len() as u64 > octets_max {
            octets.pop();
            self.unreadable += 1;
        }
        self.add(&octets);
        Ok(())
    }

    /// Adds what the text of a file says. A last line without its end was torn and is left out; so is what makes no sense, which is counted.
    pub fn add(&mut self, text: &[u8]) {
        let mut numbered: HashMap<u32, String> = HashMap::new();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Line>(line) {
                Ok(Line { begin: Some(_), .. }) => numbered.clear(),
                Ok(Line { n: Some(number), row: Some(row), count, .. }) if row.is_object() => {
                    let row = row.to_string();
                    self.count(row.clone(), count);
                    numbered.insert(number, row);
                }
                Ok(Line { n: Some(number), row: None, count, .. }) => match numbered.get(&number) {
                    Some(row) => self.count(row.clone(), count),
                    None => self.unreadable += 1,
                },
                _ => self.unreadable += 1,
            }
        }
    }

    fn count(&mut self, row: String, count: u64) {
        let sum = self.rows.entry(row).or_default();
        *sum = sum.saturating_add(count);
    }

    /// The rows of a kind. Rows of other shapes (a later version wrote them) are left out.
    pub fn rows<R: DeserializeOwned + Serialize>(&self) -> Vec<(R, u64)> {
        let parsed =
            self.rows.iter().filter_map(|(row, count)| Some((serde_json::from_str(row).ok()?, *count)));
        parsed.filter(|(_, count)| *count > 0).collect()
    }

    /// Lines that made no sense.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn total(&self) -> u64 {
        self.rows.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Feeds arbitrary octets to the reader of counts: what is cut off never adds to what is counted.
pub fn fuzz_counts(input: &[u8]) {
    let mut whole = Counts::default();
    whole.add(input);
    let mut part = Counts::default();
    part.add(input.get(..input.len() / 2).unwrap_or_default());
    assert!(part.total() <= whole.total(), "a part of a file counts more than the whole");
    let mut again = Counts::default();
    again.add(input);
    assert_eq!(whole, again);
    let rows: Vec<(serde_json::Value, u64)> = whole.rows();
    assert!(rows.iter().all(|(row, count)| row.is_object() && *count > 0));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(text: &str, expected: &[(Value, u64)], unreadable: u64) {
        let mut counts = Counts::default();
        counts.add(text.as_bytes());
        assert_eq!((counts.rows::<Value>(), counts.unreadable()), (expected.to_vec(), unreadable), "{text}");
        fuzz_counts(text.as_bytes());
    }

    #[test]
    fn lines_are_counted_and_torn_ones_are_not() {
        let one = json!({"a": 1});
        check("", &[], 0);
        check(
            "{\"begin\":1}\n{\"n\":1,\"row\":{\"a\":1},\"count\":3}\n{\"n\":1,\"count\":2}\n",
            &[(one.clone(), 5)],
            0,
        );
        // Torn by a crash, and ended by the next process.
        check("{\"n\":1,\"row\":{\"a\":1},\"count\":3}\n{\"n\":1,\"count\":2}", &[(one.clone(), 3)], 0);
        check(
            "{\"begin\":1}\n{\"n\":1,\"row\":{\"a\":1},\"count\":3}\n{\"n\":1,\"cou\n{\"begin\":1}\n{\"n\":1,\"row\":{\"a\":1},\"count\":1}\n",
            &[(one.clone(), 4)],
            1,
        );
        // Numbers begin anew with each process.
        check(
            "{\"n\":1,\"row\":{\"a\":1},\"count\":1}\n{\"begin\":1}\n{\"n\":1,\"count\":9}\n",
            &[(one, 1)],
            1,
        );
        check("nonsense\n[]\n{\"n\":1}\n{\"n\":1,\"row\":7,\"count\":1}\n", &[], 4);
        check("{\"n\":1,\"row\":{},\"count\":-1}\n{\"n\":1,\"row\":{},\"count\":1,\"more\":1}\n", &[], 2);
    }

    #[test]
    fn files_are_bounded_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counts");
        let text = "{\"n\":1,\"row\":{\"a\":1},\"count\":3}\n";
        let mut counts = Counts::default();
        counts.add_file(&path, 10).unwrap();
        std::fs::write(&path, text).unwrap();
        let octets = text.len() as u64;
        let mut short = Counts::default();
        short.add_file(&path, octets - 1).unwrap();
        assert_eq!((short.rows::<Value>(), short.unreadable()), (Vec::new(), 1));
        counts.add_file(&path, octets).unwrap();
        // The file of another node.
        counts.add_file(&path, octets + 1).unwrap();
        assert_eq!(counts.rows::<Value>(), [(json!({"a": 1}), 6)]);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(lines in proptest::collection::vec(prop_oneof![
            Just("{\"begin\":1}\n".to_owned()),
            (0u32..4, 0u64..5).prop_map(|(n, count)| format!("{{\"n\":{n},\"count\":{count}}}\n")),
            (0u32..4, 0u8..4, 0u64..u64::MAX).prop_map(|(n, row, count)| format!("{{\"n\":{n},\"row\":{{\"r\":{row}}},\"count\":{count}}}\n")),
            "[ -~]{0,20}\n?",
        ], 0..20)) {
            fuzz_counts(lines.concat().as_bytes());
        }
    }
}
