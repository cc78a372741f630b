//! PLAIN (RFC 4616).

use crate::credentials::{name, secret};
use crate::{Credentials, Limits, SaslError};

/// Waits for the one response.
///
/// ```abnf
/// message   = [authzid] UTF8NUL authcid UTF8NUL passwd   ; RFC 4616 §2
/// authcid   = 1*SAFE ; MUST accept up to 255 octets
/// passwd    = 1*SAFE ; MUST accept up to 255 octets
/// SAFE      = any UTF-8 character except NUL
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain;

impl Plain {
    pub(crate) fn take(self, response: &[u8], limits: &Limits) -> Result<Credentials, SaslError> {
        let mut parts = response.splitn(3, |octet| *octet == 0);
        let (Some(identity), Some(login), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SaslError::Malformed("PLAIN is identity NUL name NUL password"));
        };
        let authorization_identity = if identity.is_empty() { None } else { Some(name(identity, limits)?) };
        Ok(Credentials {
            authorization_identity,
            login: name(login, limits)?,
            password: secret(password, limits)?,
        })
    }
}
