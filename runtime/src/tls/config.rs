//! What an operator says about TLS.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use super::{ServerTls, TlsError, load_or_create};

/// The certificate that this node shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate chain in PEM form, leaf first. Empty: a self-signed certificate is made in the data directory.
    pub certificate_file: PathBuf,
    /// The private key of the certificate, in PEM form.
    pub key_file: PathBuf,
    /// How long a peer may take for a TLS handshake.
    pub handshake_max: Span,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificate_file: PathBuf::new(), key_file: PathBuf::new(), handshake_max: Span::secs(30) }
    }
}

impl TlsConfig {
    /// What is wrong: key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let (certificate, key) = (self.certificate_file.as_os_str(), self.key_file.as_os_str());
        if certificate.is_empty() != key.is_empty() {
            let missing = if key.is_empty() { "key_file" } else { "certificate_file" };
            faults
                .push((missing.to_owned(), "certificate_file and key_file go together: set both".to_owned()));
        }
        if self.handshake_max < Span::secs(1) {
            faults.push(("handshake_max".to_owned(), "a handshake needs at least 1s".to_owned()));
        }
        faults
    }

    /// Where the certificate that [`TlsConfig::server`] shows is: for peers on this machine that check it.
    pub fn certificate_path(&self, directory: &Path) -> PathBuf {
        if self.certificate_file.as_os_str().is_empty() {
            return directory.join(super::files::CERTIFICATE);
        }
        self.certificate_file.clone()
    }

    /// The server's side of TLS: the files named here, or a self-signed certificate for `names` kept in `directory`.
    pub fn server(&self, directory: &Path, names: &[&str]) -> Result<ServerTls, TlsError> {
        let handshake_max = self.handshake_max.as_duration();
        if self.certificate_file.as_os_str().is_empty() {
            return load_or_create(directory, names, handshake_max);
        }
        ServerTls::load(&self.certificate_file, &self.key_file, handshake_max)
    }
}
