//! What a client claims.

use envelope::Secret;

use crate::{Limits, SaslError};

/// A name and a password that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whom the client wants to act for, when it said so: see [`Self::acts_for_another`].
    pub authorization_identity: Option<String>,
    /// The login name: here always a full address, but not parsed yet.
    pub login: String,
    /// The password. Never printed.
    pub password: Secret<String>,
}

impl Credentials {
    /// Checks the parts of a login that came outside SASL too (IMAP LOGIN, POP3 USER and PASS).
    ///
    /// Of SASLprep (RFC 4013) only the part that matters for safety is kept: no NUL and no other control
    /// character in names, no NUL in passwords, UTF-8, not empty, within the limits.
    pub fn new(login: &[u8], password: &[u8], limits: &Limits) -> Result<Self, SaslError> {
        Ok(Self {
            authorization_identity: None,
            login: name(login, limits)?,
            password: secret(password, limits)?,
        })
    }

    /// Whether the client wants to act for somebody else than it logs in as. Nothing here allows that:
    /// callers refuse it.
    pub fn acts_for_another(&self) -> bool {
        self.authorization_identity
            .as_ref()
            .is_some_and(|identity| !identity.eq_ignore_ascii_case(&self.login))
    }
}

/// A login name or an authorization identity.
pub(crate) fn name(octets: &[u8], limits: &Limits) -> Result<String, SaslError> {
    if octets.is_empty() {
        return Err(SaslError::Malformed("the name is empty"));
    }
    if octets.len() > limits.login_octets_max {
        return Err(SaslError::TooLong);
    }
    let text = text(octets)?;
    if text.chars().any(char::is_control) {
        return Err(SaslError::Malformed("the name holds a control character"));
    }
    Ok(text)
}

pub(crate) fn secret(octets: &[u8], limits: &Limits) -> Result<Secret<String>, SaslError> {
    if octets.is_empty() {
        return Err(SaslError::Malformed("the password is empty"));
    }
    if octets.len() > limits.password_octets_max {
        return Err(SaslError::TooLong);
    }
    if octets.contains(&0) {
        return Err(SaslError::Malformed("the password holds a NUL"));
    }
    text(octets).map(Secret::new)
}

fn text(octets: &[u8]) -> Result<String, SaslError> {
    std::str::from_utf8(octets).map(str::to_owned).map_err(|_| SaslError::Malformed("the text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { response_octets_max: 64, login_octets_max: 8, password_octets_max: 6 };

    fn check(login: &[u8], password: &[u8], good: bool) {
        assert_eq!(Credentials::new(login, password, &LIMITS).is_ok(), good, "{login:?} {password:?}");
    }

    #[test]
    fn limits() {
        check(b"1234567", b"12345", true);
        check(b"12345678", b"123456", true);
        check(b"123456789", b"123456", false);
        check(b"12345678", b"1234567", false);
    }

    #[test]
    fn refused_texts() {
        check(b"", b"x", false);
        check(b"a", b"", false);
        check(b"a\0b", b"x", false);
        check(b"a\r\nb", b"x", false);
        check(b"a", b"x\0y", false);
        check(b"a\xff", b"x", false);
        check(b"a", b"\xc0\x80", false);
        check("ü".as_bytes(), "pä ß".as_bytes(), true);
    }

    #[test]
    fn acting_for_oneself_is_no_proxy() {
        let mut credentials = Credentials::new(b"a@b.test", b"x", &LIMITS).unwrap();
        assert!(!credentials.acts_for_another());
        credentials.authorization_identity = Some("A@b.test".to_owned());
        assert!(!credentials.acts_for_another());
        credentials.authorization_identity = Some("c@b.test".to_owned());
        assert!(credentials.acts_for_another());
    }
}
