//! `sluice mailbox`.

mod check;
mod migrate;
mod probe;
mod volumes;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use envelope::{AccountId, Address};
use prometheus::Registry;
use serde::Serialize;
use store::{Account, Mailbox, MailboxName, MailboxStats, RealFs, Store};

use crate::arguments::Place;
use crate::listing;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Take over a Maildir++ of Dovecot or Courier as an account's mail, with UIDs, flags, folders and subscriptions. The
    /// account must have no mail here yet; the Maildir stays as it is, and each message has a name in both places. All or
    /// nothing: what could not be kept is named first.
    Adopt(migrate::Arguments),
    /// Compare files, index and cache, and say in what they differ; nothing is changed. Exit status 1 when they do. Nodes that
    /// have the mailbox open wait meanwhile, but for the reading of contents.
    Check {
        #[command(flatten)]
        which: Which,
        /// Read every message too, and compare it with what index and cache say of it.
        #[arg(long)]
        contents: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Make a Maildir++ with all mail of an account for Dovecot or Courier, with UIDs, flags, folders and subscriptions. The
    /// account stays as it is, and each message has a name in both places.
    Export(migrate::Arguments),
    /// Make the configured store.root, or one of store.volumes, a mail volume, once, with its file system mounted. Without that
    /// mark Sluice refuses to serve it, so that a mount that is away never looks like empty mailboxes.
    Init {
        /// The volume's name in the configuration; `main` is store.root.
        #[arg(default_value = "main")]
        volume: String,
        #[command(flatten)]
        place: Place,
    },
    /// Move an account's mail to another volume, while mail arrives and people read. Sessions that have it open are told to
    /// connect again. Broken off, it is done or undone as a whole, and the upkeep of any node clears what is left.
    Move(volumes::Arguments),
    /// Try in a directory what the store needs of its file system: names, exclusive creation, atomic renames, links, locks,
    /// appends, syncs, times. Exit status 1 when it is unfit for mail. Leaves nothing behind.
    Probe {
        /// The directory, on the file system in question.
        directory: PathBuf,
        /// The same directory through another mount: what one does must show through the other.
        #[arg(long, value_name = "DIR")]
        other: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Throw index, journal and cache away and make them anew from the files: the same messages, UIDs and flags. Nodes that
    /// have the mailbox open go on.
    Rebuild {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
    },
    /// What there is: messages, octets, and what index and cache owe.
    Stats {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// The volumes: where they are, what is left on them, and whether they take mail.
    Volumes {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Which mailboxes.
#[derive(clap::Args)]
struct Which {
    /// The account.
    address: Address,
    /// Only this mailbox, as clients call it, for example INBOX or Work/Plans.
    mailbox: Option<String>,
}

/// Figures of one mailbox.
#[derive(Serialize)]
struct Figures {
    mailbox: String,
    messages: u64,
    octets: u64,
    index_octets: u64,
    /// Files whose names wait for their flags, and files of expunged messages.
    pending: u64,
    /// Messages that the next FETCH ENVELOPE has to open.
    unparsed: u64,
}

/// The store that the configuration names.
pub(crate) fn open_store(place: &Place) -> anyhow::Result<Store> {
    Store::open(&Settings::load(place)?.store, Arc::new(RealFs), &Registry::new())
        .context("failed to open the store")
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Adopt(arguments) => migrate::adopt(arguments)?,
        Action::Check { which, contents, json, place } => check::run(&which.open(place)?, *contents, *json)?,
        Action::Export(arguments) => migrate::export(arguments)?,
        Action::Init { volume, place } => volumes::init(&Settings::load(place)?.store, volume)?,
        Action::Move(arguments) => volumes::transfer(arguments)?,
        Action::Probe { directory, other, json, place } => {
            probe::run(&Settings::load(place)?.store, directory, other.as_deref(), *json)?;
        }
        Action::Rebuild { which, place } => {
            for (name, mailbox) in which.open(place)? {
                mailbox.rebuild().with_context(|| format!("failed to rebuild {name}"))?;
                let messages = mailbox.stats().with_context(|| format!("failed to read {name}"))?.messages;
                listing::write(format!("{name}: {messages} messages\n"))?;
            }
        }
        Action::Stats { which, json, place } => {
            let mut figures = Vec::new();
            for (name, mailbox) in which.open(place)? {
                let stats = mailbox.stats().with_context(|| format!("failed to read {name}"))?;
                figures.push(Figures::new(&name, &stats));
            }
            let headings = ["mailbox", "messages", "octets", "index octets", "pending", "unparsed"];
            listing::print(*json, &figures, &headings, Figures::row)?;
        }
        Action::Volumes { json, place } => volumes::list(place, *json)?,
    }
    Ok(())
}

impl Figures {
    fn new(name: &MailboxName, stats: &MailboxStats) -> Self {
        Self {
            mailbox: name.to_string(),
            messages: stats.messages,
            octets: stats.size,
            index_octets: stats.index_size,
            pending: stats.pending,
            unparsed: stats.unparsed,
        }
    }

    fn row(&self) -> Vec<String> {
        let numbers = [self.messages, self.octets, self.index_octets, self.pending, self.unparsed];
        let numbers = numbers.iter().map(u64::to_string);
        std::iter::once(self.mailbox.clone()).chain(numbers).collect()
    }
}

impl Which {
    /// The mailboxes, by name.
    fn open(&self, place: &Place) -> anyhow::Result<Vec<(MailboxName, Arc<Mailbox>)>> {
        let store = open_store(place)?;
        let id = AccountId::new(&self.address);
        let Some(account) = store.existing_account(&id).context("failed to look for the mail")? else {
            bail!("`{}` has no mail here; `sluice account list` says whom there is", self.address);
        };
        self.names(&account)?
            .into_iter()
            .map(|name| {
                let mailbox = account.mailbox(&name).with_context(|| format!("failed to open {name}"))?;
                Ok((name, mailbox))
            })
            .collect()
    }

    fn names(&self, account: &Account) -> anyhow::Result<Vec<MailboxName>> {
        if let Some(name) = &self.mailbox {
            return Ok(vec![MailboxName::parse(name).with_context(|| format!("`{name}` is no mailbox"))?]);
        }
        let all = account.list().context("failed to list the mailboxes")?;
        Ok(all.into_iter().filter(|info| info.exists).map(|info| info.name).collect())
    }
}
