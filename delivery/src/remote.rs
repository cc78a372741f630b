//! Mail to other systems: from a recipient's domain to the answer of a server there.
//!
//! ```text
//!  recipients of a message, by destination
//!    └ destination: a place, or later ──→ open connection, or: route (MX, A) ─→ protection ─→ connect, greet, encrypt
//!        └ transaction(s) of at most `recipients_max` ──→ a fate for every recipient
//! ```
//!
//! | what a server does | what becomes of the recipient |
//! |---|---|
//! | 2xx to the message | relayed |
//! | 5xx to the sender, the recipient or the message | failed, with its words |
//! | 4xx, a broken connection, no answer | tried again on the ladder |
//! | no server can be reached, or none speaks TLS as it must | tried again; the whole destination is left alone for a time |
//! | 452 to some recipients of many | in the next transaction at once |
//!
//! When the connection breaks between the end of a message and its answer nobody knows whether it was accepted; it is sent again. A crash of
//! this process in that moment is the same.

mod config;
mod connection;
mod destination;
mod dns;
mod mta_sts;
mod observed;
mod reach;
mod route;
mod send;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envelope::{Domain, EnhancedCode};
use filters::ResolverError;
use filters::reports::Tally;
use runtime::ClientTls;

pub use config::{Egress, RemoteConfig, Route, RouteTls};

use crate::metrics::Metrics;
use crate::outcome::{Failure, RemoteReply};
use destination::{Destinations, Key, Limits};
use dns::{Dns, Resolver};
use mta_sts::Policies;
pub(crate) use send::Message;

/// How often connections are looked at that wait.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What all messages to other systems share.
pub(crate) struct Remote {
    config: Arc<RemoteConfig>,
    hostname: String,
    /// None when the system's resolver can't be used: why.
    dns: Result<Arc<dyn Dns>, String>,
    destinations: Arc<Destinations>,
    policies: Policies,
    unverified: ClientTls,
    /// None when there are no authorities to trust: why.
    verified: Result<ClientTls, String>,
    /// Where sessions are counted for reports; none: they are not.
    reports: Option<Arc<Tally>>,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Relayed {
        said: RemoteReply,
        address: std::net::IpAddr,
        tls: &'static str,
        /// The other system tells the sender what it wants to hear of.
        tells: bool,
    },
    Failed(Failure),
    Later(Later),
}

/// A recipient that must wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    /// The shortest wait that makes sense.
    pub(crate) after: Duration,
    /// For operators.
    pub(crate) reason: String,
    pub(crate) said: Option<RemoteReply>,
    /// It was not tried: the wait says when, and is no rung of the ladder.
    pub(crate) untried: bool,
}

impl Remote {
    /// Nothing is connected to yet. Blocks on small files.
    pub(crate) fn open(config: &RemoteConfig, hostname: &str, reports: Option<Arc<Tally>>) -> Self {
        let dns = Resolver::new(config).map(|resolver| Arc::new(resolver) as Arc<dyn Dns>);
        let why = |error: ResolverError| match &error {
            ResolverError::Unusable(source) => format!("{error}: {source}"),
            ResolverError::TrustAnchors { .. } => error.to_string(),
        };
        Self { reports, ..Self::with_dns(config, hostname, dns.map_err(why)) }
    }

    fn with_dns(config: &RemoteConfig, hostname: &str, dns: Result<Arc<dyn Dns>, String>) -> Self {
        let config = Arc::new(config.clone());
        let verified = ClientTls::trusting_authorities(Path::new(&config.authorities));
        Self {
            hostname: hostname.to_owned(),
            dns,
            destinations: Arc::new(Destinations::new(Arc::clone(&config))),
            policies: Policies::new(&config),
            unverified: ClientTls::unverified(),
            verified: verified.map_err(|error| error.to_string()),
            reports: None,
            config,
        }
    }

    /// Where mail of this sender to this domain goes.
    pub(crate) fn key(&self, sender: Option<&Domain>, domain: &Domain) -> Key {
        let route = self.config.route(domain.as_str()).filter(|(_, route)| !route.host.is_empty());
        let name = match route {
            Some((_, route)) => format!("[{}]:{}", route.host, self.port(Some(route))),
            None => domain.as_str().to_owned(),
        };
        let egress = self.config.egress(sender.map(Domain::as_str)).map(|(index, _)| index);
        Key { name, egress, route: self.config.route(domain.as_str()).map(|(index, _)| index) }
    }

    fn limits(&self, domain: &Domain) -> Limits {
        let (concurrency, rate) = (self.config.destination_concurrency, self.config.destination_rate);
        let route = self.config.route(domain.as_str()).map(|(_, route)| route);
        let own = |own: u16, all: u16| if own > 0 { own } else { all };
        Limits {
            concurrency: own(route.map_or(0, |route| route.concurrency), concurrency),
            rate: route.map(|route| route.rate).filter(|rate| *rate > 0).unwrap_or(rate),
        }
    }

    fn port(&self, route: Option<&Route>) -> u16 {
        route.map(|route| route.port).filter(|port| *port > 0).unwrap_or(self.config.port)
    }

    fn is_own(&self, name: &str) -> bool {
        let mut own = self.config.own_names.iter().chain([&self.hostname]);
        own.any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(name))
    }

    /// Closes connections that wait for too long, for as long as it is polled.
    pub(crate) async fn keep(&self, metrics: &Metrics) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.destinations.sweep();
            let (alone, idle) = self.destinations.figures();
            metrics.left_alone.set(i64::try_from(alone).unwrap_or(i64::MAX));
            metrics.idle.set(i64::try_from(idle).unwrap_or(i64::MAX));
        }
    }
}

impl Failure {
    /// Another mail system said never.
    fn refused(code: EnhancedCode, said: RemoteReply) -> Self {
        let reason = "The other mail system does not take the message.".into();
        Self { code, reason, remote: Some(said) }
    }

    /// RFC 3463 X.3.4
    const TOO_BIG: Self =
        Self::here(EnhancedCode::new(5, 3, 4), "The message is larger than the other mail system takes.");
    /// RFC 6531 §3.5
    const NO_UTF8: Self = Self::here(
        EnhancedCode::new(5, 6, 7),
        "The other mail system takes no internationalised addresses or headers.",
    );
    /// RFC 8689 §4.2.1
    const NO_REQUIRE_TLS: Self = Self::here(
        EnhancedCode::new(5, 7, 30),
        "The message may only travel over TLS, which the other mail system does not promise.",
    );
}
