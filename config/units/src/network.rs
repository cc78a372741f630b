//! Networks as people write them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IP network, written `"192.0.2.0/24"` or `"2001:db8::/32"`; an address alone is a network of one. An IPv4 address counts as itself also where it
/// comes as an IPv4-mapped IPv6 one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a network: write an address and a prefix, such as \"192.0.2.0/24\" or \"2001:db8::/32\""
)]
pub struct NetworkError(String);

impl Network {
    /// The network of `prefix` bits that `address` is in; a prefix that is too long is cut to the address alone.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        let prefix = prefix.min(length(address));
        Self { address: masked(address, prefix), prefix }
    }

    /// Loopback, private and link-local networks (RFC 1122, 1918, 3927, 4193, 4291).
    pub fn private() -> Vec<Self> {
        let v4 = |octets: [u8; 4], prefix| Self::new(IpAddr::V4(octets.into()), prefix);
        let v6 = |first: u16, prefix| Self::new(IpAddr::V6([first, 0, 0, 0, 0, 0, 0, 0].into()), prefix);
        vec![
            v4([127, 0, 0, 0], 8),
            v4([10, 0, 0, 0], 8),
            v4([172, 16, 0, 0], 12),
            v4([192, 168, 0, 0], 16),
            v4([169, 254, 0, 0], 16),
            Self::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
            v6(0xfc00, 7),
            v6(0xfe80, 10),
        ]
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that its addresses share.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

const fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::new(address, u8::MAX)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Bits behind the prefix must be zero: `192.0.2.1/24` is more likely a slip than meant.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.chars().take(60).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let plain = |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => length(address),
            Some(prefix) if plain(prefix) => prefix.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        if prefix > length(address) || masked(address, prefix) != address {
            return Err(wrong());
        }
        // `::ffff:192.0.2.0/120` is 192.0.2.0/24.
        match (address.to_canonical(), address) {
            (IpAddr::V4(_), IpAddr::V6(_)) => {
                prefix.checked_sub(96).map(|prefix| Self::new(address, prefix)).ok_or_else(wrong)
            }
            _ => Ok(Self::new(address, prefix)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == length(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a network, such as \"192.0.2.0/24\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        let check = |text: &str, expected: Option<&str>| {
            let found = text.parse::<Network>().ok().map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("192.0.2.0/24", Some("192.0.2.0/24"));
        check("192.0.2.7", Some("192.0.2.7"));
        check("192.0.2.7/32", Some("192.0.2.7"));
        check("0.0.0.0/0", Some("0.0.0.0/0"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("2001:DB8:0::1", Some("2001:db8::1"));
        check("::ffff:192.0.2.0/120", Some("192.0.2.0/24"));
        for wrong in [
            "",
            "x",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2/24",
            "2001:db8::/129",
            "2001:db8::1/64",
            "::ffff:0.0.0.0/90",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_in_a_network() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.0/24", "::ffff:192.0.2.1", true);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::", false);
        check("::1", "::1", true);
        assert!(Network::private().iter().any(|network| network.contains("172.31.255.255".parse().unwrap())));
        assert!(!Network::private().iter().any(|network| network.contains("172.32.0.0".parse().unwrap())));
    }
}
