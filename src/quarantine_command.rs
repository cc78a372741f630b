//! `sluice quarantine`: mail that filters keep back. It lies in the lane `quarantine` of the queue, which no worker leases; a worker deletes it when
//! `delivery.quarantine_keep` is over.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use envelope::MessageId;
use queue::{Lane, ListFilter, Listed, Order};

use crate::arguments::Place;
use crate::listing::{self, clean};
use crate::queue_command::meant::Described;
use crate::queue_command::order::{self, Wanted};
use crate::queue_command::view::{View, age};

const HEADINGS: [&str; 6] = ["id", "age", "size", "sender", "recipients", "reasons"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Take messages out for good, without a report to anybody. With --recipient or --domain only those recipients: the others keep theirs.
    Delete(Chosen),
    /// The messages that are kept back, oldest first, and why.
    List {
        #[command(flatten)]
        described: Described,
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
    /// Let messages go on to their recipients; no filter is asked again.
    Release(Chosen),
    /// One message: who sent it to whom, and why it is kept back.
    Show {
        /// The id of the 250 reply.
        id: MessageId,
        /// The content too.
        #[arg(long)]
        body: bool,
        /// With RabbitMQ: this node's own log of what it accepted while the broker was away.
        #[arg(long)]
        spill: bool,
        /// As JSON.
        #[arg(long, conflicts_with = "body")]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Which messages an order is about.
#[derive(clap::Args)]
struct Chosen {
    #[command(flatten)]
    described: Described,
    #[command(flatten)]
    wanted: Wanted,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Delete(chosen) => give(chosen, Order::Delete),
        // The worker parts recipients who are elsewhere from those who are here.
        Action::Release(chosen) => give(chosen, Order::Reroute(Lane::Local)),
        Action::List { described, limit, spill, json, place } => {
            let messages = View::open_either(place, *spill)?.list(&kept(described), *limit)?;
            listing::print(*json, &messages, &HEADINGS, row)
        }
        Action::Show { id, body, spill, json, place } => {
            let view = View::open_either(place, *spill)?;
            let message = match view.find(*id)? {
                Some(message) if message.lane == Lane::Quarantine => message,
                Some(message) => bail!(
                    "{id} is not in the quarantine but in the lane `{}`: `sluice queue show {id}` shows it",
                    message.lane
                ),
                None => bail!("{id} is not in the quarantine; `sluice trace {id}` says what became of it"),
            };
            if *json {
                let text = serde_json::to_string_pretty(&message).context("failed to write JSON")?;
                return listing::write(text + "\n");
            }
            listing::write(told(&message))?;
            if *body {
                let content =
                    view.content(*id)?.with_context(|| format!("the content of {id} can't be read"))?;
                listing::write("\n")?;
                listing::content(&content)?;
            }
            Ok(())
        }
    }
}

fn kept(described: &Described) -> ListFilter {
    described.within(Some(Lane::Quarantine))
}

fn give(chosen: &Chosen, order: Order) -> anyhow::Result<()> {
    let everything = ListFilter { lane: Some(Lane::Quarantine), ..ListFilter::default() };
    let Some(ordered) = order::give(&chosen.wanted, kept(&chosen.described), &everything, order)? else {
        return Ok(());
    };
    order::tell(chosen.wanted.json, order, &ordered)?;
    let named = chosen.wanted.ids.iter().collect::<BTreeSet<_>>().len() as u64;
    let missing = named.saturating_sub(ordered.done + ordered.busy + ordered.failed);
    if missing > 0 {
        bail!(
            "{missing} of {named} are not in the quarantine, or do not fit; `sluice trace ID` says what became of each"
        );
    }
    Ok(())
}

fn recipients(message: &Listed) -> String {
    let all = message.envelope.recipients.iter().map(|recipient| recipient.address.to_string());
    all.collect::<Vec<_>>().join(",")
}

fn reasons(message: &Listed) -> &[String] {
    message.envelope.filtered.as_ref().map(|filtered| filtered.reasons.as_slice()).unwrap_or_default()
}

fn row(message: &Listed) -> Vec<String> {
    let envelope = &message.envelope;
    vec![
        envelope.id.to_string(),
        age(envelope.received_at),
        envelope.size.to_string(),
        format!("<{}>", envelope.reverse_path),
        recipients(message),
        reasons(message).join("; "),
    ]
}

fn told(message: &Listed) -> String {
    let envelope = &message.envelope;
    let origin = &envelope.origin;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<15}{}", clean(value));
        }
    };
    line("id", &envelope.id.to_string());
    line("accepted", &format!("{} ago", age(envelope.received_at)));
    line("sender", &format!("<{}>", envelope.reverse_path));
    line("recipients", &recipients(message));
    line("peer", &origin.peer.map(|peer| peer.to_string()).unwrap_or_default());
    line("helo", &origin.helo);
    line("account", &origin.authenticated.as_ref().map(ToString::to_string).unwrap_or_default());
    line("size", &envelope.size.to_string());
    reasons(message).iter().for_each(|reason| line("reason", reason));
    if let Some(filtered) = &envelope.filtered {
        line("authentication", &filtered.authentication);
        line("rules version", &filtered.rules);
    }
    text
}
