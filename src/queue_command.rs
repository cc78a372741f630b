//! `sluice queue`: what waits, and what an operator wants done with it. Alike on every backend and from any node that has its
//! configuration.

pub(crate) mod meant;
pub(crate) mod order;
pub(crate) mod view;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use envelope::MessageId;
use queue::{Backend, Lane, ListFilter, Listed, Order, QueuedState};

use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;
use meant::Meant;
pub(crate) use order::check_owner;
use view::{View, age, row, until};

/// Messages that `sluice trace` tells of.
const TRACED_MAX: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Take messages out for good, without a report to anybody. With --recipient or --domain only those recipients: the others keep theirs.
    Delete(order::Arguments),
    /// Keep messages back: no worker gets them until they are released.
    Hold(order::Arguments),
    /// The messages that wait, oldest first.
    List {
        #[command(flatten)]
        meant: Meant,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// With RabbitMQ: this node's own log of what it accepted while the broker was away.
        #[arg(long)]
        spill: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Let go what is held; it is due at once.
    Release(order::Arguments),
    /// Move messages to another lane, due at once: dead letters back to `local`, for instance.
    Reroute {
        /// Where to.
        #[arg(long, value_name = "LANE")]
        to: LaneName,
        #[command(flatten)]
        order: order::Arguments,
    },
    /// Try at once what waits for its next try.
    Retry(order::Arguments),
    /// One message: its envelope, and with --body its content.
    Show {
        /// The id of the 250 reply.
        id: MessageId,
        /// The content too.
        #[arg(long)]
        body: bool,
        /// With RabbitMQ: this node's own log of what it accepted while the broker was away.
        #[arg(long)]
        spill: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Counts and oldest age of every lane.
    Stats {
        /// With RabbitMQ: this node's own log of what it accepted while the broker was away.
        #[arg(long)]
        spill: bool,
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
        Action::Delete(arguments) => order::run(arguments, Order::Delete),
        Action::Hold(arguments) => order::run(arguments, Order::Hold),
        Action::Release(arguments) => order::run(arguments, Order::Release),
        Action::Reroute { to, order } => order::run(order, Order::Reroute((*to).into())),
        Action::Retry(arguments) => order::run(arguments, Order::Retry),
        Action::List { meant, limit, spill, json, place } => {
            let messages = View::open_either(place, *spill)?.list(&meant.filter(), *limit)?;
            listing::print(*json, &messages, &view::HEADINGS, row)
        }
        Action::Show { id, body, spill, place } => {
            let view = View::open_either(place, *spill)?;
            let Some(message) = view.find(*id)? else {
                anyhow::bail!("{id} is not queued; `sluice trace {id}` says what became of it");
            };
            listing::write(serde_json::to_string_pretty(&message).context("failed to write JSON")? + "\n")?;
            if *body {
                let content =
                    view.content(*id)?.with_context(|| format!("the content of {id} can't be read"))?;
                listing::content(&content)?;
            }
            Ok(())
        }
        Action::Stats { spill, json, place } => {
            let lanes = View::open_either(place, *spill)?.stats()?;
            let headings = ["lane", "ready", "leased", "deferred", "held", "oldest"];
            listing::print(*json, &lanes, &headings, |lane| {
                let counts =
                    [lane.ready, lane.leased, lane.deferred, lane.held].map(|count| count.to_string());
                let oldest = lane.oldest.map_or_else(|| "-".to_owned(), age);
                [vec![lane.lane.to_string()], counts.to_vec(), vec![oldest]].concat()
            })
        }
    }
}

/// The queued messages that `query` (an id, or a part of an address) names.
pub(crate) fn waiting(settings: &Settings, query: &str) -> anyhow::Result<Vec<Listed>> {
    let mut views: Vec<View> = View::of(settings)?.into_iter().collect();
    if settings.queue.backend == Backend::Rabbitmq {
        views.extend(View::of_files(settings)?);
    }
    let mut found = Vec::new();
    for view in views {
        found.extend(waiting_in(&view, query)?);
    }
    found.sort_by_key(|message| message.envelope.id);
    found.dedup_by_key(|message| message.envelope.id);
    Ok(found)
}

fn waiting_in(view: &View, query: &str) -> anyhow::Result<Vec<Listed>> {
    if let Ok(id) = query.parse() {
        return Ok(view.find(id)?.into_iter().collect());
    }
    let query = query.to_lowercase();
    let recipients = ListFilter { recipient: Some(query.clone()), ..ListFilter::default() };
    let senders = ListFilter { sender: Some(query), ..ListFilter::default() };
    let mut found = view.list(&recipients, TRACED_MAX)?;
    found.extend(view.list(&senders, TRACED_MAX)?);
    Ok(found)
}

/// Where a queued message stands, in words.
pub(crate) fn sentence(message: &Listed) -> String {
    let recipients = message.envelope.recipients.len();
    let id = message.envelope.id;
    let state = match message.state {
        _ if message.lane == Lane::Quarantine => {
            format!(
                "is kept back by filters; `sluice quarantine show {id}` says why, `sluice quarantine release {id}` lets it go"
            )
        }
        QueuedState::Held => "is kept back by an operator; `sluice queue release` lets it go".to_owned(),
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
