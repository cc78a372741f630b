//! The DNS of the internet, through hickory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Refused, NetError};
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::texts::Texts;
use super::{Dns, DnsConfig, DnsError};

/// Why the resolver can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The system's configuration can't be read, or a server can't be used.
    #[error("failed to set up the DNS")]
    Unusable(#[source] NetError),
    /// The file of trust anchors can't be used.
    #[error("trust anchors can't be read from `{path}`: {why}")]
    TrustAnchors {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Asks DNS servers. Cheap to clone; clones share their cache.
#[derive(Clone)]
pub struct Resolver {
    resolver: TokioResolver,
    texts: Texts,
    question_max: Duration,
    records_max: usize,
}

/// Whom the library asks, and what it keeps.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Servers; none: those of the system.
    pub resolvers: &'a [SocketAddr],
    /// Whether signatures are checked.
    pub dnssec: bool,
    /// A file with the keys that they begin with; empty: those of the root.
    pub trust_anchors: &'a Path,
    /// Answers that are kept.
    pub cache_entries: u32,
    /// For how long at most.
    pub cache_age_max: Duration,
    /// Wait for one try; `None`: the library's.
    pub try_max: Option<Duration>,
}

impl Asking<'_> {
    /// Sets the library up. Nothing is asked yet.
    pub fn open(self) -> Result<TokioResolver, ResolverError> {
        let mut builder = if self.resolvers.is_empty() {
            TokioResolver::builder_tokio().map_err(ResolverError::Unusable)?
        } else {
            let servers = self.resolvers.iter().map(|address| {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                server.connections.iter_mut().for_each(|connection| connection.port = address.port());
                server
            });
            let servers = ResolverConfig::from_name_servers(servers.collect());
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.validate = self.dnssec;
        options.cache_size = u64::from(self.cache_entries);
        options.positive_max_ttl = Some(self.cache_age_max);
        options.negative_max_ttl = Some(self.cache_age_max);
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        if let Some(try_max) = self.try_max {
            options.timeout = try_max;
        }
        // The option of that name is read by nothing.
        if self.dnssec && !self.trust_anchors.as_os_str().is_empty() {
            builder = builder.with_trust_anchor(Arc::new(anchors(self.trust_anchors)?));
        }
        builder.build().map_err(ResolverError::Unusable)
    }
}

impl Resolver {
    /// Nothing is asked yet.
    pub fn new(config: &DnsConfig) -> Result<Self, ResolverError> {
        let asking = Asking {
            resolvers: &config.resolvers,
            dnssec: config.dnssec,
            trust_anchors: &config.trust_anchors,
            cache_entries: config.cache_entries,
            cache_age_max: config.cache_age_max.as_duration(),
            try_max: Some(config.try_max.as_duration()),
        };
        let resolver = asking.open()?;
        let texts = Texts::new(config.texts_memory_max, config.cache_age_max.as_duration());
        let question_max = config.question_max.as_duration();
        Ok(Self { resolver, texts, question_max, records_max: config.records_max as usize })
    }

    async fn ask<T>(
        &self,
        name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        self.ask_until(name, kind, pick).await.0
    }

    /// What is found, and until when that holds, where the answer says it.
    async fn ask_until<T>(
        &self,
        name: Name,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> (Result<Vec<T>, DnsError>, Option<Instant>) {
        let asked = tokio::time::timeout(self.question_max, self.resolver.lookup(name, kind));
        let found = match asked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return (Err(failed(&error)), nothing_until(&error)),
            Err(_) => return (Err(DnsError::Failed("no answer in time".to_owned())), None),
        };
        let records = found.answers().iter().filter_map(|record| pick(&record.data));
        let records: Vec<T> = records.take(self.records_max).collect();
        if records.is_empty() {
            // How long this holds nobody said.
            return (Err(DnsError::NoRecord), None);
        }
        (Ok(records), Some(found.valid_until()))
    }
}

/// Until when there is nothing (RFC 2308 §5).
fn nothing_until(error: &NetError) -> Option<Instant> {
    let NetError::Dns(Refused::NoRecordsFound(none)) = error else { return None };
    Some(Instant::now() + Duration::from_secs(none.negative_ttl?.into()))
}

fn anchors(path: &Path) -> Result<TrustAnchors, ResolverError> {
    let wrong = |why: String| ResolverError::TrustAnchors { path: path.display().to_string(), why };
    let anchors = TrustAnchors::from_file(path).map_err(|error| wrong(error.to_string()))?;
    if anchors.is_empty() { Err(wrong("no key of the root is in it".to_owned())) } else { Ok(anchors) }
}

fn failed(error: &NetError) -> DnsError {
    if error.is_nx_domain() {
        DnsError::NoName
    } else if error.is_no_records_found() {
        DnsError::NoRecord
    } else {
        DnsError::Failed(error.to_string())
    }
}

/// A name as it is; the dot at the end keeps the search list of the system out. What can't be a name does not exist.
fn name(text: &str) -> Result<Name, DnsError> {
    // Octet for octet: SPF puts local parts into names, and with them characters that no host has.
    let labels = text.strip_suffix('.').unwrap_or(text).split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).map_err(|_| DnsError::NoName)?;
    name.set_fqdn(true);
    Ok(name)
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[async_trait]
impl Dns for Resolver {
    async fn a(&self, host: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        let pick = |data: &RData| if let RData::A(a) = data { Some(a.0) } else { None };
        self.ask(name(host)?, RecordType::A, pick).await
    }

    async fn aaaa(&self, host: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        let pick = |data: &RData| if let RData::AAAA(aaaa) = data { Some(aaaa.0) } else { None };
        self.ask(name(host)?, RecordType::AAAA, pick).await
    }

    async fn mx(&self, domain: &str) -> Result<Vec<String>, DnsError> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
            _ => None,
        };
        let mut found = self.ask(name(domain)?, RecordType::MX, pick).await?;
        found.sort_by_key(|(preference, _)| *preference);
        Ok(found.into_iter().map(|(_, host)| host).collect())
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        let pick = |data: &RData| if let RData::PTR(ptr) = data { Some(plain(&ptr.0)) } else { None };
        self.ask(Name::from(address), RecordType::PTR, pick).await
    }

    async fn txt(&self, owner: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        let pick = |data: &RData| if let RData::TXT(txt) = data { Some(txt.txt_data.concat()) } else { None };
        if let Some(known) = self.texts.get(owner, Instant::now()) {
            return known;
        }
        let (found, until) = self.ask_until(name(owner)?, RecordType::TXT, pick).await;
        if let Some(until) = until {
            self.texts.keep(owner, &found, until, Instant::now());
        }
        found
    }
}

#[cfg(test)]
mod tests;
