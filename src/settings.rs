//! The whole configuration: one section a room. Only here are all rooms known (docs/decisions/001).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

use crate::arguments::Place;
use crate::roles::Role;

/// Work that blocks a thread: files and password hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Blocking {
    /// Pieces of work on files at once in this process.
    pub(crate) slots: usize,
    /// How long a piece of work waits for its slot before its session gets a temporary refusal.
    pub(crate) wait_max: Span,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { slots: 64, wait_max: Span::secs(30) }
    }
}

/// What `sluice.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The name by which this node speaks: in greetings, `Received` fields, reports and the self-signed certificate.
    pub(crate) hostname: String,
    /// How long a process that was told to end waits for its sessions and messages, and then once more for its disks.
    pub(crate) drain_grace: Span,
    /// Threads for files.
    pub(crate) blocking: Blocking,
    /// What is logged, and how.
    pub(crate) log: runtime::LogConfig,
    /// Metrics and health.
    pub(crate) health: runtime::HealthConfig,
    /// The certificate.
    pub(crate) tls: runtime::TlsConfig,
    /// The queue between gateways and workers.
    pub(crate) queue: queue::Config,
    /// What nodes tell each other.
    pub(crate) shared_state: shared_state::Config,
    /// The mailboxes.
    pub(crate) store: store::Config,
    /// Domains, accounts, aliases.
    pub(crate) directory: directory::Config,
    /// What is decided about mail on its way in.
    pub(crate) filters: filters::Config,
    /// SMTP in.
    pub(crate) gateway: gateway::Config,
    /// The delivery worker.
    pub(crate) delivery: delivery::Config,
    /// IMAP, POP3 and webmail.
    pub(crate) access: access::Config,
    /// Where the webmail of a process without a gateway submits what people write. In a process with one, its own gateway.
    #[schemars(with = "Option<String>")]
    pub(crate) submission: Option<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            drain_grace: Span::secs(30),
            blocking: Blocking::default(),
            log: runtime::LogConfig::default(),
            health: runtime::HealthConfig::default(),
            tls: runtime::TlsConfig::default(),
            queue: queue::Config::default(),
            shared_state: shared_state::Config::default(),
            store: store::Config::default(),
            directory: directory::Config::default(),
            filters: filters::Config::default(),
            gateway: gateway::Config::default(),
            delivery: delivery::Config::default(),
            access: access::Config::default(),
            submission: None,
        }
    }
}

impl config::Validate for Settings {
    fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.hostname.parse::<envelope::Domain>().is_err() {
            faults.push(("hostname".to_owned(), "must be a host name, such as mx1.example.test".to_owned()));
        }
        if self.blocking.slots == 0 {
            faults.push(("blocking.slots".to_owned(), "must be at least 1".to_owned()));
        }
        for (section, found) in [
            ("log", self.log.faults()),
            ("health", self.health.faults()),
            ("tls", self.tls.faults()),
            ("queue", self.queue.faults()),
            ("shared_state", self.shared_state.faults()),
            ("store", self.store.faults()),
            ("directory", self.directory.faults()),
            ("filters", self.filters.faults()),
            ("gateway", self.gateway.faults()),
            ("delivery", self.delivery.faults()),
            ("access", self.access.faults()),
        ] {
            faults.extend(config::within(section, found));
        }
        faults
    }
}

impl Settings {
    /// Reads the file that `place` names (none: the defaults), the environment over it, and puts relative paths into the data folder.
    pub(crate) fn load(place: &Place) -> anyhow::Result<Self> {
        let mut settings: Self = config::load(place.config.as_deref(), variables())
            .map_err(|faults| anyhow::anyhow!("the configuration is not usable\n{faults}"))?;
        settings.gateway.hostname.clone_from(&settings.hostname);
        let data = std::path::absolute(&place.data).context("failed to find the data folder")?;
        let volumes = settings.store.volumes.values_mut().map(|volume| &mut volume.path);
        let places = [&mut settings.queue.dir, &mut settings.store.root, &mut settings.directory.path];
        for path in places.into_iter().chain(volumes) {
            *path = data.join(&*path);
        }
        settings.queue.rabbitmq.spool_dir = data.join(&settings.queue.rabbitmq.spool_dir);
        let keys = settings.delivery.dkim.iter_mut().map(|key| &mut key.key_file);
        let passwords = settings.delivery.remote.routes.iter_mut().map(|route| &mut route.password_file);
        let named = keys.chain(passwords).chain([
            &mut settings.delivery.remote.authorities,
            &mut settings.directory.srs.secret_file,
            &mut settings.directory.oauth.jwks_file,
            &mut settings.directory.oauth.authorities,
            &mut settings.queue.rabbitmq.password_file,
            &mut settings.queue.rabbitmq.tls_ca_file,
            &mut settings.shared_state.redis.password_file,
            &mut settings.filters.dns.trust_anchors,
            &mut settings.filters.policy.folder,
        ]);
        let named = named.chain(settings.tls.paths_mut());
        for path in named {
            // An empty path means "none" and stays empty.
            if *path != PathBuf::new() {
                *path = data.join(&*path);
            }
        }
        Ok(settings)
    }
}

/// The environment, but for what is not UTF-8.
pub(crate) fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Settings {
    /// Lets every service of a process with `roles` listen on 127.0.0.1 on `base` plus its standard port; 0 takes free ports.
    /// `None` changes nothing.
    pub(crate) fn listen_from(&mut self, base: Option<u16>, roles: &[Role]) {
        let Some(base) = base else { return };
        let at = |port: u16| {
            let port = if base == 0 { 0 } else { base.saturating_add(port) };
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        self.gateway.mx = vec![at(25)];
        self.gateway.submission = vec![at(587)];
        self.gateway.submissions = vec![at(465)];
        self.access.imap.listen = Some(at(143));
        self.access.imap.listen_tls = Some(at(993));
        self.access.pop3.listen = Some(at(110));
        self.access.pop3.listen_tls = Some(at(995));
        self.access.web.listen = Some(at(8080));
        self.access.web.listen_tls = Some(at(8443));
        self.health.listen = at(Role::health_port(roles));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_reference_is_the_code_s() {
        let written = include_str!("../docs/configuration.md");
        let now = config::reference::<Settings>();
        assert!(written == now, "run `cargo run -- config reference > docs/configuration.md`");
    }

    /// Ports above 10,000 that the Fetch standard tells browsers to refuse ("bad port").
    const BLOCKED_BY_BROWSERS: [u16; 1] = [10080];

    #[test]
    fn browsers_open_the_default_port() {
        let mut settings = Settings::default();
        settings.listen_from(Some(10_000), Role::ALL);
        let port = settings.access.web.listen.unwrap().port();
        assert!(!BLOCKED_BY_BROWSERS.contains(&port), "{port}");
    }

    #[test]
    fn what_is_shown_loads_again() {
        let mut settings = Settings::default();
        settings.listen_from(Some(20_000), Role::ALL);
        let text = config::show(&settings).unwrap();
        let again: Settings = config::load_text("sluice.toml", &text, []).unwrap();
        assert_eq!(again, settings);
        assert_eq!(again.gateway.mx, ["127.0.0.1:20025".parse().unwrap()]);
    }
}
