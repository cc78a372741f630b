//! What an operator says about TLS.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use super::acme::AcmeConfig;

/// The certificates that this node shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate chain in PEM form, leaf first, that is shown unless another one fits the name that a client asks for. Empty: the one of
    /// `acme`, and until there is one, a self-signed certificate that is made in the data directory.
    pub certificate_file: PathBuf,
    /// The private key of the certificate, in PEM form. It may be the same file.
    pub key_file: PathBuf,
    /// Further certificates, for clients that ask for their names (SNI). Of several for one name the first whose key the client can check is
    /// shown; exact names go before wildcards.
    pub certificates: Vec<CertificateConfig>,
    /// Authorities that vouch for clients, in PEM form: SMTP listeners then ask for a certificate, and log whose it is. Nobody needs one: a
    /// session with none, or one that these authorities do not vouch for, goes on without. Empty: nobody is asked.
    pub client_authorities_file: PathBuf,
    /// Octets of a client's certificate with what it sends to prove it; a handshake with more is refused.
    pub client_chain_size_max: ByteSize,
    /// How long a peer may take for a TLS handshake.
    pub handshake_max: Span,
    /// How often all these files are looked at; those that changed are read again, and new handshakes get what is in them. SIGHUP does the same at
    /// once.
    pub reload_interval: Span,
    /// Certificates from an authority that speaks ACME, such as Let's Encrypt.
    pub acme: AcmeConfig,
}

/// One further certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateConfig {
    /// The certificate chain in PEM form, leaf first.
    pub certificate_file: PathBuf,
    /// The private key of the certificate, in PEM form. It may be the same file.
    pub key_file: PathBuf,
    /// The names for which it is shown, such as `mail.example.test` or `*.example.test`. Empty: those that stand in the certificate.
    pub names: Vec<String>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            certificates: Vec::new(),
            client_authorities_file: PathBuf::new(),
            client_chain_size_max: ByteSize::kib(16),
            handshake_max: Span::secs(30),
            reload_interval: Span::mins(1),
            acme: AcmeConfig::default(),
        }
    }
}

impl TlsConfig {
    /// What is wrong: key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut say = |key: String, problem: &str| faults.push((key, problem.to_owned()));
        let (certificate, key) = (self.certificate_file.as_os_str(), self.key_file.as_os_str());
        if certificate.is_empty() != key.is_empty() {
            let missing = if key.is_empty() { "key_file" } else { "certificate_file" };
            say(missing.to_owned(), "certificate_file and key_file go together: set both");
        }
        for (index, one) in self.certificates.iter().enumerate() {
            for (name, file) in [("certificate_file", &one.certificate_file), ("key_file", &one.key_file)] {
                if file.as_os_str().is_empty() {
                    say(format!("certificates.{index}.{name}"), "is needed: name the file");
                }
            }
            for name in one.names.iter().filter(|name| !is_host_name(name.strip_prefix("*.").unwrap_or(name)))
            {
                let problem =
                    format!("`{name}` is no host name, such as mail.example.test or *.example.test");
                say(format!("certificates.{index}.names"), &problem);
            }
        }
        if !(1024..=32 * 1024).contains(&self.client_chain_size_max.as_u64()) {
            say("client_chain_size_max".to_owned(), "must be from 1 KiB to 32 KiB");
        }
        if self.handshake_max < Span::secs(1) {
            say("handshake_max".to_owned(), "a handshake needs at least 1s");
        }
        if self.reload_interval < Span::secs(1) {
            say("reload_interval".to_owned(), "must be at least 1s");
        }
        let acme = self.acme.faults().into_iter();
        faults.extend(acme.map(|(key, problem)| (format!("acme.{key}"), problem)));
        faults
    }

    /// Every path that may be relative, to be put into the data folder by whoever knows it. Empty ones mean "none" and stay so.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let listed =
            self.certificates.iter_mut().flat_map(|one| [&mut one.certificate_file, &mut one.key_file]);
        let single = [
            &mut self.certificate_file,
            &mut self.key_file,
            &mut self.client_authorities_file,
            &mut self.acme.folder,
            &mut self.acme.authorities_file,
        ];
        single.into_iter().chain(listed).collect()
    }
}

/// Letters, digits and hyphens, in labels of 1 to 63 octets (RFC 1035 §2.3.1); underscores too, which some names have.
pub(super) fn is_host_name(name: &str) -> bool {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut TlsConfig), expected: &[&str]) {
        let mut config = TlsConfig::default();
        change(&mut config);
        let found: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn faults() {
        check(|_| {}, &[]);
        check(|config| config.key_file = "k.pem".into(), &["certificate_file"]);
        check(|config| config.certificate_file = "c.pem".into(), &["key_file"]);
        check(|config| config.handshake_max = Span::millis(999), &["handshake_max"]);
        check(|config| config.reload_interval = Span::millis(999), &["reload_interval"]);
        check(|config| config.client_chain_size_max = ByteSize::bytes(1023), &["client_chain_size_max"]);
        check(|config| config.client_chain_size_max = ByteSize::kib(32), &[]);
        check(|config| config.client_chain_size_max = ByteSize::bytes(32_769), &["client_chain_size_max"]);
        let pair = |names: &[&str]| CertificateConfig {
            certificate_file: "c.pem".into(),
            key_file: "k.pem".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        check(|config| config.certificates = vec![pair(&["a.test", "*.a.test", "_x.a.test"])], &[]);
        check(|config| config.certificates = vec![pair(&["*.*.test"])], &["certificates.0.names"]);
        check(
            |config| config.certificates = vec![pair(&[]), CertificateConfig::default()],
            &["certificates.1.certificate_file", "certificates.1.key_file"],
        );
    }

    #[test]
    fn host_names() {
        let label = "a".repeat(63);
        for good in ["a", "mx1.example.test", "xn--bcher-kva.test", &format!("{label}.test")] {
            assert!(is_host_name(good), "{good}");
        }
        let long = ["a".repeat(62).as_str(); 4].join(".") + ".ab";
        assert_eq!(long.len(), 254);
        for bad in [
            "",
            ".",
            "a..b",
            "a.",
            "-a.test",
            "a-.test",
            "a b.test",
            "ä.test",
            "*",
            &format!("{label}a.test"),
            &long,
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
        assert!(is_host_name(&long[..253]));
    }
}
