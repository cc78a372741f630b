//! Entries for a fuzzer.

use crate::password::PasswordHash;
use crate::server::{BearerHint, Channel, NONCE_OCTETS, ServerNonce, Step};
use crate::{Limits, Mechanism, ScramSecret};

/// Feeds lines to every mechanism: what comes out is within the limits and holds no NUL, and no proof is right by chance.
pub fn fuzz_exchange(data: &[u8]) {
    let limits = Limits { response_octets_max: 256, login_octets_max: 64, password_octets_max: 64 };
    let secret = ScramSecret::of_nobody(&[7; 32], "nobody", 4096);
    let channel = Channel { tls_exporter: Some(vec![7; 32]), tls_server_end_point: None, plus_offered: true };
    let is_name =
        |name: &str| !name.is_empty() && name.len() <= limits.login_octets_max && !name.contains('\0');
    for mechanism in Mechanism::ALL {
        let mut lines = data.split(|octet| *octet == b'\n');
        let mut step = mechanism.begin(lines.next(), &limits, &channel);
        for rounds in 0.. {
            assert!(rounds <= 6, "an exchange ends");
            step = match step {
                Ok(Step::Challenge(exchange, challenge)) => {
                    assert!(
                        challenge.bytes().all(|octet| octet.is_ascii_graphic()),
                        "a challenge is one line"
                    );
                    let Some(line) = lines.next() else { break };
                    exchange.respond(line, &limits)
                }
                Ok(Step::Finished(credentials)) => {
                    let password = credentials.password.expose();
                    assert!(is_name(&credentials.login));
                    assert!(!password.is_empty() && password.len() <= limits.password_octets_max);
                    assert!(!password.contains('\0'));
                    break;
                }
                Ok(Step::Secret(start)) => {
                    assert!(is_name(start.login()));
                    Ok(start.challenge(secret.clone(), &ServerNonce::new(&[7; NONCE_OCTETS])))
                }
                Ok(Step::Proof(proof)) => {
                    assert!(!proof.is_right(&secret), "nobody has a password");
                    Ok(proof.accepted())
                }
                Ok(Step::Token(token)) => {
                    assert!(token.login.as_deref().is_none_or(is_name));
                    assert!(token.token.expose().bytes().all(|octet| octet.is_ascii_graphic()));
                    Ok(token.refused(&BearerHint::default()))
                }
                Ok(Step::Proven | Step::Refused) | Err(_) => break,
            };
        }
    }
}

/// Reads a stored SCRAM secret: what is accepted prints as it was read.
pub fn fuzz_scram_secret(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(secret) = text.parse::<ScramSecret>() {
        assert_eq!(secret.to_text().expose(), text);
    }
}

/// Reads a stored hash: what is accepted prints as it was read.
pub fn fuzz_password_hash(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(hash) = PasswordHash::parse(text) {
        assert_eq!(hash.as_str(), text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exchanges(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_exchange(&data);
        }

        #[test]
        fn exchanges_of_base64(data in "[A-Za-z0-9+/=*\n]{0,80}") {
            fuzz_exchange(data.as_bytes());
        }

        #[test]
        fn exchanges_of_messages(lines in proptest::collection::vec(
            "(n,,|y,,|p=tls-exporter,,)?(n=[a-z=,]{0,9},r=x|c=biws,r=xBwcHBwcHBwcHBwcHBwcHBwcHBwcH,p=[A-Za-z]{0,4}|\u{1}?(user=a\u{1})?auth=Bearer [a-z.]{0,5}\u{1}{0,3}|)",
            0..5,
        )) {
            use base64::Engine as _;
            let lines: Vec<String> =
                lines.iter().map(|line| base64::engine::general_purpose::STANDARD.encode(line)).collect();
            fuzz_exchange(lines.join("\n").as_bytes());
        }

        #[test]
        fn scram_secrets(data in "(\\{SCRAM-SHA-256\\}4096)?(\\$[A-Za-z0-9+/=]{0,44}){0,4}") {
            fuzz_scram_secret(data.as_bytes());
        }

        #[test]
        fn hashes(data in "(\\$[a-z0-9=,]{0,12}){0,6}") {
            fuzz_password_hash(data.as_bytes());
        }
    }
}
