//! What the server keeps for SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), and what it computes from it.
//!
//! ```text
//! {SCRAM-SHA-256}4096$salt$StoredKey$ServerKey        salt and keys in base64
//!
//! SaltedPassword  := Hi(SASLprep(password), salt, iterations)
//! StoredKey       := H(HMAC(SaltedPassword, "Client Key"))
//! ServerKey       := HMAC(SaltedPassword, "Server Key")
//! ```
//!
//! Whoever steals a secret can play the server towards its owner, but can't log in with it without guessing the password.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Fewest iterations (RFC 7677 §4).
pub const ITERATIONS_MIN: u32 = 4096;

/// Most iterations: the client does them all at every login.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Length of a new salt in octets.
pub const SALT_OCTETS: usize = 16;

/// Longest salt that is read.
const SALT_OCTETS_MAX: usize = 64;

/// Octets of a key.
pub(crate) const KEY_OCTETS: usize = 32;

const PREFIX: &str = "{SCRAM-SHA-256}";

pub(crate) type Key = [u8; KEY_OCTETS];

/// A text that is no secret in the form above. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored SCRAM secret is not usable")]
pub struct ScramSecretError;

/// Salt, iterations and keys of one password. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSecret {
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
}

impl ScramSecret {
    /// Derives the secret of `password`; takes some milliseconds. `salt` must come from a source of secure randomness. `iterations`
    /// outside of [`ITERATIONS_MIN`] and [`ITERATIONS_MAX`] count as the nearer of the two.
    ///
    /// A password that SASLprep refuses is taken as it is: clients that prepare it fail to log in by SCRAM, as they do elsewhere.
    pub fn new(password: &Secret<String>, salt: &[u8; SALT_OCTETS], iterations: u32) -> Self {
        salted_keys(password, salt, iterations.clamp(ITERATIONS_MIN, ITERATIONS_MAX)).1
    }

    /// A secret that no password fits, for a name that has none: the same at every question, and not to be told from a real one
    /// without `key`.
    pub fn of_nobody(key: &[u8; 32], name: &str, iterations: u32) -> Self {
        let part = |what: &[u8]| hmac(key, &[what, b"\0", name.as_bytes()]);
        let salt = part(b"salt");
        Self {
            iterations: iterations.clamp(ITERATIONS_MIN, ITERATIONS_MAX),
            salt: salt.into_iter().take(SALT_OCTETS).collect(),
            stored_key: part(b"stored key"),
            server_key: part(b"server key"),
        }
    }

    /// How often the password is hashed.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The stored form. A secret: whoever has it can guess the password at leisure.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(format!(
            "{PREFIX}{}${}${}${}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        ))
    }

    /// Whether `proof` was made with the password (RFC 5802 §3): `H(proof XOR HMAC(StoredKey, AuthMessage))` is StoredKey.
    pub(crate) fn accepts(&self, proof: &Key, auth_message: &str) -> bool {
        let signature = hmac(&self.stored_key, &[auth_message.as_bytes()]);
        let found: Key = Sha256::digest(exclusive_or(proof, &signature)).into();
        let differing = found.iter().zip(self.stored_key).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    /// What proves to the client that this is the server: HMAC(ServerKey, AuthMessage).
    pub(crate) fn server_signature(&self, auth_message: &str) -> Key {
        hmac(&self.server_key, &[auth_message.as_bytes()])
    }
}

impl FromStr for ScramSecret {
    type Err = ScramSecretError;

    /// ```abnf
    /// secret = "{SCRAM-SHA-256}" iterations "$" base64 "$" base64 "$" base64
    /// ```
    fn from_str(text: &str) -> Result<Self, ScramSecretError> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(ScramSecretError)?.split('$');
        let mut part = || parts.next().ok_or(ScramSecretError);
        let (iterations, salt, stored, server) = (part()?, part()?, part()?, part()?);
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| ScramSecretError);
        let key = |text: &str| Key::try_from(decode(text)?).map_err(|_| ScramSecretError);
        let secret = Self {
            iterations: iterations.parse().map_err(|_| ScramSecretError)?,
            salt: decode(salt)?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        };
        let usable = parts.next().is_none()
            && (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&secret.iterations)
            && (1..=SALT_OCTETS_MAX).contains(&secret.salt.len())
            // One form for one secret: no sign, no leading zero.
            && secret.to_text().expose() == text;
        if usable { Ok(secret) } else { Err(ScramSecretError) }
    }
}

impl fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// ClientKey, and what a server keeps of the password.
pub(crate) fn salted_keys(password: &Secret<String>, salt: &[u8], iterations: u32) -> (Key, ScramSecret) {
    let prepared = stringprep::saslprep(password.expose());
    let octets = prepared.as_deref().unwrap_or_else(|_| password.expose()).as_bytes();
    let salted = salted_password(octets, salt, iterations);
    let client_key = hmac(&salted, &[b"Client Key"]);
    let secret = ScramSecret {
        iterations,
        salt: salt.to_vec(),
        stored_key: Sha256::digest(client_key).into(),
        server_key: hmac(&salted, &[b"Server Key"]),
    };
    (client_key, secret)
}

/// `ClientKey XOR HMAC(StoredKey, AuthMessage)` (RFC 5802 §3).
pub(crate) fn client_proof(client_key: &Key, secret: &ScramSecret, auth_message: &str) -> Key {
    exclusive_or(client_key, &hmac(&secret.stored_key, &[auth_message.as_bytes()]))
}

fn exclusive_or(one: &Key, other: &Key) -> Key {
    let mut both = *one;
    for (octet, other) in both.iter_mut().zip(other) {
        *octet ^= other;
    }
    both
}

/// `Hi` (RFC 5802 §2.2): PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut last = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        last = hmac(password, &[&last]);
        sum = exclusive_or(&sum, &last);
    }
    sum
}

/// HMAC-SHA-256 over the parts, one behind the other.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    // A key of any length is taken; that it could be refused is only in the type.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; KEY_OCTETS] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 7677 §3: the password of its example.
    pub(crate) fn pencil() -> ScramSecret {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        ScramSecret::new(&secret("pencil"), &salt.try_into().unwrap(), 4096)
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn hi_is_pbkdf2() {
        // RFC 7914 §11: PBKDF2-HMAC-SHA-256, of which this is the first block.
        let hex = |key: Key| key.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let expected = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc";
        assert_eq!(hex(salted_password(b"passwd", b"salt", 1)), expected);
        let expected = "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56";
        assert_eq!(hex(salted_password(b"Password", b"NaCl", 80_000)), expected);
    }

    #[test]
    fn prints_what_it_reads() {
        let text = pencil().to_text();
        // The keys as Python's hashlib and hmac compute them.
        assert_eq!(
            text.expose(),
            "{SCRAM-SHA-256}4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(text.expose().parse(), Ok(pencil()));
        assert_eq!(format!("{:?}", pencil()), "***");
    }

    #[test]
    fn refused_texts() {
        let good = pencil().to_text().expose().clone();
        let check = |text: &str, expected: bool| {
            assert_eq!(text.parse::<ScramSecret>().is_ok(), expected, "{text}");
        };
        for (iterations, expected) in [
            ("4095", false),
            ("4096", true),
            ("4097", true),
            ("999999", true),
            ("1000000", true),
            ("1000001", false),
            ("04096", false),
            ("+4096", false),
            ("-1", false),
            ("", false),
            ("99999999999", false),
        ] {
            check(&good.replace("}4096$", &format!("}}{iterations}$")), expected);
        }
        for text in ["", "{SCRAM-SHA-256}", "{SCRAM-SHA-1}4096$AAAA$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1"]
        {
            check(text, false);
        }
        check(&format!("{good}$"), false);
        check(&good.replace('$', ","), false);
        check(&good.replace("wfPLwcE6", ""), false);
        check(&good.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""), false);
        check(&good.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0SNY7soEsUEjb6gQ"), false);
        for (octets, expected) in [(1, true), (63, true), (64, true), (65, false)] {
            check(&good.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &STANDARD.encode(vec![7; octets])), expected);
        }
    }

    #[test]
    fn passwords_are_prepared() {
        let of = |text: &str| ScramSecret::new(&secret(text), &[7; SALT_OCTETS], 4096);
        // RFC 4013 §3: a soft hyphen goes, a Roman numeral becomes its letters; composed and decomposed are the same.
        assert_eq!(of("I\u{ad}X"), of("IX"));
        assert_eq!(of("\u{2168}"), of("IX"));
        assert_eq!(of("a\u{308}"), of("\u{e4}"));
        assert_ne!(of("user"), of("USER"));
        // What it refuses is taken as it is.
        assert_ne!(of("\u{7}"), of(""));
        // Counts out of range.
        assert_eq!(ScramSecret::new(&secret("x"), &[7; SALT_OCTETS], 1).iterations(), ITERATIONS_MIN);
    }

    #[test]
    fn nobody_has_a_secret_that_stays() {
        let of = |name: &str| ScramSecret::of_nobody(&[1; 32], name, 4096);
        assert_eq!(of("a@b.test"), of("a@b.test"));
        assert_ne!(of("a@b.test").salt, of("c@b.test").salt);
        assert_ne!(of("a@b.test").salt, ScramSecret::of_nobody(&[2; 32], "a@b.test", 4096).salt);
        assert_eq!((of("a@b.test").salt.len(), of("a@b.test").iterations), (SALT_OCTETS, 4096));
        assert!(of("").to_text().expose().parse::<ScramSecret>().is_ok());
    }
}
