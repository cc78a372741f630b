//! The checks, asked from threads of libmilter, and the rules, kept fresh.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;
use envelope::{AccountId, Entrance, Envelope, MessageId, Origin, Priority, Timestamp};
use filters::{
    Action, Client, Deps, Dns, Effect, Fault, Filters, Judged, Reloaded, Reputation, Resolver, RuleSet,
    action_name,
};
use shared_state::Guarded;
use tokio::runtime::Handle;
use tracing::{error, info};

use crate::answer::{Answer, failed};
use crate::config::Config;
use crate::gathered::{Mail, MailLimits, Peer, address};
use crate::share::Supply;

/// Everything that callbacks need. One for the process.
pub(crate) struct Engine {
    config: Config,
    filters: Arc<Filters>,
    runtime: Handle,
    /// Connections of the mail server.
    pub(crate) connections: Supply,
    /// Octets of messages.
    pub(crate) memory: Supply,
}

impl Engine {
    /// Opens the checks; must be called within the runtime. Rules that a milter can't keep to are an error.
    pub(crate) fn open(config: Config) -> anyhow::Result<Self> {
        let folder = &config.policy.folder;
        if !folder.as_os_str().is_empty() {
            let shown = folder.display();
            anyhow::ensure!(
                folder.is_dir(),
                "`{shown}` is no folder: rules that are not there would let everything pass"
            );
        }
        let dns: Arc<dyn Dns> = Arc::new(Resolver::new(&config.dns)?);
        let registry = prometheus::Registry::new();
        let checks = filters::Config {
            dns: config.dns.clone(),
            authentication: config.authentication.clone(),
            policy: config.policy.clone(),
            ..filters::Config::default()
        };
        let reputation =
            Reputation::new(&checks.reputation, Arc::clone(&dns), Guarded::alone(), None, &registry)
                .context("failed to set up the checks")?;
        let deps = Deps {
            registry,
            policy: folder.clone(),
            kept: config.state_folder.clone(),
            dns,
            reputation: Arc::new(reputation),
        };
        let filters = Filters::open(checks, &config.hostname, deps)?;
        let faults: Vec<String> =
            unsuitable(&filters.policy().rules()).iter().map(ToString::to_string).collect();
        anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
        let (connections, memory) =
            (Supply::new(config.limits.connections_max), Supply::new(config.limits.memory_max.as_usize()));
        Ok(Self { config, filters, runtime: Handle::current(), connections, memory })
    }

    /// Writes what must be known after a restart. Blocks.
    pub(crate) fn close(&self) {
        self.filters.close();
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<RuleSet> {
        self.filters.policy().rules()
    }

    /// The name that completes addresses.
    pub(crate) fn hostname(&self) -> &str {
        &self.config.hostname
    }

    pub(crate) fn limits(&self) -> MailLimits {
        let limits = &self.config.limits;
        MailLimits { octets_max: limits.message_size_max.as_usize(), recipients_max: limits.recipients_max }
    }

    /// Looks at changed rules, for as long as it is polled.
    pub(crate) async fn upkeep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.filters.policy().reload_interval());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let engine = Arc::clone(&self);
            // Files are read there; a folder on a disk that hangs holds no message up.
            let looked =
                tokio::task::spawn_blocking(move || engine.filters.policy().reload_unless(unsuitable)).await;
            match looked {
                Ok(Reloaded::Refused(faults)) => {
                    error!(faults = faults.len(), "changed rules were not taken")
                }
                Ok(_) => {}
                Err(failure) => error!(%failure, "looking at the rules ended badly"),
            }
        }
    }

    /// Asks about a message; `progress` is called now and then meanwhile. Whatever goes wrong is a refusal for now.
    pub(crate) fn judge(&self, peer: &Peer, mail: Mail, with_space: bool, progress: impl Fn()) -> Answer {
        let Mail { queue_id, reverse_path, smtp_utf8, login, recipients, message, .. } = mail;
        let Ok(id) = new_id() else {
            error!(queue_id, "no random numbers, message refused for now");
            return Answer::Refuse(failed());
        };
        let account = login.as_ref().and_then(|(name, _)| address(name, self.hostname()));
        let account = account.as_ref().map(AccountId::new);
        let is_own = login.is_some() || self.is_own(peer);
        let envelope = Envelope {
            id,
            received_at: Timestamp::from(SystemTime::now()),
            reverse_path,
            recipients: recipients.iter().map(|(_, address)| address.clone().into()).collect(),
            origin: Origin {
                entrance: if is_own { Entrance::Submission } else { Entrance::Mx },
                peer: Some(peer.ip()),
                helo: peer.helo.clone(),
                authenticated: account.clone(),
                tls: peer.tls_version.is_some(),
            },
            size: message.len() as u64,
            smtp_utf8,
            envelope_id: None,
            returned: None,
            priority: Priority::default(),
            require_tls: false,
            list: None,
            filtered: None,
        };
        let client = Client {
            peer: peer.socket(),
            listener: if is_own { "submission" } else { "mx" },
            our_name: self.config.hostname.clone(),
        };
        let mut session = self.filters.session(client);
        session.named(peer.hostname.clone());
        if let Some(version) = &peer.tls_version {
            session.encrypted(version.clone(), peer.cipher.clone(), peer.has_certificate);
        }
        if let (Some(account), Some((_, mechanism))) = (account, &login) {
            session.logged_in(account, mechanism);
        }
        let (message, helo) = (Bytes::from(message), peer.helo.clone());
        let message_max = self.config.limits.message_max.as_duration();
        let (sender, judged) = sync_channel(1);
        // In a task of its own: a panic there is the end of this message's checks, not of the process.
        self.runtime.spawn(async move {
            let checked = async {
                session.helo(&helo).await.ok()?;
                let mut judged = session.message(&envelope, &message).await;
                judged.changes = filters::counted(&message, judged.changes);
                Some(judged)
            };
            // Who waited has gone if this fails.
            let _ = sender.send(tokio::time::timeout(message_max, Box::pin(checked)).await.ok().flatten());
        });
        let progress_interval =
            self.config.limits.progress_interval.as_duration().max(Duration::from_millis(10));
        let judged = loop {
            match judged.recv_timeout(progress_interval) {
                Ok(judged) => break judged,
                Err(RecvTimeoutError::Timeout) => progress(),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        let Some(judged) = judged else {
            error!(queue_id, "the checks did not come to an end, message refused for now");
            return Answer::Refuse(failed());
        };
        log(&queue_id, &judged);
        Answer::new(judged, &recipients, with_space)
    }

    /// Whether a peer's mail is that of one's own people although nobody logged in.
    fn is_own(&self, peer: &Peer) -> bool {
        self.config.originating.contains(&peer.daemon)
            || self.config.own_networks.iter().any(|network| network.contains(peer.ip()))
    }
}

/// Rules that ask for what a milter can't do. A journal is a message of its own with the envelope in it: as a further recipient of the message itself it would
/// lack the envelope, and a field with the envelope would show every recipient who the others are.
fn unsuitable(rules: &RuleSet) -> Vec<Fault> {
    let journals =
        |rule: &&filters::Rule| rule.effects().iter().any(|effect| matches!(effect, Effect::Journal { .. }));
    let fault = |rule: &filters::Rule| Fault {
        place: rule.place.clone(),
        problem: format!("`{}`: a milter can't write a journal; use `copy`, or the gateway", rule.name),
    };
    rules.rules().iter().filter(journals).map(fault).collect()
}

/// One line a rule that fits, and one a message.
fn log(queue_id: &str, judged: &Judged) {
    for fired in &judged.fired {
        let mode = if fired.enforced { "enforced" } else { "shadow" };
        info!(queue_id, rule = fired.rule, mode, effects = fired.effects.join("; "), "a rule fits");
    }
    let refusal = if let Action::Refuse(refusal) = &judged.action { refusal.text.as_str() } else { "" };
    info!(
        queue_id,
        action = action_name(&judged.action),
        refusal,
        reasons = judged.reasons.join("; "),
        score = judged.score,
        authentication = judged.authentication_line(),
        rules = judged.rules,
        "message judged"
    );
}

fn new_id() -> Result<MessageId, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    Ok(MessageId::new(Timestamp::from(SystemTime::now()).unix_milliseconds(), random))
}

/// Loads the rules of a folder as they would be taken, with every fault.
pub(crate) fn check_rules(folder: &Path, config: &filters::PolicyConfig) -> Result<RuleSet, Vec<Fault>> {
    let rules = RuleSet::load(folder, config)?;
    let faults = unsuitable(&rules);
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}
