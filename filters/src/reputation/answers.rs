//! Which answers of a DNS list count.
//!
//! ```text
//! pattern = address "-" address     from … to, such as 127.0.0.2-127.0.0.11
//!         / "&" mask                any of these bits, such as &0.0.0.6
//!         / octet 3("." octet)      such as 127.0.*.1-3
//! octet   = number / number "-" number / "*"
//! ```

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Answers that count, written `"127.0.0.2-127.0.0.11"`, `"127.0.*.1-3"` or, for lists whose answers are sets of bits, `"&0.0.0.6"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers(Pattern);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Range(Ipv4Addr, Ipv4Addr),
    Bits(Ipv4Addr),
    Octets([(u8, u8); 4]),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` says not which answers count: write \"127.0.0.2\", \"127.0.0.2-127.0.0.11\", \"127.0.*.1-3\" or, for bits, \"&0.0.0.6\""
)]
pub struct AnswersError(String);

impl Answers {
    /// 127.0.0.2 to 127.0.0.255: what lists answer by convention (RFC 5782 §2.1).
    pub(super) const CONVENTION: Self =
        Self(Pattern::Range(Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 255)));

    /// Whether `answer` is one of them.
    pub(super) fn hold(self, answer: Ipv4Addr) -> bool {
        match self.0 {
            Pattern::Range(first, last) => (first..=last).contains(&answer),
            Pattern::Bits(mask) => answer.to_bits() & mask.to_bits() != 0,
            Pattern::Octets(octets) => octets
                .iter()
                .zip(answer.octets())
                .all(|((first, last), octet)| (*first..=*last).contains(&octet)),
        }
    }
}

impl FromStr for Answers {
    type Err = AnswersError;

    fn from_str(text: &str) -> Result<Self, AnswersError> {
        parse(text).map(Self).ok_or_else(|| AnswersError(text.chars().take(100).collect()))
    }
}

fn parse(text: &str) -> Option<Pattern> {
    if let Some(mask) = text.strip_prefix('&') {
        // All answers begin with 127: such a bit would say nothing.
        let mask: Ipv4Addr = mask.parse().ok()?;
        return (mask.to_bits() != 0 && mask.octets().first() == Some(&0)).then_some(Pattern::Bits(mask));
    }
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse(), last.parse())
    {
        return (first <= last).then_some(Pattern::Range(first, last));
    }
    let octets = text.split('.').map(octet).collect::<Option<Vec<_>>>()?;
    octets.try_into().ok().map(Pattern::Octets)
}

fn octet(text: &str) -> Option<(u8, u8)> {
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u8>().ok().filter(|_| plain)
    };
    if text == "*" {
        return Some((0, 255));
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Pattern::Range(first, last) => write!(f, "{first}-{last}"),
            Pattern::Bits(mask) => write!(f, "&{mask}"),
            Pattern::Octets(octets) => {
                for (place, (first, last)) in octets.iter().enumerate() {
                    let dot = if place == 0 { "" } else { "." };
                    match (first, last) {
                        (0, 255) => write!(f, "{dot}*")?,
                        _ if first == last => write!(f, "{dot}{first}")?,
                        _ => write!(f, "{dot}{first}-{last}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Answers {
    fn schema_name() -> Cow<'static, str> {
        "Answers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Reads a pattern: what is accepted prints as something that reads as the same.
pub fn fuzz_answers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(answers) = text.parse::<Answers>() else { return };
    assert_eq!(answers.to_string().parse(), Ok(answers));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold() {
        let check = |pattern: &str, answer: &str, expected: bool| {
            let answers: Answers = pattern.parse().unwrap();
            assert_eq!(answers.to_string(), pattern);
            assert_eq!(answers.hold(answer.parse().unwrap()), expected, "{pattern} {answer}");
        };
        for (last, expected) in [(1, false), (2, true), (11, true), (12, false)] {
            check("127.0.0.2-127.0.0.11", &format!("127.0.0.{last}"), expected);
        }
        check("127.0.0.2", "127.0.0.2", true);
        check("127.0.0.2", "127.0.0.3", false);
        check("&0.0.0.6", "127.0.0.4", true);
        check("&0.0.0.6", "127.0.0.8", false);
        check("&0.0.0.6", "127.0.0.255", true);
        check("127.0.*.1-3", "127.0.15.3", true);
        check("127.0.*.1-3", "127.0.15.0", false);
        check("127.0.*.1-3", "127.1.15.2", false);
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "127",
            "127.0.0",
            "127.0.0.0.1",
            "127.0.0.256",
            "127.0.0.3-127.0.0.2",
            "127.0.0.5-2",
            "&",
            "&0.0.0.0",
            "&127.0.0.2",
            "127.0.0.+2",
            "127.0.0.",
            "127.0.0.02",
            "127.0.0.2-",
            "* . . .",
            "a.b.c.d",
        ] {
            assert!(text.parse::<Answers>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn anything_is_read_or_refused() {
        let letters = b"0123456789.-*& a";
        let mut random = 0x9e37_79b9_u32;
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..random % 20)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    letters[(random >> 16) as usize % letters.len()]
                })
                .collect();
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) >> 1;
            fuzz_answers(&text);
        }
    }
}
