//! Questions to the DNS, each with a deadline, and a bounded cache behind them.

mod config;
mod resolver;
mod texts;
#[cfg(test)]
pub(crate) mod zone;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;

pub use config::DnsConfig;
pub use resolver::{Asking, Resolver, ResolverError};

/// Why there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name (NXDOMAIN).
    #[error("no such name")]
    NoName,
    /// There is the name, but nothing of the kind.
    #[error("no such record")]
    NoRecord,
    /// It is not known: no answer in time, SERVFAIL, an answer that validation refuses.
    #[error("{0}")]
    Failed(String),
}

impl DnsError {
    /// Whether the DNS said that there is nothing, rather than nothing at all ("void look-up", RFC 7208 §4.6.4).
    pub const fn is_void(&self) -> bool {
        matches!(self, Self::NoName | Self::NoRecord)
    }
}

/// Whom checks ask. Names come without a trailing dot; an `Ok` is never empty.
#[async_trait]
pub trait Dns: Send + Sync + 'static {
    /// IPv4 addresses.
    async fn a(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError>;
    /// IPv6 addresses.
    async fn aaaa(&self, name: &str) -> Result<Vec<Ipv6Addr>, DnsError>;
    /// Mail servers, in the order in which they are wanted.
    async fn mx(&self, name: &str) -> Result<Vec<String>, DnsError>;
    /// Names of an address, without trailing dots.
    async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError>;
    /// Texts, the strings of each put together.
    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError>;
}
