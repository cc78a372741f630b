//! The names under which things are remembered: bounded, plain, and no two of them alike.

use std::net::IpAddr;

use envelope::Address;
use sha2::{Digest as _, Sha256};
use shared_state::{CounterKey, Unavailable};
use units::Network;

/// The first part of every name.
pub(super) const ROOM: &str = "reputation";
/// Letters of a word that stands as it is.
const WORD_MAX: usize = 60;

/// How wide a peer's network is taken to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

impl Widths {
    /// The peer's network: who has one address of it has the others as well.
    pub(super) fn network(self, address: IpAddr) -> Network {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { self.v4 } else { self.v6 };
        Network::new(address, prefix)
    }
}

/// A network as a part of a name, which has no slash.
pub(super) fn network_word(network: Network) -> String {
    network.to_string().replace('/', "_")
}

/// The network of a name.
pub(super) fn network_of(word: &str) -> Option<Network> {
    word.replace('_', "/").parse().ok()
}

/// An address as addresses are compared.
pub(super) fn address_word(address: &Address) -> String {
    word(&address.canonical().to_string())
}

/// A text as a part of a name: itself where it is short and plain, so that a person can read it, else its hash behind `+`.
pub fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@:+".contains(&byte);
    if (1..=WORD_MAX).contains(&text.len()) && !text.starts_with('+') && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("+{}", hash(&[text.as_bytes()]))
}

/// 128 bits of SHA-256 over the parts and their lengths.
pub(super) fn hash(parts: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        sum.update(part);
    }
    sum.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The whole name; all parts come from here or from the configuration, so that it is always one.
pub(super) fn key(what: &'static str, whom: &str) -> Result<CounterKey, Unavailable> {
    CounterKey::new(ROOM, what, whom).map_err(|error| Unavailable(error.to_string()))
}

/// Text from elsewhere as one line of printable ASCII, at most `max` octets.
pub(super) fn printable(text: &[u8], max: usize) -> String {
    let mut line = String::new();
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if line.is_empty() || line.ends_with(' ') => continue,
            b' ' | b'\t' | b'\r' | b'\n' => line.push(' '),
            b'!'..=b'~' => line.push(char::from(*byte)),
            _ => line.push('?'),
        }
        if line.len() >= max {
            break;
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Makes a line of a reason: it is within its bound and fit for a reply.
pub fn fuzz_reason(input: &[u8]) {
    let line = printable(input, 200);
    assert!(line.len() <= 200 && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(printable(line.as_bytes(), 200), line);
    let name = word(&line);
    assert!(key("rate", &name).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, plain: bool| {
            let word = word(text);
            assert_eq!(word == text, plain, "{text}");
            assert!(key("rate", &word).is_ok(), "{word}");
        };
        check("a@example.test", true);
        check("2001:db8::1", true);
        check("+a@example.test", false);
        check("", false);
        check("a b@example.test", false);
        check("ä@example.test", false);
        check(&"x".repeat(60), true);
        check(&"x".repeat(61), false);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        let network: Network = "2001:db8:0:1::/64".parse().unwrap();
        assert_eq!(network_of(&network_word(network)), Some(network));
    }

    #[test]
    fn networks_of_peers() {
        let widths = Widths { v4: 24, v6: 64 };
        let check = |peer: &str, expected: &str| {
            assert_eq!(widths.network(peer.parse().unwrap()).to_string(), expected);
        };
        check("192.0.2.77", "192.0.2.0/24");
        check("::ffff:192.0.2.77", "192.0.2.0/24");
        check("2001:db8:0:1:2::3", "2001:db8:0:1::/64");
    }

    #[test]
    fn reasons_are_one_printable_line() {
        let check = |text: &[u8], max: usize, expected: &str| assert_eq!(printable(text, max), expected);
        check(b"https://list.test/?a", 100, "https://list.test/?a");
        check(b" a\r\n250 ok\r\n", 100, "a 250 ok");
        check(b"\x00\x1b[31mred\xff", 100, "??[31mred?");
        check(b"abcdef", 5, "abcde");
        check(b"abcde", 5, "abcde");
        check(b"abcd  ", 5, "abcd");
        let mut random = 7_u32;
        for length in 0..500_u32 {
            let text: Vec<u8> = (0..length)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 24) as u8
                })
                .collect();
            fuzz_reason(&text);
        }
    }
}
