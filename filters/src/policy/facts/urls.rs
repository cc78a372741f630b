//! Links in a message.

use std::collections::HashMap;
use std::net::IpAddr;

use cel::Value;
use mail_parser::{Message, PartType};

use super::super::PolicyConfig;
use super::{cut, html};

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Url {
    href: String,
    host: String,
    shown: String,
}

/// Octets of a link that are kept.
const HREF_MAX: usize = 2048;

pub(super) fn values(message: Option<&Message<'_>>, config: &PolicyConfig) -> Value {
    let mut found = Vec::new();
    for part in message.iter().flat_map(|message| &message.parts) {
        let left = config.urls_max.saturating_sub(found.len());
        match &part.body {
            PartType::Text(text) => plain(cut(text, config.text_max.as_usize()), left, &mut found),
            PartType::Html(text) => {
                let html = html::read(cut(text, config.text_max.as_usize().saturating_mul(4)), left);
                found.extend(html.links.into_iter().map(|(href, shown)| Url::new(&href, shown)));
            }
            _ => {}
        }
        if found.len() >= config.urls_max {
            break;
        }
    }
    found.into_iter().map(value).collect::<Vec<Value>>().into()
}

impl Url {
    fn new(href: &str, shown: String) -> Self {
        let href = cut(href, HREF_MAX).to_owned();
        let host = host(&href).unwrap_or_default();
        Self { href, host, shown }
    }

    /// Whether the text names a host, and another one.
    fn is_misleading(&self) -> bool {
        let first = self.shown.split_whitespace().next().unwrap_or_default();
        let named = host(first).or_else(|| {
            let bare = first.split(['/', '?', ':']).next().unwrap_or_default().to_lowercase();
            (bare.contains('.') && bare.parse::<envelope::Domain>().is_ok() && !bare.contains('@'))
                .then_some(bare)
        });
        let plain = |host: &str| host.strip_prefix("www.").unwrap_or(host).to_owned();
        named.is_some_and(|named| {
            let (named, host) = (plain(&named), plain(&self.host));
            !host.is_empty() && named != host && !host.ends_with(&format!(".{named}"))
        })
    }
}

fn value(url: Url) -> Value {
    let domain = two_labels(&url.host).to_owned();
    let is_address = url.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let misleading = url.is_misleading();
    Value::from(HashMap::from([
        ("domain", Value::from(domain)),
        ("host", Value::from(url.host)),
        ("href", Value::from(url.href)),
        ("is_address", Value::Bool(is_address)),
        ("misleading", Value::Bool(misleading)),
        ("shown", Value::from(url.shown)),
    ]))
}

fn two_labels(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let _ = dots.next();
    dots.next().and_then(|at| host.get(at + 1..)).unwrap_or(host)
}

/// The host of a link that has one, A-labels in lower case. What stands before an `@` is no host (RFC 3986 §3.2); backslashes count as slashes, as in
/// browsers.
fn host(href: &str) -> Option<String> {
    let href = href.trim().replace('\\', "/");
    let (scheme, rest) = href.split_once(':')?;
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return None;
    }
    let rest = rest.strip_prefix("//").or_else(|| {
        let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        web.then(|| rest.trim_start_matches('/'))
    })?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let named = authority.rsplit('@').next().unwrap_or_default();
    let bare = if named.starts_with('[') {
        named.split_inclusive(']').next().unwrap_or_default()
    } else {
        named.split(':').next().unwrap_or_default()
    };
    let bare = bare.trim_end_matches('.');
    let ascii = idna::domain_to_ascii(bare).unwrap_or_else(|_| bare.to_lowercase());
    (!ascii.is_empty()).then_some(ascii)
}

/// Links in plain text: from `http://`, `https://` or `www.` to white space or a closing mark.
fn plain(text: &str, max: usize, found: &mut Vec<Url>) {
    let before = found.len();
    for word in text.split(|c: char| c.is_whitespace() || "<>\"'()[]{}".contains(c)) {
        if found.len() - before >= max {
            return;
        }
        let lower = word.get(..8.min(word.len())).unwrap_or_default().to_ascii_lowercase();
        let word = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
        if lower.starts_with("http://") || lower.starts_with("https://") {
            found.push(Url::new(word, word.to_owned()));
        } else if lower.starts_with("www.") {
            found.push(Url::new(&format!("http://{word}"), word.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_links() {
        let check =
            |href: &str, expected: &str| assert_eq!(host(href).unwrap_or_default(), expected, "{href}");
        check("http://A.test/x", "a.test");
        check("https://a.test:8080?x", "a.test");
        check("HTTP:\\\\a.test\\x", "a.test");
        check("http:/a.test", "a.test");
        check("http://bank.test@evil.test/", "evil.test");
        check("http://bank.test:x@evil.test/", "evil.test");
        check("https://[2001:db8::1]:80/", "[2001:db8::1]");
        check("http://b\u{fc}cher.test", "xn--bcher-kva.test");
        check("http://a.test./", "a.test");
        check("mailto:a@b.test", "");
        check("/relative", "");
        check("javascript:x", "");
    }

    #[test]
    fn links_that_mislead() {
        let check = |href: &str, shown: &str, expected: bool| {
            assert_eq!(Url::new(href, shown.to_owned()).is_misleading(), expected, "{href} {shown}");
        };
        check("http://evil.test/", "https://bank.test/login", true);
        check("http://evil.test/", "bank.test", true);
        check("http://evil.test/", "www.bank.test/login now", true);
        check("http://www.bank.test/", "bank.test", false);
        check("http://login.bank.test/", "bank.test", false);
        check("http://evil.test/", "click here", false);
        check("http://evil.test/", "ann@bank.test", false);
        check("http://evil.test/", "", false);
    }

    #[test]
    fn links_in_plain_text() {
        let mut found = Vec::new();
        plain("See (http://a.test/x). www.b.test, or <HTTPS://c.test>; http://d.test", 3, &mut found);
        let hosts: Vec<&str> = found.iter().map(|url| url.host.as_str()).collect();
        assert_eq!(hosts, ["a.test", "www.b.test", "c.test"]);
        assert_eq!(
            [two_labels("x.y.b.test"), two_labels("b.test"), two_labels("test")],
            ["b.test", "b.test", "test"]
        );
    }
}
