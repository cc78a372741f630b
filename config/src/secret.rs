//! Secrets stay in files of their own: the configuration names the file (`…_file`).

use std::fs;
use std::io;
use std::path::Path;

/// Octets of a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why a secret can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is nothing in the file.
    #[error("`{0}` is empty")]
    Empty(String),
    /// The file can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// Which one.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More than 64 KiB is no secret.
    #[error("`{0}` is larger than 64 KiB")]
    TooLarge(String),
}

/// Reads a secret from its file, without the line end behind it. Wrap it at once so that it never prints.
pub fn read_secret(path: &Path) -> Result<String, SecretError> {
    let name = path.display().to_string();
    let failed = |source| SecretError::Read { path: name.clone(), source };
    if fs::metadata(path).map_err(failed)?.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge(name));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() { Err(SecretError::Empty(name)) } else { Ok(secret.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_line_end_off_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for (content, expected) in [
            ("hunter2\n", Some("hunter2")),
            ("hunter2\r\n", Some("hunter2")),
            (" a b \n\n", Some(" a b \n")),
            ("\n", None),
            ("", None),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read_secret(&path).ok().as_deref(), expected, "{content:?}");
        }
        fs::write(&path, "x".repeat(64 << 10)).unwrap();
        assert!(read_secret(&path).is_ok());
        fs::write(&path, "x".repeat((64 << 10) + 1)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretError::TooLarge(_))));
        assert!(matches!(read_secret(&directory.path().join("none")), Err(SecretError::Read { .. })));
    }
}
