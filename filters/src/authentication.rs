//! Who wrote a message, as far as that can be known: SPF, DKIM, ARC and DMARC.
//!
//! ```text
//!  peer, HELO, MAIL ──▶ SPF ─────────────────┐
//!  message ──▶ signatures ──▶ DKIM ──────────┼──▶ DMARC ──▶ results: a field in the message, facts for policies
//!                        └──▶ ARC            │
//!  From field ───────────────────────────────┘
//! ```
//! Signatures and alignment are mail-auth's work. It gets every DNS answer from a table that was filled before ([`lookup`]), so that it never asks by
//! itself: which questions a message may cause, how many and for how long is decided here.
//!
//! # Failure behaviour
//! A DNS that does not answer makes a result `temperror`. Nothing is refused for it unless the configuration says so.
//!
//! # Security
//! The attacker writes the message, and owns the DNS of his domains. Bounded are: signatures looked at, fields that one signature may name, ARC sets,
//! questions, records, and the time of all of it. A signature with a body length (`l=`), with SHA-1 (RFC 8301 §3.1) or without the From field proves nothing.

mod arc;
mod author;
mod config;
mod dkim;
mod dmarc;
mod field;
mod keys;
mod lookup;
mod results;
mod strict;
mod surplus;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::net::IpAddr;
use std::sync::Arc;

use envelope::{Envelope, ReversePath};
use mail_auth::AuthenticatedMessage;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};

use crate::dns::Dns;
use crate::spf;

pub(crate) use author::fuzz as fuzz_author;
pub use author::{Author, AuthorFault};
pub use config::{AuthenticationConfig, AuthorRule, DmarcAction};
pub(crate) use field::methods;
pub use field::{is_forged, results_field};
pub use results::{
    ArcResult, Authentication, DkimResult, DmarcPolicy, DmarcResult, PublishedPolicy, ReportUri, SpfFinding,
    Word,
};
pub(crate) use strict::fuzz as fuzz_signature;

/// Checks messages. One for a process.
pub struct Authenticator {
    config: AuthenticationConfig,
    dns: Arc<dyn Dns>,
    library: mail_auth::MessageAuthenticator,
    keys: keys::Keys,
}

/// What is known of a message besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// From where it came.
    pub peer: IpAddr,
    /// What the peer calls itself.
    pub helo: &'a str,
    /// The sender in the envelope.
    pub reverse_path: &'a ReversePath,
    /// This host, for SPF's `%{r}`.
    pub hostname: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

impl<'a> Origin<'a> {
    /// What an envelope says; `None` without a peer.
    pub fn of(envelope: &'a Envelope, hostname: &'a str) -> Option<Self> {
        Some(Self {
            peer: envelope.origin.peer?,
            helo: &envelope.origin.helo,
            reverse_path: &envelope.reverse_path,
            hostname,
            now: envelope.received_at.unix_seconds(),
        })
    }
}

impl Authenticator {
    /// Nothing is asked yet.
    pub fn new(config: AuthenticationConfig, dns: Arc<dyn Dns>) -> Result<Self, String> {
        // It is never asked: see `lookup`.
        let nowhere = ResolverConfig::from_name_servers(Vec::new());
        let library = mail_auth::MessageAuthenticator::new(nowhere, ResolverOpts::default())
            .map_err(|error| error.to_string())?;
        let keys = keys::Keys::new(config.keys_memory_max);
        Ok(Self { config, dns, library, keys })
    }

    /// Its configuration.
    pub const fn config(&self) -> &AuthenticationConfig {
        &self.config
    }

    /// Whether the peer is a system of our own, whose mail is not looked at.
    pub fn is_exempt(&self, peer: IpAddr) -> bool {
        self.config.exempt.iter().any(|network| network.contains(peer))
    }

    /// Everything that can be known of one message within `spf.time_max` or `time_max`, and as long again for policies.
    pub async fn check(&self, origin: Origin<'_>, message: &[u8]) -> Authentication {
        let spf = self.spf(origin);
        let kept = surplus::removed(message, &self.config);
        let parsed = AuthenticatedMessage::parse_with_opts(&kept.message, None, true);
        let author = Author::read(message);
        let Some(mut parsed) = parsed else {
            return Authentication { spf: spf.await, author, ..Authentication::default() };
        };
        let malformed = strict::settle(&mut parsed);
        let (spf, keys) = tokio::join!(spf, self.keys(&parsed));
        let dkim = dkim::verify(&self.library, &parsed, &keys, malformed).await;
        let arc = if kept.chain_too_long {
            ArcResult::too_long()
        } else {
            arc::verify(&self.library, &parsed, &keys).await
        };
        let policies = self.policies(&author, &dmarc::candidates(&author, &spf, &dkim)).await;
        let dmarc = dmarc::verify(&self.library, &parsed, &policies, &author, &spf, &dkim).await;
        let results = dkim.into_iter().map(|one| one.result).collect();
        Authentication { spf, dkim: results, signatures_ignored: kept.ignored, arc, dmarc, author }
    }

    async fn spf(&self, origin: Origin<'_>) -> SpfFinding {
        let question = spf::Question {
            address: origin.peer,
            helo: origin.helo,
            sender: origin.reverse_path.address(),
            receiver: origin.hostname,
            now: origin.now,
            explain: self.config.refuse_spf_fail,
        };
        spf::check(&*self.dns, &question, &self.config.spf).await.into()
    }

    /// The keys that signatures and seals name, at most as long as `time_max`; what is not there by then is a failure of the DNS.
    async fn keys(&self, parsed: &AuthenticatedMessage<'_>) -> lookup::Known {
        let mut known = lookup::Known::default();
        let seals = arc::names(parsed, self.config.arc_sets_max);
        let time_max = self.config.time_max.as_duration();
        known.fetch_keys(&*self.dns, &self.keys, dkim::names(parsed), seals, time_max).await;
        known
    }

    /// The DMARC records of the author's domain, of those that may belong to the same owner, and of everything above them.
    async fn policies(&self, author: &Author, candidates: &[String]) -> lookup::Known {
        let mut known = lookup::Known::default();
        let Some(domain) = author.domain() else { return known };
        let domains = std::iter::once(domain.to_owned()).chain(candidates.iter().cloned());
        known.fetch_policies(&*self.dns, domains, self.config.time_max.as_duration()).await;
        known.settle_missing_domain(&*self.dns, domain, self.config.time_max.as_duration()).await;
        known
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("config", &self.config).finish_non_exhaustive()
    }
}
