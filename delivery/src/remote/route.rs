//! From a domain to the servers that take its mail (RFC 5321 §5.1).

use std::net::IpAddr;

use envelope::{Domain, EnhancedCode};

use super::dns::{Answer, Dns, DnsError, Mx};
use crate::outcome::Failure;

/// A server that may take the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// Known already, when the address stands in the domain itself.
    pub(crate) address: Option<IpAddr>,
    /// That this server is the right one is proved by DNSSEC.
    pub(crate) secure: bool,
}

/// Where a domain's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Routed {
    /// In the order in which they are tried.
    Hosts(Vec<Host>),
    Failed(Failure),
    /// The DNS can't say now.
    Unknown(String),
}

impl Failure {
    const NO_DOMAIN: Self = Self::here(EnhancedCode::new(5, 1, 2), "There is no such domain.");
    const NO_SERVER: Self = Self::here(EnhancedCode::new(5, 4, 4), "The domain has no mail server.");
    /// RFC 7505 §4.1
    const NULL_MX: Self = Self::here(EnhancedCode::new(5, 1, 10), "The domain takes no mail.");
    const MX_LOOP: Self =
        Self::here(EnhancedCode::new(5, 4, 6), "The domain's mail leads back here, where nobody knows it.");
}

/// Asks where mail for `domain` goes. `is_own` says whether a host name means this installation; `shuffle` gives any number. Of more than
/// `mx_max` records the rest is not looked at.
pub(crate) async fn route(
    dns: &dyn Dns,
    domain: &Domain,
    is_own: impl Fn(&str) -> bool,
    shuffle: impl Fn() -> u64,
    mx_max: usize,
) -> Routed {
    if let Some(address) = domain.literal() {
        let host = Host { name: domain.to_string(), address: Some(address), secure: false };
        return Routed::Hosts(vec![host]);
    }
    match dns.mx(domain.as_str()).await {
        // The domain itself is its server (RFC 5321 §5.1), when it has an address: that shows when it is asked for.
        Ok(found) if found.records.is_empty() && is_own(domain.as_str()) => Routed::Failed(Failure::MX_LOOP),
        Ok(none) if none.records.is_empty() => {
            let name = domain.as_str().to_owned();
            match dns.addresses(&name).await {
                // RFC 7672 §2.2.1
                Ok(found) => {
                    let secure = none.secure && found.secure;
                    Routed::Hosts(vec![Host { name, address: None, secure }])
                }
                Err(DnsError::NoName | DnsError::NoRecord) => Routed::Failed(Failure::NO_SERVER),
                Err(DnsError::Failed(why)) => {
                    Routed::Unknown(format!("the DNS does not say where {name} is: {why}"))
                }
            }
        }
        Ok(found) => by_preference(found, is_own, shuffle, mx_max),
        Err(DnsError::NoName | DnsError::NoRecord) => Routed::Failed(Failure::NO_DOMAIN),
        Err(DnsError::Failed(why)) => {
            Routed::Unknown(format!("the DNS does not say who takes mail for {domain}: {why}"))
        }
    }
}

fn by_preference(
    found: Answer<Mx>,
    is_own: impl Fn(&str) -> bool,
    shuffle: impl Fn() -> u64,
    mx_max: usize,
) -> Routed {
    let Answer { mut records, secure, .. } = found;
    if matches!(records.as_slice(), [only] if only.host.is_empty()) {
        return Routed::Failed(Failure::NULL_MX);
    }
    records.retain(|mx| !mx.host.is_empty());
    records.truncate(mx_max);
    // Who is as much wanted as we are, or less, would only send it back to us.
    let own = records.iter().filter(|mx| is_own(&mx.host)).map(|mx| mx.preference).min();
    if let Some(own) = own {
        records.retain(|mx| mx.preference < own);
        if records.is_empty() {
            return Routed::Failed(Failure::MX_LOOP);
        }
    }
    if records.is_empty() {
        return Routed::Failed(Failure::NO_SERVER);
    }
    // Equals share the load.
    records.sort_by_cached_key(|mx| (mx.preference, shuffle()));
    records.dedup_by(|one, other| one.host == other.host);
    Routed::Hosts(records.into_iter().map(|mx| Host { name: mx.host, address: None, secure }).collect())
}

/// Whether an address is one of the public internet. Others are reached only where the operator says so: an MX record is written by strangers.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let protocol = first == 192 && second == 0 && v4.octets()[2] == 0;
            let benchmark = first == 198 && (second == 18 || second == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || shared
                || protocol
                || benchmark
                || first == 0
                || first >= 240)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            let documentation = first == 0x2001 && v6.segments()[1] == 0xdb8;
            // 2000::/3 is what is given out.
            (first & 0xe000) == 0x2000 && !documentation && first != 0x2002
        }
    }
}

#[cfg(test)]
mod tests;
