//! From a destination to a connection: which servers, at which addresses, and what is asked of their encryption.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{EnhancedCode, Secret};
use filters::reports::{TlsPolicy, TlsResult};
use runtime::ClientTls;
use smtp_proto::client::{Encryption, Failure as SmtpFailure, Hello, Step};
use tokio::time::timeout;

use super::RouteTls;
use super::connection::{Broken, Connection, Peer};
use super::dns::{Answer, Dns, DnsError};
use super::mta_sts::{Mode, Policy};
use super::observed::{self, dane, sts};
use super::route::{Host, Routed, is_public, route};
use super::send::{Sending, said};
use crate::outcome::{Failure, RemoteReply};

/// How a server is judged.
enum Protection {
    /// Not encrypted.
    Off,
    /// Encrypted when it offers that, whoever it is.
    Offered,
    /// Encrypted, whoever it is.
    Encrypted,
    /// It may prove its name, and gets the mail all the same when it does not: its domain tries a policy and wants to hear of it.
    Tried,
    /// It proves its name.
    Verified,
    /// One of these records vouches for it.
    Dane(ClientTls),
}

/// What stands in the way of a connection.
pub(super) enum NoWay {
    Failed(Failure),
    /// The destination's fault: all its mail waits.
    Unreachable(String, Option<RemoteReply>),
    /// It is there and takes no further connection now.
    Congested(String, Option<RemoteReply>),
    /// Not known whose.
    Unknown(String),
}

impl Sending<'_> {
    /// The first server that talks.
    pub(super) async fn connect(&self) -> Result<Connection, NoWay> {
        let patience = self.remote.config.reach_max;
        match timeout(patience.as_duration(), self.first_that_talks()).await {
            Ok(reached) => reached,
            Err(_) => Err(NoWay::Unreachable(format!("no server talked within {patience}"), None)),
        }
    }

    async fn first_that_talks(&self) -> Result<Connection, NoWay> {
        let dns = match &self.remote.dns {
            Ok(dns) => &**dns,
            Err(why) => return Err(NoWay::Unknown(format!("the DNS can't be asked: {why}"))),
        };
        let patience = self.remote.config.dns_max.as_duration();
        let hosts = timeout(patience, self.hosts(dns)).await;
        let hosts =
            hosts.unwrap_or_else(|_| Err(NoWay::Unknown("the DNS did not answer in time".to_owned())))?;
        let policy = self.policy(dns).await;
        self.observe_policy();
        let mut last = NoWay::Failed(Failure::NOT_PUBLIC);
        for host in hosts.into_iter().take(usize::from(self.remote.config.hosts_max)) {
            let found = timeout(patience, self.addresses(dns, &host)).await;
            let (mut addresses, secure) = match found {
                Ok(Ok(found)) => found,
                Ok(Err(why)) => {
                    last = NoWay::Unreachable(format!("{}: {why}", host.name), None);
                    continue;
                }
                Err(_) => {
                    last = NoWay::Unreachable(format!("{}: the DNS did not answer in time", host.name), None);
                    continue;
                }
            };
            self.place.order(&mut addresses);
            addresses.truncate(usize::from(self.remote.config.addresses_max));
            let host = Host { secure: host.secure && secure, ..host };
            let (protection, judged) = match self.protection(dns, &host, policy.as_ref()).await {
                Ok(found) => found,
                Err(why) => {
                    last = NoWay::Unreachable(format!("{}: {why}", host.name), None);
                    continue;
                }
            };
            for address in addresses {
                match self.open(&host, address, &protection, &judged).await {
                    Ok(connection) => return Ok(connection),
                    Err(way) => last = way,
                }
            }
        }
        Err(last)
    }

    async fn hosts(&self, dns: &dyn Dns) -> Result<Vec<Host>, NoWay> {
        if let Some(route) = self.route.filter(|route| !route.host.is_empty()) {
            let address = route.host.parse().ok();
            return Ok(vec![Host { name: route.host.clone(), address, secure: false }]);
        }
        let number = || {
            let mut octets = [0; 8];
            let _ = getrandom::fill(&mut octets);
            u64::from_ne_bytes(octets)
        };
        let most = usize::from(self.remote.config.mx_max);
        match route(dns, self.domain, |name| self.remote.is_own(name), number, most).await {
            Routed::Hosts(hosts) => Ok(hosts),
            Routed::Failed(failure) => Err(NoWay::Failed(failure)),
            Routed::Unknown(why) => Err(NoWay::Unknown(why)),
        }
    }

    /// With whether they are proved. Empty when none of them can be reached from here.
    async fn addresses(&self, dns: &dyn Dns, host: &Host) -> Result<(Vec<IpAddr>, bool), DnsError> {
        let found = match host.address {
            Some(address) => Answer { records: vec![address], secure: false, complete: true },
            None => dns.addresses(&host.name).await?,
        };
        let (mut addresses, complete) = (found.records, found.complete);
        let by_operator = self.route.is_some_and(|route| !route.host.is_empty());
        if !self.remote.config.allow_private && !by_operator {
            addresses.retain(|address| is_public(*address));
        }
        if let Some(egress) = self.egress.filter(|egress| !egress.addresses.is_empty()) {
            // From an IPv4 address nothing IPv6 can be reached.
            addresses.retain(|address| egress.addresses.iter().any(|own| own.is_ipv6() == address.is_ipv6()));
        }
        if addresses.is_empty() && !complete {
            return Err(DnsError::Failed("not all of its addresses are known".to_owned()));
        }
        Ok((addresses, found.secure))
    }

    /// What the domain says of its servers, where MTA-STS has a say.
    pub(super) async fn policy(&self, dns: &dyn Dns) -> Option<Policy> {
        let by_operator =
            self.route.is_some_and(|route| !route.host.is_empty() || route.tls != RouteTls::Default);
        if !self.remote.config.mta_sts || by_operator || self.domain.is_literal() {
            return None;
        }
        let tls = self.remote.verified.as_ref().ok();
        self.remote.policies.of(&self.remote.config, dns, tls, self.domain.as_str()).await
    }

    /// The operator's word, then DANE, then MTA-STS (RFC 8461 §2), then what the server offers.
    async fn protection(
        &self,
        dns: &dyn Dns,
        host: &Host,
        policy: Option<&Policy>,
    ) -> Result<(Protection, TlsPolicy), String> {
        let none = TlsPolicy::none();
        let asked = self.route.map_or(RouteTls::Default, |route| route.tls);
        match asked {
            RouteTls::Off if !self.message.envelope.require_tls => return Ok((Protection::Off, none)),
            RouteTls::Encrypt if !self.message.envelope.require_tls => {
                return Ok((Protection::Encrypted, none));
            }
            RouteTls::Verify => return Ok((Protection::Verified, none)),
            _ => {}
        }
        let mut least = (Protection::Offered, none);
        // RFC 7672 §2.2.2: asked only where the way to the server is proved; servers of unsigned zones may not answer such questions.
        if host.secure && self.remote.config.dnssec {
            match dns.tlsa(&host.name, self.remote.port(self.route)).await {
                // RFC 7672 §2.2: with records, none of which is usable, it is encrypted at the least.
                Ok(found) if found.secure && found.records.is_empty() => {
                    least = (Protection::Encrypted, dane(&[]));
                }
                Ok(found) if found.secure => {
                    let judged = dane(&found.records);
                    return Ok((Protection::Dane(ClientTls::dane(found.records)), judged));
                }
                Ok(_) | Err(DnsError::NoName | DnsError::NoRecord) => {}
                // Who can suppress an answer could otherwise suppress the encryption (RFC 7672 §2.1.2).
                Err(DnsError::Failed(why)) => {
                    self.observe(&dane(&[]), Some((TlsResult::DnssecInvalid, &host.name, None)));
                    return Err(format!("its TLSA records can't be found out: {why}"));
                }
            }
        }
        match policy {
            Some(policy) if policy.mode == Mode::Enforce => {
                if !policy.names(&host.name) {
                    self.observe(&sts(policy), Some((TlsResult::ValidationFailure, &host.name, None)));
                    return Err("the domain's policy (MTA-STS) does not name this server".to_owned());
                }
                Ok((Protection::Verified, sts(policy)))
            }
            _ if self.message.envelope.require_tls => Ok((Protection::Verified, least.1)),
            Some(policy) if policy.mode == Mode::Testing && matches!(least.0, Protection::Offered) => {
                Ok(self.tried(policy, host))
            }
            _ => Ok(least),
        }
    }

    /// A policy in its trial: its domain hears what would have gone wrong.
    fn tried(&self, policy: &Policy, host: &Host) -> (Protection, TlsPolicy) {
        if self.remote.reports.is_none() {
            return (Protection::Offered, TlsPolicy::none());
        }
        if policy.names(&host.name) {
            return (Protection::Tried, sts(policy));
        }
        self.observe(&sts(policy), Some((TlsResult::ValidationFailure, &host.name, None)));
        (Protection::Offered, TlsPolicy::none())
    }

    async fn open(
        &self,
        host: &Host,
        address: IpAddr,
        protection: &Protection,
        judged: &TlsPolicy,
    ) -> Result<Connection, NoWay> {
        let port = self.remote.port(self.route);
        let mut encryption = match protection {
            Protection::Off => Encryption::AsItIs,
            Protection::Offered | Protection::Tried => Encryption::IfOffered,
            Protection::Encrypted | Protection::Verified | Protection::Dane(_) => Encryption::Required,
        };
        let mut tls = match protection {
            Protection::Off => None,
            Protection::Tried => match &self.remote.verified {
                Ok(tls) => Some((tls, "verified")),
                Err(_) => Some((&self.remote.unverified, "unverified")),
            },
            Protection::Offered | Protection::Encrypted => Some((&self.remote.unverified, "unverified")),
            Protection::Verified => match &self.remote.verified {
                Ok(tls) => Some((tls, "verified")),
                Err(why) => return Err(NoWay::Unknown(format!("no authority is trusted: {why}"))),
            },
            Protection::Dane(tls) => Some((tls, "dane")),
        };
        let mut counted = false;
        loop {
            let source = self.egress.and_then(|egress| {
                egress.addresses.iter().find(|own| own.is_ipv6() == address.is_ipv6()).copied()
            });
            let peer = Peer {
                host: &host.name,
                address: SocketAddr::new(address, port),
                source,
                hello: Hello {
                    name: self.name(),
                    encryption,
                    plain_response: self.login().await.map_err(NoWay::Unknown)?,
                },
                tls,
            };
            let opened = Connection::open(&self.remote.config, peer).await;
            // One session: what comes after a handshake that failed was counted with it.
            if let Some(seen) = observed::seen(&opened, encryption).filter(|_| !counted) {
                counted = true;
                self.observe(judged, seen.map(|result| (result, host.name.as_str(), Some(address))));
            }
            let broken = match opened {
                Ok(connection) => return Ok(connection),
                Err(broken) => broken,
            };
            // What a policy that is only tried would have refused: the next connection is judged as without it.
            if matches!((&broken, tls), (Broken::Handshake(_), Some((_, "verified"))))
                && matches!(protection, Protection::Tried)
            {
                tls = Some((&self.remote.unverified, "unverified"));
                continue;
            }
            // RFC 7435: where plain text would have been good enough, a handshake that fails is no reason not to send.
            if matches!((&broken, encryption), (Broken::Handshake(_), Encryption::IfOffered)) {
                encryption = Encryption::AsItIs;
                continue;
            }
            return Err(self.unopened(host, address, &broken));
        }
    }

    fn unopened(&self, host: &Host, address: IpAddr, broken: &Broken) -> NoWay {
        let why = format!("{} [{address}]: {broken}", host.name);
        match broken {
            Broken::Smtp(SmtpFailure::Refused { step: Step::Greeting, reply }) if reply.is_transient() => {
                NoWay::Congested(why, Some(said(&host.name, reply)))
            }
            Broken::Smtp(SmtpFailure::Refused { reply, .. }) => {
                NoWay::Unreachable(why, Some(said(&host.name, reply)))
            }
            _ => {
                self.place.is_bad(address);
                NoWay::Unreachable(why, None)
            }
        }
    }

    fn name(&self) -> String {
        let own = self.egress.map(|egress| &egress.name).filter(|name| !name.is_empty());
        own.unwrap_or(&self.remote.hostname).clone()
    }

    /// The file is read each time: a changed password is the one that counts.
    async fn login(&self) -> Result<Option<Secret<String>>, String> {
        let Some(route) = self.route.filter(|route| !route.login.is_empty()) else { return Ok(None) };
        let file = route.password_file.clone();
        let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
        let text =
            text.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
        let text = text.map_err(|why| format!("`{}` can't be read: {why}", route.password_file.display()))?;
        let password = text.lines().next().unwrap_or_default();
        Ok(Some(Secret::new(STANDARD.encode(format!("\0{}\0{password}", route.login)))))
    }
}

impl Failure {
    const NOT_PUBLIC: Self = Self::here(
        EnhancedCode::new(5, 4, 4),
        "The domain's mail servers have no addresses that can be reached from here.",
    );
}
