//! The Authentication-Results field (RFC 8601): ours written, forged ones found.

use std::borrow::Cow;
use std::net::IpAddr;

use super::results::{Authentication, Word};

/// Octets that most fields stay below.
const FIELD_USUAL: usize = 512;

/// The value of the field: `authserv-id` and every result, folded.
///
/// ```abnf
/// authres-payload = [CFWS] authserv-id *( resinfo ) [CFWS] CRLF     ; RFC 8601 §2.2
/// resinfo         = ";" methodspec [CFWS reasonspec] *( CFWS propspec )
/// ```
pub fn results_field(authserv_id: &str, found: &Authentication, peer: IpAddr, sender: &str) -> String {
    let mut text = String::with_capacity(FIELD_USUAL);
    text.push_str(authserv_id);
    let mut add = |method: &str, result: Word, reason: &str, properties: &[(&str, &str)]| {
        let mut push = |pieces: &[&str]| pieces.iter().for_each(|piece| text.push_str(piece));
        push(&[";\r\n\t", method, "=", result.as_str()]);
        if !reason.is_empty() && result != Word::Pass {
            push(&[" reason=", &quoted(reason)]);
        }
        for (name, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
            push(&["\r\n\t\t", name, "=", &value_of(value)]);
        }
    };
    let (identity, who) =
        if found.spf.helo { ("smtp.helo", found.spf.domain.as_str()) } else { ("smtp.mailfrom", sender) };
    let detail = if found.spf.result == Word::TempError { found.spf.detail.as_str() } else { "" };
    add("spf", found.spf.result, detail, &[(identity, who), ("policy.remote-ip", &peer.to_string())]);
    if found.dkim.is_empty() {
        add("dkim", Word::None, "", &[]);
    }
    for one in &found.dkim {
        add(
            "dkim",
            one.result,
            &one.reason,
            &[
                ("header.d", &one.domain),
                ("header.s", &one.selector),
                ("header.a", &one.algorithm),
                ("header.b", &one.signature),
            ],
        );
    }
    let policy = if found.dmarc.result == Word::None { "" } else { found.dmarc.policy.as_str() };
    add("dmarc", found.dmarc.result, "", &[("header.from", &found.dmarc.domain), ("policy.dmarc", policy)]);
    if found.arc.sets > 0 {
        add("arc", found.arc.result, &found.arc.reason, &[("header.d", &found.arc.sealer)]);
    }
    text
}

/// Whether an Authentication-Results field claims to be ours (RFC 8601 §5): its authserv-id, comments and quotes taken off, is one of our names, or it
/// can't be read at all. Case does not matter, nor does a version behind the name.
pub fn is_forged<'a>(value: &str, mut our_names: impl Iterator<Item = &'a str>) -> bool {
    let mut plain = without_comments(value);
    if let Some(at) = plain.find(';') {
        plain.truncate(at);
    }
    let claimed = plain.split_ascii_whitespace().next().unwrap_or_default();
    // A quoted name may have its letters escaped (RFC 5322 §3.2.4): readers take the backslashes off.
    let claimed = claimed.trim_matches('"').replace('\\', "");
    let claimed = claimed.trim_end_matches('.');
    claimed.is_empty() || our_names.any(|name| claimed.eq_ignore_ascii_case(name.trim_end_matches('.')))
}

/// `method=result` of each part, outside comments.
pub(crate) fn methods(value: &str) -> impl Iterator<Item = (String, String)> {
    let plain = without_comments(value);
    let parts: Vec<(String, String)> = split_outside_quotes(&plain)
        .into_iter()
        .skip(1)
        .filter_map(|part| {
            let (method, rest) = part.trim().split_once('=')?;
            let method = method.trim().split('/').next()?.trim().to_owned();
            let result = rest.trim().split(|c: char| c.is_whitespace() || c == ';').next()?;
            Some((method, result.to_owned()))
        })
        .collect();
    parts.into_iter()
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                parts.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(from..));
    parts
}

/// What stands in parentheses is replaced by a space; an open comment takes the rest.
fn without_comments(text: &str) -> String {
    let (mut plain, mut depth, mut quoted, mut escaped) = (String::new(), 0usize, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                if depth == 0 {
                    plain.push(c);
                }
            }
            '\\' if quoted || depth > 0 => {
                escaped = true;
                if depth == 0 {
                    plain.push(c);
                }
            }
            '"' if depth == 0 => {
                quoted = !quoted;
                plain.push(c);
            }
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => {
                depth -= 1;
                plain.push(' ');
            }
            _ if depth > 0 => {}
            '\r' | '\n' | '\t' => plain.push(' '),
            _ => plain.push(c),
        }
    }
    plain
}

/// A value as it may stand: what a peer chose can neither end the value nor the field.
fn value_of(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/^_`{|}~.@:".contains(c);
    if text.chars().all(is_plain) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()).take(200) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::results::{DkimResult, DmarcPolicy, DmarcResult, SpfFinding};
    use super::*;

    #[test]
    fn the_field_as_it_is_written() {
        let found = Authentication {
            spf: SpfFinding { result: Word::Pass, domain: "a.test".to_owned(), ..SpfFinding::default() },
            dkim: vec![DkimResult {
                result: Word::Fail,
                domain: "a.test".to_owned(),
                selector: "s".to_owned(),
                algorithm: "rsa-sha256".to_owned(),
                signature: "AbCd".to_owned(),
                reason: "body \"hash\"".to_owned(),
            }],
            dmarc: DmarcResult {
                result: Word::Pass,
                domain: "a.test".to_owned(),
                policy: DmarcPolicy::Reject,
                ..DmarcResult::default()
            },
            ..Authentication::default()
        };
        assert_eq!(
            results_field("mx.test", &found, "192.0.2.1".parse().unwrap(), "\"x;y\"@a.test"),
            "mx.test;\r\n\tspf=pass\r\n\t\tsmtp.mailfrom=\"\\\"x;y\\\"@a.test\"\r\n\t\tpolicy.remote-ip=192.0.2.1;\r\n\t\
             dkim=fail reason=\"body \\\"hash\\\"\"\r\n\t\theader.d=a.test\r\n\t\theader.s=s\r\n\t\theader.a=rsa-sha256\r\n\t\t\
             header.b=AbCd;\r\n\tdmarc=pass\r\n\t\theader.from=a.test\r\n\t\tpolicy.dmarc=reject"
        );
    }

    #[test]
    fn attack_forged_results_are_found() {
        let ours = ["mx.Test", "mx2.test."];
        let check = |value: &str, expected: bool| {
            assert_eq!(is_forged(value, ours.into_iter()), expected, "{value}");
        };
        check("mx.test; spf=pass", true);
        check("MX2.test; spf=pass", true);
        check("mx3.test; spf=pass", false);
        check(" MX.TEST 1; spf=pass", true);
        check("mx.test.; spf=pass", true);
        check("\"mx.test\"; spf=pass", true);
        check("\"mx\\.test\"; spf=pass", true);
        check("(a comment) mx.test (another; one); spf=pass", true);
        check("(nested (twice)) mx.test", true);
        check("(never closed mx.test; spf=pass", true);
        check("", true);
        check("; spf=pass", true);
        check("other.test; spf=pass (mx.test)", false);
        check("other.test; x=\"mx.test\"", false);
        check("sub.mx.test; spf=pass", false);
    }

    #[test]
    fn attack_results_can_not_be_injected() {
        for text in ["x; dmarc=pass", "a b", "x\r\nSubject: y", "\"; dkim=pass", "a(b)", "a\\\"b"] {
            let value = value_of(text);
            assert!(
                value.starts_with('"') && value.ends_with('"') && !value.contains(['\r', '\n']),
                "{value}"
            );
            let field = format!("mx.test; spf=fail smtp.mailfrom={value}");
            assert_eq!(methods(&field).count(), 1, "{field}");
        }
    }

    #[test]
    fn methods_outside_comments_and_quotes() {
        let check = |value: &str, expected: &[(&str, &str)]| {
            let found: Vec<(String, String)> = methods(value).collect();
            let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(found, expected, "{value}");
        };
        check("i=1; a.test; dmarc=pass header.from=x", &[("dmarc", "pass")]);
        check("a.test; dmarc / 1 = pass; spf=fail", &[("dmarc", "pass"), ("spf", "fail")]);
        check("a.test (; dmarc=pass); spf=none", &[("spf", "none")]);
        check("a.test; x=\"; dmarc=pass\"", &[("x", "\"")]);
        check("a.test; none", &[]);
    }
}
