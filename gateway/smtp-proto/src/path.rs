//! Reverse and forward paths: what stands in angle brackets behind MAIL FROM: and RCPT TO:.

use envelope::{Address, AddressError, Domain, ReversePath};

/// Longest path in octets with its brackets (RFC 5321 §4.5.3.1.3).
const LENGTH_MAX: usize = 256;

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<user@example.test>`
    Address(Address),
    /// `<Postmaster>` without a domain: whoever runs this server (RFC 5321 §4.1.1.3, §4.5.1).
    Postmaster,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// What is in the brackets is no address.
    #[error("the address is not valid")]
    Address(#[source] AddressError),
    /// There are no angle brackets around it.
    #[error("an address stands in angle brackets")]
    Brackets,
    /// `<>` where somebody must be named.
    #[error("the null path names nobody")]
    Null,
    /// A source route that is not one.
    #[error("the source route is not valid")]
    Route,
    /// More than 256 octets.
    #[error("a path has at most 256 octets")]
    TooLong,
}

/// Takes a reverse path from the start of `text`; gives what follows it.
///
/// ```abnf
/// Reverse-path = Path / "<>"                         ; RFC 5321 §4.1.2
/// Path         = "<" [ A-d-l ":" ] Mailbox ">"
/// A-d-l        = At-domain *( "," At-domain )
/// ```
pub(crate) fn reverse(text: &str) -> Result<(ReversePath, &str), PathError> {
    let (inner, rest) = brackets(text)?;
    if inner.is_empty() {
        return Ok((ReversePath::Null, rest));
    }
    let address = without_route(inner)?.parse().map_err(PathError::Address)?;
    Ok((ReversePath::Address(address), rest))
}

/// Takes a forward path from the start of `text`; gives what follows it.
///
/// ```abnf
/// Forward-path = Path / "<Postmaster>"               ; RFC 5321 §4.1.1.3, in any case of letters
/// ```
pub(crate) fn forward(text: &str) -> Result<(ForwardPath, &str), PathError> {
    let (inner, rest) = brackets(text)?;
    if inner.is_empty() {
        return Err(PathError::Null);
    }
    if inner.eq_ignore_ascii_case("postmaster") {
        return Ok((ForwardPath::Postmaster, rest));
    }
    let address = without_route(inner)?.parse().map_err(PathError::Address)?;
    Ok((ForwardPath::Address(address), rest))
}

/// What stands between `<` and the first `>` outside quotes.
fn brackets(text: &str) -> Result<(&str, &str), PathError> {
    let inner = text.strip_prefix('<').ok_or(PathError::Brackets)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                if at + 2 > LENGTH_MAX {
                    return Err(PathError::TooLong);
                }
                let (path, rest) = inner.split_at(at);
                let rest = rest.get(1..).unwrap_or_default();
                return if rest.is_empty() || rest.starts_with(' ') {
                    Ok((path, rest))
                } else {
                    Err(PathError::Brackets)
                };
            }
            _ => {}
        }
    }
    Err(PathError::Brackets)
}

/// Quirk `source-route`: a route is checked and then ignored (RFC 5321 §4.1.1.3, appendix C: SHOULD).
fn without_route(inner: &str) -> Result<&str, PathError> {
    if !inner.starts_with('@') {
        return Ok(inner);
    }
    let (route, mailbox) = inner.split_once(':').ok_or(PathError::Route)?;
    let good = |hop: &str| hop.strip_prefix('@').is_some_and(|domain| domain.parse::<Domain>().is_ok());
    if route.split(',').all(good) { Ok(mailbox) } else { Err(PathError::Route) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str), PathError>) {
        let got = forward(text);
        let got = got.map(|(path, rest)| {
            let path = match path {
                ForwardPath::Address(address) => address.to_string(),
                ForwardPath::Postmaster => "postmaster".to_owned(),
            };
            (path, rest.to_owned())
        });
        assert_eq!(got, expected.map(|(a, b)| (a.to_owned(), b.to_owned())), "{text}");
    }

    #[test]
    fn forward_paths() {
        check("<a@b.test>", Ok(("a@b.test", "")));
        check("<a@b.test> NOTIFY=NEVER", Ok(("a@b.test", " NOTIFY=NEVER")));
        check("<POSTMASTER>", Ok(("postmaster", "")));
        check("<\"a>b\"@c.test>", Ok(("\"a>b\"@c.test", "")));
        check("<\"a@b.com x\"@c.com>", Ok(("\"a@b.com x\"@c.com", "")));
        check("<user%other.test@ours.test>", Ok(("user%other.test@ours.test", "")));
        check("<other!user@ours.test>", Ok(("other!user@ours.test", "")));
        check("<user@[192.0.2.1]>", Ok(("user@[192.0.2.1]", "")));
        check("<user@ours.test.>", Ok(("user@ours.test", "")));
    }

    #[test]
    fn quirk_source_route() {
        check("<@a.test,@b.test:c@d.test>", Ok(("c@d.test", "")));
        check("<@ours.test:user@other.test>", Ok(("user@other.test", "")));
        check("<@a.test>", Err(PathError::Route));
        check("<@a.test,b.test:c@d.test>", Err(PathError::Route));
        check("<@:c@d.test>", Err(PathError::Route));
    }

    #[test]
    fn refused() {
        for text in ["", "a@b.test", "<a@b.test", "<a@b.test>x", "<\"a@b.test>", " <a@b.test>"] {
            check(text, Err(PathError::Brackets));
        }
        check("<>", Err(PathError::Null));
        for text in [
            "<a>",
            "<user@other.test@ours.test>",
            "<\"\"@d.test>",
            "<a b@c.test>",
            "<<a@b.test>",
            "<user@[999.0.2.1]>",
            "<user@[0300.0.2.1]>",
            "<@a.test:>",
        ] {
            assert!(matches!(forward(text), Err(PathError::Address(_))), "{text}");
        }
        assert_eq!(reverse("<>").unwrap(), (ReversePath::Null, ""));
    }

    #[test]
    fn length_limit() {
        let path = |length: usize| {
            let tail = format!("@{}.test>", ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("."));
            let local = length - 1 - tail.len();
            format!("<{}{tail}", "x".repeat(local))
        };
        assert!(path(255).len() == 255 && !matches!(forward(&path(255)), Err(PathError::TooLong)));
        assert!(!matches!(forward(&path(256)), Err(PathError::TooLong)));
        assert_eq!(forward(&path(257)), Err(PathError::TooLong));
    }
}
