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

/// What one node says to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Changed(Change),
    /// It could not tell of all its changes: whoever hears it knows nothing any more of what was not looked at since.
    Lost,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// Who says so: a node does not listen to itself.
    node: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mailbox: Option<String>,
}

/// None when it would be too long.
pub(crate) fn encode(node: &str, word: &Word) -> Option<String> {
    let (account, mailbox) = match word {
        Word::Changed(Change { account, mailbox }) => (Some(account.clone()), Some(mailbox.clone())),
        Word::Lost => (None, None),
    };
    let told = Told { node: node.to_owned(), account, mailbox };
    serde_json::to_string(&told).ok().filter(|text| text.len() <= SIZE_MAX)
}

/// What another node says; none for our own words and for what is no signal.
pub(crate) fn decode(own: &str, text: &[u8]) -> Option<Word> {
    if text.len() > SIZE_MAX {
        return None;
    }
    let Told { node, account, mailbox } = serde_json::from_slice(text).ok()?;
    let word = match (account, mailbox) {
        (Some(account), Some(mailbox)) => Word::Changed(Change { account, mailbox }),
        (None, None) => Word::Lost,
        _ => return None,
    };
    (node != own).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_travels_and_what_is_none_is_ignored() {
        let change = Change { account: "a@x.test".parse().unwrap(), mailbox: "Ärger \"1\"".to_owned() };
        let long = Word::Changed(Change { mailbox: "x".repeat(5000), ..change.clone() });
        for word in [Word::Changed(change), Word::Lost] {
            let text = encode("node1", &word).unwrap();
            assert_eq!(decode("node2", text.as_bytes()), Some(word));
            assert_eq!(decode("node1", text.as_bytes()), None, "its own");
        }
        assert_eq!(encode("node1", &long), None);
        for garbage in [
            "",
            "{}",
            "null",
            "{\"node\":1}",
            "{\"node\":\"x\",\"mailbox\":\"y\"}",
            "\u{0}",
            &"[".repeat(4000),
            &"x".repeat(5000),
        ] {
            assert_eq!(decode("node2", garbage.as_bytes()), None);
        }
    }
}
