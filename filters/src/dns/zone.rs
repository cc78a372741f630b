//! A DNS for tests: what is in a map.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Dns, DnsError};

/// Records by kind and name; names are in lower case.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    records: HashMap<(&'static str, String), Vec<String>>,
    failing: Vec<String>,
    silent: Vec<String>,
    /// Each question, in its order: kind and name.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Zone {
    pub(crate) fn with(mut self, kind: &'static str, name: &str, value: &str) -> Self {
        self.records.entry((kind, name.to_lowercase())).or_default().push(value.to_owned());
        self
    }

    /// Every question about the name fails.
    pub(crate) fn failing(mut self, name: &str) -> Self {
        self.failing.push(name.to_lowercase());
        self
    }

    /// No question for texts of the name is answered.
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.silent.push(name.trim_end_matches('.').to_lowercase());
        self
    }

    fn find(&self, kind: &'static str, name: &str) -> Result<Vec<String>, DnsError> {
        let name = name.trim_end_matches('.').to_lowercase();
        self.asked.lock().unwrap().push(format!("{kind} {name}"));
        if self.failing.contains(&name) {
            return Err(DnsError::Failed("it fails".to_owned()));
        }
        if let Some(found) = self.records.get(&(kind, name.clone())) {
            return Ok(found.clone());
        }
        let below = format!(".{name}");
        let exists = self.records.keys().any(|(_, other)| *other == name || other.ends_with(&below));
        Err(if exists { DnsError::NoRecord } else { DnsError::NoName })
    }
}

#[async_trait]
impl Dns for Zone {
    async fn a(&self, name: &str) -> Result<Vec<Ipv4Addr>, DnsError> {
        Ok(self.find("A", name)?.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn aaaa(&self, name: &str) -> Result<Vec<Ipv6Addr>, DnsError> {
        Ok(self.find("AAAA", name)?.iter().map(|text| text.parse().unwrap()).collect())
    }

    async fn mx(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.find("MX", name)
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, DnsError> {
        self.find("PTR", &address.to_string())
    }

    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        if self.silent.iter().any(|silent| silent.eq_ignore_ascii_case(name)) {
            std::future::pending::<()>().await;
        }
        Ok(self.find("TXT", name)?.into_iter().map(String::into_bytes).collect())
    }
}
