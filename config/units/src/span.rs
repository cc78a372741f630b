//! Lengths of time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A length of time, written `"30s"`, `"5m"` or `"1h 30m"`; to the millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write whole numbers with d, h, m, s or ms, such as \"30s\" or \"1h 30m\"")]
pub struct SpanError(String);

impl Span {
    /// That many milliseconds.
    pub const fn millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// That many seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// That many minutes.
    pub const fn mins(minutes: u64) -> Self {
        Self::secs(minutes * 60)
    }

    /// That many hours.
    pub const fn hours(hours: u64) -> Self {
        Self::secs(hours * 3600)
    }

    /// As the standard library's type.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.to_owned());
        let mut total: u64 = 0;
        let mut parts = 0;
        for part in text.split_whitespace() {
            let (number, unit) = part.split_at(part.bytes().take_while(u8::is_ascii_digit).count());
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let more = number.checked_mul(*factor).ok_or_else(wrong)?;
            total = total.checked_add(more).ok_or_else(wrong)?;
            parts += 1;
        }
        if parts == 0 { Err(wrong()) } else { Ok(Self::millis(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let mut first = true;
        for (name, factor) in UNITS {
            let count = rest / factor;
            if count > 0 || (first && factor == 1) {
                write!(f, "{}{count}{name}", if first { "" } else { " " })?;
                first = false;
                rest %= factor;
            }
            if rest == 0 && !first {
                break;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for (text, milliseconds) in
            [("0ms", 0), ("30s", 30_000), ("1h 30m", 5_400_000), ("5d", 432_000_000), ("1s 1ms", 1001)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span, span.to_string().as_str()), (Span::millis(milliseconds), text));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", " ", "5", "5 s", "-1s", "1.5h", "99999999999999999d", "s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
