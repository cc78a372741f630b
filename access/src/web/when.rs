//! Dates as people read them. The server does not know the reader's time zone: lists say how long ago, pages say UTC,
//! and the script turns both into local time where it runs.

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const DAY: StaticFormatDescription = format_description!("[day padding:none] [month repr:short]");
const YEAR: StaticFormatDescription = format_description!("[day padding:none] [month repr:short] [year]");
const WEEKDAY: StaticFormatDescription = format_description!("[weekday repr:short]");
const FULL: StaticFormatDescription = format_description!(
    "[weekday repr:short], [day padding:none] [month repr:long] [year], [hour]:[minute] UTC"
);
const MACHINE: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A moment in three forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct When {
    /// For lists: `12 min`, `5 h`, `Mon`, `3 Nov`, `3 Nov 2024`.
    pub(super) short: String,
    /// For reading.
    pub(super) full: String,
    /// For `<time datetime>`.
    pub(super) machine: String,
}

impl When {
    /// Seconds since 1970, seen from `now`.
    pub(super) fn new(at: i64, now: i64) -> Self {
        let Ok(date) = OffsetDateTime::from_unix_timestamp(at) else { return Self::default() };
        let this_year = OffsetDateTime::from_unix_timestamp(now).map_or(0, OffsetDateTime::year);
        let write = |format: StaticFormatDescription| date.format(format).unwrap_or_default();
        let ago = now.saturating_sub(at);
        let short = match ago {
            ..-300 => write(YEAR),
            -300..60 => "now".to_owned(),
            60..3600 => format!("{} min", ago / 60),
            3600..86_400 => format!("{} h", ago / 3600),
            86_400..518_400 => write(WEEKDAY),
            _ if date.year() == this_year => write(DAY),
            _ => write(YEAR),
        };
        Self { short, full: write(FULL), machine: write(MACHINE) }
    }
}

/// Seconds since 1970, now.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative() {
        const NOW: i64 = 1_795_500_000; // Tue, 24 November 2026
        let check = |ago: i64, expected: &str| assert_eq!(When::new(NOW - ago, NOW).short, expected, "{ago}");
        check(-10, "now");
        check(59, "now");
        check(60, "1 min");
        check(3599, "59 min");
        check(3600, "1 h");
        check(86_399, "23 h");
        check(86_400 * 2, "Sun");
        check(86_400 * 30, "25 Oct");
        check(86_400 * 400, "20 Oct 2025");
        check(-86_400 * 400, "29 Dec 2027");
        assert_eq!(When::new(i64::MAX, NOW), When::default());
    }

    #[test]
    fn full() {
        let when = When::new(1_163_424_245, 0);
        assert_eq!(when.full, "Mon, 13 November 2006, 13:24 UTC");
        assert_eq!(when.machine, "2006-11-13T13:24:05Z");
    }
}
