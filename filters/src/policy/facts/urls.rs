//! Links in a message.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use cel::Value;
use cel::objects::Key;
use mail_parser::Message;

use super::super::PolicyConfig;
use super::names::visible;
use super::readable::{self, Readable};
use super::{cut, html, object, walk};

/// A link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Url {
    href: String,
    host: String,
    shown: String,
}

/// What a link has, in the order in which [`value`] gives it.
static FIELDS: LazyLock<[Key; 6]> =
    LazyLock::new(|| ["domain", "host", "href", "is_address", "misleading", "shown"].map(Key::from));
/// Octets of a link that are kept.
const HREF_MAX: usize = 2048;

/// Of a text, words of it that are looked at for names of hosts.
const WORDS_MAX: usize = 50;
/// Ends of names that are files' rather than hosts', where a text shows one.
const FILES: &[&str] = &[
    "bmp", "csv", "doc", "docx", "eml", "gif", "htm", "html", "ics", "jpeg", "jpg", "js", "json", "md",
    "odt", "pdf", "png", "ppt", "pptx", "rtf", "txt", "xls", "xlsx", "xml", "zip",
];

pub(super) fn values<'m>(readings: &'m [Message<'m>], config: &PolicyConfig) -> Value {
    let mut found = Vec::new();
    for place in walk::parts(readings) {
        let left = config.urls_max.saturating_sub(found.len());
        match readable::of(place) {
            Some(Readable::Text(text)) => plain(cut(&text, config.text_max.as_usize()), left, &mut found),
            Some(Readable::Page(text)) => {
                let html = html::read(cut(&text, config.text_max.as_usize().saturating_mul(4)), left);
                let base = html.base.as_deref();
                found.extend(html.links.into_iter().map(|(href, shown)| Url::new(&href, shown, base)));
            }
            None => {}
        }
        if found.len() >= config.urls_max {
            break;
        }
    }
    found.into_iter().map(value).collect::<Vec<Value>>().into()
}

impl Url {
    /// A link as a browser takes it: tabs and line ends within it are dropped, and blanks around it (WHATWG URL §4.4); without a host it leads to that of
    /// the base.
    fn new(href: &str, shown: String, base: Option<&str>) -> Self {
        let plain: String = href.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let href = cut(plain.trim_matches(|c: char| c <= ' '), HREF_MAX).to_owned();
        let host = host(&href).or_else(|| base.filter(|_| is_relative(&href)).and_then(host));
        Self { href, host: host.unwrap_or_default(), shown }
    }

    /// Whether the text names a host, and another one.
    fn is_misleading(&self) -> bool {
        let shown = visible(&self.shown);
        let words: Vec<&str> = shown.split_whitespace().take(WORDS_MAX).collect();
        let alone = words.first().filter(|_| words.len() == 1).and_then(|word| bare_host(word));
        let named = alone.or_else(|| words.iter().find_map(|word| shown_host(word)));
        let plain = |host: &str| host.strip_prefix("www.").unwrap_or(host).to_owned();
        named.is_some_and(|named| {
            let (named, host) = (plain(&named), plain(&self.host));
            let under = |one: &str, other: &str| one.ends_with(&format!(".{other}"));
            !host.is_empty() && named != host && !under(&host, &named) && !under(&named, &host)
        })
    }
}

/// Of a word that is a link, or begins as one, the host.
fn shown_host(word: &str) -> Option<String> {
    let word = word.trim_matches(|c: char| "<>()[]{}\"',;.!?".contains(c));
    let lower = word.to_lowercase();
    if lower.starts_with("http:") || lower.starts_with("https:") {
        return host(word);
    }
    if lower.starts_with("www.") { host(&format!("http://{word}")) } else { None }
}

/// Of a word that is nothing but a host's name, with a path perhaps, the host.
fn bare_host(word: &str) -> Option<String> {
    let bare = word.split(['/', '?', ':']).next().unwrap_or_default().to_lowercase();
    let last = bare.rsplit('.').next().unwrap_or_default();
    let is_file = bare.len() == word.len() && FILES.contains(&last);
    let is_name = bare.contains('.') && !bare.contains('@') && last.chars().all(char::is_alphabetic);
    (is_name && !is_file && bare.parse::<envelope::Domain>().is_ok())
        .then(|| host(&format!("http://{bare}")))?
}

/// Whether a link has no scheme (RFC 3986 §4.2).
fn is_relative(href: &str) -> bool {
    !href.split(['/', '\\', '?', '#']).next().unwrap_or_default().contains(':')
}

fn value(url: Url) -> Value {
    let domain = two_labels(&url.host).to_owned();
    let is_address = url.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let misleading = url.is_misleading();
    let values = [
        Value::from(domain),
        Value::from(url.host),
        Value::from(url.href),
        Value::Bool(is_address),
        Value::Bool(misleading),
        Value::from(url.shown),
    ];
    object(&FIELDS, values)
}

fn two_labels(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let _ = dots.next();
    dots.next().and_then(|at| host.get(at + 1..)).unwrap_or(host)
}

/// The host of a link that has one, A-labels in lower case, as browsers find it (WHATWG URL §4.4): what stands before an `@` is no host, backslashes are
/// slashes, of which there may be any number; letters may be written by their octets, addresses as one number.
fn host(href: &str) -> Option<String> {
    let href = href.trim().replace('\\', "/");
    let rest = if href.starts_with("//") {
        href.trim_start_matches('/')
    } else {
        let (scheme, rest) = href.split_once(':')?;
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let web = ["http", "https", "ftp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        if web { rest.trim_start_matches('/') } else { rest.strip_prefix("//")? }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let named = authority.rsplit('@').next().unwrap_or_default();
    let bare = if named.starts_with('[') {
        named.split_inclusive(']').next().unwrap_or_default()
    } else {
        named.split(':').next().unwrap_or_default()
    };
    let bare = percent_decoded(bare);
    let ascii = idna::domain_to_ascii(&bare).unwrap_or_else(|_| bare.to_lowercase());
    let ascii = ascii.trim_end_matches('.').to_owned();
    let ascii = address(&ascii).map_or(ascii, |address| address.to_string());
    (!ascii.is_empty()).then_some(ascii)
}

fn percent_decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once('%') {
        octets.extend(front.as_bytes());
        match behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                octets.push(b'%');
                rest = behind;
            }
        }
    }
    octets.extend(rest.as_bytes());
    String::from_utf8_lossy(&octets).into_owned()
}

/// An IPv4 address in any of its spellings: one to four numbers, the last one filling what is left, octal and hexadecimal ones too (WHATWG URL §3.5).
fn address(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').collect();
    let (last, front) = parts.split_last()?;
    if front.len() > 3 {
        return None;
    }
    let mut whole =
        number(last).filter(|last| *last < 256u64.pow(4 - u32::try_from(front.len()).unwrap_or(0)))?;
    for (at, part) in front.iter().enumerate() {
        let octet = number(part).filter(|octet| *octet < 256)?;
        whole |= octet << (24 - 8 * at);
    }
    u32::try_from(whole).ok().map(Ipv4Addr::from)
}

fn number(text: &str) -> Option<u64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match (hexadecimal, text.strip_prefix('0')) {
        (Some(""), _) => Some(0),
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?,
    }
}

/// Links in plain text: from `http://`, `https://` or `www.` to white space or a closing mark, as programs make them out.
fn plain(text: &str, max: usize, found: &mut Vec<Url>) {
    let before = found.len();
    let mut from = 0;
    while found.len() - before < max {
        let Some(begin) = next_link(text, from) else { return };
        let rest = text.get(begin..).unwrap_or_default();
        let word = rest.split(ends_word).next().unwrap_or_default();
        from = begin + word.len().max(1);
        let link = word.trim_end_matches(['.', ',', ';', ':', '!', '?']).to_owned();
        if link.contains("://") {
            found.push(Url::new(&link, link.clone(), None));
        } else {
            found.push(Url::new(&format!("http://{link}"), link.clone(), None));
        }
    }
}

fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '<' | '>' | '"' | '\'' | '(' | ')' | '[' | ']' | '{' | '}')
}

/// Where the next `http://` or `https://` is, or the next word that begins with `www.`; one look at each octet, since most texts have few.
fn next_link(text: &str, from: usize) -> Option<usize> {
    let octets = text.as_bytes();
    let back = |at: usize, mark: &[u8]| {
        let begin = at.checked_sub(mark.len()).filter(|begin| *begin >= from)?;
        octets.get(begin..at).is_some_and(|word| word.eq_ignore_ascii_case(mark)).then_some(begin)
    };
    let begins_word =
        |at: usize| text.get(..at).and_then(|front| front.chars().next_back()).is_none_or(ends_word);
    memchr::memchr2_iter(b':', b'.', octets.get(from..)?).map(|found| from + found).find_map(|at| {
        if octets.get(at..at + 3) == Some(b"://") {
            return back(at, b"https").or_else(|| back(at, b"http"));
        }
        back(at, b"www").filter(|begin| octets.get(at) == Some(&b'.') && begins_word(*begin))
    })
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
            assert_eq!(Url::new(href, shown.to_owned(), None).is_misleading(), expected, "{href} {shown}");
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

    #[test]
    fn attack_hosts_that_hide() {
        let check = |href: &str, expected: &str| {
            assert_eq!(Url::new(href, String::new(), Some("http://base.test/x")).host, expected, "{href:?}");
        };
        check("//evil.test/x", "evil.test");
        check("\\\\evil.test\\x", "evil.test");
        check("/\\evil.test", "evil.test");
        check("http:///evil.test/", "evil.test");
        check("ht\ntp:\t//evil.test", "evil.test");
        check("\u{1} http://evil.test", "evil.test");
        check("http://%65vil.test/", "evil.test");
        check("http://bank.test%40evil.test/", "bank.test@evil.test");
        check("http://bank.test\\@evil.test/", "bank.test");
        check("http://evil\u{3002}test\u{3002}/", "evil.test");
        check("http://ev\u{ad}il.test", "evil.test");
        check("http://\u{ff45}vil.test", "evil.test");
        check("http://3221225985/", "192.0.2.1");
        check("http://0xc0.0.0x2.1/", "192.0.2.1");
        check("http://0300.0.01001/", "192.0.2.1");
        check("http://192.0.2.256/", "192.0.2.256");
        check("http://4294967296/", "4294967296");
        check("login.html", "base.test");
        check("?x=http://a.test", "base.test");
        check("data:text/html;base64,eA==", "");
        check("mailto:a@b.test", "");
        check("https:evil.test", "evil.test");
    }

    #[test]
    fn attack_shown_hosts_with_something_around_them() {
        let check = |shown: &str, expected: bool| {
            assert_eq!(
                Url::new("http://evil.test/", shown.to_owned(), None).is_misleading(),
                expected,
                "{shown}"
            );
        };
        check("Log in at https://bank.test/login", true);
        check("ba\u{200b}nk.test", true);
        check("(www.bank.test)", true);
        check("b\u{fc}cher.test", true);
        check("https://evil.test@bank.test/", true);
        check("login.evil.test", false);
        check("invoice.pdf", false);
        check("Node.js 22 is out", false);
        check("3.14", false);
    }

    #[test]
    fn attack_plain_links_beside_other_letters() {
        let mut found = Vec::new();
        plain("Link:http://a.test http://\u{fc}.test \u{2192}https://b.test www.\u{fc}.test", 9, &mut found);
        let hosts: Vec<&str> = found.iter().map(|url| url.host.as_str()).collect();
        assert_eq!(hosts, ["a.test", "xn--tda.test", "b.test", "www.xn--tda.test"]);
    }
}
