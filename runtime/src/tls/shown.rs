//! Which certificate is shown for which name (SNI, RFC 6066 §3).
//!
//! ```text
//! mx.example.test       exact name          ┐ of those that cover the name, the first whose key the client can check;
//! *.example.test        wildcard, one label ┘ pairs of `tls.certificates` come before the default
//! anything else, none   the default
//! ```
//! A name is only ever looked up, never believed: who asks for a name that nobody knows gets the default certificate, since mail clients
//! and servers ask for the strangest things, and finds out by itself that it does not fit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};
use time::OffsetDateTime;

use super::certificate::Certificate;

/// A certificate and the names for which it is shown, in lower case.
pub(super) struct Named {
    pub(super) certificate: Arc<Certificate>,
    pub(super) names: Vec<String>,
}

/// All certificates of a process at one moment.
#[derive(Debug)]
pub(super) struct Shown {
    default: Arc<Certificate>,
    by_name: HashMap<String, Vec<Arc<Certificate>>>,
    /// Every chain's certificates, for peers inside that must meet one of us.
    roots: Arc<RootCertStore>,
    /// When the first of all expires.
    expires_first: OffsetDateTime,
}

impl Shown {
    /// `all` in the order in which they come into question for a name.
    pub(super) fn new(default: Arc<Certificate>, all: &[Named]) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<Certificate>>> = HashMap::new();
        let mut roots = RootCertStore::empty();
        for named in all {
            for name in &named.names {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                by_name.entry(name).or_default().push(Arc::clone(&named.certificate));
            }
        }
        let mut expires_first = default.facts.not_after;
        for certificate in all.iter().map(|named| &named.certificate).chain([&default]) {
            roots.add_parsable_certificates(certificate.key.cert.iter().cloned());
            expires_first = expires_first.min(certificate.facts.not_after);
        }
        Self { default, by_name, roots: Arc::new(roots), expires_first }
    }

    /// The certificate for `name`, for a client whose abilities `can_check` knows.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        can_check: impl Fn(&Certificate) -> bool,
    ) -> &Arc<Certificate> {
        let Some(name) = name else { return &self.default };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let exact = self.by_name.get(&name).into_iter().flatten();
        let wild = wildcard.and_then(|wildcard| self.by_name.get(&wildcard)).into_iter().flatten();
        let mut candidates = exact.chain(wild);
        let first = candidates.clone().next();
        candidates.find(|certificate| can_check(certificate)).or(first).unwrap_or(&self.default)
    }

    /// The certificate for `name`, when there is but one that comes into question.
    pub(super) fn only(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let first = self.choose(name, |_| true);
        let other = self.choose(name, |certificate| !std::ptr::eq(certificate, &**first));
        Arc::ptr_eq(first, other).then_some(first)
    }

    /// Whether this very certificate is one that is shown here.
    pub(super) fn holds(&self, certificate: &[u8]) -> bool {
        let mut all = self.by_name.values().flatten().chain([&self.default]);
        all.any(|held| held.key.cert.first().is_some_and(|leaf| leaf.as_ref() == certificate))
    }

    pub(super) const fn expires_first(&self) -> OffsetDateTime {
        self.expires_first
    }

    pub(super) const fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }
}

/// What is shown now. A handshake takes it once; one that is under way keeps what it took.
#[derive(Debug)]
pub(super) struct Current(RwLock<Arc<Shown>>);

impl Current {
    pub(super) fn new(shown: Shown) -> Self {
        Self(RwLock::new(Arc::new(shown)))
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, shown: Shown) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes: &[SignatureScheme] = hello.signature_schemes();
        let shown = self.shown();
        let chosen = shown
            .choose(hello.server_name(), |certificate| certificate.key.key.choose_scheme(schemes).is_some());
        Some(Arc::clone(&chosen.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SelfSigned;

    fn certificate(names: &[&str]) -> Arc<Certificate> {
        let made = SelfSigned::new(names).unwrap();
        Arc::new(Certificate::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).unwrap())
    }

    fn named(names: &[&str]) -> Named {
        let certificate = certificate(names);
        Named { names: certificate.facts.names.clone(), certificate }
    }

    #[test]
    fn the_name_decides_and_the_default_is_for_all_others() {
        let listed = [
            named(&["imap.example.test", "pop.example.test"]),
            named(&["*.example.test"]),
            named(&["imap.example.test"]),
            named(&["mx.example.test"]),
        ];
        let shown = Shown::new(Arc::clone(&listed[3].certificate), &listed);
        let check = |name: Option<&str>, expected: usize| {
            let chosen = shown.choose(name, |_| true);
            assert!(Arc::ptr_eq(chosen, &listed[expected].certificate), "{name:?}");
        };
        check(Some("imap.example.test"), 0);
        check(Some("IMAP.Example.Test"), 0);
        check(Some("pop.example.test."), 0);
        check(Some("mx.example.test"), 3);
        check(Some("other.example.test"), 1);
        // A wildcard stands for one label, and never for none (RFC 6125 §6.4.3).
        check(Some("a.b.example.test"), 3);
        check(Some("example.test"), 3);
        check(Some("*.example.test"), 1);
        for odd in ["", ".", "*", "*.", "..", "localhost", "192.0.2.1", "_25._tcp.mx.example.test"] {
            check(Some(odd), 3);
        }
        check(None, 3);
    }

    #[test]
    fn a_client_gets_the_kind_of_key_that_it_can_check() {
        let listed = [named(&["mx.example.test"]), named(&["mx.example.test"])];
        let shown = Shown::new(Arc::clone(&listed[0].certificate), &listed);
        let second =
            shown.choose(Some("mx.example.test"), |one| std::ptr::eq(one, &raw const *listed[1].certificate));
        assert!(Arc::ptr_eq(second, &listed[1].certificate));
        let neither = shown.choose(Some("mx.example.test"), |_| false);
        assert!(Arc::ptr_eq(neither, &listed[0].certificate));
    }

    #[test]
    fn knows_its_own() {
        let (one, other) = (named(&["a.test"]), certificate(&["a.test"]));
        let shown = Shown::new(Arc::clone(&one.certificate), &[one]);
        assert!(shown.holds(&shown.default.key.cert[0]));
        assert!(!shown.holds(&other.key.cert[0]) && !shown.holds(b""));
        assert_eq!(shown.roots().len(), 2);
    }
}
