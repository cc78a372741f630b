//! Certificates on disk: which files a configuration means, what is in them, and whether they changed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::certificate::Certificate;
use super::shown::{Named, Shown};
use super::{SelfSigned, TlsConfig, TlsError};

/// The self-signed certificate's file in its directory.
const CERTIFICATE: &str = "certificate.pem";
/// The key's file in its directory.
const KEY: &str = "key.pem";

/// Where a pair comes from. The order is that in which they come into question for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An entry of `tls.certificates`.
    Listed,
    /// `tls.certificate_file`.
    Default,
    /// Got from an authority over ACME; there is none before the first order.
    Acme,
    /// Made here.
    SelfSigned,
}

impl Origin {
    /// As shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Default => "default",
            Self::Acme => "acme",
            Self::SelfSigned => "self-signed",
        }
    }
}

/// What tells that a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    /// Changes with owner and mode too.
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    /// None when there is no such file. Links are followed: those who swap a link change the inode.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            size: found.size(),
            inode: found.ino(),
        })
    }
}

/// The files of one certificate, and what was last read from them.
pub(super) struct Pair {
    pub(super) origin: Origin,
    pub(super) certificate_file: PathBuf,
    pub(super) key_file: PathBuf,
    /// Empty: the names in the certificate.
    names: Vec<String>,
    /// Taken before the files were read: what is written meanwhile is seen the next time. None when they could not be read.
    seen: Option<[Option<Stamp>; 2]>,
    pub(super) certificate: Option<Arc<Certificate>>,
}

impl Pair {
    fn new(origin: Origin, certificate_file: PathBuf, key_file: PathBuf, names: &[String]) -> Self {
        let names = names.to_vec();
        Self { origin, certificate_file, key_file, names, seen: None, certificate: None }
    }

    /// Reads the files again if they changed, or in any case when `forced`. Gives whether something new is held; an error leaves
    /// what was held before.
    pub(super) fn look(&mut self, forced: bool, now: OffsetDateTime) -> Result<bool, TlsError> {
        let stamps = [Stamp::of(&self.certificate_file), Stamp::of(&self.key_file)];
        if self.seen == Some(stamps) && !forced {
            return Ok(false);
        }
        self.seen = Some(stamps);
        if self.origin == Origin::Acme && stamps == [None, None] {
            return Ok(false);
        }
        let read = read(&self.certificate_file).and_then(|chain| Ok((chain, read(&self.key_file)?)));
        // What a disk or a right did not let through is looked for again; what was read and is bad is bad until it changes.
        let (chain, key) = read.inspect_err(|_| self.seen = None)?;
        let fresh = Certificate::from_pem(&chain, &key)?;
        if let Some(held) = &self.certificate {
            if held.key.cert == fresh.key.cert {
                return Ok(false);
            }
            // Nobody wants to go from a good certificate to one that clients refuse.
            if fresh.facts.is_expired(now) && !held.facts.is_expired(now) {
                return Err(TlsError::Expired);
            }
        }
        self.certificate = Some(Arc::new(fresh));
        Ok(true)
    }

    /// The names for which the certificate is shown.
    pub(super) fn names(&self) -> &[String] {
        match &self.certificate {
            Some(certificate) if self.names.is_empty() => &certificate.facts.names,
            _ => &self.names,
        }
    }
}

/// The pairs that a configuration means, not yet read.
pub(super) fn pairs(config: &TlsConfig, directory: &Path) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = (config.certificates.iter())
        .map(|one| Pair::new(Origin::Listed, one.certificate_file.clone(), one.key_file.clone(), &one.names))
        .collect();
    if is_named(config) {
        let (certificate, key) = (config.certificate_file.clone(), config.key_file.clone());
        pairs.push(Pair::new(Origin::Default, certificate, key, &[]));
    }
    if config.acme.is_on() {
        let file = config.acme.certificate_file(directory);
        pairs.push(Pair::new(Origin::Acme, file.clone(), file, &[]));
    }
    if !is_named(config) {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        pairs.push(Pair::new(Origin::SelfSigned, certificate, key, &[]));
    }
    pairs
}

/// Whether the configuration names a default certificate.
pub(super) fn is_named(config: &TlsConfig) -> bool {
    !config.certificate_file.as_os_str().is_empty()
}

/// What these pairs show. None without a certificate that can be the default.
pub(super) fn shown(pairs: &[Pair]) -> Option<Shown> {
    let default = pairs.iter().filter(|pair| pair.origin != Origin::Listed);
    let default = default.filter_map(|pair| pair.certificate.clone()).next()?;
    let named: Vec<Named> = (pairs.iter())
        .filter_map(|pair| {
            Some(Named { certificate: pair.certificate.clone()?, names: pair.names().to_vec() })
        })
        .collect();
    Some(Shown::new(default, &named))
}

/// Makes a self-signed pair for `names` in `directory` when none is there. The key is readable by its owner only.
pub(super) fn make_self_signed(directory: &Path, names: &[&str]) -> Result<(), TlsError> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    // The certificate is written last: where it is, the pair is whole.
    if certificate.exists() {
        return Ok(());
    }
    fs::create_dir_all(directory).map_err(|source| failed("make", directory, source))?;
    let made = SelfSigned::new(names)?;
    write(&key, &made.key_pem, 0o600)?;
    write(&certificate, &made.certificate_pem, 0o644)
}

/// Writes beside the file and renames, so that no reader sees half of it; on disk when it returns.
pub(super) fn write(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    let written = (|| {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    })();
    written.map_err(|source| failed("write", path, source))
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| failed("read", path, source))
}

pub(super) fn failed(step: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::File { step, path: path.display().to_string(), source }
}
