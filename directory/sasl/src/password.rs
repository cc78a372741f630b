//! How passwords are kept: argon2id (RFC 9106) in PHC strings, `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
//!
//! Every call here takes tens of milliseconds and megabytes on purpose: run it on a bounded pool.

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use envelope::Secret;

/// Length of a salt in octets (RFC 9106 §3.1).
pub const SALT_OCTETS: usize = 16;

/// Longest password that is hashed, in octets. A bound on work, far above what people type.
pub const PASSWORD_OCTETS_MAX: usize = 1024;

/// What a stored hash may cost to verify at most; one above is refused as [`PasswordError::Hash`], so that a
/// hash brought in from elsewhere can't take the node's memory.
const COST_MAX: Cost = Cost { memory_kib: 1 << 20, iterations: 32, lanes: 16 };

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes; computed one after the other.
    pub lanes: u32,
}

impl Cost {
    /// 19 MiB, two passes, one lane: the weakest that OWASP's password storage guidance recommends for argon2id, and the
    /// quickest, since a mail server verifies often.
    pub const RECOMMENDED: Self = Self { memory_kib: 19 * 1024, iterations: 2, lanes: 1 };

    fn params(self) -> Result<Params, PasswordError> {
        Params::new(self.memory_kib, self.iterations, self.lanes, None).map_err(|_| PasswordError::Cost)
    }
}

/// Why a password or a hash is not usable. Never holds either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The parameters make no argon2 instance.
    #[error("the cost of password hashes is out of range")]
    Cost,
    /// There is nothing.
    #[error("the password is empty")]
    Empty,
    /// Not a PHC string of argon2id with version, parameters, salt and hash, or one that costs too much.
    #[error("the stored password hash is not a usable argon2id hash")]
    Hash,
    /// NUL, CR or LF: no protocol could carry it.
    #[error("the password holds a NUL or a line end")]
    Unusable,
    /// More than 1,024 octets.
    #[error("the password is longer than {PASSWORD_OCTETS_MAX} octets")]
    TooLong,
}

/// A stored hash, known to be usable.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    parsed: phc::PasswordHash,
}

impl PasswordHash {
    /// Hashes `password`. `salt` must come from a source of secure randomness.
    pub fn new(
        password: &Secret<String>,
        salt: &[u8; SALT_OCTETS],
        cost: Cost,
    ) -> Result<Self, PasswordError> {
        acceptable(password)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
        let parsed: phc::PasswordHash = argon2
            .hash_password_with_salt(password.expose().as_bytes(), salt)
            .map_err(|_| PasswordError::Cost)?;
        Ok(Self { text: parsed.to_string(), parsed })
    }

    /// Reads a stored hash.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let parsed = phc::PasswordHash::new(text).map_err(|_| PasswordError::Hash)?;
        let cost = Params::try_from(&parsed).map(|params| cost(&params)).map_err(|_| PasswordError::Hash)?;
        let usable = parsed.algorithm.as_str() == "argon2id"
            && parsed.version == Some(Version::V0x13.into())
            && parsed.salt.is_some()
            && parsed.hash.is_some()
            && cost.memory_kib <= COST_MAX.memory_kib
            && cost.iterations <= COST_MAX.iterations
            && cost.lanes <= COST_MAX.lanes
            && parsed.to_string() == text;
        if usable { Ok(Self { text: text.to_owned(), parsed }) } else { Err(PasswordError::Hash) }
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `password` is the one that was hashed. The comparison takes constant time.
    pub fn verify(&self, password: &Secret<String>) -> bool {
        password.expose().len() <= PASSWORD_OCTETS_MAX
            && Argon2::default().verify_password(password.expose().as_bytes(), &self.parsed).is_ok()
    }

    /// Whether the hash was made at another cost than `cost`, and should be made anew when the password is known.
    pub fn differs_from(&self, wanted: Cost) -> bool {
        Params::try_from(&self.parsed).map(|params| cost(&params)) != Ok(wanted)
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Whether a new password may be set.
pub fn acceptable(password: &Secret<String>) -> Result<(), PasswordError> {
    match password.expose() {
        text if text.is_empty() => Err(PasswordError::Empty),
        text if text.len() > PASSWORD_OCTETS_MAX => Err(PasswordError::TooLong),
        text if text.contains(['\0', '\r', '\n']) => Err(PasswordError::Unusable),
        _ => Ok(()),
    }
}

/// Does the work of a verification for a user who does not exist, so that the time does not tell; always refuses.
pub fn verify_nobody(password: &Secret<String>, cost: Cost) -> bool {
    let work = cost.params().map(|params| {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let length = password.expose().len().min(PASSWORD_OCTETS_MAX);
        let mut output = [0u8; 32];
        let octets = password.expose().as_bytes().get(..length).unwrap_or_default();
        let done = argon2.hash_password_into(octets, &[0x5a; SALT_OCTETS], &mut output);
        (done, output)
    });
    let _ = std::hint::black_box(work);
    false
}

fn cost(params: &Params) -> Cost {
    Cost { memory_kib: params.m_cost(), iterations: params.t_cost(), lanes: params.p_cost() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, iterations: 1, lanes: 1 };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn verifies_what_it_hashed() {
        for text in ["x", "correct horse", "pässwörd ☃", &"a".repeat(PASSWORD_OCTETS_MAX)] {
            let hash = PasswordHash::new(&secret(text), b"0123456789abcdef", CHEAP).unwrap();
            let stored = PasswordHash::parse(hash.as_str()).unwrap();
            assert!(stored.verify(&secret(text)));
            assert!(!stored.verify(&secret(&format!("{text} "))));
            assert!(!stored.verify(&secret("")));
        }
    }

    #[test]
    fn known_answer() {
        // From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 (phc-winner-argon2, test.c).
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.verify(&secret("password")));
        assert!(!hash.verify(&secret("Password")));
        assert_eq!(format!("{hash:?}"), "***");
    }

    #[test]
    fn salts_and_costs_show() {
        let one = PasswordHash::new(&secret("x"), b"0123456789abcdef", CHEAP).unwrap();
        let two = PasswordHash::new(&secret("x"), b"0123456789abcdeg", CHEAP).unwrap();
        assert_ne!(one.as_str(), two.as_str());
        assert!(one.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{}", one.as_str());
        assert!(!one.differs_from(CHEAP));
        assert!(one.differs_from(Cost::RECOMMENDED));
    }

    #[test]
    fn refused_hashes() {
        for text in [
            "",
            "password",
            "{PLAIN}password",
            "$argon2id$v=19$m=8,t=1,p=1",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            "$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=99,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert_eq!(PasswordHash::parse(text).err(), Some(PasswordError::Hash), "{text}");
        }
    }

    #[test]
    fn new_passwords() {
        assert_eq!(acceptable(&secret("")), Err(PasswordError::Empty));
        assert_eq!(acceptable(&secret("a\0b")), Err(PasswordError::Unusable));
        assert_eq!(acceptable(&secret("a\n")), Err(PasswordError::Unusable));
        assert_eq!(acceptable(&secret(&"a".repeat(PASSWORD_OCTETS_MAX - 1))), Ok(()));
        assert_eq!(acceptable(&secret(&"a".repeat(PASSWORD_OCTETS_MAX))), Ok(()));
        assert_eq!(acceptable(&secret(&"a".repeat(PASSWORD_OCTETS_MAX + 1))), Err(PasswordError::TooLong));
    }

    #[test]
    fn nobody_is_never_right() {
        assert!(!verify_nobody(&secret("x"), CHEAP));
        assert!(!verify_nobody(&secret(&"x".repeat(5000)), CHEAP));
    }
}
