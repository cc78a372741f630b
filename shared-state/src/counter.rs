//! Names of counters and of values.

use std::fmt;

/// Letters of a part.
const PART_MAX: usize = 100;

/// `room:what:whom`, each part bounded and plain, so that nobody outside chooses a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CounterKey(String);

/// Why parts are no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part of a counter's name is 1 to 100 letters, digits or . - _ @ : +")]
pub struct CounterKeyError;

impl CounterKey {
    /// Joins the parts.
    pub fn new(room: &'static str, what: &'static str, whom: &str) -> Result<Self, CounterKeyError> {
        if [room, what, whom].into_iter().all(is_plain) {
            Ok(Self(format!("{room}:{what}:{whom}")))
        } else {
            Err(CounterKeyError)
        }
    }
}

impl CounterKey {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part: whatever stands behind the second colon.
    pub fn whom(&self) -> &str {
        self.0.splitn(3, ':').nth(2).unwrap_or_default()
    }

    /// A name that was found in a store: only what could have been made by [`CounterKey::new`].
    pub(crate) fn found(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let good = parts.by_ref().take(3).filter(|part| is_plain(part)).count() == 3;
        good.then(|| Self(text.to_owned()))
    }
}

/// The beginning of names: `room:what:` and, of the last part, the first letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Joins the parts; `whom` may be empty.
    pub fn new(room: &'static str, what: &'static str, whom: &str) -> Result<Self, CounterKeyError> {
        if is_plain(room) && is_plain(what) && (whom.is_empty() || is_plain(whom)) {
            Ok(Self(format!("{room}:{what}:{whom}")))
        } else {
            Err(CounterKeyError)
        }
    }

    /// The text with which names begin.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn fits(&self, key: &CounterKey) -> bool {
        key.0.starts_with(&self.0)
    }
}

fn is_plain(part: &str) -> bool {
    (1..=PART_MAX).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@:+".contains(&byte))
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_parts_are_a_key() {
        assert_eq!(
            CounterKey::new("gateway", "peer", "2001:db8::1").unwrap().to_string(),
            "gateway:peer:2001:db8::1"
        );
        for whom in ["", "a b", "a\r\nDEL x", "ä", &"x".repeat(101)] {
            assert!(CounterKey::new("gateway", "peer", whom).is_err(), "{whom:?}");
        }
        assert!(CounterKey::new("gateway", "peer", &"x".repeat(100)).is_ok());
    }

    #[test]
    fn a_name_that_was_found_is_one_that_could_be_made() {
        let key = CounterKey::new("gateway", "peer", "2001:db8::1").unwrap();
        assert_eq!(key.whom(), "2001:db8::1");
        assert_eq!(CounterKey::found(key.as_str()), Some(key));
        for text in ["", "a", "a:b", "a:b:", ":b:c", "a:b:c d", "a:b:ä", &format!("a:b:{}", "x".repeat(101))]
        {
            assert_eq!(CounterKey::found(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_prefix_is_plain_too() {
        let key = CounterKey::new("gateway", "peer", "192.0.2.1").unwrap();
        let check = |whom: &str, expected: bool| {
            assert_eq!(KeyPrefix::new("gateway", "peer", whom).unwrap().fits(&key), expected, "{whom}");
        };
        check("", true);
        check("192.", true);
        check("193.", false);
        assert!(!KeyPrefix::new("gateway", "pee", "").unwrap().fits(&key));
        for whom in ["*", "a?", "[a]", "a b", "\\"] {
            assert!(KeyPrefix::new("gateway", "peer", whom).is_err(), "{whom:?}");
        }
    }
}
