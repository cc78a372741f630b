//! What a configuration would show, for people: without a running process, and without making anything.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::certificate::CertificateFacts;
use super::files::{self, Origin};
use super::kept::sentence;
use super::{TlsConfig, TlsError};

/// One certificate that a configuration means.
#[derive(Debug, Clone)]
pub struct Described {
    /// Where it comes from.
    pub origin: Origin,
    /// The certificate's file.
    pub certificate_file: PathBuf,
    /// The names for which it is shown.
    pub names: Vec<String>,
    /// What it says of itself; none when it can't be used, or is not there yet.
    pub facts: Option<CertificateFacts>,
    /// Why it can't be used.
    pub problem: Option<String>,
    /// Whether it is the one that is asked about: for a name, the one that is shown for it; without a name, the default.
    pub is_chosen: bool,
}

impl Described {
    /// Whether clients refuse it, or it can't be shown at all.
    pub fn is_bad(&self, now: OffsetDateTime) -> bool {
        self.problem.is_some()
            || self.facts.as_ref().is_some_and(|facts| facts.is_expired(now) || facts.not_before > now)
    }
}

/// Reads every certificate that `config` means, and tells which is shown for `name`. A self-signed certificate that was not made yet and one that
/// did not come over ACME yet have neither facts nor a problem. Blocks.
pub fn describe(config: &TlsConfig, directory: &Path, name: Option<&str>) -> Vec<Described> {
    super::install_crypto_provider();
    let mut pairs = files::pairs(config, directory);
    let now = OffsetDateTime::now_utc();
    let problems: Vec<Option<String>> = (pairs.iter_mut())
        .map(|pair| match pair.look(true, now) {
            Ok(_) => None,
            Err(TlsError::File { source, .. })
                if pair.origin == Origin::SelfSigned && source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => Some(sentence(&error)),
        })
        .collect();
    let shown = files::shown(&pairs);
    let chosen = shown.as_ref().map(|shown| shown.choose(name, |_| true));
    (pairs.iter().zip(problems))
        .map(|(pair, problem)| Described {
            origin: pair.origin,
            certificate_file: pair.certificate_file.clone(),
            names: pair.names().to_vec(),
            facts: pair.certificate.as_ref().map(|certificate| certificate.facts.clone()),
            problem,
            is_chosen: match (&pair.certificate, chosen) {
                (Some(certificate), Some(chosen)) => std::sync::Arc::ptr_eq(certificate, chosen),
                _ => false,
            },
        })
        .collect()
}
