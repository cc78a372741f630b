//! A day in UTC: reports are about whole ones (RFC 9990 §3.1.1, RFC 8460 §4.1).

use std::fmt;
use std::str::FromStr;

use time::{Date, Month, OffsetDateTime};

const SECONDS: u64 = 86_400;

/// Days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u64);

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as 2026-11-29")]
pub struct DayError;

impl Day {
    /// The day of a moment in seconds since 1970.
    pub const fn of(unix_seconds: u64) -> Self {
        Self(unix_seconds / SECONDS)
    }

    /// Its first second.
    pub const fn begin(self) -> u64 {
        self.0.saturating_mul(SECONDS)
    }

    /// Its last second.
    pub const fn end(self) -> u64 {
        self.begin().saturating_add(SECONDS - 1)
    }

    /// The day before.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = i64::try_from(self.begin()).unwrap_or_default();
        let date = OffsetDateTime::from_unix_timestamp(begin).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let numeric = text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if text.len() != 10 || !numeric {
            return Err(DayError);
        }
        let number = |range| text.get(range).and_then(|part: &str| part.parse::<u16>().ok()).ok_or(DayError);
        let small = |range| number(range).and_then(|number| u8::try_from(number).map_err(|_| DayError));
        let month = Month::try_from(small(5..7)?).map_err(|_| DayError)?;
        let date = Date::from_calendar_date(i32::from(number(0..4)?), month, small(8..10)?);
        let seconds = date.map_err(|_| DayError)?.midnight().assume_utc().unix_timestamp();
        u64::try_from(seconds).map(Self::of).map_err(|_| DayError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        let check = |text: &str, begin: Option<u64>| {
            let day: Option<Day> = text.parse().ok();
            assert_eq!(day.map(Day::begin), begin, "{text}");
            assert!(day.is_none_or(|day| day.to_string() == text), "{text}");
        };
        check("1970-01-01", Some(0));
        check("1970-01-02", Some(86_400));
        check("2024-02-29", Some(1_709_164_800));
        check("1969-12-31", None);
        check("2023-02-29", None);
        check("2023-13-01", None);
        check("2023-1-01", None);
        check("2023-01-01 ", None);
        check("2023/01/01", None);
        check("+023-01-01", None);
        check("\u{661}\u{661}-01-01", None);
        assert_eq!((Day::of(86_399), Day::of(86_400)), (Day(0), Day(1)));
        assert_eq!(Day(1).end(), 172_799);
        assert_eq!(Day(1).before(), Day(0));
    }
}
