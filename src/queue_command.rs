//! `sluice queue`: what waits. Reads the files of the embedded queue; a running process is not disturbed.

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use envelope::{MessageId, Timestamp};
use queue::embedded::inspect;
use queue::{Lane, ListFilter, Listed, QueuedState};

use crate::arguments::Place;
use crate::data::DataFolder;
use crate::listing;
use crate::settings::Settings;

/// Messages that `sluice trace` tells of.
const TRACED_MAX: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// The messages that wait, oldest first.
    List {
        /// Only this lane.
        #[arg(long)]
        lane: Option<LaneName>,
        /// Only messages with a recipient that contains this text.
        #[arg(long, value_name = "TEXT")]
        recipient: Option<String>,
        /// Only messages whose sender contains this text.
        #[arg(long, value_name = "TEXT")]
        sender: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// One message: its envelope, and with --body its content.
    Show {
        /// The id of the 250 reply.
        id: MessageId,
        /// The content too.
        #[arg(long)]
        body: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Counts and oldest age of every lane.
    Stats {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LaneName {
    Dead,
    Local,
    Quarantine,
    Remote,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Dead => Self::Dead,
            LaneName::Local => Self::Local,
            LaneName::Quarantine => Self::Quarantine,
            LaneName::Remote => Self::Remote,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::List { lane, recipient, sender, limit, json, place } => {
            let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
            let filter =
                ListFilter { lane: lane.map(Lane::from), recipient: lower(recipient), sender: lower(sender) };
            let messages = snapshot(place)?.list(&filter, *limit);
            let headings = ["id", "lane", "state", "tries", "next", "sender", "recipients", "last error"];
            listing::print(*json, &messages, &headings, row)
        }
        Action::Show { id, body, place } => {
            let snapshot = snapshot(place)?;
            let Some(message) = snapshot.find(*id)? else {
                bail!("{id} is not queued; `sluice trace {id}` says what became of it");
            };
            listing::write(serde_json::to_string_pretty(&message).context("failed to write JSON")? + "\n")?;
            if *body {
                let content =
                    snapshot.body(*id)?.with_context(|| format!("the content of {id} can't be read"))?;
                listing::write(content)?;
            }
            Ok(())
        }
        Action::Stats { json, place } => {
            let lanes = snapshot(place)?.stats();
            listing::print(*json, &lanes, &["lane", "ready", "leased", "deferred", "oldest"], |lane| {
                let oldest = lane.oldest.map_or_else(|| "-".to_owned(), age);
                vec![
                    lane.lane.to_string(),
                    lane.ready.to_string(),
                    lane.leased.to_string(),
                    lane.deferred.to_string(),
                    oldest,
                ]
            })
        }
    }
}

/// The queued messages that `query` (an id, or a part of an address) names.
pub(crate) fn waiting(settings: &Settings, query: &str) -> anyhow::Result<Vec<Listed>> {
    if !settings.queue.dir.exists() {
        return Ok(Vec::new());
    }
    let snapshot = inspect(&settings.queue.dir)?;
    if let Ok(id) = query.parse() {
        return Ok(snapshot.find(id)?.into_iter().collect());
    }
    let query = query.to_lowercase();
    let recipients = ListFilter { recipient: Some(query.clone()), ..ListFilter::default() };
    let senders = ListFilter { sender: Some(query), ..ListFilter::default() };
    let mut found = snapshot.list(&recipients, TRACED_MAX);
    found.extend(snapshot.list(&senders, TRACED_MAX));
    found.sort_by_key(|message| message.envelope.id);
    found.dedup_by_key(|message| message.envelope.id);
    Ok(found)
}

/// Where a queued message stands, in words.
pub(crate) fn sentence(message: &Listed) -> String {
    let recipients = message.envelope.recipients.len();
    let id = message.envelope.id;
    let state = match message.state {
        QueuedState::Ready | QueuedState::Leased => "is due or with a worker".to_owned(),
        QueuedState::Deferred => {
            format!(
                "waits for try {} in {}: {}",
                message.attempts + 1,
                until(message.next_attempt),
                message.last_error
            )
        }
    };
    format!("now  {id}  queued     lane={} recipients={recipients} {state}", message.lane)
}

fn snapshot(place: &Place) -> anyhow::Result<queue::embedded::Snapshot> {
    DataFolder::open(&place.data)?;
    let settings = Settings::load(place)?;
    inspect(&settings.queue.dir).context("failed to read the queue")
}

fn row(message: &Listed) -> Vec<String> {
    let recipients: Vec<String> = message.envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    let state = match message.state {
        QueuedState::Deferred => "deferred",
        QueuedState::Leased => "leased",
        QueuedState::Ready => "ready",
    };
    vec![
        message.envelope.id.to_string(),
        message.lane.to_string(),
        state.to_owned(),
        message.attempts.to_string(),
        until(message.next_attempt),
        format!("<{}>", message.envelope.reverse_path),
        recipients.join(","),
        message.last_error.clone(),
    ]
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

fn age(since: Timestamp) -> String {
    units::Span::secs(now().since(since).as_secs()).to_string()
}

fn until(due: Timestamp) -> String {
    let seconds = due.since(now()).as_secs();
    if seconds == 0 { "now".to_owned() } else { units::Span::secs(seconds).to_string() }
}
