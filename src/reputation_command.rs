//! `sluice reputation`: what is known and remembered about peers. All of it is in running processes or in Redis, so a running process is asked,
//! on its socket in the data folder.

mod answer;
mod ask;

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use filters::reputation::{LocalEntry, LocalKind, Row, Shown};
use serde::{Deserialize, Serialize};
use units::{Network, Span};

pub(crate) use answer::Remembered;
pub(crate) use ask::{CONTROL, REQUEST_MAX};

use crate::arguments::Place;
use crate::listing;
use ask::Processes;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Forget what is remembered: a key of `list`, or everything about an address, a network, a mail address or a domain.
    Clear {
        /// The key, address or domain.
        what: String,
        #[command(flatten)]
        place: Place,
    },
    /// What is remembered.
    List {
        /// Only this; without it everything.
        kind: Option<KindName>,
        /// At most so many of each kind from each process.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Block or allow a network for a time, whatever else is known of it.
    Set {
        /// An address, or a network such as 192.0.2.0/24.
        network: Network,
        /// What is to become of it.
        list: LocalList,
        /// For how long, such as 7d.
        #[arg(long = "for", value_name = "TIME")]
        age: Span,
        /// Why, for whoever looks later; the peer is not told.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        place: Place,
    },
    /// What every list and counter says about an address now, and what would happen if it connected. Counts nothing.
    Show {
        /// The address.
        address: IpAddr,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KindName {
    /// Strangers that were told to come back, and networks that are passed.
    Greylist,
    /// Lists in the DNS, and networks that were blocked or allowed here.
    Lists,
    /// Counters of rules.
    Rates,
    /// Failed logins.
    Throttle,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LocalList {
    /// Nothing else is asked about it.
    Allow,
    /// It is refused.
    Block,
}

/// What a running process is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Clear { what: String },
    List { kind: KindName, limit: usize },
    Set { entry: LocalEntry },
    Show { address: IpAddr },
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Response {
    /// So many things were changed.
    Done(u64),
    /// It can't be done, for this reason.
    Failed(String),
    /// Another process has this.
    NotHere,
    Rows(filters::reputation::Rows),
    Shown {
        peer: Option<Box<Shown>>,
        throttle: Vec<Row>,
    },
}

/// A row, and whose it is.
#[derive(Serialize)]
struct Found {
    kind: KindName,
    process: String,
    #[serde(flatten)]
    row: Row,
}

/// What is printed of an address.
#[derive(Serialize)]
struct About {
    #[serde(flatten)]
    peer: Option<Shown>,
    throttle: Vec<Row>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Clear { what, place } => {
            let gone = Processes::of(place)?.change(&Request::Clear { what: what.clone() })?;
            listing::write(format!("{gone} {} forgotten\n", if gone == 1 { "thing" } else { "things" }))
        }
        Action::List { kind, limit, json, place } => list(*kind, *limit, *json, place),
        Action::Set { network, list, age, reason, place } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let entry = LocalEntry {
                network: *network,
                kind: match list {
                    LocalList::Allow => LocalKind::Allow,
                    LocalList::Block => LocalKind::Block,
                },
                reason: reason.clone(),
                until: now.saturating_add(age.as_duration().as_secs()),
            };
            Processes::of(place)?.change(&Request::Set { entry })?;
            let done = match list {
                LocalList::Allow => "allowed",
                LocalList::Block => "blocked",
            };
            listing::write(format!("{network} is {done} for {age}\n"))
        }
        Action::Show { address, json, place } => show(*address, *json, place),
    }
}

fn list(kind: Option<KindName>, limit: usize, json: bool, place: &Place) -> anyhow::Result<()> {
    let processes = Processes::of(place)?;
    let kinds = kind.map_or_else(
        || vec![KindName::Lists, KindName::Rates, KindName::Greylist, KindName::Throttle],
        |kind| vec![kind],
    );
    let (mut found, mut whole) = (Vec::new(), true);
    for kind in kinds {
        for (process, response) in processes.ask(&Request::List { kind, limit })? {
            match response {
                Response::Rows(rows) => {
                    whole &= rows.whole;
                    let process = |row| Found { kind, process: process.clone(), row };
                    found.extend(rows.rows.into_iter().map(process));
                }
                other => unexpected(other)?,
            }
        }
    }
    listing::print(json, &found, &["kind", "process", "key", "says", "ends in"], |found| {
        let kind =
            found.kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let ends_in = found.row.ends_in.map_or_else(|| "-".to_owned(), |left| Span::secs(left).to_string());
        vec![kind, found.process.clone(), found.row.key.clone(), found.row.value.clone(), ends_in]
    })?;
    if !whole {
        listing::warn("sluice: there is more; a larger --limit shows it");
    }
    Ok(())
}

fn show(address: IpAddr, json: bool, place: &Place) -> anyhow::Result<()> {
    let mut about = About { peer: None, throttle: Vec::new() };
    for (_, response) in Processes::of(place)?.ask(&Request::Show { address })? {
        match response {
            Response::Shown { peer, throttle } => {
                about.peer = about.peer.or(peer.map(|peer| *peer));
                about.throttle.extend(throttle);
            }
            other => unexpected(other)?,
        }
    }
    if json {
        let text = serde_json::to_string_pretty(&about).context("failed to write JSON")?;
        return listing::write(text + "\n");
    }
    listing::print(false, &lines(&about), &["what", "name", "says"], |line| line.to_vec())
}

/// What people read of it.
fn lines(about: &About) -> Vec<[String; 3]> {
    let line = |what: &str, name: &str, says: String| [what.to_owned(), name.to_owned(), says];
    let mut lines = Vec::new();
    if let Some(peer) = &about.peer {
        lines.push(line("connection", &peer.address.to_string(), peer.at_connect.clone()));
        lines.push(line("score", "", peer.score.to_string()));
        if let Some(entry) = &peer.local {
            lines.push(line("local", &entry.network.to_string(), entry.reason.clone()));
        }
        for list in &peer.lists {
            let says = match list.is_listed {
                Some(true) => format!("listed: {}", list.says),
                Some(false) => "not listed".to_owned(),
                None => format!("not known: {}", list.says),
            };
            lines.push(line("list", &list.list, says));
        }
        for rate in &peer.rates {
            let over = if rate.is_over { ", the next one is over" } else { "" };
            lines.push(line(
                "rate",
                &rate.rule,
                format!("{} of {} for {}{over}", rate.sum, rate.limit, rate.whom),
            ));
        }
        let says = if peer.network_is_passed {
            "the network is passed".to_owned()
        } else {
            format!("the network came back {} times", peer.came_back)
        };
        let says = peer.away.as_ref().map_or(says, |why| format!("not known: {why}"));
        lines.push(line("greylist", &peer.network.to_string(), says));
    } else {
        lines.push(line("connection", "", "no gateway runs over this data folder".to_owned()));
    }
    lines.extend(about.throttle.iter().map(|row| line("throttle", &row.key, row.value.clone())));
    lines
}

fn unexpected(response: Response) -> anyhow::Result<()> {
    match response {
        Response::NotHere => Ok(()),
        Response::Failed(why) => bail!(why),
        _ => bail!("the running process answers something else: is it of another version?"),
    }
}
