//! `sluice trace`: the whole way of a message.

use anyhow::{Context as _, bail};

use crate::arguments::Place;
use crate::data::DataFolder;
use crate::listing;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The id of the 250 reply, a Message-ID, or an address.
    query: String,
    /// As JSON: `trail`, what happened so far, and `queued`, what waits.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = DataFolder::open(&arguments.place.data)?;
    let records =
        runtime::trail::find(&data.trail(), &arguments.query).context("failed to read the trail")?;
    let settings = crate::settings::Settings::load(&arguments.place)?;
    // The trail is here, whatever becomes of the queue.
    let queued = crate::queue_command::waiting(&settings, &arguments.query).unwrap_or_else(|error| {
        listing::warn(&format!("the queue can't be asked: {error:#}"));
        Vec::new()
    });
    if arguments.json {
        let json = serde_json::json!({ "trail": records, "queued": queued });
        listing::write(serde_json::to_string_pretty(&json).context("failed to write JSON")? + "\n")?;
    } else {
        let told = records.iter().map(ToString::to_string);
        let lines: Vec<String> = told.chain(queued.iter().map(crate::queue_command::sentence)).collect();
        listing::write(lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    }
    if records.is_empty() && queued.is_empty() {
        bail!(
            "nothing is known of `{}`: give the id of the 250 reply, a Message-ID or an address",
            arguments.query
        );
    }
    Ok(())
}
