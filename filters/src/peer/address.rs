//! Where a milter or a scanner listens.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `unix:/path`, `inet:host:port`, or `address:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A name or an address (IPv6 in brackets), and a port.
    Inet(String, u16),
}

/// Why a text is no address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address: write \"unix:/run/name/socket\", \"inet:localhost:8893\" or \"127.0.0.1:8893\""
)]
pub struct PeerAddressError(String);

impl FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, PeerAddressError> {
        let wrong = || PeerAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let fine = path.starts_with('/') && !path.contains('\0');
            return if fine { Ok(Self::Unix(PathBuf::from(path))) } else { Err(wrong()) };
        }
        let place = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fine = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            }
        };
        if fine { Ok(Self::Inet(host.to_owned(), port)) } else { Err(wrong()) }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(host, port) => write!(f, "inet:{host}:{port}"),
        }
    }
}

impl Serialize for PeerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PeerAddress {
    fn schema_name() -> Cow<'static, str> {
        "PeerAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let got = text.parse::<PeerAddress>().ok().map(|address| address.to_string());
        assert_eq!(got.as_deref(), expected, "{text}");
    }

    #[test]
    fn addresses() {
        check("unix:/run/a/b.sock", Some("unix:/run/a/b.sock"));
        check("inet:localhost:8893", Some("inet:localhost:8893"));
        check("inet:127.0.0.1:8893", Some("inet:127.0.0.1:8893"));
        check("127.0.0.1:8893", Some("inet:127.0.0.1:8893"));
        check("[::1]:8893", Some("inet:[::1]:8893"));
        for wrong in [
            "",
            "unix:",
            "unix:a",
            "inet:a",
            "inet::1",
            "a:0",
            "a:65536",
            "::1:25",
            "inet:8893@localhost",
            "http://a:1",
            "[x]:1",
        ] {
            check(wrong, None);
        }
    }
}
