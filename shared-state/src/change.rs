//! One signal, and how it travels.

use envelope::AccountId;
use serde::{Deserialize, Serialize};

/// Octets that a signal may have on the way.
const SIZE_MAX: usize = 4096;

/// A mailbox has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Whose.
    pub account: AccountId,
    /// Its name, as in IMAP.
    pub mailbox: String,
}

#[derive(Serialize, Deserialize)]
struct Told {
    /// Who says so: a node does not listen to itself.
    node: String,
    #[serde(flatten)]
    change: Change,
}

pub(crate) fn encode(node: &str, change: &Change) -> Option<String> {
    let told = Told { node: node.to_owned(), change: change.clone() };
    serde_json::to_string(&told).ok().filter(|text| text.len() <= SIZE_MAX)
}

/// What another node says; none for our own words and for what is no signal.
pub(crate) fn decode(own: &str, text: &[u8]) -> Option<Change> {
    if text.len() > SIZE_MAX {
        return None;
    }
    let told: Told = serde_json::from_slice(text).ok()?;
    (told.node != own).then_some(told.change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_travels_and_what_is_none_is_ignored() {
        let change = Change { account: "a@x.test".parse().unwrap(), mailbox: "Ärger \"1\"".to_owned() };
        let text = encode("node1", &change).unwrap();
        assert_eq!(decode("node2", text.as_bytes()), Some(change.clone()));
        assert_eq!(decode("node1", text.as_bytes()), None, "its own");
        let long = Change { mailbox: "x".repeat(5000), ..change };
        assert_eq!(encode("node1", &long), None);
        for garbage in ["", "{}", "null", "{\"node\":1}", "\u{0}", &"[".repeat(4000), &"x".repeat(5000)] {
            assert_eq!(decode("node2", garbage.as_bytes()), None);
        }
    }
}
