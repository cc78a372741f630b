//! Where an account's mail is: `<root>/<h1>/<h2>/<escaped address>`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use envelope::AccountId;
use sha2::{Digest as _, Sha256};

/// An account that is being taken over from another server.
pub(crate) const ADOPTING: &str = "adopting";
/// An account that is coming from another volume.
pub(crate) const MOVING: &str = "moving";
/// What is left of one that went to another volume.
pub(crate) const MOVED: &str = "moved";

/// `<h2>/sluice.adopting.<name>`: no account's name begins so, for theirs have an `@`.
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("sluice.{what}.{name}"))
}

const NAME_MAX: usize = 200;
const KEPT: usize = 120;

/// h1 and h2 are two hex digits each of the SHA-256 of the account id.
pub(crate) fn account_directory(root: &Path, account: &AccountId) -> PathBuf {
    let id = account.to_string();
    let hash = hex(&Sha256::digest(id.as_bytes()));
    let (first, rest) = hash.split_at(2);
    let (second, _) = rest.split_at(2);
    root.join(first).join(second).join(escape(&id, &hash))
}

/// The account whose directory has this name; none when the name does not tell it, since it was cut.
pub(crate) fn account_of(directory: &Path) -> Option<AccountId> {
    let name = directory.file_name()?.to_str()?;
    let mut octets = Vec::with_capacity(name.len());
    let mut parts = name.split('%');
    octets.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        octets.push(u8::from_str_radix(code, 16).ok()?);
        octets.extend_from_slice(rest.as_bytes());
    }
    let account: AccountId = String::from_utf8(octets).ok()?.parse().ok()?;
    (account_directory(Path::new(""), &account).file_name() == directory.file_name()).then_some(account)
}

/// Letters, digits and `@+_-=.` stay, except a dot in front; other octets become `%` and two hex digits. What is too
/// long for a file name is cut and gets the hash.
fn escape(id: &str, hash: &str) -> String {
    let mut escaped = String::with_capacity(id.len());
    for (index, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"@+_-=".contains(&byte) || (byte == b'.' && index > 0);
        if plain {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    if escaped.len() > NAME_MAX {
        escaped.truncate(KEPT);
        escaped.push_str("%%");
        escaped.push_str(hash);
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe() {
        for (id, name) in [
            ("ann@example.test", "ann@example.test"),
            ("../x@example.test", "%2E.%2Fx@example.test"),
            ("a b\"@x", "a%20b%22@x"),
            ("é@x", "%C3%A9@x"),
        ] {
            assert_eq!(escape(id, "h"), name);
        }
        let long = escape(&"é".repeat(100), &"0".repeat(64));
        assert_eq!(long.len(), KEPT + 2 + 64);
    }
}
