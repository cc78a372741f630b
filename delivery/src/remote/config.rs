//! What an operator says about mail to other systems.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// How mail to other systems is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteConfig {
    /// How many messages for other systems are worked on at once; 0: none leaves from here, and what there is waits.
    pub concurrency: u16,
    /// How many messages go to one destination at once, when all goes well.
    pub destination_concurrency: u16,
    /// With how many the first ones begin; every success allows one more, every failure halves.
    pub destination_concurrency_start: u16,
    /// How many messages go to one destination in a minute; 0: as many as it takes.
    pub destination_rate: u32,
    /// How many destinations are remembered.
    pub destinations_max: u32,
    /// How many destinations of one message are worked on at once.
    pub destinations_at_once: u16,
    /// Recipients in one transaction (RFC 5321 §4.5.3.1.8 lets every server take a hundred).
    pub recipients_max: u16,
    /// Transactions of one message at one destination, at a time; what is left then waits for the next try.
    pub transactions_max: u16,
    /// How long after the first transaction of a message at a destination another one may begin.
    pub transactions_within: Span,
    /// When those of a list's members come that a try did not get to.
    pub members_after: Span,
    /// Messages over one connection.
    pub connection_messages_max: u16,
    /// How long a connection waits for the next message to the same destination.
    pub connection_idle_max: Span,
    /// Servers of a destination that are tried for one message.
    pub hosts_max: u16,
    /// Addresses of one server that are tried.
    pub addresses_max: u16,
    /// How long finding a server that talks may take in all.
    pub reach_max: Span,
    /// How long one transaction may take in all. With `reach_max` and `transactions_within` it stays below the 30 minutes after which RabbitMQ gives a message to somebody else.
    pub transaction_max: Span,
    /// How long an address that did not answer stands behind the others.
    pub address_avoided_for: Span,
    /// How long a connection is used at most: what its server must prove may change.
    pub connection_age_max: Span,
    /// How long a destination is left alone after its servers could not be reached; doubles with every further failure.
    pub backoff_min: Span,
    /// The longest time that a destination is left alone.
    pub backoff_max: Span,
    /// The longest wait of a message that finds its destination busy.
    pub busy_max: Span,
    /// How long a connection to one address may take.
    pub connect_max: Span,
    /// How long a server may take to greet (RFC 5321 §4.5.3.2 wants 5 minutes).
    pub greeting_max: Span,
    /// How long a server may take to answer a command.
    pub command_max: Span,
    /// How long a server may take to accept the next part of a message.
    pub data_block_max: Span,
    /// How long a server may take to answer the message: who gives up earlier sends twice (RFC 1047; RFC 5321 §4.5.3.2.6 wants 10 minutes).
    pub verdict_max: Span,
    /// How long all questions to the DNS for one destination may take.
    pub dns_max: Span,
    /// The DNS servers to ask, as address and port; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Whether answers of the DNS are validated here (RFC 4035). Needed for DANE (RFC 7672); the DNS servers must pass signatures on.
    pub dnssec: bool,
    /// The keys that validation begins with, in a file of DNSKEY records; none: those of the root that are built in (2017 and 2024).
    pub trust_anchors: PathBuf,
    /// DNS answers that are kept.
    pub dns_cache_entries: u32,
    /// The longest time that an answer is kept, whatever it says itself.
    pub dns_cache_age_max: Span,
    /// MX records of one domain that are looked at.
    pub mx_max: u16,
    /// Whether what domains say of their servers over HTTPS is looked up and obeyed (MTA-STS, RFC 8461).
    pub mta_sts: bool,
    /// How long fetching such a policy may take.
    pub policy_max: Span,
    /// The largest policy (RFC 8461 §3.3 asks for such a limit).
    pub policy_size_max: ByteSize,
    /// How long a policy that could not be fetched is not tried again (RFC 8461 §3.3: five minutes or longer).
    pub policy_retry_after: Span,
    /// How long the TXT record that announces a policy is not asked for again.
    pub policy_record_age: Span,
    /// Domains whose policies are kept.
    pub policies_max: u32,
    /// The port of the web servers that have them.
    pub policy_port: u16,
    /// Whether mail goes to private and loopback addresses too. Otherwise whoever publishes an MX record could have us talk to machines of our own network.
    pub allow_private: bool,
    /// The port of other mail systems.
    pub port: u16,
    /// Further names of this installation: an MX record that names one means a loop.
    pub own_names: Vec<String>,
    /// The authorities that are trusted where a server must prove who it is, in PEM form.
    pub authorities: PathBuf,
    /// Destinations that are treated in another way; the first that fits.
    pub routes: Vec<Route>,
    /// From which addresses mail leaves; the first that fits. None: the system chooses.
    pub egress: Vec<Egress>,
}

/// How some destinations are treated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The domains; `*` is all.
    pub domains: Vec<String>,
    /// Where mail for them goes, a name or an address, instead of where their MX records say. Empty: there.
    pub host: String,
    /// The port there; 0: the usual one.
    pub port: u16,
    /// What is asked of the encryption.
    pub tls: RouteTls,
    /// The name to log in with there.
    pub login: String,
    /// A file with the password, on its first line.
    pub password_file: PathBuf,
    /// How many messages go there at once; 0: as everywhere.
    pub concurrency: u16,
    /// How many messages go there in a minute; 0: as everywhere.
    pub rate: u32,
}

/// What is asked of the encryption towards a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    /// What DANE and MTA-STS say of the destination, else whatever is offered.
    #[default]
    Default,
    /// None.
    Off,
    /// Encrypted, to whomever.
    Encrypt,
    /// Encrypted, to a server that proves its name.
    Verify,
}

/// From where mail of some senders leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// The senders' domains; `*` is all, the null sender too.
    pub senders: Vec<String>,
    /// Addresses of this machine, at most one IPv4 and one IPv6.
    pub addresses: Vec<IpAddr>,
    /// What to call oneself there; empty: the hostname.
    pub name: String,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            destination_concurrency: 20,
            destination_concurrency_start: 5,
            destination_rate: 0,
            destinations_max: 10_000,
            destinations_at_once: 8,
            recipients_max: 100,
            transactions_max: 50,
            transactions_within: Span::mins(2),
            members_after: Span::secs(5),
            connection_messages_max: 100,
            connection_idle_max: Span::secs(5),
            hosts_max: 5,
            addresses_max: 4,
            reach_max: Span::mins(6),
            transaction_max: Span::mins(20),
            address_avoided_for: Span::mins(5),
            connection_age_max: Span::mins(5),
            backoff_min: Span::secs(30),
            backoff_max: Span::mins(30),
            busy_max: Span::mins(5),
            connect_max: Span::secs(30),
            greeting_max: Span::mins(5),
            command_max: Span::mins(5),
            data_block_max: Span::mins(3),
            verdict_max: Span::mins(10),
            dns_max: Span::secs(60),
            resolvers: Vec::new(),
            dnssec: false,
            trust_anchors: PathBuf::new(),
            dns_cache_entries: 8192,
            dns_cache_age_max: Span::hours(24),
            mx_max: 50,
            mta_sts: true,
            policy_max: Span::secs(30),
            policy_size_max: ByteSize::kib(64),
            policy_retry_after: Span::mins(5),
            policy_record_age: Span::mins(5),
            policies_max: 10_000,
            policy_port: 443,
            allow_private: false,
            port: 25,
            own_names: Vec::new(),
            authorities: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            routes: Vec::new(),
            egress: Vec::new(),
        }
    }
}

impl RemoteConfig {
    /// What is wrong: key path and problem.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |right: bool, key: &str, problem: &str| {
            if !right {
                faults.push((format!("remote.{key}"), problem.to_owned()));
            }
        };
        let counts = [
            (u32::from(self.destination_concurrency), "destination_concurrency"),
            (u32::from(self.destination_concurrency_start), "destination_concurrency_start"),
            (self.destinations_max, "destinations_max"),
            (u32::from(self.destinations_at_once), "destinations_at_once"),
            (u32::from(self.recipients_max), "recipients_max"),
            (u32::from(self.connection_messages_max), "connection_messages_max"),
            (u32::from(self.hosts_max), "hosts_max"),
            (u32::from(self.addresses_max), "addresses_max"),
            (u32::from(self.port), "port"),
            (u32::from(self.mx_max), "mx_max"),
            (u32::from(self.transactions_max), "transactions_max"),
            (self.policies_max, "policies_max"),
        ];
        for (count, key) in counts {
            check(count > 0, key, "at least 1");
        }
        let anchors = self.trust_anchors.as_os_str().is_empty() || self.dnssec;
        check(anchors, "trust_anchors", "only with dnssec = true");
        let spans = [
            (self.backoff_min, "backoff_min"),
            (self.busy_max, "busy_max"),
            (self.connect_max, "connect_max"),
            (self.greeting_max, "greeting_max"),
            (self.command_max, "command_max"),
            (self.data_block_max, "data_block_max"),
            (self.verdict_max, "verdict_max"),
            (self.dns_max, "dns_max"),
            (self.policy_max, "policy_max"),
            (self.reach_max, "reach_max"),
            (self.policy_retry_after, "policy_retry_after"),
            (self.policy_record_age, "policy_record_age"),
            (self.transaction_max, "transaction_max"),
        ];
        for (span, key) in spans {
            check(span >= Span::millis(10), key, "at least 10ms");
        }
        check(self.backoff_max >= self.backoff_min, "backoff_max", "not less than backoff_min");
        for route in &self.routes {
            check(!route.domains.is_empty(), "routes", "`domains` names at least one, or `*`");
            let login = !route.login.is_empty();
            let safe = matches!(route.tls, RouteTls::Verify);
            check(
                !login || safe,
                "routes",
                "with a `login`, `tls` must be `verify`: the password is for one server",
            );
            check(!login || !route.host.is_empty(), "routes", "a `login` needs a `host`");
            let has_file = !route.password_file.as_os_str().is_empty();
            check(login == has_file, "routes", "`login` and `password_file` go together");
        }
        for egress in &self.egress {
            let of = |v6: bool| egress.addresses.iter().filter(|address| address.is_ipv6() == v6).count();
            check(of(false) <= 1 && of(true) <= 1, "egress", "at most one IPv4 and one IPv6 address");
            check(!egress.senders.is_empty(), "egress", "`senders` names at least one, or `*`");
        }
        faults
    }

    /// How mail to this domain is treated.
    pub(crate) fn route(&self, domain: &str) -> Option<(usize, &Route)> {
        let fits = |route: &Route| {
            route.domains.iter().any(|named| named == "*" || named.eq_ignore_ascii_case(domain))
        };
        self.routes.iter().enumerate().find(|(_, route)| fits(route))
    }

    /// From where mail of this sender leaves.
    pub(crate) fn egress(&self, sender: Option<&str>) -> Option<(usize, &Egress)> {
        let fits = |egress: &Egress| {
            let is = |named: &String| sender.is_some_and(|sender| named.eq_ignore_ascii_case(sender));
            egress.senders.iter().any(|named| named == "*" || is(named))
        };
        self.egress.iter().enumerate().find(|(_, egress)| fits(egress))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_is_taken() {
        let route = |domains: &[&str]| Route {
            domains: domains.iter().map(ToString::to_string).collect(),
            ..Route::default()
        };
        let egress = |senders: &[&str]| Egress {
            senders: senders.iter().map(ToString::to_string).collect(),
            ..Egress::default()
        };
        let config = RemoteConfig {
            routes: vec![route(&["A.test", "b.test"]), route(&["*"])],
            egress: vec![egress(&["a.test"]), egress(&["*"])],
            ..RemoteConfig::default()
        };
        assert!(config.faults().is_empty(), "{:?}", config.faults());
        let routes =
            ["a.test", "b.test", "c.test"].map(|domain| config.route(domain).map(|(index, _)| index));
        assert_eq!(routes, [Some(0), Some(0), Some(1)]);
        let egress = [Some("a.test"), Some("x.test"), None]
            .map(|sender| config.egress(sender).map(|(index, _)| index));
        assert_eq!(egress, [Some(0), Some(1), Some(1)]);
        assert!(RemoteConfig::default().route("a.test").is_none());
    }

    #[test]
    fn a_password_goes_to_a_server_that_proves_its_name() {
        let login = |tls| Route {
            domains: vec!["*".to_owned()],
            host: "smart.test".to_owned(),
            login: "us".to_owned(),
            password_file: "secret".into(),
            tls,
            ..Route::default()
        };
        let faults = |route| RemoteConfig { routes: vec![route], ..RemoteConfig::default() }.faults().len();
        assert_eq!((faults(login(RouteTls::Encrypt)), faults(login(RouteTls::Verify))), (1, 0));
        assert_eq!(faults(Route { host: String::new(), ..login(RouteTls::Verify) }), 1);
    }
}
