//! Names of message files.
//!
//! ```text
//! 1700000000.01AN4Z07BY79KA1307SR9X4MV3,U=17,S=2048:2,FSa
//! seconds    message id                 UID  octets   flags and keywords
//! ```
//!
//! `S=` are the octets on disk; `W=` follows when the message has other than CRLF line ends and so another size on
//! the wire. Names of other tools keep what they have up to the first comma, and get `U=`, `S=` and `W=` at the first
//! synchronisation. In `new/` there is no `:2,` part. Names that can't be kept (not UTF-8, control characters, over
//! 180 octets) are replaced by one of our own.

use std::sync::Arc;

use envelope::MessageId;

use crate::flags::FlagBits;

/// What a file is called up to its first comma or colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Our own form.
    Own {
        /// Internal date in seconds since 1970.
        seconds: u64,
        /// Key of idempotent delivery.
        id: MessageId,
    },
    /// Of another tool.
    Foreign(Arc<str>),
}

const BASE_MAX: usize = 180;

impl Base {
    pub(crate) fn parse(text: &str) -> Self {
        let own = text.split_once('.').and_then(|(seconds, id)| {
            let base = Self::Own { seconds: seconds.parse().ok()?, id: id.parse().ok()? };
            (base.text() == text).then_some(base)
        });
        own.unwrap_or_else(|| Self::Foreign(text.into()))
    }

    pub(crate) const fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Own { id, .. } => Some(*id),
            Self::Foreign(_) => None,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Own { seconds, id } => format!("{seconds}.{id}"),
            Self::Foreign(text) => text.to_string(),
        }
    }
}

/// A message file's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) base: Base,
    pub(crate) uid: Option<u32>,
    /// `S=`: octets on disk.
    pub(crate) disk_size: Option<u64>,
    /// `W=`: octets with CRLF line ends.
    pub(crate) wire_size: Option<u64>,
    /// None in the absence of `:2,`.
    pub(crate) flags: Option<FlagBits>,
}

/// What stands before the colon: flags may change at any time, that part does not.
pub(crate) fn front(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b':').next().unwrap_or_default()
}

impl FileName {
    /// `None` for names that can't be kept.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if name.starts_with('.') || name.chars().any(char::is_control) {
            return None;
        }
        let (front, info) = name.split_once(':').map_or((name, None), |(front, info)| (front, Some(info)));
        let mut parts = front.split(',');
        let base = parts.next().filter(|base| !base.is_empty() && base.len() <= BASE_MAX)?;
        let mut parsed =
            Self { base: Base::parse(base), uid: None, disk_size: None, wire_size: None, flags: None };
        for part in parts {
            match part.split_once('=') {
                Some(("U", value)) => parsed.uid = number(value).and_then(|uid| u32::try_from(uid).ok()),
                Some(("S", value)) => parsed.disk_size = number(value),
                Some(("W", value)) => parsed.wire_size = number(value),
                _ => {}
            }
        }
        parsed.uid = parsed.uid.filter(|uid| *uid > 0);
        parsed.flags = info
            .and_then(|info| info.strip_prefix("2,"))
            .map(|flags| FlagBits::from_letters(flags.as_bytes()));
        Some(parsed)
    }

    pub(crate) fn flags(&self) -> FlagBits {
        self.flags.unwrap_or_default()
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.base {
            Base::Own { seconds, id } => write!(f, "{seconds}.{id}")?,
            Base::Foreign(text) => f.write_str(text)?,
        }
        if let Some(uid) = self.uid {
            write!(f, ",U={uid}")?;
        }
        if let Some(size) = self.disk_size {
            write!(f, ",S={size}")?;
        }
        if let Some(size) = self.wire_size.filter(|size| Some(*size) != self.disk_size) {
            write!(f, ",W={size}")?;
        }
        match self.flags {
            Some(flags) => write!(f, ":2,{}", flags.letters()),
            None => Ok(()),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Fuzz entry: what was parsed prints as a name that parses to the same.
pub fn fuzz_file_name(input: &[u8]) {
    if let Some(name) = FileName::parse(input) {
        let again = FileName::parse(name.to_string().as_bytes());
        let wire_size = name.wire_size.filter(|size| Some(*size) != name.disk_size);
        assert_eq!(again, Some(FileName { wire_size, ..name }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_names_apart() {
        let name = FileName::parse(b"1700000000.01ARZ3NDEKTSV4RRFFQ69G5FAV,U=17,S=2048:2,FSa").unwrap();
        assert_eq!((name.uid, name.disk_size, name.wire_size), (Some(17), Some(2048), None));
        assert_eq!(name.flags().letters(), "FSa");
        assert!(matches!(name.base, Base::Own { seconds: 1_700_000_000, .. }));
        assert_eq!(name.to_string(), "1700000000.01ARZ3NDEKTSV4RRFFQ69G5FAV,U=17,S=2048:2,FSa");
        let foreign = FileName::parse(b"1700000000.M1P2.host,S=10,W=12:2,S").unwrap();
        assert_eq!((foreign.uid, foreign.disk_size, foreign.wire_size), (None, Some(10), Some(12)));
    }

    #[test]
    fn odd_names() {
        let long = "x".repeat(181);
        for name in [&b""[..], b".nfs0001", b"a\nb", b"\xff", b",U=1", b":2,S", long.as_bytes()] {
            assert_eq!(FileName::parse(name), None);
        }
        for name in ["a,U=0", "a,U=4294967296", "a,U=-1", "a,U=", "a,U=+5"] {
            assert_eq!(FileName::parse(name.as_bytes()).unwrap().uid, None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn fuzz(input: Vec<u8>, text in "[0-9A-Za-z.,=:USW]{0,60}") {
            fuzz_file_name(&input);
            fuzz_file_name(text.as_bytes());
        }
    }
}
