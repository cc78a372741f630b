//! Macros: texts of which parts stand for something about the check (RFC 7208 §7).
//!
//! ```abnf
//! domain-spec      = macro-string domain-end
//! domain-end       = ( "." toplabel [ "." ] ) / macro-expand
//! toplabel         = ( *alphanum ALPHA *alphanum ) / ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
//! explain-string   = *( macro-string / SP )
//! macro-string     = *( macro-expand / macro-literal )
//! macro-expand     = ( "%{" macro-letter transformers *delimiter "}" ) / "%%" / "%_" / "%-"
//! macro-literal    = %x21-24 / %x26-7E
//! macro-letter     = "s" / "l" / "o" / "d" / "i" / "p" / "h" / "c" / "r" / "t" / "v"
//! transformers     = *DIGIT [ "r" ]
//! delimiter        = "." / "-" / "+" / "," / "/" / "_" / "="
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

/// A text that keeps to `macro-string`, or to `explain-string`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MacroString(Vec<Piece>);

/// A text that keeps to `domain-spec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DomainSpec(MacroString);

/// Where a text stands, which decides what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a record: no `c`, `r` and `t` (RFC 7208 §7.2), no spaces.
    Record,
    /// In the text that `exp=` leads to.
    Explanation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `%%`, `%_` or `%-`, as what it stands for.
    Escape(&'static str),
    Macro(Macro),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Macro {
    letter: Letter,
    /// How many parts at the end are kept.
    keep: Option<usize>,
    reverse: bool,
    delimiters: String,
    /// The letter was a capital: the value is URL-escaped.
    escaped: bool,
}

/// What a macro stands for (RFC 7208 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letter {
    Sender,
    LocalPart,
    SenderDomain,
    Domain,
    Address,
    ValidatedName,
    Version,
    Helo,
    ReadableAddress,
    Receiver,
    Time,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MacroFault {
    /// A `%` that begins nothing.
    #[error("a % that stands for nothing")]
    Percent,
    /// `%{` without its end.
    #[error("a macro without its closing brace")]
    Unclosed,
    /// No letter, or one that stands for nothing there.
    #[error("a macro of an unknown letter")]
    Letter,
    /// Something else between letter and brace than a number above 0, `r` and delimiters.
    #[error("a macro with unknown transformers or delimiters")]
    Transformers,
    /// Neither visible nor, where they may be, a space.
    #[error("a character that is not visible ASCII")]
    Character,
    /// A name that does not end as names do.
    #[error("a name that does not end in a top-level label or a macro")]
    End,
}

/// An expansion beyond its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// What macros stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) local_part: &'a str,
    pub(super) sender_domain: &'a str,
    /// The domain whose record it is.
    pub(super) domain: &'a str,
    pub(super) address: IpAddr,
    /// A name of the address that leads back to it.
    pub(super) validated: &'a str,
    pub(super) helo: &'a str,
    pub(super) receiver: &'a str,
    pub(super) now: u64,
}

impl DomainSpec {
    /// Reads the target of a mechanism or modifier.
    pub(super) fn parse(text: &str) -> Result<Self, MacroFault> {
        let text = MacroString::read(text, Place::Record)?;
        let ends = match text.0.last() {
            Some(Piece::Literal(literal)) => ends_in_top_label(literal),
            Some(Piece::Escape(_) | Piece::Macro(_)) => true,
            None => false,
        };
        if ends { Ok(Self(text)) } else { Err(MacroFault::End) }
    }

    pub(super) const fn text(&self) -> &MacroString {
        &self.0
    }
}

impl MacroString {
    /// Reads the value of an unknown modifier.
    pub(super) fn parse(text: &str) -> Result<Self, MacroFault> {
        Self::read(text, Place::Record)
    }

    /// Reads the text that `exp=` leads to.
    pub(super) fn parse_explanation(text: &[u8]) -> Result<Self, MacroFault> {
        Self::read(std::str::from_utf8(text).map_err(|_| MacroFault::Character)?, Place::Explanation)
    }

    fn read(text: &str, place: Place) -> Result<Self, MacroFault> {
        let mut pieces = Vec::new();
        let mut rest = text;
        loop {
            let (literal, behind) = match rest.split_once('%') {
                Some((literal, behind)) => (literal, Some(behind)),
                None => (rest, None),
            };
            let space = place == Place::Explanation;
            if !literal.bytes().all(|octet| octet.is_ascii_graphic() || (space && octet == b' ')) {
                return Err(MacroFault::Character);
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let Some(behind) = behind else { return Ok(Self(pieces)) };
            let (piece, next) = Piece::after_percent(behind, place)?;
            pieces.push(piece);
            rest = next;
        }
    }

    /// Whether a validated name of the address is needed (`%{p}`), which the DNS must be asked for.
    pub(super) fn wants_validated(&self) -> bool {
        let wants = |piece: &Piece| matches!(piece, Piece::Macro(one) if one.letter == Letter::ValidatedName);
        self.0.iter().any(wants)
    }

    /// The text with every macro replaced, at most `max` octets.
    pub(super) fn expand(&self, values: &Values<'_>, max: usize) -> Result<String, TooLong> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Escape(escape) => out.push_str(escape),
                Piece::Macro(one) => out.push_str(&one.expand(values)),
            }
            if out.len() > max {
                return Err(TooLong);
            }
        }
        Ok(out)
    }
}

impl Piece {
    /// Reads what stands behind a `%`, and says what is left.
    fn after_percent(text: &str, place: Place) -> Result<(Self, &str), MacroFault> {
        for (sign, meaning) in [("%", "%"), ("_", " "), ("-", "%20")] {
            if let Some(rest) = text.strip_prefix(sign) {
                return Ok((Self::Escape(meaning), rest));
            }
        }
        let inner = text.strip_prefix('{').ok_or(MacroFault::Percent)?;
        let (inner, rest) = inner.split_once('}').ok_or(MacroFault::Unclosed)?;
        Ok((Self::Macro(Macro::parse(inner, place)?), rest))
    }
}

impl Macro {
    /// Reads what stands between the braces.
    fn parse(text: &str, place: Place) -> Result<Self, MacroFault> {
        let mut characters = text.chars();
        let capital = characters.next().ok_or(MacroFault::Letter)?;
        let letter = Letter::parse(capital.to_ascii_lowercase(), place).ok_or(MacroFault::Letter)?;
        let rest = characters.as_str();
        let (digits, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        // RFC 7208 §7.1 wants 127 parts at least; more digits than fit keep everything.
        let keep = (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX));
        let (reverse, delimiters) = match rest.strip_prefix(['r', 'R']) {
            Some(delimiters) => (true, delimiters),
            None => (false, rest),
        };
        if keep == Some(0) || !delimiters.chars().all(|character| ".-+,/_=".contains(character)) {
            return Err(MacroFault::Transformers);
        }
        let escaped = capital.is_ascii_uppercase();
        Ok(Self { letter, keep, reverse, delimiters: delimiters.to_owned(), escaped })
    }

    /// RFC 7208 §7.3.
    fn expand(&self, values: &Values<'_>) -> String {
        let value = self.letter.value(values);
        let value = if self.keep.is_none() && !self.reverse && self.delimiters.is_empty() {
            value.into_owned()
        } else {
            self.transformed(&value)
        };
        if self.escaped { url_escaped(&value) } else { value }
    }

    fn transformed(&self, value: &str) -> String {
        let delimiters = if self.delimiters.is_empty() { "." } else { &self.delimiters };
        let mut parts: Vec<&str> = value.split(|character| delimiters.contains(character)).collect();
        if self.reverse {
            parts.reverse();
        }
        let keep = self.keep.unwrap_or(parts.len());
        parts.split_off(parts.len().saturating_sub(keep)).join(".")
    }
}

impl Letter {
    fn parse(letter: char, place: Place) -> Option<Self> {
        Some(match letter {
            's' => Self::Sender,
            'l' => Self::LocalPart,
            'o' => Self::SenderDomain,
            'd' => Self::Domain,
            'i' => Self::Address,
            'p' => Self::ValidatedName,
            'v' => Self::Version,
            'h' => Self::Helo,
            'c' if place == Place::Explanation => Self::ReadableAddress,
            'r' if place == Place::Explanation => Self::Receiver,
            't' if place == Place::Explanation => Self::Time,
            _ => return None,
        })
    }

    fn value<'a>(self, values: &Values<'a>) -> Cow<'a, str> {
        match self {
            Self::Sender => format!("{}@{}", values.local_part, values.sender_domain).into(),
            Self::LocalPart => values.local_part.into(),
            Self::SenderDomain => values.sender_domain.into(),
            Self::Domain => values.domain.into(),
            Self::Address => dotted(values.address).into(),
            Self::ValidatedName => values.validated.into(),
            Self::Version => if values.address.is_ipv4() { "in-addr" } else { "ip6" }.into(),
            Self::Helo => values.helo.into(),
            Self::ReadableAddress => values.address.to_string().into(),
            Self::Receiver => values.receiver.into(),
            Self::Time => values.now.to_string().into(),
        }
    }
}

/// Four numbers, or 32 nibbles, with dots between them.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let nibbles = format!("{:032X}", address.to_bits());
            let mut out = String::with_capacity(63);
            for nibble in nibbles.chars() {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push(nibble);
            }
            out
        }
    }
}

/// Everything but `unreserved` as `%` and two hexadecimal digits (RFC 3986 §2.1).
fn url_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(octet));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// Whether a literal at the end of a `domain-spec` ends it as it must.
fn ends_in_top_label(literal: &str) -> bool {
    let name = literal.strip_suffix('.').unwrap_or(literal);
    let Some((_, label)) = name.rsplit_once('.') else { return false };
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    !label.is_empty()
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> = Values {
        local_part: "strong-bad",
        sender_domain: "email.example.com",
        domain: "email.example.com",
        address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3)),
        validated: "unknown",
        helo: "mx.example.org",
        receiver: "mx.example.test",
        now: 1_700_000_000,
    };

    fn check(text: &str, expected: Result<&str, MacroFault>) {
        let got = MacroString::parse_explanation(text.as_bytes());
        let got = got.map(|text| text.expand(&VALUES, 4096).unwrap());
        assert_eq!(got, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn examples_of_the_rfc() {
        // RFC 7208 §7.4
        check("%{s}", Ok("strong-bad@email.example.com"));
        check("%{o}", Ok("email.example.com"));
        check("%{d}", Ok("email.example.com"));
        check("%{d4}", Ok("email.example.com"));
        check("%{d3}", Ok("email.example.com"));
        check("%{d2}", Ok("example.com"));
        check("%{d1}", Ok("com"));
        check("%{dr}", Ok("com.example.email"));
        check("%{d2r}", Ok("example.email"));
        check("%{l}", Ok("strong-bad"));
        check("%{l-}", Ok("strong.bad"));
        check("%{lr}", Ok("strong-bad"));
        check("%{lr-}", Ok("bad.strong"));
        check("%{l1r-}", Ok("strong"));
        check("%{ir}.%{v}._spf.%{d2}", Ok("3.2.0.192.in-addr._spf.example.com"));
        check("%{lr-}.lp._spf.%{d2}", Ok("bad.strong.lp._spf.example.com"));
        check("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", Ok("bad.strong.lp.3.2.0.192.in-addr._spf.example.com"));
        check("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", Ok("3.2.0.192.in-addr.strong.lp._spf.example.com"));
        check("%{d2}.trusted-domains.example.net", Ok("example.com.trusted-domains.example.net"));
        let values = Values { address: "2001:db8::cb01".parse().unwrap(), ..VALUES };
        let text = MacroString::parse("%{ir}.%{v}._spf.%{d2}").unwrap();
        assert_eq!(
            text.expand(&values, 4096).unwrap(),
            "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"
        );
    }

    #[test]
    fn letters_transformers_and_delimiters() {
        check("%{c} %{r} %{t} %{p} %{h}", Ok("192.0.2.3 mx.example.test 1700000000 unknown mx.example.org"));
        check("%{S}", Ok("strong-bad%40email.example.com"));
        check("%{L1R-}", Ok("strong"));
        check("100%% of%_all%-x", Ok("100% of all%20x"));
        check("%{d127}", Ok("email.example.com"));
        check("%{d340282366920938463463374607431768211456}", Ok("email.example.com"));
        check("%{s1.-+,/_=}", Ok("com"));
        check("%{h2r.}", Ok("example.mx"));
        check("%{d01}", Ok("com"));
        check("", Ok(""));
    }

    #[test]
    fn malformed_macros() {
        check("%", Err(MacroFault::Percent));
        check("%x", Err(MacroFault::Percent));
        check("%(d)", Err(MacroFault::Percent));
        check("a%", Err(MacroFault::Percent));
        check("% ", Err(MacroFault::Percent));
        check("%{", Err(MacroFault::Unclosed));
        check("%{d", Err(MacroFault::Unclosed));
        check("%{d%{d}", Err(MacroFault::Transformers));
        check("%{}", Err(MacroFault::Letter));
        check("%{x}", Err(MacroFault::Letter));
        check("%{ü}", Err(MacroFault::Letter));
        check("%{a}", Err(MacroFault::Letter));
        check("%{1}", Err(MacroFault::Letter));
        check("%{d0}", Err(MacroFault::Transformers));
        check("%{d00}", Err(MacroFault::Transformers));
        check("%{dr2}", Err(MacroFault::Transformers));
        check("%{drr}", Err(MacroFault::Transformers));
        check("%{d-1}", Err(MacroFault::Transformers));
        check("%{d*}", Err(MacroFault::Transformers));
        check("%{d }", Err(MacroFault::Transformers));
        check("%{ d}", Err(MacroFault::Letter));
        check("ü", Err(MacroFault::Character));
        check("a\r\nb", Err(MacroFault::Character));
        check("a\tb", Err(MacroFault::Character));
        assert_eq!(MacroString::parse_explanation(b"\x80"), Err(MacroFault::Character));
    }

    #[test]
    fn names() {
        let check = |text: &str, expected: Option<MacroFault>| {
            assert_eq!(DomainSpec::parse(text).err(), expected, "{text}");
        };
        check("example.test", None);
        check("example.test.", None);
        check(".test", None);
        check("a..test", None);
        check("%{d}", None);
        check("%{d}.test", None);
        check("x.%%", None);
        check("foo:bar/baz.test", None);
        check("a.xn--zckzah", None);
        check("a.1-2", None);
        check("a.test-1", None);
        check("", Some(MacroFault::End));
        check("test", Some(MacroFault::End));
        check("test.", Some(MacroFault::End));
        check("a.test..", Some(MacroFault::End));
        check("%{d}test", Some(MacroFault::End));
        check("%{d}.", Some(MacroFault::End));
        check("a.-test", Some(MacroFault::End));
        check("a.test-", Some(MacroFault::End));
        check("a.123", Some(MacroFault::End));
        check("a.te_st", Some(MacroFault::End));
        check("a.test/24", Some(MacroFault::End));
        check("a b.test", Some(MacroFault::Character));
        check("%{c}.test", Some(MacroFault::Letter));
        check("%{R}", Some(MacroFault::Letter));
        check("%{t}.test", Some(MacroFault::Letter));
    }

    #[test]
    fn expansions_have_a_limit() {
        let text = MacroString::parse("%{s}%{s}%{s}").unwrap();
        let length = 3 * "strong-bad@email.example.com".len();
        assert_eq!(text.expand(&VALUES, length).map(|text| text.len()), Ok(length));
        assert_eq!(text.expand(&VALUES, length - 1), Err(TooLong));
    }

    #[test]
    fn values_beyond_ascii_stay_whole() {
        let values = Values { local_part: "jürg-müller", ..VALUES };
        let text = |text: &str| MacroString::parse(text).unwrap().expand(&values, 100).unwrap();
        assert_eq!(text("%{lr-}"), "müller.jürg");
        assert_eq!(text("%{L}"), "j%C3%BCrg-m%C3%BCller");
    }
}
