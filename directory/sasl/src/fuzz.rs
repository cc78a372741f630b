//! Entries for a fuzzer.

use crate::Limits;
use crate::password::PasswordHash;
use crate::server::{Mechanism, Step};

/// Feeds lines to both mechanisms: credentials that come out are within the limits and hold no NUL.
pub fn fuzz_exchange(data: &[u8]) {
    let limits = Limits { response_octets_max: 256, login_octets_max: 64, password_octets_max: 64 };
    for mechanism in Mechanism::ALL {
        let mut lines = data.split(|octet| *octet == b'\n');
        let mut step = mechanism.begin(lines.next(), &limits);
        let mut rounds = 0;
        while let Ok(Step::Challenge(exchange, _)) = step {
            rounds += 1;
            assert!(rounds <= 2, "an exchange has at most two challenges");
            let Some(line) = lines.next() else { return };
            step = exchange.respond(line, &limits);
        }
        if let Ok(Step::Finished(credentials)) = step {
            let (login, password) = (&credentials.login, credentials.password.expose());
            assert!(!login.is_empty() && login.len() <= limits.login_octets_max);
            assert!(!password.is_empty() && password.len() <= limits.password_octets_max);
            assert!(!login.contains('\0') && !password.contains('\0'));
        }
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
        fn hashes(data in "(\\$[a-z0-9=,]{0,12}){0,6}") {
            fuzz_password_hash(data.as_bytes());
        }
    }
}
