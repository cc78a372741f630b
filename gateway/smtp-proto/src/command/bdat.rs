//! `BDAT size [LAST]` (RFC 3030 §2).

use super::CommandError;

/// A chunk is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bdat {
    /// Octets that follow the line. A number too large to count is the largest.
    pub size: u64,
    /// Whether it is the last one.
    pub last: bool,
}

impl Bdat {
    /// ```abnf
    /// bdat-cmd   = "BDAT" SP chunk-size [SP end-marker]       ; RFC 3030 §2
    /// chunk-size = 1*DIGIT
    /// end-marker = "LAST"
    /// ```
    pub(super) fn parse(argument: &str) -> Result<Self, CommandError> {
        let wrong = CommandError::Chunk;
        let (size, last) = match argument.split_once(' ') {
            Some((size, marker)) if marker.eq_ignore_ascii_case("LAST") => (size, true),
            Some(_) => return Err(wrong),
            None => (argument, false),
        };
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        Ok(Self { size: size.parse().unwrap_or(u64::MAX), last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(Bdat::parse("12"), Ok(Bdat { size: 12, last: false }));
        assert_eq!(Bdat::parse("0 last"), Ok(Bdat { size: 0, last: true }));
        for (argument, size) in [
            ("9223372036854775808", 1 << 63),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", u64::MAX),
            ("99999999999999999999999", u64::MAX),
            ("0000000000000000000000012", 12),
        ] {
            assert_eq!(Bdat::parse(argument), Ok(Bdat { size, last: false }));
        }
        for argument in
            ["", "-1", "+1", "1 FIRST", "LAST", " 1", "1  LAST", "1 LAST x", "0x10", "1e3", "1.0", "\u{661}"]
        {
            assert_eq!(Bdat::parse(argument), Err(CommandError::Chunk), "{argument}");
        }
    }
}
