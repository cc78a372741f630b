//! Whether a token is good: RFC 7519 with the advice of RFC 8725.
//!
//! What a token says of where its key is (`jku`, `jwk`, `x5u`, `x5c`) is never followed: the key comes from the set that the operator
//! named, its kind decides which signatures it can make, and the configuration which of them are taken.

use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::OAuthConfig;

/// Most keys of a set that are looked at.
const KEYS_MAX: usize = 100;

/// Longest key id that is compared.
const KEY_ID_OCTETS_MAX: usize = 256;

/// Why a token is not taken. For the log: clients hear the same of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is too long")]
    TooLong,
    #[error("it is no signed token, or signed in a way that nobody knows")]
    Form,
    #[error("its kind of signature is not taken")]
    Algorithm,
    #[error("it wants something of us that we don't know (`crit`)")]
    Critical,
    #[error("its key is not in the set")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claim `{0}` is missing or not usable")]
    Claim(&'static str),
    #[error("it has the wrong issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYet,
    #[error("the address in it was not verified")]
    Unverified,
    #[error("it is for another login, or for nobody who may log in here")]
    Login,
}

/// The issuer's public keys.
pub(crate) struct KeySet {
    keys: Vec<VerifyingKey>,
}

struct VerifyingKey {
    id: Option<String>,
    /// When the set says that the key is for one algorithm only.
    algorithm: Option<String>,
    family: AlgorithmFamily,
    key: DecodingKey,
}

impl KeySet {
    /// ```text
    /// {"keys": [ {"kty": "RSA", "kid": "…", "use": "sig", "alg": "RS256", "n": "…", "e": "…"}, … ]}     RFC 7517 §5
    /// ```
    /// Keys of other kinds and for other uses are left out, shared secrets too; a set without any is none.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let mut document: Map<String, Value> = serde_json::from_slice(json).ok()?;
        let Some(Value::Array(keys)) = document.remove("keys") else { return None };
        let keys: Vec<VerifyingKey> =
            keys.into_iter().take(KEYS_MAX).filter_map(VerifyingKey::parse).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// The key that a token names; when it names none, the only one of the kind.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let fits = |key: &&VerifyingKey| {
            key.family == algorithm.family()
                && key.algorithm.as_ref().is_none_or(|only| *only == format!("{algorithm:?}"))
        };
        let mut fitting =
            self.keys.iter().filter(fits).filter(|key| {
                id.is_none_or(|id| id.len() <= KEY_ID_OCTETS_MAX && key.id.as_deref() == Some(id))
            });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        }
    }
}

impl VerifyingKey {
    fn parse(value: Value) -> Option<Self> {
        let algorithm = value.get("alg").and_then(Value::as_str).map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa,
            AlgorithmParameters::EllipticCurve(_) => AlgorithmFamily::Ec,
            AlgorithmParameters::OctetKeyPair(_) => AlgorithmFamily::Ed,
            // A shared secret in a public document is none.
            _ => return None,
        };
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithm,
            family,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// The login that a good token is for: not parsed yet.
pub(crate) fn judge(
    token: &str,
    keys: &KeySet,
    config: &OAuthConfig,
    now: SystemTime,
) -> Result<String, TokenError> {
    if token.len() > config.token_size_max.as_usize() {
        return Err(TokenError::TooLong);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Form)?;
    let taken: Vec<Algorithm> = config.algorithms.iter().copied().map(Algorithm::from).collect();
    if !taken.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    // RFC 7515 §4.1.11: what must be understood and is not.
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let key = keys.find(header.kid.as_deref(), header.alg).ok_or(TokenError::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    // The claims are judged below, all in one place and with our clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation);
    let claims = decoded.map_err(|_| TokenError::Signature)?.claims;
    judge_claims(&claims, config, now)
}

/// RFC 7519 §4.1. `iss`, `aud` and `exp` must be there.
fn judge_claims(
    claims: &Map<String, Value>,
    config: &OAuthConfig,
    now: SystemTime,
) -> Result<String, TokenError> {
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenError::Claim("iss"))?;
    if issuer != config.issuer {
        return Err(TokenError::Issuer);
    }
    let is_for_us = |value: &Value| value.as_str() == Some(config.audience.as_str());
    match claims.get("aud").ok_or(TokenError::Claim("aud"))? {
        Value::Array(audiences) if audiences.iter().any(is_for_us) => {}
        one if is_for_us(one) => {}
        _ => return Err(TokenError::Audience),
    }
    let skew = config.clock_skew.as_duration();
    if time(claims, "exp")?.ok_or(TokenError::Claim("exp"))?.saturating_add(skew) <= since_epoch(now) {
        return Err(TokenError::Expired);
    }
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|time| time > since_epoch(now).saturating_add(skew)) {
            return Err(TokenError::NotYet);
        }
    }
    // OpenID Connect Core §5.1: anybody can claim an address that nobody verified.
    if config.login_claim == "email" && claims.get("email_verified").is_some_and(|value| !is_true(value)) {
        return Err(TokenError::Unverified);
    }
    let login = claims.get(&config.login_claim).and_then(Value::as_str);
    login.map(str::to_owned).ok_or(TokenError::Claim("login"))
}

/// Some issuers write it as a text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// A NumericDate: seconds since 1970, perhaps with a fraction.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Duration>, TokenError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(TokenError::Claim(claim))?;
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| TokenError::Claim(claim))
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Reads a JWK set, and a token against it.
pub(crate) fn fuzz(data: &[u8]) {
    let Some(keys) = KeySet::parse(data) else { return };
    assert!((1..=KEYS_MAX).contains(&keys.keys.len()));
    let config = OAuthConfig { issuer: "i".to_owned(), audience: "a".to_owned(), ..OAuthConfig::default() };
    let token = String::from_utf8_lossy(data);
    assert!(judge(&token, &keys, &config, SystemTime::UNIX_EPOCH).is_err(), "a key set is no token");
}

#[cfg(test)]
mod tests;
