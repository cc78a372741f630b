//! Dates of SEARCH and APPEND.

use std::fmt;

/// Month names as they stand on the wire (RFC 3501 §9, `date-month`).
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A day of the calendar, year 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A moment with its zone, as in INTERNALDATE and APPEND.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    date: Date,
    second_of_day: u32,
    zone_minutes: i16,
}

impl Date {
    /// None when there is no such day.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }

    /// The day that many days after 1 January 1970; clamped to the years 1 to 9999.
    pub fn from_unix_days(days: i64) -> Self {
        // Howard Hinnant's `civil_from_days`, with years that begin in March.
        let z = days.clamp(-719_162, 2_932_896) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // The clamp above keeps every part in its type.
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }

    /// Days since 1 January 1970, negative before.
    pub fn unix_days(self) -> i64 {
        let month = i64::from(self.month);
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The year, 1 to 9999.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    pub const fn day(self) -> u8 {
        self.day
    }

    fn month_name(self) -> &'static str {
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or("Jan")
    }
}

impl DateTime {
    /// `second_of_day` counts from local midnight (86,400 is a leap second at the end of the day);
    /// `zone_minutes` is the zone east of UTC, less than a day. None when out of range.
    pub fn new(date: Date, second_of_day: u32, zone_minutes: i16) -> Option<Self> {
        (second_of_day <= 86_400 && zone_minutes.abs() < 24 * 60).then_some(Self {
            date,
            second_of_day,
            zone_minutes,
        })
    }

    /// That moment in UTC.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self {
            date: Date::from_unix_days(seconds.div_euclid(86_400)),
            second_of_day: seconds.rem_euclid(86_400) as u32,
            zone_minutes: 0,
        }
    }

    /// Seconds since 1970 in UTC, negative before.
    pub fn unix_seconds(self) -> i64 {
        self.date.unix_days() * 86_400 + i64::from(self.second_of_day) - i64::from(self.zone_minutes) * 60
    }

    /// The day in its own zone, which is what SEARCH compares (RFC 3501 §6.4.4: disregarding time and zone).
    pub const fn date(self) -> Date {
        self.date
    }
}

/// The wire form `1-Feb-1994`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04}", self.day, self.month_name(), self.year)
    }
}

/// The wire form ` 1-Feb-1994 21:52:25 -0800`, without the quotes.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.second_of_day.min(86_399);
        let sign = if self.zone_minutes < 0 { '-' } else { '+' };
        let zone = self.zone_minutes.unsigned_abs();
        write!(
            f,
            "{:2}-{}-{:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.date.day,
            self.date.month_name(),
            self.date.year,
            time / 3600,
            time / 60 % 60,
            time % 60,
            zone / 60,
            zone % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (year, month, day, good) in [
            (2000, 2, 29, true),
            (1900, 2, 29, false),
            (2024, 2, 29, true),
            (2023, 2, 29, false),
            (2023, 4, 31, false),
            (2023, 12, 31, true),
            (2023, 13, 1, false),
            (2023, 0, 1, false),
            (2023, 1, 0, false),
            (0, 1, 1, false),
            (1, 1, 1, true),
            (9999, 12, 31, true),
            (10000, 1, 1, false),
        ] {
            assert_eq!(Date::new(year, month, day).is_some(), good, "{year}-{month}-{day}");
        }
        let day = |year, month, day| Date::new(year, month, day).unwrap();
        assert_eq!(day(1970, 1, 1).unix_days(), 0);
        assert_eq!(day(1969, 12, 31).unix_days(), -1);
        assert_eq!(day(2000, 3, 1).unix_days(), 11_017);
        assert_eq!(Date::from_unix_days(i64::MIN), day(1, 1, 1));
        assert_eq!(Date::from_unix_days(i64::MAX), day(9999, 12, 31));
        assert_eq!(day(1994, 2, 1).to_string(), "1-Feb-1994");
    }

    #[test]
    fn moments() {
        let date_time =
            DateTime::new(Date::new(1996, 7, 17).unwrap(), 2 * 3600 + 44 * 60 + 25, -420).unwrap();
        assert_eq!(date_time.to_string(), "17-Jul-1996 02:44:25 -0700"); // RFC 3501 §7.4.2
        assert_eq!(date_time.unix_seconds(), 837_596_665);
        assert_eq!(DateTime::from_unix_seconds(837_596_665).to_string(), "17-Jul-1996 09:44:25 +0000");
        assert_eq!(DateTime::from_unix_seconds(-1).to_string(), "31-Dec-1969 23:59:59 +0000");
        assert_eq!(DateTime::from_unix_seconds(0).to_string(), " 1-Jan-1970 00:00:00 +0000");
        let leap = DateTime::new(Date::new(2016, 12, 31).unwrap(), 86_400, 0).unwrap();
        assert_eq!(leap.unix_seconds(), Date::new(2017, 1, 1).unwrap().unix_days() * 86_400);
    }

    proptest! {
        #[test]
        fn days_round_trip(days in -719_162i64..=2_932_896) {
            let date = Date::from_unix_days(days);
            prop_assert_eq!(date.unix_days(), days);
            prop_assert_eq!(Date::new(date.year(), date.month(), date.day()), Some(date));
        }

        #[test]
        fn seconds_round_trip(seconds in -62_135_596_800i64..=253_402_300_799) {
            prop_assert_eq!(DateTime::from_unix_seconds(seconds).unix_seconds(), seconds);
        }
    }
}
