//! Why a handshake failed, as far as others need to know.

use std::io;

use rustls::{CertificateError, Error};

/// What was wrong with the server's certificate (RFC 8460 §4.3.1 has the same kinds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// It names another server.
    NameMismatch,
    /// It is over, or not yet valid.
    Expired,
    /// Nobody who is trusted vouches for it.
    NotTrusted,
    /// Something else about it.
    Certificate,
    /// No certificate was judged: the handshake failed before, or there was none.
    Handshake,
}

impl TlsFault {
    /// Of what [`super::ClientTls::connect`] said.
    pub fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let Some(Error::InvalidCertificate(certificate)) = inner else { return Self::Handshake };
        match certificate {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::NameMismatch
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::UnknownIssuer => Self::NotTrusted,
            _ => Self::Certificate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_certificates_are_told_apart() {
        let check = |error: io::Error, expected| assert_eq!(TlsFault::of(&error), expected, "{error}");
        let of = |fault| io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(fault));
        check(of(CertificateError::NotValidForName), TlsFault::NameMismatch);
        check(of(CertificateError::Expired), TlsFault::Expired);
        check(of(CertificateError::NotValidYet), TlsFault::Expired);
        check(of(CertificateError::UnknownIssuer), TlsFault::NotTrusted);
        check(of(CertificateError::BadEncoding), TlsFault::Certificate);
        check(io::Error::new(io::ErrorKind::InvalidData, Error::DecryptError), TlsFault::Handshake);
        check(io::ErrorKind::TimedOut.into(), TlsFault::Handshake);
    }
}
