//! What the end of a line says about a literal.

/// A literal that follows a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announcement {
    /// The line is the command's last.
    None,
    /// That many octets follow.
    Literal {
        /// How many.
        octets: u64,
        /// `{n}`: the client waits for a continuation request. `{n+}`: it does not.
        waits: bool,
    },
    /// Braces at the end of the line that hold no number that could be meant.
    Malformed {
        /// False when a `+` says that octets follow, how many ever.
        waits: bool,
    },
}

impl Announcement {
    /// ```abnf
    /// literal  = "{" number ["+"] "}" CRLF *CHAR8    ; RFC 3501 §9, RFC 7888 §8
    /// literal8 = "~{" number ["+"] "}" CRLF *OCTET   ; RFC 3516 §7
    /// ```
    ///
    /// `}` ends no other word of the grammar outside of a quoted string, which ends in `"`.
    pub(super) fn at_end_of(line: &[u8]) -> Self {
        let Some(inner) = line.strip_suffix(b"}") else { return Self::None };
        let (inner, waits) = inner.strip_suffix(b"+").map_or((inner, true), |inner| (inner, false));
        let Some(open) = memchr::memrchr(b'{', inner) else {
            return if waits { Self::None } else { Self::Malformed { waits } };
        };
        let digits = inner.get(open + 1..).unwrap_or_default();
        match number(digits) {
            Some(octets) => Self::Literal { octets, waits },
            None => Self::Malformed { waits },
        }
    }
}

/// `number = 1*DIGIT`
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then_some(u64::from(digit.wrapping_sub(b'0')))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements() {
        let check =
            |line: &str, expected| assert_eq!(Announcement::at_end_of(line.as_bytes()), expected, "{line}");
        let literal = |octets, waits| Announcement::Literal { octets, waits };
        check("A1 NOOP", Announcement::None);
        check("", Announcement::None);
        check("}", Announcement::None);
        check("A1 LOGIN {5}", literal(5, true));
        check("A1 LOGIN {5+}", literal(5, false));
        check("A1 APPEND x ~{005}", literal(5, true));
        check("A1 X \"{5}\"", Announcement::None);
        check("{4294967296}", literal(4_294_967_296, true));
        check("{18446744073709551615}", literal(u64::MAX, true));
        check("{18446744073709551616}", Announcement::Malformed { waits: true });
        check("{18446744073709551616+}", Announcement::Malformed { waits: false });
        check("{-1}", Announcement::Malformed { waits: true });
        check("{-1+}", Announcement::Malformed { waits: false });
        check("{+}", Announcement::Malformed { waits: false });
        check("{}", Announcement::Malformed { waits: true });
        check("{ 5}", Announcement::Malformed { waits: true });
        check("{5++}", Announcement::Malformed { waits: false });
        check("x+}", Announcement::Malformed { waits: false });
    }
}
