//! Certificates on disk.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::{SelfSigned, ServerTls, TlsError};

/// The certificate's file in its directory.
pub(super) const CERTIFICATE: &str = "certificate.pem";
/// The key's file in its directory.
const KEY: &str = "key.pem";

/// Serves with `certificate.pem` and `key.pem` of `directory`; makes a self-signed pair for `names` when neither is there.
/// The key is readable by its owner only.
pub fn load_or_create(
    directory: &Path,
    names: &[&str],
    handshake_max: Duration,
) -> Result<ServerTls, TlsError> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    // The certificate is written last: where it is, the pair is whole.
    if !certificate.exists() {
        fs::create_dir_all(directory).map_err(|source| failed("make", directory, source))?;
        let made = SelfSigned::new(names)?;
        write(&key, &made.key_pem, 0o600)?;
        write(&certificate, &made.certificate_pem, 0o644)?;
    }
    ServerTls::load(&certificate, &key, handshake_max)
}

/// Writes beside the file and renames, so that no reader sees half of it.
fn write(path: &Path, content: &str, mode: u32) -> Result<(), TlsError> {
    let fresh = path.with_extension(format!("pem.{}", std::process::id()));
    let written = (|| {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.map_err(|source| failed("write", path, source))
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| failed("read", path, source))
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::File { step, path: path.display().to_string(), source }
}
