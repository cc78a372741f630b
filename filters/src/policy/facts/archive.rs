//! What the directory of an archive says; nothing is unpacked.

use std::io::Cursor;

use memchr::memmem;
use zip::ZipArchive;

use super::names::as_kept;

/// The directory of a larger archive is not read.
const SIZE_MAX: usize = 64 << 20;
/// Where the end of the directory must stand: its own 22 octets and a comment (APPNOTE.TXT §4.3.16).
const END_MAX: usize = 22 + 65_535;
/// Octets of a name.
const NAME_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Archive {
    pub(super) names: Vec<String>,
    pub(super) encrypted: bool,
    pub(super) macros: bool,
}

impl Archive {
    /// Reads the directory, and the fields before each file: programs that unpack look at the one or at the others, and they may differ.
    pub(super) fn read(octets: &[u8], names_max: usize) -> Self {
        let mut found = Self::default();
        if octets.len() > SIZE_MAX || !is_zip(octets) {
            return found;
        }
        if let Ok(mut archive) = ZipArchive::new(Cursor::new(octets)) {
            for index in 0..archive.len().min(names_max) {
                let Ok(file) = archive.by_index_raw(index) else { continue };
                found.encrypted |= file.encrypted();
                found.take(file.name(), names_max);
            }
        }
        for at in memmem::find_iter(octets, b"PK\x03\x04") {
            if let Some((name, encrypted)) = octets.get(at..).and_then(local_file) {
                found.encrypted |= encrypted;
                found.take(&name, names_max);
            }
            if found.names.len() >= names_max {
                break;
            }
        }
        found
    }

    fn take(&mut self, name: &str, names_max: usize) {
        let folder = name.ends_with('/');
        let name = name.to_lowercase();
        let front = name.rfind(['/', '\\']).and_then(|at| name.get(..=at)).unwrap_or_default();
        let name = if folder { name.clone() } else { format!("{front}{}", as_kept(&name)) };
        self.macros |= name.ends_with("vbaproject.bin");
        if self.names.len() < names_max && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

/// Whether programs would open it: an archive may have anything before it.
pub(super) fn is_zip(octets: &[u8]) -> bool {
    let tail = octets.get(octets.len().saturating_sub(END_MAX)..).unwrap_or_default();
    octets.starts_with(b"PK\x03\x04") || memmem::find(tail, b"PK\x05\x06").is_some()
}

/// Name and encryption of the file whose fields begin here (APPNOTE.TXT §4.3.7); `None` when they are none.
fn local_file(octets: &[u8]) -> Option<(String, bool)> {
    let number =
        |at: usize| Some(u16::from_le_bytes([octets.get(at).copied()?, octets.get(at + 1).copied()?]));
    let (flags, method, length) = (number(6)?, number(8)?, usize::from(number(26)?));
    let known = matches!(method, 0 | 1..=6 | 8 | 9 | 10 | 12 | 14 | 18..=20 | 93..=99);
    if !known || !(1..=NAME_MAX).contains(&length) {
        return None;
    }
    let name = String::from_utf8_lossy(octets.get(30..30 + length)?).into_owned();
    Some((name, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields before a file, and its content as it is.
    fn file(name: &str, flags: u16, content: &[u8]) -> Vec<u8> {
        let mut out = b"PK\x03\x04\x14\0".to_vec();
        out.extend(flags.to_le_bytes());
        out.extend([0; 10]);
        for size in [content.len(), content.len()] {
            out.extend(u32::try_from(size).unwrap().to_le_bytes());
        }
        out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        out.extend([0; 2]);
        out.extend(name.as_bytes());
        out.extend(content);
        out
    }

    #[test]
    fn an_archive_that_is_none_holds_nothing() {
        for octets in [
            &b"PK\x03\x04"[..],
            b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
            &[0; 100],
        ] {
            let archive = Archive::read(octets, 10);
            assert!(archive.names.is_empty() && !archive.encrypted);
        }
    }

    #[test]
    fn attack_an_archive_without_its_directory() {
        let octets = [file("Evil.EXE . ", 0, b"MZ"), file("b/vbaProject.bin", 1, b"x")].concat();
        let archive = Archive::read(&octets, 10);
        assert_eq!(archive.names, ["evil.exe", "b/vbaproject.bin"]);
        assert!(archive.encrypted && archive.macros);
        assert_eq!(Archive::read(&octets, 1).names, ["evil.exe"]);
        assert!(Archive::read(&octets[..20], 10).names.is_empty());
    }

    #[test]
    fn attack_an_archive_behind_a_picture() {
        let octets = [b"GIF89a".to_vec(), file("evil.js", 0, b"x"), b"PK\x05\x06".to_vec()].concat();
        assert_eq!(Archive::read(&octets, 10).names, ["evil.js"]);
    }

    #[test]
    fn attack_an_archive_in_an_archive_as_it_is() {
        let octets = file("inner.zip", 0, &file("evil.vbs", 0, b"x"));
        assert_eq!(Archive::read(&octets, 10).names, ["inner.zip", "evil.vbs"]);
    }
}
