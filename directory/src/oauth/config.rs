//! What an operator says about bearer tokens.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// Logins with tokens of an authorization server (OAUTHBEARER and XOAUTH2): JSON Web Tokens that it signed. Without an issuer
/// there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OAuthConfig {
    /// Who gives the tokens: what they must say in `iss`, to the letter. Empty: no token is taken, and the mechanisms are not offered.
    pub issuer: String,
    /// For whom the tokens must be: one of the values in their `aud`.
    pub audience: String,
    /// The file with the issuer's public keys (a JWK set, RFC 7517). It is read anew when it has changed. A relative path starts in the data folder.
    pub jwks_file: PathBuf,
    /// Where the issuer publishes the same, instead of the file: `https://`, or `http://` on this machine. Redirects are not followed.
    pub jwks_url: String,
    /// The authorities that may vouch for `jwks_url`, in PEM form.
    pub authorities: PathBuf,
    /// The claim that names the account: a full address.
    pub login_claim: String,
    /// The signatures that are taken.
    pub algorithms: Vec<TokenAlgorithm>,
    /// How far the issuer's clock may be from ours.
    pub clock_skew: Span,
    /// How old the keys of `jwks_url` may grow before they are fetched again. When that fails, the old ones hold on.
    pub refresh_interval: Span,
    /// How long after a look there is no other, whatever comes: after a fetch that failed, for a token with a key that is not known, and at
    /// the file.
    pub refresh_min: Span,
    /// How long a look at the keys may take.
    pub fetch_timeout: Span,
    /// The largest JWK set.
    pub keys_size_max: ByteSize,
    /// The largest token.
    pub token_size_max: ByteSize,
    /// The scopes that a client whose token was refused is told to ask for, separated by spaces; empty: it is not told.
    pub scope: String,
    /// The address of the issuer's OpenID Connect discovery document, for the same client; empty: it is not told.
    pub openid_configuration: String,
}

/// How a token may be signed (RFC 7518 §3, RFC 8037): only with keys whose public half we know. None and shared secrets are no choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// RSA (PKCS #1 v1.5) with SHA-256.
    RS256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RS384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RS512,
    /// RSA (PSS) with SHA-256.
    PS256,
    /// RSA (PSS) with SHA-384.
    PS384,
    /// RSA (PSS) with SHA-512.
    PS512,
    /// ECDSA with P-256.
    ES256,
    /// ECDSA with P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl From<TokenAlgorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: TokenAlgorithm) -> Self {
        match algorithm {
            TokenAlgorithm::RS256 => Self::RS256,
            TokenAlgorithm::RS384 => Self::RS384,
            TokenAlgorithm::RS512 => Self::RS512,
            TokenAlgorithm::PS256 => Self::PS256,
            TokenAlgorithm::PS384 => Self::PS384,
            TokenAlgorithm::PS512 => Self::PS512,
            TokenAlgorithm::ES256 => Self::ES256,
            TokenAlgorithm::ES384 => Self::ES384,
            TokenAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

impl Default for OAuthConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_file: PathBuf::new(),
            jwks_url: String::new(),
            authorities: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            login_claim: "email".to_owned(),
            algorithms: vec![
                TokenAlgorithm::RS256,
                TokenAlgorithm::PS256,
                TokenAlgorithm::ES256,
                TokenAlgorithm::EdDSA,
            ],
            clock_skew: Span::secs(60),
            refresh_interval: Span::hours(1),
            refresh_min: Span::secs(10),
            fetch_timeout: Span::secs(5),
            keys_size_max: ByteSize::kib(256),
            token_size_max: ByteSize::kib(8),
            scope: String::new(),
            openid_configuration: String::new(),
        }
    }
}

impl OAuthConfig {
    /// Whether tokens are taken at all.
    pub const fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        if !self.is_on() {
            return Vec::new();
        }
        let file = !self.jwks_file.as_os_str().is_empty();
        let url = !self.jwks_url.is_empty();
        let told = [&self.scope, &self.openid_configuration];
        let is_plain =
            |text: &String| text.len() <= 1024 && text.bytes().all(|octet| (32..127).contains(&octet));
        let checks = [
            (
                self.audience.is_empty(),
                "audience",
                "needed with `issuer`: tokens for others must not be taken",
            ),
            (file == url, "jwks_file", "either `jwks_file` or `jwks_url` is needed"),
            (
                url && !is_https(&self.jwks_url),
                "jwks_url",
                "must begin with https://, or with http:// and a loopback address",
            ),
            (self.login_claim.is_empty(), "login_claim", "must name a claim"),
            (self.algorithms.is_empty(), "algorithms", "must name at least one"),
            (self.clock_skew > Span::mins(10), "clock_skew", "must be at most 10m"),
            (self.refresh_min < Span::secs(1), "refresh_min", "must be at least 1s"),
            (
                self.refresh_interval < self.refresh_min,
                "refresh_interval",
                "must not be shorter than `refresh_min`",
            ),
            (self.fetch_timeout < Span::millis(1), "fetch_timeout", "must be longer than nothing"),
            (self.keys_size_max < ByteSize::kib(1), "keys_size_max", "must be at least 1 KiB"),
            (self.keys_size_max > ByteSize::mib(16), "keys_size_max", "must be at most 16 MiB"),
            (self.token_size_max < ByteSize::kib(1), "token_size_max", "must be at least 1 KiB"),
            (self.token_size_max > ByteSize::kib(64), "token_size_max", "must be at most 64 KiB"),
            (
                !told.into_iter().all(is_plain),
                "scope",
                "what clients are told must be printable ASCII, at most 1024 characters",
            ),
        ];
        let wrong = checks.into_iter().filter(|(is_wrong, _, _)| *is_wrong);
        wrong.map(|(_, key, problem)| (format!("oauth.{key}"), problem.to_owned())).collect()
    }
}

/// Whether nobody on the way can change what comes from there.
fn is_https(url: &str) -> bool {
    let authority = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    if let Some(rest) = url.strip_prefix("https://") {
        return !authority(rest).is_empty() && !authority(rest).contains('@');
    }
    let Some(host) = url.strip_prefix("http://").map(authority) else { return false };
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name.to_owned(),
        _ => host,
    };
    let address = without_port.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        let check = |change: fn(&mut OAuthConfig), expected: &[&str]| {
            let mut config = OAuthConfig {
                issuer: "https://id.test".to_owned(),
                audience: "mail".to_owned(),
                jwks_url: "https://id.test/keys".to_owned(),
                ..OAuthConfig::default()
            };
            change(&mut config);
            let faults = config.faults();
            let keys: Vec<&str> = faults.iter().filter_map(|(key, _)| key.strip_prefix("oauth.")).collect();
            assert_eq!(keys, expected);
        };
        check(|_| {}, &[]);
        check(|c| *c = OAuthConfig::default(), &[]);
        check(|c| c.audience.clear(), &["audience"]);
        check(|c| c.jwks_url.clear(), &["jwks_file"]);
        check(|c| c.jwks_file = "keys.json".into(), &["jwks_file"]);
        check(|c| c.jwks_url = "http://id.test/keys".to_owned(), &["jwks_url"]);
        check(|c| c.algorithms.clear(), &["algorithms"]);
        check(|c| c.scope = "a\r\nb".to_owned(), &["scope"]);
    }

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("https://id.test/keys", true),
            ("https://id.test:8443/keys", true),
            ("https:///keys", false),
            ("https://user@id.test/keys", false),
            ("http://127.0.0.1/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://[::1]:8080/keys", true),
            ("http://localhost/keys", false),
            ("http://192.0.2.1/keys", false),
            ("http://127.0.0.1.evil.test/keys", false),
            ("http://127.0.0.1@evil.test/keys", false),
            ("file:///etc/passwd", false),
            ("", false),
        ] {
            assert_eq!(is_https(url), expected, "{url}");
        }
    }
}
