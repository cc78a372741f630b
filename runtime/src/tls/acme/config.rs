//! What an operator says about ACME.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use crate::tls::config::is_host_name;

/// Names of one certificate: what Let's Encrypt takes.
const DOMAINS_MAX: usize = 100;
/// The certificate and its key, in one file, so that they change together.
const CERTIFICATE: &str = "certificate.pem";

/// How it is proved that a domain is ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Challenge {
    /// A page on port 80 of each domain (RFC 8555 §8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate on port 443 of each domain (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// A certificate from an authority that speaks ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AcmeConfig {
    /// The names that the certificate is for, such as `mail.example.test`. Empty: nothing is asked of anybody.
    pub domains: Vec<String>,
    /// Where the authority's directory is.
    pub directory_url: String,
    /// Whether you agree to the authority's terms of service. Nothing is asked of it before you say so.
    pub terms_agreed: bool,
    /// Mail addresses to which the authority may write.
    pub contacts: Vec<String>,
    /// How it is proved that the domains are ours: `http-01` or `tls-alpn-01`.
    pub challenge: Challenge,
    /// The address and port that answers `http-01`. The authority asks port 80 of each domain: listen there, or let a proxy pass on what
    /// begins with `/.well-known/acme-challenge/`.
    #[schemars(with = "Option<String>")]
    pub http_listen: Option<SocketAddr>,
    /// The address and port that answers `tls-alpn-01`. The authority asks port 443 of each domain: listen there, or let a proxy pass on, as it
    /// is, what offers the ALPN protocol `acme-tls/1`.
    #[schemars(with = "Option<String>")]
    pub tls_listen: Option<SocketAddr>,
    /// Where the account, the certificate and its key are kept: `certificate.pem` holds both. Empty: in the data directory. Of several processes
    /// over one folder, one at a time asks the authority, and all show the certificate.
    pub folder: PathBuf,
    /// Whether a renewed certificate keeps its key, so that a TLSA record of usage 3 and selector 1 (DANE) stays true.
    pub keep_key: bool,
    /// The authorities that are trusted for the connection to the ACME server, in PEM form.
    pub authorities_file: PathBuf,
    /// Connections at once to `http_listen` or `tls_listen`; more are closed unanswered.
    pub connections_max: u16,
    /// How long such a connection may take.
    pub answer_max: Span,
    /// How long one request to the authority may take.
    pub request_max: Span,
    /// How long an order may take in all.
    pub order_max: Span,
    /// How long to wait after an order that failed; doubles with every further failure. SIGHUP has it tried at once.
    pub retry_min: Span,
    /// The longest wait after an order that failed.
    pub retry_max: Span,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            terms_agreed: false,
            contacts: Vec::new(),
            challenge: Challenge::default(),
            http_listen: None,
            tls_listen: None,
            folder: PathBuf::new(),
            keep_key: false,
            authorities_file: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            connections_max: 32,
            answer_max: Span::secs(10),
            request_max: Span::secs(30),
            order_max: Span::mins(10),
            retry_min: Span::mins(15),
            retry_max: Span::hours(12),
        }
    }
}

impl AcmeConfig {
    /// Whether certificates are wanted.
    pub(in crate::tls) const fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Where everything is kept.
    pub(super) fn place(&self, directory: &Path) -> PathBuf {
        if self.folder.as_os_str().is_empty() { directory.join("acme") } else { self.folder.clone() }
    }

    /// The file with certificate and key.
    pub(in crate::tls) fn certificate_file(&self, directory: &Path) -> PathBuf {
        self.place(directory).join(CERTIFICATE)
    }

    /// Which address answers challenges.
    pub(super) const fn listen(&self) -> Option<SocketAddr> {
        match self.challenge {
            Challenge::Http01 => self.http_listen,
            Challenge::TlsAlpn01 => self.tls_listen,
        }
    }

    /// What is wrong: key path and problem.
    pub(in crate::tls) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut say = |key: &str, problem: &str| faults.push((key.to_owned(), problem.to_owned()));
        for domain in self.domains.iter().filter(|domain| !is_orderable(domain)) {
            say(
                "domains",
                &format!(
                    "`{domain}` is no host name that can be proved: no wildcards, no addresses, lower case"
                ),
            );
        }
        for (index, domain) in self.domains.iter().enumerate() {
            if self.domains.iter().take(index).any(|before| before == domain) {
                say("domains", &format!("`{domain}` is named twice"));
            }
        }
        if self.domains.len() > DOMAINS_MAX {
            say("domains", "one certificate is for 100 names at most");
        }
        for contact in self.contacts.iter().filter(|contact| !is_address(contact)) {
            say("contacts", &format!("`{contact}` is no mail address"));
        }
        for (key, span, least) in [
            ("answer_max", self.answer_max, Span::secs(1)),
            ("request_max", self.request_max, Span::secs(1)),
            ("order_max", self.order_max, self.request_max),
            ("retry_min", self.retry_min, Span::secs(1)),
            ("retry_max", self.retry_max, self.retry_min),
        ] {
            if span < least {
                say(key, &format!("must be at least {least}"));
            }
        }
        if self.connections_max == 0 {
            say("connections_max", "must be at least 1");
        }
        if self.is_on() {
            if !self.directory_url.starts_with("https://") {
                say("directory_url", "must begin with https:// (RFC 8555 §6.1)");
            }
            if !self.terms_agreed {
                say(
                    "terms_agreed",
                    "read the authority's terms of service, and say true if you agree to them",
                );
            }
            if self.listen().is_none() {
                let (key, name) = match self.challenge {
                    Challenge::Http01 => ("http_listen", "http-01"),
                    Challenge::TlsAlpn01 => ("tls_listen", "tls-alpn-01"),
                };
                say(key, &format!("the challenge {name} needs an address and port that answers it"));
            }
        }
        faults
    }
}

/// A name that http-01 and tls-alpn-01 can prove.
fn is_orderable(domain: &str) -> bool {
    let numbers =
        domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    is_host_name(domain)
        && domain.contains('.')
        && !numbers
        && !domain.bytes().any(|octet| octet.is_ascii_uppercase())
}

fn is_address(contact: &str) -> bool {
    let plain = contact.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b',' | b'?' | b'%'));
    plain && contact.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && is_host_name(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut AcmeConfig), expected: &[&str]) {
        let mut config = AcmeConfig {
            domains: vec!["mail.example.test".to_owned()],
            terms_agreed: true,
            http_listen: Some(SocketAddr::from(([127, 0, 0, 1], 80))),
            ..AcmeConfig::default()
        };
        change(&mut config);
        let found: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn faults() {
        check(|_| {}, &[]);
        check(|config| *config = AcmeConfig::default(), &[]);
        check(|config| config.terms_agreed = false, &["terms_agreed"]);
        check(|config| config.http_listen = None, &["http_listen"]);
        check(|config| config.challenge = Challenge::TlsAlpn01, &["tls_listen"]);
        check(|config| config.directory_url = "http://ca.test/".to_owned(), &["directory_url"]);
        check(|config| config.retry_max = Span::mins(14), &["retry_max"]);
        check(|config| config.order_max = Span::secs(29), &["order_max"]);
        check(|config| config.connections_max = 0, &["connections_max"]);
        for bad in ["*.example.test", "192.0.2.1", "Mail.example.test", "localhost", "", "a b.test"] {
            check(|config| config.domains = vec![bad.to_owned()], &["domains"]);
        }
        check(|config| config.domains = vec!["a.test".to_owned(); 2], &["domains"]);
        for (count, expected) in [(100, &[][..]), (101, &["domains"])] {
            let domains = (0..count).map(|index| format!("d{index}.test")).collect();
            check(|config| config.domains = domains, expected);
        }
        check(|config| config.contacts = vec!["a@example.test".to_owned()], &[]);
        for bad in ["mailto:a", "a@", "@b.test", "a@b.test,c@d.test"] {
            check(|config| config.contacts = vec![bad.to_owned()], &["contacts"]);
        }
    }
}
