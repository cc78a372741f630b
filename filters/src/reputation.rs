//! What is asked about peers in the DNS, and what is remembered of them.
//!
//! ```text
//!  connect ──→ exempt? local lists ──→ rates ──→ lists in the DNS          refused, a score, or allowed
//!  MAIL    ──→ rates
//!  RCPT    ──→ rates ──→ greylisting          (the null reverse path: at the content)
//!  content ──→ rates of octets and signatures ──→ greylisting of the null reverse path
//!  afterwards ─ happened: what was refused is counted, and judged when the same one comes again
//! ```
//!
//! What it is not: it knows nothing of a message but its size and its signatures, and it closes no connection.
//!
//! # Failure behaviour
//! - A list that does not answer in `lists_max`, answers an error, or lacks its test entries says what its `on_failure` says: nothing, by default.
//! - While the shared state is away rates are counted in this process, so that limits hold for each node; greylisting can remember nothing
//!   then and lets mail pass, unless `greylist.on_failure` says otherwise. Local lists stay as they were last known.
//! - Everything that is remembered may be lost at any time: a stranger waits once more, a limit begins anew.

mod admin;
mod answers;
mod config;
mod greylist;
mod lists;
mod local;
mod metrics;
mod rates;
#[cfg(test)]
mod tests;
mod whom;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use envelope::{AccountId, Address, Domain, ReversePath};
use prometheus::Registry;
use shared_state::memory::MemoryState;
use shared_state::{Fallback, Guarded, SharedState};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{Dns, Refusal};
use greylist::Greylist;
use lists::Lists;
use local::Local;
use metrics::Metrics;
use rates::{Rates, Step, Subject};
use whom::Widths;

pub use admin::{AdminError, Kind, ListSays, RateSays, Row, Rows, Shown};
pub use answers::{Answers, AnswersError, fuzz_answers};
pub use config::{
    GreylistConfig, GreylistMode, ListConfig, ListKind, RateAction, RateConfig, RateKey, RateWhat,
    ReputationConfig,
};
pub use local::{LocalEntry, LocalError, LocalKind};
pub use whom::{fuzz_reason, word};

/// Why it can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum ReputationError {
    /// The local lists can't be read.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A metric has its name already.
    #[error("failed to register metrics of reputation")]
    Metrics(#[source] prometheus::Error),
}

/// What was found out about a peer when it connected; the session keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Connected {
    /// The peer is refused.
    pub refusal: Option<Refusal>,
    /// What lists and rates add to the score of its mail.
    pub score: f64,
    /// The lists it is on, by name.
    pub lists: Vec<String>,
    /// An allow list has it: it is not greylisted.
    pub allowed: bool,
    /// Nothing more is asked about it: an exempt network, or on the local allow list.
    pub exempt: bool,
    /// Why, for the log: `list:<name>`, `rate:<name>`, `local:block`, `local:allow`.
    pub reasons: Vec<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// From where.
    pub address: IpAddr,
    /// What was found out at the beginning.
    pub connected: &'a Connected,
    /// Who has logged in: rates count for it, nothing else is asked.
    pub account: Option<&'a AccountId>,
}

/// For whom it speaks.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The reverse path.
    pub path: &'a ReversePath,
    /// The domain for which SPF says that the peer may send.
    pub spf_pass: Option<&'a Domain>,
}

/// A message that is there.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Who sent it.
    pub sender: Sender<'a>,
    /// All who are to get it.
    pub recipients: &'a [Address],
    /// Its size.
    pub octets: u64,
    /// What tells it from others even when the envelope is another: its DKIM signatures, or a hash of its body.
    pub signatures: &'a [String],
}

/// What a step comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// The command or message is refused.
    pub refusal: Option<Refusal>,
    /// Why, with what it adds to the score.
    pub reasons: Vec<Reason>,
}

/// Something that counts for or against a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// For the log: `rate:<name>`, `greylist`.
    pub text: String,
    /// Points.
    pub score: f64,
}

/// Something that is counted after it has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: Happened,
    /// From where.
    pub address: IpAddr,
    /// Who had logged in.
    pub account: Option<AccountId>,
    /// The reverse path; none at a connection, or for the null one.
    pub sender: Option<Address>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A recipient whom nobody here knows.
    UnknownRecipient,
    /// A recipient or message was refused for good.
    Rejected,
}

/// All that is asked and remembered. Share it by `Arc`; its tasks end with it.
pub struct Reputation {
    inner: Arc<Inner>,
    events: mpsc::Sender<Event>,
    tasks: Vec<JoinHandle<()>>,
}

struct Inner {
    config: ReputationConfig,
    widths: Widths,
    lists: Lists,
    local: Local,
    greylist: Greylist,
    rates: Rates,
    state: Arc<Counting>,
    metrics: Metrics,
}

/// The shared state as it is used here.
struct Counting {
    /// Fails at once while it is away.
    guarded: Arc<Guarded>,
    /// Counts here while it is away.
    fallback: Arc<Fallback>,
}

impl Reputation {
    /// Must be called within a tokio runtime: it checks the lists and counts what has happened in tasks of its own. `local_lists` is the file
    /// of the local lists; without one they are in the shared state, for all nodes.
    pub fn new(
        config: &ReputationConfig,
        dns: Arc<dyn Dns>,
        state: Arc<Guarded>,
        local_lists: Option<&Path>,
        registry: &Registry,
    ) -> Result<Self, ReputationError> {
        let metrics = Metrics::new(registry).map_err(ReputationError::Metrics)?;
        let widths = Widths { v4: config.network_bits_v4, v6: config.network_bits_v6 };
        let memory = shared_state::Config {
            counters_max: config.local_counters_max,
            values_max: config.local_counters_max,
            ..shared_state::Config::default()
        };
        let fallback = Arc::new(Fallback::new(Arc::clone(&state), MemoryState::new(&memory)));
        let local =
            Local::open(local_lists, Arc::clone(&state) as _, config.local_entries_max, metrics.clone())?;
        let inner = Arc::new(Inner {
            widths,
            lists: Lists::new(config, dns, metrics.clone()),
            local,
            greylist: Greylist::new(&config.greylist, Arc::clone(&state) as _, metrics.clone()),
            rates: Rates::new(&config.rates, widths, Arc::clone(&fallback) as _, metrics.clone()),
            state: Arc::new(Counting { guarded: state, fallback }),
            metrics,
            config: config.clone(),
        });
        let (events, happened) = mpsc::channel(config.events_max.max(1));
        let tasks = vec![
            tokio::spawn(Arc::clone(&inner).count(happened)),
            tokio::spawn(Arc::clone(&inner).check_lists()),
            tokio::spawn(Arc::clone(&inner).refresh()),
        ];
        Ok(Self { inner, events, tasks })
    }

    /// Counts for all nodes, and for this process alone while nobody else answers.
    pub fn counters(&self) -> Arc<dyn SharedState> {
        Arc::clone(&self.inner.state.fallback) as _
    }

    /// A peer has connected.
    pub async fn connect(&self, peer: IpAddr) -> Connected {
        let connected = self.inner.connect(peer).await;
        let outcome = match &connected {
            Connected { refusal: Some(refusal), .. } if refusal.is_temporary() => "deferred",
            Connected { refusal: Some(_), .. } => "refused",
            Connected { exempt: true, .. } => "exempt",
            Connected { allowed: true, .. } => "allowed",
            _ => "passed",
        };
        self.inner.metrics.connects.with_label_values(&[outcome]).inc();
        connected
    }

    /// A transaction begins.
    pub async fn mail(&self, peer: Peer<'_>, sender: Sender<'_>) -> Judged {
        self.inner.rate(Step::Mail, peer, sender.path, &[], &[], 0).await
    }

    /// One more recipient, whom somebody here has.
    pub async fn recipient(&self, peer: Peer<'_>, sender: Sender<'_>, recipient: &Address) -> Judged {
        let recipients = std::slice::from_ref(recipient);
        let mut judged = self.inner.rate(Step::Recipient, peer, sender.path, recipients, &[], 0).await;
        // A null sender may only ask whether the address is there (a callback): it is judged when it sends something.
        if let Some(address) = sender.path.address().filter(|_| judged.refusal.is_none()) {
            let written = address.canonical().to_string();
            self.inner.greylist(peer, sender, &written, recipients, &mut judged).await;
        }
        judged
    }

    /// The message is there, and its recipients are known.
    pub async fn message(&self, peer: Peer<'_>, content: Content<'_>) -> Judged {
        let Content { sender, recipients, octets, signatures } = content;
        let mut judged =
            self.inner.rate(Step::Content, peer, sender.path, recipients, signatures, octets).await;
        if judged.refusal.is_none() && sender.path.address().is_none() {
            self.inner.greylist(peer, sender, "", recipients, &mut judged).await;
        }
        judged
    }

    /// Counts it when there is time. Never waits; beyond `events_max` it is not counted.
    pub fn happened(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.inner.metrics.events_dropped.inc();
        }
    }
}

impl Drop for Reputation {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Inner {
    async fn connect(&self, peer: IpAddr) -> Connected {
        let peer = peer.to_canonical();
        if self.is_exempt(peer) {
            return Connected { exempt: true, allowed: true, ..Connected::default() };
        }
        match self.local.find(peer).map(|entry| entry.kind) {
            Some(LocalKind::Allow) => {
                let reasons = vec!["local:allow".to_owned()];
                return Connected { exempt: true, allowed: true, reasons, ..Connected::default() };
            }
            Some(LocalKind::Block) => {
                let refusal = Refusal::permanent((5, 7, 1), "Your network is blocked here");
                let reasons = vec!["local:block".to_owned()];
                return Connected { refusal: Some(refusal), reasons, ..Connected::default() };
            }
            None => {}
        }
        let judged = self.rates.judge(Step::Connect, subject(peer), 0).await;
        self.note_state();
        let score: f64 = judged.reasons.iter().map(|reason| reason.score).sum();
        let mut reasons: Vec<String> = judged.reasons.into_iter().map(|reason| reason.text).collect();
        if judged.refusal.is_some() {
            return Connected { refusal: judged.refusal, score, reasons, ..Connected::default() };
        }
        let found = self.lists.judge(peer).await;
        reasons.extend(found.listed.iter().map(|list| format!("list:{list}")));
        Connected {
            refusal: found.refusal,
            score: score + found.score,
            lists: found.listed,
            allowed: found.allowed,
            exempt: false,
            reasons,
        }
    }

    fn is_exempt(&self, peer: IpAddr) -> bool {
        self.config.exempt_networks.iter().any(|network| network.contains(peer))
    }

    async fn rate(
        &self,
        step: Step,
        peer: Peer<'_>,
        sender: &ReversePath,
        recipients: &[Address],
        signatures: &[String],
        octets: u64,
    ) -> Judged {
        // Where people log in nobody was judged at the connection.
        let exempt = peer.connected.exempt || self.is_exempt(peer.address.to_canonical());
        // An account has its own limits wherever it comes from.
        if exempt && peer.account.is_none() {
            return Judged::default();
        }
        let Peer { account, .. } = peer;
        let address = counted_address(peer.address, exempt);
        let subject = Subject { address, account, sender: sender.address(), recipients, signatures };
        let judged = self.rates.judge(step, subject, octets).await;
        self.note_state();
        judged
    }

    async fn greylist(
        &self,
        peer: Peer<'_>,
        sender: Sender<'_>,
        written: &str,
        recipients: &[Address],
        judged: &mut Judged,
    ) {
        let Connected { score, lists, allowed, exempt, .. } = peer.connected;
        let is_known = *exempt || *allowed || peer.account.is_some();
        if is_known || !self.greylist.is_for(*score, !lists.is_empty(), sender.spf_pass) {
            return;
        }
        let network = self.widths.network(peer.address);
        judged.refusal = self.greylist.judge(network, written, recipients).await;
        self.note_state();
        if judged.refusal.is_some() {
            judged.reasons.push(Reason { text: "greylist".to_owned(), score: 0.0 });
        }
    }

    /// Counts questions that found the shared state away.
    fn note_state(&self) {
        if self.state.guarded.is_away() {
            self.metrics.state_failures.inc();
        }
    }

    async fn count(self: Arc<Self>, mut happened: mpsc::Receiver<Event>) {
        while let Some(event) = happened.recv().await {
            let exempt = self.is_exempt(event.address) || self.is_allowed(event.address);
            if event.account.is_none() && exempt {
                continue;
            }
            let subject = Subject {
                address: counted_address(event.address, exempt),
                account: event.account.as_ref(),
                sender: event.sender.as_ref(),
                recipients: &[],
                signatures: &[],
            };
            let what = match event.what {
                Happened::UnknownRecipient => RateWhat::UnknownRecipients,
                Happened::Rejected => RateWhat::Rejections,
            };
            self.rates.happened(what, subject).await;
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.local.find(address).is_some_and(|entry| entry.kind == LocalKind::Allow)
    }

    /// At the start and then now and then.
    async fn check_lists(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.config.lists_check_interval.as_duration());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.lists.check().await;
        }
    }

    async fn refresh(self: Arc<Self>) {
        let mut interval = tokio::time::interval(self.config.local_refresh.as_duration());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.local.refresh().await {
                tracing::debug!(%error, "the local lists stay as they were");
            }
        }
    }
}

/// Of an exempt network only the accounts are counted: it speaks for many.
fn counted_address(address: IpAddr, exempt: bool) -> Option<IpAddr> {
    (!exempt).then_some(address)
}

/// A peer of whom nothing else is known yet.
const fn subject(address: IpAddr) -> Subject<'static> {
    Subject { address: Some(address), account: None, sender: None, recipients: &[], signatures: &[] }
}
