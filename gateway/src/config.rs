//! The role's configuration.

mod limits;
mod timeouts;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envelope::{Address, AddressError, Domain};
use sasl::Mechanism;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Network;

pub(crate) use limits::COPIES_MAX;
pub use limits::Limits;
pub use timeouts::Timeouts;

/// How mail comes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name this server gives itself: in its greeting, its EHLO answer and every Received field. It should be the
    /// name that the MX record points to. The process sets it: every room of a node has one name.
    #[serde(skip)]
    pub hostname: String,
    /// Addresses on which other mail systems deliver (port 25). An empty list serves none.
    pub mx: Vec<SocketAddr>,
    /// Addresses on which people submit after STARTTLS and a login (port 587). An empty list serves none.
    pub submission: Vec<SocketAddr>,
    /// Addresses on which people submit with TLS from the first octet (port 465). An empty list serves none.
    pub submissions: Vec<SocketAddr>,
    /// Addresses on which mail systems of our own deliver with LMTP (RFC 2033). An empty list serves none. Nobody logs in there, so only
    /// loopback and private addresses can be listened on, unless `lmtp_from` says who may connect.
    pub lmtp: Vec<SocketAddr>,
    /// Addresses and networks from which LMTP is taken; others are refused. When the list is empty: loopback and private addresses.
    pub lmtp_from: Vec<Network>,
    /// Addresses and networks of load balancers in front. Their connections must begin with a PROXY header (version 1 or 2), and the address in it counts as the peer.
    pub proxy_protocol_from: Vec<Network>,
    /// The address that `RCPT TO:<Postmaster>` without a domain means. When it is empty: `postmaster@` and the host name, or, when
    /// that is no domain served here, the postmaster of the domain that was added first.
    pub postmaster: String,
    /// How people may log in, in the order in which it is announced. What can't work is left out by itself: SCRAM-SHA-256-PLUS without TLS,
    /// OAUTHBEARER and XOAUTH2 without `directory.oauth`. The webmail
    /// submits with PLAIN: without it, nobody sends from the browser.
    pub mechanisms: Vec<Mechanism>,
    /// Whether a password may cross an unencrypted connection from a loopback address. For tests only: every other
    /// connection must encrypt first.
    pub allow_plaintext_auth: bool,
    /// Whether strangers may ask for reports of success and delay (RFC 3461 on the MX port). Whoever forges a sender could have such
    /// reports sent to somebody who never wrote. Submission always offers it.
    pub mx_dsn: bool,
    /// Whether the From field of what people submit may name only addresses of their own.
    pub check_from: bool,
    /// How much one peer may ask.
    pub limits: Limits,
    /// How long one peer may take.
    pub timeouts: Timeouts,
}

impl Default for Config {
    fn default() -> Self {
        let on = |port| vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)];
        Self {
            hostname: "mail.example.test".to_owned(),
            mx: on(25),
            submission: on(587),
            submissions: on(465),
            lmtp: Vec::new(),
            lmtp_from: Vec::new(),
            proxy_protocol_from: Vec::new(),
            postmaster: String::new(),
            mechanisms: Mechanism::ALL.to_vec(),
            allow_plaintext_auth: false,
            mx_dsn: false,
            check_from: true,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        match self.hostname.parse::<Domain>() {
            Ok(name) if name.is_literal() => {
                faults.push(("hostname".to_owned(), "a name is needed, not an address".to_owned()));
            }
            Ok(_) => {}
            Err(error) => faults.push(("hostname".to_owned(), error.to_string())),
        }
        if !self.postmaster.is_empty()
            && let Err(error) = self.postmaster.parse::<Address>()
        {
            faults.push(("postmaster".to_owned(), error.to_string()));
        }
        faults.extend(self.lmtp_faults());
        if self.mechanisms.is_empty() {
            faults.push(("mechanisms".to_owned(), "must name at least one".to_owned()));
        }
        let limits = self.limits.faults().into_iter().map(|(key, text)| (format!("limits.{key}"), text));
        faults.extend(limits);
        let timeouts =
            self.timeouts.faults().into_iter().map(|(key, text)| (format!("timeouts.{key}"), text));
        faults.extend(timeouts);
        faults
    }

    fn lmtp_faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (index, address) in self.lmtp.iter().enumerate() {
            let mut fault = |problem: &str| faults.push((format!("lmtp[{index}]"), problem.to_owned()));
            if address.port() == 25 {
                fault("LMTP must not be on port 25, where clients speak SMTP (RFC 2033 section 5)");
            }
            if self.lmtp_from.is_empty() && !is_inside(address.ip()) {
                fault("not a loopback or private address: name in lmtp_from who may connect");
            }
        }
        faults
    }

    /// Whether LMTP is taken from this address.
    pub(crate) fn may_deliver(&self, peer: IpAddr) -> bool {
        if self.lmtp_from.is_empty() {
            is_inside(peer)
        } else {
            self.lmtp_from.iter().any(|network| network.contains(peer))
        }
    }

    /// The address that `<Postmaster>` means.
    pub(crate) fn postmaster_address(&self) -> Result<Address, AddressError> {
        if self.postmaster.is_empty() {
            return format!("postmaster@{}", self.hostname).parse();
        }
        self.postmaster.parse()
    }
}

/// Whether an address can't be reached from the internet: loopback, private (RFC 1918, RFC 4193) or of one link.
fn is_inside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_faults() {
        assert_eq!(Config::default().faults(), []);
    }

    #[test]
    fn faults_name_their_keys() {
        let mut config =
            Config { hostname: "a b".to_owned(), postmaster: "nobody".to_owned(), ..Config::default() };
        config.mechanisms.clear();
        config.limits.recipients_max = 0;
        config.timeouts.command = units::Span::secs(0);
        let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            ["hostname", "postmaster", "mechanisms", "limits.recipients_max", "timeouts.command"]
        );
    }

    #[test]
    fn lmtp_is_not_for_everybody() {
        for (listen, from, good) in [
            ("127.0.0.1:2003", "", true),
            ("[::1]:24", "", true),
            ("10.1.2.3:24", "", true),
            ("[fd00::1]:24", "", true),
            ("172.32.0.1:24", "", false),
            ("0.0.0.0:24", "", false),
            ("[::]:24", "", false),
            ("192.0.2.1:24", "", false),
            ("0.0.0.0:24", "192.0.2.0/24", true),
            ("127.0.0.1:25", "", false),
            ("127.0.0.1:25", "192.0.2.0/24", false),
        ] {
            let lmtp_from = from.parse().into_iter().collect();
            let config = Config { lmtp: vec![listen.parse().unwrap()], lmtp_from, ..Config::default() };
            let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys.is_empty(), good, "{listen} {from}: {keys:?}");
            assert!(good || keys == ["lmtp[0]"]);
        }
        let config =
            |from: &str| Config { lmtp_from: from.parse().into_iter().collect(), ..Config::default() };
        for (from, peer, expected) in [
            ("", "127.0.0.1", true),
            ("", "::ffff:10.0.0.1", true),
            ("", "fd00::5", true),
            ("", "192.0.2.1", false),
            ("192.0.2.0/24", "192.0.2.1", true),
            ("192.0.2.0/24", "127.0.0.1", false),
        ] {
            assert_eq!(config(from).may_deliver(peer.parse().unwrap()), expected, "{from} {peer}");
        }
    }
}
