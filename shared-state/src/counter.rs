//! Names of counters.

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
        let plain = |part: &str| {
            (1..=PART_MAX).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_@:+".contains(&byte))
        };
        if [room, what, whom].into_iter().all(plain) {
            Ok(Self(format!("{room}:{what}:{whom}")))
        } else {
            Err(CounterKeyError)
        }
    }
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
}
