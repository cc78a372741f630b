//! OAUTHBEARER (RFC 7628) and XOAUTH2: a token instead of a password.
//!
//! ```text
//! token ──▶ BearerToken ─┬ right ─▶ in
//!  (have it judged)      └ wrong ─▶ error as JSON ─▶ the client's dummy answer ─▶ refused
//! ```

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::Secret;

use super::gs2::{self, Gs2Flag};
use super::{Exchange, Step};
use crate::credentials::name;
use crate::{Limits, SaslError};

/// What separates the pairs.
const KVSEP: char = '\u{1}';

/// Waits for the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// RFC 7628.
    Standard,
    /// XOAUTH2.
    Google,
}

/// What a client is told whose token was refused: where it gets a better one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerHint {
    /// The scopes that a token needs, separated by spaces; empty: not told.
    pub scope: String,
    /// Where the authorization server describes itself (OpenID Connect Discovery); empty: not told.
    pub openid_configuration: String,
}

/// A token that nobody has judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken {
    kind: Bearer,
    /// As whom the client wants to log in, when it said so; not parsed yet.
    pub login: Option<String>,
    /// The token. Empty when a client only wants to learn where to get one (RFC 7628 §4.3).
    pub token: Secret<String>,
}

impl Bearer {
    pub(super) fn take(self, response: &[u8], limits: &Limits) -> Result<Step, SaslError> {
        let text =
            std::str::from_utf8(response).map_err(|_| SaslError::Malformed("the text is not UTF-8"))?;
        let (login, token) = match self {
            Self::Standard => standard(text, limits)?,
            Self::Google => google(text, limits)?,
        };
        Ok(Step::Token(BearerToken { kind: self, login, token: Secret::new(token.to_owned()) }))
    }
}

impl BearerToken {
    /// The token was refused: tells the client, which answers something before it is told the end.
    pub fn refused(&self, hint: &BearerHint) -> Step {
        let mut pairs = match self.kind {
            // RFC 7628 §3.2.2
            Bearer::Standard => vec![("status", "invalid_token")],
            Bearer::Google => vec![("status", "401"), ("schemes", "bearer")],
        };
        let told = [("scope", &hint.scope), ("openid-configuration", &hint.openid_configuration)];
        pairs.extend(told.into_iter().filter(|(_, value)| !value.is_empty()).map(|(k, v)| (k, v.as_str())));
        let members: Vec<String> =
            pairs.iter().map(|(name, value)| format!("\"{name}\":\"{}\"", escaped(value))).collect();
        let challenge = STANDARD.encode(format!("{{{}}}", members.join(",")));
        Step::Challenge(Exchange::BearerRefused, Cow::Owned(challenge))
    }
}

/// ```abnf
/// client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep      ; RFC 7628 §3.1
/// kvpair      = key "=" value kvsep
/// key         = 1*(ALPHA)
/// value       = *(VCHAR / SP / HTAB / CR / LF)
/// ```
fn standard<'a>(text: &'a str, limits: &Limits) -> Result<(Option<String>, &'a str), SaslError> {
    let (header, rest) = gs2::header(text, limits)?;
    if matches!(header.flag, Gs2Flag::Bound(_)) {
        return Err(SaslError::ChannelBinding);
    }
    let rest = rest.strip_prefix(KVSEP).ok_or(SaslError::Malformed("the pairs have no beginning"))?;
    let token = pair(rest, "auth")?.map_or(Ok(""), bearer)?;
    Ok((header.authorization_identity, token))
}

/// ```abnf
/// client-resp = "user=" name kvsep "auth=Bearer " token kvsep kvsep
/// ```
fn google<'a>(text: &'a str, limits: &Limits) -> Result<(Option<String>, &'a str), SaslError> {
    let login = pair(text, "user")?.ok_or(SaslError::Malformed("XOAUTH2 needs a user"))?;
    let token = pair(text, "auth")?.map_or(Ok(""), bearer)?;
    Ok((Some(name(login.as_bytes(), limits)?), token))
}

/// The value of the one pair with this key. All pairs are looked at.
fn pair<'a>(pairs: &'a str, wanted: &str) -> Result<Option<&'a str>, SaslError> {
    let wrong = SaslError::Malformed("the pairs are not key=value and a separator each");
    let mut rest = pairs;
    let mut found = None;
    while rest != "\u{1}" {
        let (pair, behind) = rest.split_once(KVSEP).ok_or(wrong)?;
        let (key, value) = pair.split_once('=').ok_or(wrong)?;
        let good = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
        if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_alphabetic()) || !value.chars().all(good)
        {
            return Err(wrong);
        }
        if key == wanted && found.replace(value).is_some() {
            return Err(SaslError::Malformed("a pair is there twice"));
        }
        rest = behind;
    }
    Ok(found)
}

/// ```abnf
/// credentials = "Bearer" 1*SP b64token                        ; RFC 6750 §2.1
/// b64token    = 1*(ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/") *"="
/// ```
fn bearer(value: &str) -> Result<&str, SaslError> {
    if value.is_empty() {
        return Ok("");
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(SaslError::Malformed("the scheme is not Bearer"));
    }
    let token = token.trim_matches(' ');
    let good = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet);
    if token.trim_end_matches('=').bytes().all(good) {
        Ok(token)
    } else {
        Err(SaslError::Malformed("the token holds other characters"))
    }
}

/// RFC 8259 §7.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Channel, Mechanism};

    const LIMITS: Limits = Limits { response_octets_max: 4096, login_octets_max: 64, password_octets_max: 6 };

    /// `login token`, or the error.
    fn check(mechanism: Mechanism, response: &str, expected: &str) {
        let response = STANDARD.encode(response);
        let found = match mechanism.begin(Some(response.as_bytes()), &LIMITS, &Channel::default()) {
            Ok(Step::Token(token)) => {
                format!("{} {}", token.login.as_deref().unwrap_or("-"), token.token.expose())
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        };
        assert!(found.starts_with(expected), "{response}: {found}");
    }

    #[test]
    fn oauthbearer_as_in_rfc_7628() {
        let check = |response: &str, expected: &str| check(Mechanism::OAuthBearer, response, expected);
        // RFC 7628 §4.1.
        check(
            "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}",
            "user@example.com vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
        );
        // RFC 7628 §4.3: no token, to learn where to get one.
        check("n,a=user@example.com,\u{1}auth=\u{1}\u{1}", "user@example.com ");
        check("n,,\u{1}\u{1}", "- ");
        check("y,,\u{1}auth=bearer  a.b.c\u{1}\u{1}", "- a.b.c");
        check("p=tls-exporter,,\u{1}auth=Bearer x\u{1}\u{1}", "ChannelBinding");
        for wrong in [
            "",
            "\u{1}",
            "n,,",
            "n,,\u{1}",
            "n,,auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}",
            "n,,\u{1}auth=Bearer x",
            "n,,\u{1}auth=Basic x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x y\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\"\u{1}\u{1}",
            "n,,\u{1}auth=Bearer =x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}auth=Bearer y\u{1}\u{1}",
            "n,,\u{1}au1=x\u{1}\u{1}",
            "n,,\u{1}=x\u{1}\u{1}",
            "n,,\u{1}host=a\u{0}\u{1}auth=Bearer x\u{1}\u{1}",
            "n,,\u{1}auth=Bearer x\u{1}\u{1}more",
            "n,,\u{1}auth=Bearer x\u{1}\u{1}\u{1}",
        ] {
            check(wrong, "Malformed");
        }
    }

    #[test]
    fn xoauth2_as_gmail_s_clients_speak_it() {
        let check = |response: &str, expected: &str| check(Mechanism::XOAuth2, response, expected);
        // The example of Google's description of the mechanism.
        check(
            "user=someuser@example.com\u{1}auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\u{1}\u{1}",
            "someuser@example.com ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
        );
        check("auth=Bearer x\u{1}\u{1}", "Malformed");
        check("user=\u{1}auth=Bearer x\u{1}\u{1}", "Malformed");
        check("user=a\u{1}auth=Bearer x", "Malformed");
        check("user=a\u{1}user=b\u{1}auth=Bearer x\u{1}\u{1}", "Malformed");
        check(&format!("user={}\u{1}auth=Bearer x\u{1}\u{1}", "a".repeat(64)), "aaaa");
        check(&format!("user={}\u{1}auth=Bearer x\u{1}\u{1}", "a".repeat(65)), "TooLong");
    }

    #[test]
    fn a_refused_token_is_answered_before_the_end() {
        let hint = BearerHint {
            scope: "mail \"x\"\n".to_owned(),
            openid_configuration: "https://id.test/.well-known/openid-configuration".to_owned(),
        };
        let refuse = |kind, hint: &BearerHint| {
            let token = BearerToken { kind, login: None, token: Secret::new(String::new()) };
            let Step::Challenge(exchange, challenge) = token.refused(hint) else { panic!() };
            (exchange, String::from_utf8(STANDARD.decode(challenge.as_bytes()).unwrap()).unwrap())
        };
        let (exchange, json) = refuse(Bearer::Standard, &hint);
        assert_eq!(
            json,
            r#"{"status":"invalid_token","scope":"mail \"x\"\u000a","openid-configuration":"https://id.test/.well-known/openid-configuration"}"#
        );
        // RFC 7628 §3.2.3: a lone separator.
        assert_eq!(exchange.respond(b"AQ==", &LIMITS), Ok(Step::Refused));
        let (exchange, json) = refuse(Bearer::Google, &BearerHint::default());
        assert_eq!(json, r#"{"status":"401","schemes":"bearer"}"#);
        assert_eq!(exchange.clone().respond(b"", &LIMITS), Ok(Step::Refused));
        assert_eq!(exchange.respond(b"*", &LIMITS), Err(SaslError::Cancelled));
    }
}
