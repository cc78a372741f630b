//! The role's configuration.

mod limits;
mod timeouts;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envelope::{Address, AddressError, Domain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Addresses of load balancers in front. Their connections must begin with a PROXY header (version 1 or 2), and the address in it counts as the peer.
    pub proxy_protocol_from: Vec<IpAddr>,
    /// The address that `RCPT TO:<Postmaster>` without a domain means. When it is empty: `postmaster@` and the host name, or, when
    /// that is no domain served here, the postmaster of the domain that was added first.
    pub postmaster: String,
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
            proxy_protocol_from: Vec::new(),
            postmaster: String::new(),
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
        let limits = self.limits.faults().into_iter().map(|(key, text)| (format!("limits.{key}"), text));
        faults.extend(limits);
        let timeouts =
            self.timeouts.faults().into_iter().map(|(key, text)| (format!("timeouts.{key}"), text));
        faults.extend(timeouts);
        faults
    }

    /// The address that `<Postmaster>` means.
    pub(crate) fn postmaster_address(&self) -> Result<Address, AddressError> {
        if self.postmaster.is_empty() {
            return format!("postmaster@{}", self.hostname).parse();
        }
        self.postmaster.parse()
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
        config.limits.recipients_max = 0;
        config.timeouts.command = units::Span::secs(0);
        let keys: Vec<String> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["hostname", "postmaster", "limits.recipients_max", "timeouts.command"]);
    }
}
