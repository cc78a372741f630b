//! Dates.

use super::{Cursor, Parsed};
use crate::{Date, DateTime, ParseError, date};

impl Cursor<'_> {
    /// ```abnf
    /// date      = date-text / DQUOTE date-text DQUOTE            ; RFC 3501 §9
    /// date-text = date-day "-" date-month "-" date-year
    /// date-day  = 1*2DIGIT
    /// ```
    pub(super) fn date(&mut self) -> Parsed<Date> {
        let quoted = self.eat(b'"');
        let day = self.digits(1, 2)?;
        let date = self.date_after_day(day)?;
        if quoted {
            self.expect(b'"', "a closing quote")?;
        }
        Ok(date)
    }

    /// ```abnf
    /// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
    /// date-day-fixed = (SP DIGIT) / 2DIGIT
    /// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
    /// zone           = ("+" / "-") 4DIGIT
    /// ```
    ///
    /// Quirk `one-digit-day`: the blank before a day of one digit may be missing.
    pub(super) fn date_time(&mut self) -> Parsed<DateTime> {
        self.expect(b'"', "a date and time")?;
        let day = if self.eat(b' ') { self.digits(1, 1)? } else { self.digits(1, 2)? };
        let date = self.date_after_day(day)?;
        self.space()?;
        let hour = self.digits(2, 2)?;
        self.expect(b':', "a time")?;
        let minute = self.digits(2, 2)?;
        self.expect(b':', "a time")?;
        let second = self.digits(2, 2)?;
        self.space()?;
        let west = self.eat(b'-');
        if !west {
            self.expect(b'+', "a time zone")?;
        }
        let (zone_hour, zone_minute) = (self.digits(2, 2)?, self.digits(2, 2)?);
        self.expect(b'"', "a closing quote")?;
        if hour > 23 || minute > 59 || second > 60 || zone_hour > 23 || zone_minute > 59 {
            return Err(ParseError::Date);
        }
        let zone = i16::try_from(zone_hour * 60 + zone_minute).map_err(|_| ParseError::Date)?;
        // A leap second is the second after it.
        let second_of_day = hour * 3600 + minute * 60 + second;
        DateTime::new(date, second_of_day, if west { -zone } else { zone }).ok_or(ParseError::Date)
    }

    fn date_after_day(&mut self, day: u32) -> Parsed<Date> {
        self.expect(b'-', "a date")?;
        let name = self.take(3);
        let month = date::MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name));
        let month = month.ok_or(ParseError::Expected("a month"))?;
        self.expect(b'-', "a date")?;
        let year = self.digits(4, 4)?;
        let (Ok(year), Ok(month), Ok(day)) =
            (u16::try_from(year), u8::try_from(month + 1), u8::try_from(day))
        else {
            return Err(ParseError::Date);
        };
        Date::new(year, month, day).ok_or(ParseError::Date)
    }

    /// Between `least` and `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Parsed<u32> {
        let count = self.rest().iter().take(most).take_while(|octet| octet.is_ascii_digit()).count();
        if count < least {
            return Err(ParseError::Expected("a digit"));
        }
        Ok(self.take(count).iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }
}
