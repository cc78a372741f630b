//! `BDAT size [LAST]` (RFC 3030 §2).

use super::CommandError;

/// A chunk is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bdat {
    /// Octets that follow the line.
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
        let wrong = CommandError::Argument("BDAT");
        let (size, last) = match argument.split_once(' ') {
            Some((size, marker)) if marker.eq_ignore_ascii_case("LAST") => (size, true),
            Some(_) => return Err(wrong),
            None => (argument, false),
        };
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        size.parse().map(|size| Self { size, last }).map_err(|_| wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(Bdat::parse("12"), Ok(Bdat { size: 12, last: false }));
        assert_eq!(Bdat::parse("0 last"), Ok(Bdat { size: 0, last: true }));
        for argument in ["", "-1", "+1", "1 FIRST", "99999999999999999999999", " 1", "1  LAST", "0x10"] {
            assert_eq!(Bdat::parse(argument), Err(CommandError::Argument("BDAT")), "{argument}");
        }
    }
}
