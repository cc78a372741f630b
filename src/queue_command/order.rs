//! `sluice queue hold|release|retry|reroute|delete`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use envelope::MessageId;
use queue::{Backend, ListFilter, Order, Ordered};

use super::meant::Meant;
use super::view::{HEADINGS, View, row};
use crate::arguments::Place;
use crate::data::DataFolder;
use crate::listing;
use crate::queues::WithoutBroker;
use crate::settings::Settings;

/// Messages that --dry-run shows.
const SHOWN_MAX: usize = 1000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    meant: Meant,
    #[command(flatten)]
    wanted: Wanted,
}

/// Which messages by name, and how to go about it.
#[derive(clap::Args)]
pub(crate) struct Wanted {
    /// These messages, by the ids of their 250 replies.
    pub(crate) ids: Vec<MessageId>,
    /// Every message: needed when neither an id nor a filter is given.
    #[arg(long)]
    all: bool,
    /// Only show which messages are meant.
    #[arg(long)]
    dry_run: bool,
    /// The result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments, order: Order) -> anyhow::Result<()> {
    let ordered = give(&arguments.wanted, arguments.meant.filter(), &ListFilter::default(), order)?;
    ordered.map_or(Ok(()), |ordered| tell(arguments.wanted.json, order, &ordered))
}

/// Gives the order about what `filter` and the ids mean; that must be less than `everything`, or all is asked for in words. `None`: it was only shown.
pub(crate) fn give(
    wanted: &Wanted,
    filter: ListFilter,
    everything: &ListFilter,
    order: Order,
) -> anyhow::Result<Option<Ordered>> {
    let filter = ListFilter { ids: wanted.ids.clone(), ..filter };
    if filter == *everything && !wanted.all {
        bail!(
            "which messages? Give ids, filters such as --sender, or --all; `--dry-run` shows which ones are meant"
        );
    }
    if wanted.dry_run {
        let messages = View::open(&wanted.place)?.list(&filter, SHOWN_MAX)?;
        listing::print(wanted.json, &messages, &HEADINGS, row)?;
        return Ok(None);
    }
    let data = DataFolder::open(&wanted.place.data)?;
    let settings = Settings::load(&wanted.place)?;
    if settings.queue.backend == Backend::Embedded {
        check_owner(&settings.queue.dir)?;
    }
    let registry = prometheus::Registry::new();
    let log = runtime::LogConfig { level: "error".to_owned(), ..settings.log.clone() };
    // When no worker runs, this process carries the order out, and the trail must tell of it.
    let _telemetry = runtime::telemetry::init(&log, "queue", &data.trail(), &registry)?;
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("failed to start")?;
    let name = format!("command-{}", std::process::id());
    executor.block_on(async {
        let queue = crate::queues::open(&settings, &name, WithoutBroker::Wait, &registry).await?;
        let ordered = queue.order(&filter, order).await;
        queue.close().await;
        ordered.map(Some).context("the order could not be given")
    })
}

/// Files of another user would be in the way of the processes that run as the queue's owner.
pub(crate) fn check_owner(queue: &Path) -> anyhow::Result<()> {
    let Ok(owner) = std::fs::metadata(queue).map(|metadata| metadata.uid()) else { return Ok(()) };
    let own = std::fs::metadata("/proc/self").context("failed to learn who runs this")?.uid();
    if owner != own {
        bail!(
            "the queue in `{}` belongs to user {owner} and this runs as user {own}: run it as that user",
            queue.display()
        );
    }
    Ok(())
}

/// What came of it.
pub(crate) fn tell(json: bool, order: Order, ordered: &Ordered) -> anyhow::Result<()> {
    if json {
        listing::write(serde_json::to_string_pretty(ordered).context("failed to write JSON")? + "\n")?;
    } else {
        let done = match order {
            Order::Hold => "held",
            Order::Release => "released",
            Order::Retry => "due at once",
            Order::Reroute(_) => "moved",
            Order::Delete | Order::Expire => "changed or deleted",
        };
        let mut text = format!("{} {done}\n", messages(ordered.done));
        if ordered.busy > 0 {
            text += &format!(
                "{} with a worker now and left alone: give the order again\n",
                messages(ordered.busy)
            );
        }
        listing::write(text)?;
    }
    if ordered.failed > 0 {
        bail!("{} could not be changed: the log of the worker says why", messages(ordered.failed));
    }
    Ok(())
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
