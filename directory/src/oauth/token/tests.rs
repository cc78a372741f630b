use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;
use units::ByteSize;

use super::*;
use crate::TokenAlgorithm;
use crate::oauth::signer::{Signer, b64, jwks};

/// Seconds since 1970, in all these tests.
const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn config() -> OAuthConfig {
    OAuthConfig {
        issuer: "https://id.test".to_owned(),
        audience: "mail".to_owned(),
        ..OAuthConfig::default()
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.test",
        "aud": "mail",
        "email": "alice@example.test",
        "exp": NOW + 300,
        "nbf": NOW - 10,
        "iat": NOW - 10,
    })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(jwks(keys).as_bytes()).unwrap()
}

fn good() -> Result<String, TokenError> {
    Ok("alice@example.test".to_owned())
}

/// What becomes of the good claims with one of them changed; `null` takes it away.
fn check(name: &str, value: Value, expected: Result<String, TokenError>) {
    let signer = Signer::ed();
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        ref value => claims[name] = value.clone(),
    }
    let token = signer.sign("k", &claims);
    assert_eq!(judge(&token, &set(&[signer.jwk("k")]), &config(), now()), expected, "{name} {value}");
}

#[test]
fn good_tokens_of_every_kind_of_key() {
    let signers = [Signer::ec(), Signer::ed(), Signer::rsa()];
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let keys = set(&keys);
    for signer in &signers {
        let token = signer.sign(signer.algorithm(), &claims());
        assert_eq!(judge(&token, &keys, &config(), now()), good(), "{}", signer.algorithm());
        // Without an id there is one key of the kind.
        let token = signer.sign_with(&json!({"alg": signer.algorithm()}), &claims());
        assert_eq!(judge(&token, &keys, &config(), now()), good(), "{}", signer.algorithm());
    }
}

#[test]
fn the_claims() {
    check("iss", json!("https://evil.test"), Err(TokenError::Issuer));
    check("iss", json!("https://id.test/"), Err(TokenError::Issuer));
    check("iss", Value::Null, Err(TokenError::Claim("iss")));
    check("iss", json!(["https://id.test"]), Err(TokenError::Claim("iss")));
    check("aud", json!("other"), Err(TokenError::Audience));
    check("aud", json!(["other", "mail"]), good());
    check("aud", json!(["other"]), Err(TokenError::Audience));
    check("aud", json!([]), Err(TokenError::Audience));
    check("aud", json!({"mail": true}), Err(TokenError::Audience));
    check("aud", Value::Null, Err(TokenError::Claim("aud")));
    check("email", Value::Null, Err(TokenError::Claim("login")));
    check("email", json!(7), Err(TokenError::Claim("login")));
    check("email_verified", json!(false), Err(TokenError::Unverified));
    check("email_verified", json!("false"), Err(TokenError::Unverified));
    check("email_verified", json!("true"), good());
    check("email_verified", json!(true), good());
}

#[test]
fn the_times() {
    let skew = 60;
    check("exp", json!(NOW - skew), Err(TokenError::Expired));
    check("exp", json!(NOW - skew + 1), good());
    check("exp", json!(0), Err(TokenError::Expired));
    check("exp", Value::Null, Err(TokenError::Claim("exp")));
    check("exp", json!("1900000000"), Err(TokenError::Claim("exp")));
    check("exp", json!(-1), Err(TokenError::Claim("exp")));
    check("exp", json!(1e300), Err(TokenError::Claim("exp")));
    check("exp", json!(NOW as f64 + 0.5), good());
    check("nbf", json!(NOW + skew), good());
    check("nbf", json!(NOW + skew + 1), Err(TokenError::NotYet));
    check("nbf", Value::Null, good());
    check("nbf", json!("soon"), Err(TokenError::Claim("nbf")));
    check("iat", json!(NOW + skew + 1), Err(TokenError::NotYet));
    check("iat", Value::Null, good());
}

#[test]
fn nobody_signed_it() {
    let signer = Signer::rsa();
    let keys = set(&[signer.jwk("k")]);
    for algorithm in ["none", "None", "NONE", "", "nOnE"] {
        for tail in ["", "AAAA"] {
            let header = json!({"alg": algorithm, "kid": "k"}).to_string();
            let token = format!("{}.{}.{tail}", b64(header), b64(claims().to_string()));
            assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Form), "{algorithm}");
        }
    }
    // A good one with its signature taken off, cut, or of another token.
    let token = signer.sign("k", &claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = signer.sign("k", &json!({"iss": "x"}));
    for tail in ["", &signature[..signature.len() - 4], other.rsplit_once('.').unwrap().1] {
        let found = judge(&format!("{signed}.{tail}"), &keys, &config(), now());
        assert_eq!(found, Err(TokenError::Signature), "{tail}");
    }
    // The claims changed behind the signer's back.
    let mut more = claims();
    more["email"] = "root@example.test".into();
    let (header, _) = signed.split_once('.').unwrap();
    let token = format!("{header}.{}.{signature}", b64(more.to_string()));
    assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Signature));
}

/// RFC 8725 §2.1: the public key as a shared secret.
#[test]
fn a_public_key_is_no_shared_secret() {
    let signer = Signer::rsa();
    let jwk = signer.jwk("k");
    let keys = set(std::slice::from_ref(&jwk));
    let signed =
        format!("{}.{}", b64(json!({"alg": "HS256", "kid": "k"}).to_string()), b64(claims().to_string()));
    for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned(), String::new()] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let token = format!("{signed}.{}", b64(mac.finalize().into_bytes()));
        assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Algorithm));
    }
    // A shared secret in the set is no key.
    assert!(KeySet::parse(jwks(&[json!({"kty": "oct", "k": "AAAA", "kid": "k"})]).as_bytes()).is_none());
}

#[test]
fn the_key_comes_from_the_set_alone() {
    let (ours, evil) = (Signer::ec(), Signer::ec());
    let keys = set(&[ours.jwk("k")]);
    let header = |more: Value| {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header
    };
    // What the token brings along is not used, neither by itself nor against a good signature.
    for more in [
        json!({"jwk": evil.jwk("k")}),
        json!({"jku": "https://evil.test/keys"}),
        json!({"x5u": "https://evil.test/c.pem"}),
        json!({"x5c": ["AAAA"]}),
    ] {
        let token = evil.sign_with(&header(more.clone()), &claims());
        assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Signature), "{more}");
        let token = ours.sign_with(&header(more.clone()), &claims());
        assert_eq!(judge(&token, &keys, &config(), now()), good(), "{more}");
    }
    // An id is a word to compare with, whatever is in it.
    for id in [
        "",
        "K",
        "k ",
        "../../../dev/null",
        "k' OR '1'='1",
        "k\0",
        "http://evil.test/",
        "|cat /etc/passwd",
        &"k".repeat(300),
    ] {
        let token = evil.sign_with(&header(json!({"kid": id})), &claims());
        assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::UnknownKey), "{id:?}");
    }
    let token = ours.sign_with(&header(json!({"kid": ["k"]})), &claims());
    assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Form));
    let token = ours.sign_with(&header(json!({"crit": ["exp"], "exp": 1})), &claims());
    assert_eq!(judge(&token, &keys, &config(), now()), Err(TokenError::Critical));
    // Without an id, two keys of the kind are one too many; and one id that stands for two is none.
    let two = set(&[ours.jwk("a"), evil.jwk("b")]);
    let token = ours.sign_with(&json!({"alg": "ES256"}), &claims());
    assert_eq!(judge(&token, &two, &config(), now()), Err(TokenError::UnknownKey));
    let twins = set(&[ours.jwk("k"), evil.jwk("k")]);
    assert_eq!(judge(&ours.sign("k", &claims()), &twins, &config(), now()), Err(TokenError::UnknownKey));
}

#[test]
fn a_key_makes_what_it_is_for() {
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    let keys = |change: fn(&mut Value)| {
        let mut jwk = rsa.jwk("k");
        change(&mut jwk);
        jwks(&[jwk, ec.jwk("other")])
    };
    let check = |change: fn(&mut Value), expected: Result<String, TokenError>| {
        let keys = KeySet::parse(keys(change).as_bytes()).unwrap();
        assert_eq!(judge(&rsa.sign("k", &claims()), &keys, &config(), now()), expected);
    };
    check(|_| {}, good());
    check(|jwk| jwk["alg"] = "RS256".into(), good());
    check(|jwk| jwk["alg"] = "RS512".into(), Err(TokenError::UnknownKey));
    check(|jwk| jwk["alg"] = "RSA-OAEP".into(), Err(TokenError::UnknownKey));
    check(|jwk| jwk["use"] = "enc".into(), Err(TokenError::UnknownKey));
    check(|jwk| drop(jwk.as_object_mut().unwrap().remove("use")), good());
    check(|jwk| jwk["n"] = "AAAA".into(), Err(TokenError::Signature));
    check(|jwk| jwk["kty"] = "EC".into(), Err(TokenError::UnknownKey));
    // An algorithm that is not taken.
    let only = OAuthConfig { algorithms: vec![TokenAlgorithm::ES256], ..config() };
    let set = KeySet::parse(keys(|_| {}).as_bytes()).unwrap();
    assert_eq!(judge(&rsa.sign("k", &claims()), &set, &only, now()), Err(TokenError::Algorithm));
    assert_eq!(judge(&ec.sign("other", &claims()), &set, &only, now()), good());
    // An RSA key that is said to have made an ECDSA signature.
    let token = rsa.sign_with(&json!({"alg": "ES256", "kid": "k"}), &claims());
    assert_eq!(judge(&token, &set, &config(), now()), Err(TokenError::UnknownKey));
}

#[test]
fn oversize() {
    let signer = Signer::ed();
    let keys = set(&[signer.jwk("k")]);
    let token = signer.sign("k", &claims());
    let length = token.len() as u64;
    for (size, expected) in [(length - 1, Err(TokenError::TooLong)), (length, good()), (length + 1, good())] {
        let config = OAuthConfig { token_size_max: ByteSize::bytes(size), ..config() };
        assert_eq!(judge(&token, &keys, &config, now()), expected);
    }
}

#[test]
fn forms() {
    let signer = Signer::ed();
    let keys = set(&[signer.jwk("k")]);
    let token = signer.sign("k", &claims());
    for wrong in [
        "",
        ".",
        "..",
        "a.b.c",
        "x",
        &token[..20],
        &format!("{token}.x"),
        &format!("{token}="),
        &format!(" {token}"),
    ] {
        assert!(judge(wrong, &keys, &config(), now()).is_err(), "{wrong}");
    }
    let claims_that_are_none = signer.sign("k", &json!(["iss"]));
    assert_eq!(judge(&claims_that_are_none, &keys, &config(), now()), Err(TokenError::Signature));
}

#[test]
fn sets() {
    let check = |json: &str, expected: Option<usize>| {
        assert_eq!(KeySet::parse(json.as_bytes()).map(|set| set.keys.len()), expected, "{json}");
    };
    let key = Signer::ed().jwk("k");
    check("", None);
    check("[]", None);
    check("{}", None);
    check(r#"{"keys": 7}"#, None);
    check(r#"{"keys": []}"#, None);
    check(r#"{"keys": [7, {"kty": "new"}]}"#, None);
    check(&json!({"keys": [{"kty": "new", "kid": "x"}, key], "more": 1}).to_string(), Some(1));
    for (count, expected) in [(99, 99), (100, 100), (101, 100)] {
        check(&jwks(&vec![key.clone(); count]), Some(expected));
    }
}

proptest! {
    #[test]
    fn documents(data in r#"\{"keys": ?\[(\{"kty":"(RSA|EC|OKP|oct)","(n|x|k)":"[A-Za-z]{0,8}","(e|y)":"AQAB","crv":"(P-256|Ed25519)"\},?){0,3}\]\}"#) {
        crate::fuzz_tokens(data.as_bytes());
    }

    #[test]
    fn octets(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz_tokens(&data);
    }

    #[test]
    fn tokens(token in r"[A-Za-z0-9_.=-]{0,80}", header in r#"\{("alg":"(none|HS256|RS256|ES256|EdDSA)",?)?("kid":"k")?\}"#) {
        let keys = set(&[Signer::ed().jwk("k")]);
        assert!(judge(&token, &keys, &config(), now()).is_err());
        assert!(judge(&format!("{}.{token}", b64(header)), &keys, &config(), now()).is_err());
    }
}
