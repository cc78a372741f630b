//! Small values that are kept for a time.

use std::time::Duration;

use crate::CounterKey;

/// Octets of a value.
pub(crate) const VALUE_MAX: usize = 1024;
/// The longest time that anything is kept.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A text of 1 to 1,024 octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value(String);

/// Why a text is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value is 1 to 1024 octets")]
pub struct ValueError;

impl Value {
    /// The text, if it is short enough.
    pub fn new(text: impl Into<String>) -> Result<Self, ValueError> {
        let text = text.into();
        if (1..=VALUE_MAX).contains(&text.len()) { Ok(Self(text)) } else { Err(ValueError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value, and how long it is kept from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What was kept.
    pub value: Value,
    /// After this time it is forgotten.
    pub remaining: Duration,
}

/// Where a counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The sum.
    pub sum: u64,
    /// After this time it begins anew.
    pub remaining: Duration,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A counter.
    Count(u64),
    /// A value.
    Value(Value),
}

/// One of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: CounterKey,
    /// What it is.
    pub held: Held,
    /// After this time it is forgotten.
    pub remaining: Duration,
}

/// Some of what begins alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// By name.
    pub entries: Vec<Entry>,
    /// Whether that is all there is.
    pub whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_bound() {
        for (length, good) in [(0, false), (1, true), (1023, true), (1024, true), (1025, false)] {
            assert_eq!(Value::new("x".repeat(length)).is_ok(), good, "{length}");
        }
    }
}
