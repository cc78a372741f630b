//! One message to one destination.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use envelope::{Domain, EnhancedCode, Envelope, Recipient, Secret};
use runtime::ClientTls;
use smtp_proto::Reply;
use smtp_proto::client::{Answer, Encryption, Failure as SmtpFailure, Hello, Step, To, Transaction, Verdict};
use tokio::time::timeout;

use super::connection::{Broken, Connection, Peer};
use super::destination::{Admission, Place};
use super::dns::{Dns, DnsError};
use super::mta_sts::{Mode, Policy};
use super::route::{Host, Routed, is_public, route};
use super::{Egress, Fate, Later, Remote, Route, RouteTls};
use crate::outcome::{Failure, RemoteReply};

/// Transactions of one message at one destination, at a time; what is left then waits for the next try.
const TRANSACTIONS_MAX: usize = 50;
/// Octets that are kept of what a server says.
const SAID_MAX: usize = 500;

/// A message, ready for the wire.
pub(crate) struct Message<'a> {
    pub(crate) envelope: &'a Envelope,
    /// With CRLF line ends throughout.
    pub(crate) octets: Bytes,
    pub(crate) eight_bit: bool,
    /// The header holds characters beyond ASCII.
    pub(crate) utf8_header: bool,
}

/// How a server is judged.
enum Protection {
    /// Not encrypted.
    Off,
    /// Encrypted when it offers that, whoever it is.
    Offered,
    /// Encrypted, whoever it is.
    Encrypted,
    /// It proves its name.
    Verified,
    /// One of these records vouches for it.
    Dane(ClientTls),
}

/// Who took part in a transaction.
struct Server {
    host: String,
    address: IpAddr,
    tls: &'static str,
    tells: bool,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.host, self.address)
    }
}

/// What stands in the way of a connection.
enum NoWay {
    Failed(Failure),
    /// The destination's fault: all its mail waits.
    Unreachable(String, Option<RemoteReply>),
    /// It is there and takes no further connection now.
    Congested(String, Option<RemoteReply>),
    /// Not known whose.
    Unknown(String),
}

impl Remote {
    /// Sends to recipients of one destination; their fates, in order.
    pub(crate) async fn send(
        &self,
        domain: &Domain,
        message: &Message<'_>,
        recipients: &[Recipient],
    ) -> Vec<Fate> {
        let sender = message.envelope.reverse_path.address().map(envelope::Address::domain);
        let key = self.key(sender, domain);
        let place = match self.destinations.admit(&key, self.limits(domain)) {
            Admission::Go(place) => place,
            Admission::Later { after, reason } => {
                let later = Later { after, reason, said: None, untried: true };
                return vec![Fate::Later(later); recipients.len()];
            }
        };
        let egress = key.egress.and_then(|index| self.config.egress.get(index));
        let route = self.config.route(domain.as_str()).map(|(_, route)| route);
        Sending { remote: self, domain, route, egress, place, message }.all(recipients).await
    }
}

struct Sending<'a> {
    remote: &'a Remote,
    domain: &'a Domain,
    route: Option<&'a Route>,
    egress: Option<&'a Egress>,
    place: Place,
    message: &'a Message<'a>,
}

impl Sending<'_> {
    async fn all(&self, recipients: &[Recipient]) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; recipients.len()];
        let mut open: Vec<usize> = (0..recipients.len()).collect();
        let mut connection = None;
        for _ in 0..TRANSACTIONS_MAX {
            let most = usize::from(self.remote.config.recipients_max).min(open.len());
            if most == 0 {
                break;
            }
            let now: Vec<usize> = open.drain(..most).collect();
            let asked: Vec<&Recipient> = now.iter().filter_map(|index| recipients.get(*index)).collect();
            let (answers, kept) = self.transaction(connection.take(), &asked).await;
            connection = kept;
            let some_accepted = answers.iter().any(|fate| matches!(fate, Some(Fate::Relayed { .. })));
            for (index, fate) in now.into_iter().zip(answers) {
                match fate {
                    // RFC 5321 §4.5.3.1.10: too many for one transaction.
                    None if some_accepted => open.push(index),
                    fate => {
                        if let Some(slot) = fates.get_mut(index) {
                            *slot = fate;
                        }
                    }
                }
            }
            if connection.is_none() && !some_accepted {
                break;
            }
        }
        if let Some(connection) = connection {
            if connection.messages < self.remote.config.connection_messages_max {
                self.place.keep(connection);
            } else {
                connection.leave();
            }
        }
        let untold = || later("the other mail system did not get to this recipient".to_owned(), None);
        fates.into_iter().map(|fate| fate.unwrap_or_else(untold)).collect()
    }

    /// One transaction. None: the server wants this recipient in another one.
    async fn transaction(
        &self,
        open: Option<Connection>,
        recipients: &[&Recipient],
    ) -> (Vec<Option<Fate>>, Option<Connection>) {
        let all = |fate: Fate| (vec![Some(fate); recipients.len()], None);
        let mut waited = open;
        loop {
            // A connection that waited may be gone, which shows at once and says nothing; the next one is made anew.
            let (connection, fresh) = match waited.take().or_else(|| self.idle()) {
                Some(connection) => (connection, false),
                None => match self.connect().await {
                    Ok(connection) => (connection, true),
                    Err(way) => return all(self.no_way(way)),
                },
            };
            let server = Server {
                host: connection.host.clone(),
                address: connection.address,
                tls: connection.tls,
                tells: connection.knows_dsn(),
            };
            let transaction = self.offer(recipients);
            let done = connection.transact(&self.remote.config, transaction, &self.message.octets).await;
            match done {
                Ok((connection, verdict)) => {
                    self.place.succeeded();
                    let fates = fates(verdict, &server);
                    let used_up = connection.messages >= self.remote.config.connection_messages_max;
                    if used_up {
                        connection.leave();
                        return (fates, None);
                    }
                    return (fates, Some(connection));
                }
                Err((broken, verdict, unconfirmed)) => {
                    let nothing = verdict
                        .as_ref()
                        .is_none_or(|Verdict(answers)| answers.iter().all(|answer| *answer == Answer::Open));
                    if !fresh && nothing && !unconfirmed {
                        continue;
                    }
                    let mut why = format!("{server}: {broken}");
                    if unconfirmed {
                        why.push_str("; the whole message was sent, and it may have been taken");
                    }
                    let Some(verdict) = verdict else { return all(later(why, None)) };
                    let fates = fates(verdict, &server).into_iter();
                    let open = |fate| match fate {
                        Some(Fate::Later(one)) if one.said.is_none() => Some(later(why.clone(), None)),
                        None => Some(later(why.clone(), None)),
                        fate => fate,
                    };
                    return (fates.map(open).collect(), None);
                }
            }
        }
    }

    fn idle(&self) -> Option<Connection> {
        let connection = self.place.idle()?;
        let good = !self.message.envelope.require_tls || matches!(connection.tls, "verified" | "dane");
        if good {
            return Some(connection);
        }
        self.place.keep(connection);
        None
    }

    fn no_way(&self, way: NoWay) -> Fate {
        match way {
            NoWay::Failed(failure) => Fate::Failed(failure),
            NoWay::Unreachable(why, said) => {
                self.place.failed(&why);
                later(why, said)
            }
            NoWay::Congested(why, said) => {
                if !self.place.congested() {
                    self.place.failed(&why);
                }
                later(why, said)
            }
            NoWay::Unknown(why) => later(why, None),
        }
    }

    fn offer(&self, recipients: &[&Recipient]) -> Transaction {
        let Message { envelope, octets, eight_bit, utf8_header } = self.message;
        let mut addresses =
            recipients.iter().map(|recipient| &recipient.address).chain(envelope.reverse_path.address());
        Transaction {
            reverse_path: envelope.reverse_path.clone(),
            recipients: recipients
                .iter()
                .map(|recipient| To {
                    address: recipient.address.clone(),
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                })
                .collect(),
            size: octets.len() as u64,
            eight_bit: *eight_bit,
            smtp_utf8: *utf8_header || addresses.any(envelope::Address::needs_utf8),
            require_tls: envelope.require_tls,
            envelope_id: envelope.envelope_id.clone(),
            returned: envelope.returned,
        }
    }

    /// The first server that talks.
    async fn connect(&self) -> Result<Connection, NoWay> {
        let dns = match &self.remote.dns {
            Ok(dns) => &**dns,
            Err(why) => return Err(NoWay::Unknown(format!("the DNS can't be asked: {why}"))),
        };
        let patience = self.remote.config.dns_max.as_duration();
        let hosts = timeout(patience, self.hosts(dns)).await;
        let hosts =
            hosts.unwrap_or_else(|_| Err(NoWay::Unknown("the DNS did not answer in time".to_owned())))?;
        let policy = self.policy(dns).await;
        let mut last = NoWay::Failed(Failure::NOT_PUBLIC);
        for host in hosts.into_iter().take(usize::from(self.remote.config.hosts_max)) {
            let found = timeout(patience, self.addresses(dns, &host)).await;
            let mut addresses = match found {
                Ok(Ok(addresses)) => addresses,
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
            let protection = match self.protection(dns, &host, policy.as_ref()).await {
                Ok(protection) => protection,
                Err(why) => {
                    last = NoWay::Unreachable(format!("{}: {why}", host.name), None);
                    continue;
                }
            };
            for address in addresses {
                match self.open(&host, address, &protection).await {
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
        match route(dns, self.domain, |name| self.remote.is_own(name), number).await {
            Routed::Hosts(hosts) => Ok(hosts),
            Routed::Failed(failure) => Err(NoWay::Failed(failure)),
            Routed::Unknown(why) => Err(NoWay::Unknown(why)),
        }
    }

    /// Empty when none of them is public.
    async fn addresses(&self, dns: &dyn Dns, host: &Host) -> Result<Vec<IpAddr>, DnsError> {
        let mut addresses = match host.address {
            Some(address) => vec![address],
            None => dns.addresses(&host.name).await?.records,
        };
        let by_operator = self.route.is_some_and(|route| !route.host.is_empty());
        if !self.remote.config.allow_private && !by_operator {
            addresses.retain(|address| is_public(*address));
        }
        if let Some(egress) = self.egress.filter(|egress| !egress.addresses.is_empty()) {
            // From an IPv4 address nothing IPv6 can be reached.
            addresses.retain(|address| egress.addresses.iter().any(|own| own.is_ipv6() == address.is_ipv6()));
        }
        Ok(addresses)
    }

    /// What the domain says of its servers, where MTA-STS has a say.
    async fn policy(&self, dns: &dyn Dns) -> Option<Policy> {
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
    ) -> Result<Protection, String> {
        let asked = self.route.map_or(RouteTls::Default, |route| route.tls);
        match asked {
            RouteTls::Off if !self.message.envelope.require_tls => return Ok(Protection::Off),
            RouteTls::Encrypt if !self.message.envelope.require_tls => return Ok(Protection::Encrypted),
            RouteTls::Verify => return Ok(Protection::Verified),
            _ => {}
        }
        if host.secure && self.remote.config.dnssec {
            match dns.tlsa(&host.name, self.remote.port(self.route)).await {
                // RFC 7672 §2.2: with records, none of which is usable, it is encrypted without more.
                Ok(found) if found.secure && found.records.is_empty() => return Ok(Protection::Encrypted),
                Ok(found) if found.secure => return Ok(Protection::Dane(ClientTls::dane(found.records))),
                Ok(_) | Err(DnsError::NoName | DnsError::NoRecord) => {}
                // Who can suppress an answer could otherwise suppress the encryption (RFC 7672 §2.1.2).
                Err(DnsError::Failed(why)) => {
                    return Err(format!("its TLSA records can't be found out: {why}"));
                }
            }
        }
        match policy {
            Some(policy) if policy.mode == Mode::Enforce => {
                if !policy.names(&host.name) {
                    return Err("the domain's policy (MTA-STS) does not name this server".to_owned());
                }
                Ok(Protection::Verified)
            }
            _ if self.message.envelope.require_tls => Ok(Protection::Verified),
            _ => Ok(Protection::Offered),
        }
    }

    async fn open(&self, host: &Host, address: IpAddr, protection: &Protection) -> Result<Connection, NoWay> {
        let port = self.remote.port(self.route);
        let mut encryption = match protection {
            Protection::Off => Encryption::AsItIs,
            Protection::Offered => Encryption::IfOffered,
            Protection::Encrypted | Protection::Verified | Protection::Dane(_) => Encryption::Required,
        };
        let tls = match protection {
            Protection::Off => None,
            Protection::Offered | Protection::Encrypted => Some((&self.remote.unverified, "unverified")),
            Protection::Verified => match &self.remote.verified {
                Ok(tls) => Some((tls, "verified")),
                Err(why) => return Err(NoWay::Unknown(format!("no authority is trusted: {why}"))),
            },
            Protection::Dane(tls) => Some((tls, "dane")),
        };
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
            let broken = match Connection::open(&self.remote.config, peer).await {
                Ok(connection) => return Ok(connection),
                Err(broken) => broken,
            };
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

fn later(reason: String, said: Option<RemoteReply>) -> Fate {
    Fate::Later(Later { after: Duration::ZERO, reason, said, untried: false })
}

/// None: in another transaction, if this one succeeded for others.
fn fates(Verdict(answers): Verdict, server: &Server) -> Vec<Option<Fate>> {
    let host = &server.host;
    let some_accepted = answers.iter().any(|answer| matches!(answer, Answer::Accepted(_)));
    let one = |answer: Answer| match answer {
        Answer::Accepted(reply) => {
            let Server { address, tls, tells, .. } = *server;
            Some(Fate::Relayed { said: said(host, &reply), address, tls, tells })
        }
        // Quirk `too-many-552`: servers older than RFC 2821 say 552 for too many recipients; with a code of its own it means a full mailbox.
        Answer::Refused(Step::Rcpt, reply)
            if some_accepted && (reply.code == 452 || (reply.code == 552 && reply.enhanced.is_none())) =>
        {
            None
        }
        Answer::Refused(_, reply) if reply.is_permanent() => {
            let code =
                reply.enhanced.filter(|code| !code.is_transient()).unwrap_or(EnhancedCode::new(5, 0, 0));
            Some(Fate::Failed(Failure::refused(code, said(host, &reply))))
        }
        Answer::Refused(_, reply) => Some(later(format!("{server} said {reply}"), Some(said(host, &reply)))),
        Answer::Unfit(SmtpFailure::TooBig) => Some(Fate::Failed(Failure::TOO_BIG)),
        Answer::Unfit(SmtpFailure::NoUtf8) => Some(Fate::Failed(Failure::NO_UTF8)),
        Answer::Unfit(SmtpFailure::NoRequireTls) => Some(Fate::Failed(Failure::NO_REQUIRE_TLS)),
        Answer::Unfit(failure) => Some(later(failure.to_string(), None)),
        Answer::Open => Some(later(format!("{server} gave no answer"), None)),
    };
    answers.into_iter().map(one).collect()
}

/// A server's words are a stranger's: bounded, one line.
fn said(host: &str, reply: &Reply) -> RemoteReply {
    let text: String =
        reply.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MAX).collect();
    RemoteReply { mta: host.to_owned(), text }
}
