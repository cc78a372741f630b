//! `sluice mailbox init`, `move` and `volumes`.

use anyhow::{Context as _, bail};
use envelope::{AccountId, Address};
use serde::Serialize;
use store::{Config, Store, Transferred, VolumeState};

use super::open_store;
use crate::arguments::Place;
use crate::listing;

/// Whose mail, and where to.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The account.
    address: Address,
    /// The volume's name in the configuration; `main` is store.root.
    volume: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A volume, as it is printed.
#[derive(Serialize)]
struct Row {
    volume: String,
    path: String,
    weight: u32,
    free_octets: Option<u64>,
    free_files: Option<u64>,
    takes_mail: bool,
    problem: Option<String>,
}

impl Row {
    fn new(volume: VolumeState) -> Self {
        let free = volume.free.as_ref().ok();
        Self {
            volume: volume.name,
            path: volume.path.display().to_string(),
            weight: volume.weight,
            free_octets: free.map(|free| free.octets),
            free_files: free.and_then(|free| free.files),
            takes_mail: volume.takes_mail.is_ok(),
            problem: volume.takes_mail.err().or(volume.free.err()).map(|error| error.to_string()),
        }
    }

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let takes_mail = match &self.problem {
            None => "yes".to_owned(),
            Some(problem) => format!("no: {problem}"),
        };
        vec![
            self.volume.clone(),
            self.weight.to_string(),
            number(self.free_octets),
            number(self.free_files),
            self.path.clone(),
            takes_mail,
        ]
    }
}

pub(super) fn init(config: &Config, volume: &str) -> anyhow::Result<()> {
    let Some(path) = config.volume_path(volume) else {
        let known: Vec<&str> = config.volumes.keys().map(String::as_str).collect();
        bail!("there is no volume `{volume}` in the configuration, but `main` and {known:?}");
    };
    Store::init_volume(path).with_context(|| format!("failed to mark `{}`", path.display()))?;
    listing::write(format!("`{}` is a mail volume\n", path.display()))
}

pub(super) fn transfer(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { address, volume, json, place } = arguments;
    let store = open_store(place)?;
    // For whoever waits: a large account takes minutes.
    let mut progress = |messages| eprintln!("{messages} messages copied");
    let moved = store
        .move_account(&AccountId::new(address), volume, &mut progress)
        .with_context(|| format!("the mail of `{address}` was not moved"))?;
    let Transferred { mailboxes, messages, late } = moved;
    if *json {
        let value = serde_json::json!({ "mailboxes": mailboxes, "messages": messages, "late": late });
        return listing::write(format!("{value}\n"));
    }
    let late = if late == 0 { String::new() } else { format!(", {late} of them in the last moment") };
    listing::write(format!("{address} is on `{volume}`: {mailboxes} mailboxes, {messages} messages{late}\n"))
}

pub(super) fn list(place: &Place, json: bool) -> anyhow::Result<()> {
    let rows: Vec<Row> = open_store(place)?.volumes().into_iter().map(Row::new).collect();
    let headings = ["volume", "weight", "free octets", "free files", "path", "takes mail"];
    listing::print(json, &rows, &headings, Row::cells)
}
