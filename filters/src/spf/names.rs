//! Which names may be asked about.

/// Longest name in octets, as text without the last dot (RFC 1035 §2.3.4, RFC 7208 §7.3).
pub(super) const NAME_MAX: usize = 253;
/// Longest label in octets (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// Why an expanded text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unaskable {
    /// A label is empty or too long, or there is a character that no question carries.
    Malformed,
    /// It is not ASCII: a local part was (RFC 8616 §4).
    NotAscii,
}

/// Whether SPF can be checked for the name: several labels, ASCII (RFC 7208 §4.3). Comes without the last dot. Names beyond ASCII come as A-labels.
pub(super) fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    // A name whose last label is a number is an address (RFC 3696 §2).
    let last = |(_, top): (&str, &str)| !top.bytes().all(|octet| octet.is_ascii_digit());
    name.len() <= NAME_MAX && name.rsplit_once('.').is_some_and(last) && name.split('.').all(label)
}

/// The name that an expansion stands for: without the last dot, and without as many labels at its beginning as make it too long (RFC 7208 §7.3).
///
/// Unlike [`is_domain`] it takes almost any visible character: `a:foo:bar/baz.example` is good, and so is what `%{l}` makes of a local part.
/// A backslash is out, since the DNS library takes it for the beginning of an escape.
pub(super) fn askable(expanded: &str) -> Result<String, Unaskable> {
    if !expanded.is_ascii() {
        return Err(Unaskable::NotAscii);
    }
    let mut name = expanded.strip_suffix('.').unwrap_or(expanded);
    while name.len() > NAME_MAX {
        (_, name) = name.split_once('.').ok_or(Unaskable::Malformed)?;
    }
    let octet = |octet: u8| (b' '..=b'~').contains(&octet) && octet != b'\\';
    let label = |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(octet);
    if name.split('.').all(label) { Ok(name.to_owned()) } else { Err(Unaskable::Malformed) }
}

/// Whether `name` is `domain` or a name below it.
pub(super) fn is_within(name: &str, domain: &str) -> bool {
    let Some(above) = name.len().checked_sub(domain.len()) else { return false };
    let (Some(front), Some(back)) = (name.get(..above), name.get(above..)) else { return false };
    back.eq_ignore_ascii_case(domain) && (front.is_empty() || front.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        let check = |name: &str, expected: bool| assert_eq!(is_domain(name), expected, "{name}");
        check("example.test", true);
        check("_spf.Example.test", true);
        check("xn--bcher-kva.example", true);
        check("bücher.example", false);
        check("localhost", false);
        check("", false);
        check(".", false);
        check("a..test", false);
        check(".test", false);
        check("[192.0.2.1]", false);
        check("192.0.2.1", false);
        check("a b.test", false);
        check("a\r\nb.test", false);
        check(&format!("{}.test", "a".repeat(63)), true);
        check(&format!("{}.test", "a".repeat(64)), false);
        let long = |last: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(last));
        assert_eq!(long(61).len(), 253);
        check(&long(60), true);
        check(&long(61), true);
        check(&long(62), false);
    }

    #[test]
    fn questions() {
        let check = |text: &str, expected: Result<&str, Unaskable>| {
            assert_eq!(askable(text), expected.map(str::to_owned), "{text}");
        };
        check("example.test.", Ok("example.test"));
        check("foo:bar/baz.example.test", Ok("foo:bar/baz.example.test"));
        check("macro%percent  space%20x.test", Ok("macro%percent  space%20x.test"));
        check("top", Ok("top"));
        check("", Err(Unaskable::Malformed));
        check(".", Err(Unaskable::Malformed));
        check("a..test", Err(Unaskable::Malformed));
        check("a.test..", Err(Unaskable::Malformed));
        check("a\\.b.test", Err(Unaskable::Malformed));
        check("a\0.test", Err(Unaskable::Malformed));
        check("a\r\n.test", Err(Unaskable::Malformed));
        check("ü.test", Err(Unaskable::NotAscii));
        check(&format!("{}.test", "a".repeat(63)), Ok(&format!("{}.test", "a".repeat(63))));
        check(&format!("{}.test", "a".repeat(64)), Err(Unaskable::Malformed));
    }

    #[test]
    fn what_is_too_long_loses_labels_at_its_beginning() {
        let check = |length: usize, expected: usize| {
            let text = format!("{}.{1}.{1}.{1}.{1}.test", "x".repeat(length - 205), "a".repeat(49));
            assert_eq!(text.len(), length);
            assert_eq!(askable(&text).unwrap().len(), expected);
        };
        check(252, 252);
        check(253, 253);
        check(254, 204);
        assert_eq!(askable(&"a".repeat(254)), Err(Unaskable::Malformed));
        let whole = "a.".repeat(1000) + "test";
        let cut = askable(&whole).unwrap();
        assert_eq!(cut.len(), 252);
        assert!(whole.ends_with(&cut));
    }

    #[test]
    fn below() {
        let check = |name: &str, domain: &str, expected: bool| {
            assert_eq!(is_within(name, domain), expected, "{name} {domain}");
        };
        check("Mail.Example.test", "example.Test", true);
        check("example.test", "example.test", true);
        check("badexample.test", "example.test", false);
        check("test", "example.test", false);
        check("", "example.test", false);
        check("ümail.test", "mail.test", false);
    }
}
