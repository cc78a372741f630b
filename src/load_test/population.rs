//! `sluice loadtest population`.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use directory::NewAccount;
use envelope::AccountId;
use loadtest::population::{Account, LdifEntry, MaildirPlan, Population, Summary, write_ldif, write_maildir};

use super::progress::Said;
use crate::arguments::Place;
use crate::listing;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Add the accounts to the directory of a data folder. Their password, the same for all, comes from standard input.
    Directory {
        #[command(flatten)]
        crowd: Crowd,
        /// Without a password: mail is received, nobody can log in.
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print the accounts as LDIF, for slapadd. The value of userPassword, such as slappasswd prints, comes from standard input.
    Ldif {
        #[command(flatten)]
        crowd: Crowd,
        /// The entry under which they stand.
        #[arg(long, default_value = "dc=example", value_name = "DN")]
        base: String,
    },
    /// Print the addresses, one a line.
    List {
        #[command(flatten)]
        crowd: Crowd,
    },
    /// Fill Maildirs with the mail that the accounts keep, named and dated as delivery agents do it.
    Maildirs(Maildirs),
    /// Print what the population is.
    Show {
        #[command(flatten)]
        crowd: Crowd,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(super) struct Crowd {
    /// How many accounts.
    #[arg(long, default_value_t = 1000)]
    accounts: u64,
    /// The same seed gives the same accounts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What their domains end in.
    #[arg(long, default_value = "example")]
    suffix: String,
}

#[derive(Args)]
pub(super) struct Maildirs {
    #[command(flatten)]
    crowd: Crowd,
    /// Part of the messages that each account keeps.
    #[arg(long, default_value_t = 0.01, value_name = "PART")]
    depth: f64,
    /// Most messages of one account.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    messages_max: u64,
    /// Begin with the account of this number, to share the work between machines.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    first: u64,
    /// Stop before the account of this number.
    #[arg(long, value_name = "NUMBER")]
    end: Option<u64>,
    /// Write below this folder for another server, instead of into the store of a data folder.
    #[arg(long, value_name = "DIR", requires = "layout")]
    root: Option<PathBuf>,
    /// Where a Maildir is below --root: {domain}, {local} and {address} stand for those of the account.
    #[arg(long, value_name = "PATH")]
    layout: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Crowd {
    fn population(&self) -> anyhow::Result<Population> {
        Population::new(self.seed, self.accounts, &self.suffix)
    }
}

pub(super) fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Directory { crowd, no_password, place } => fill(&crowd, no_password, &place),
        Action::Ldif { crowd, base } => {
            let entry = LdifEntry { suffix: base, password: crate::password::read()? };
            let mut out = BufWriter::new(std::io::stdout().lock());
            let mut said = Said::new("accounts written", crowd.accounts);
            write_ldif(&crowd.population()?, &entry, &mut out, |count| said.say(count))?;
            out.flush().context("failed to write")
        }
        Action::List { crowd } => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            for account in crowd.population()?.iter() {
                writeln!(out, "{}", account?.address).context("failed to write")?;
            }
            out.flush().context("failed to write")
        }
        Action::Maildirs(maildirs) => write(&maildirs),
        Action::Show { crowd, json } => {
            let summary = Summary::of(&crowd.population()?)?;
            let text = if json {
                serde_json::to_string_pretty(&summary).context("failed to write JSON")? + "\n"
            } else {
                summary.to_string()
            };
            listing::write(text)
        }
    }
}

fn fill(crowd: &Crowd, no_password: bool, place: &Place) -> anyhow::Result<()> {
    let population = crowd.population()?;
    let mut admin = crate::domain::admin(place)?;
    let password = if no_password { None } else { Some(crate::password::read()?) };
    let mut fault = None;
    let accounts = population.iter().map_while(|account| match account {
        Ok(account) => Some(NewAccount { address: account.address, display_name: account.name }),
        Err(error) => {
            fault = Some(error);
            None
        }
    });
    let mut said = Said::new("accounts added", crowd.accounts);
    let added =
        admin.add_many(accounts, password.as_ref(), |added| said.say(added.accounts + added.known))?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    println!(
        "{} accounts and {} domains added; {} accounts were there",
        added.accounts, added.domains, added.known
    );
    Ok(())
}

/// Accounts are shared between as many threads as there are processors.
fn write(maildirs: &Maildirs) -> anyhow::Result<()> {
    if !(0.0..=1.0).contains(&maildirs.depth) {
        bail!("--depth is a part from 0 to 1, not {}", maildirs.depth);
    }
    let population = maildirs.crowd.population()?;
    let end = maildirs.end.unwrap_or(population.len()).min(population.len());
    if maildirs.first >= end {
        bail!("there is no account from {} to {end}", maildirs.first);
    }
    let place = Destination::of(maildirs)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let plan = MaildirPlan {
        depth: maildirs.depth,
        messages_max: maildirs.messages_max,
        seed: maildirs.crowd.seed,
        now,
    };
    let (next, messages, octets) = (AtomicU64::new(maildirs.first), AtomicU64::new(0), AtomicU64::new(0));
    let said = Mutex::new(Said::new("accounts filled", end - maildirs.first));
    let work = || -> anyhow::Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= end {
                return Ok(());
            }
            let account = population.account(index)?;
            let root = place.of_account(&account)?;
            let written = write_maildir(&account, &root, &plan)
                .with_context(|| format!("the Maildir of {}", account.address));
            // The others stop too.
            let written = written.inspect_err(|_| next.store(end, Ordering::Relaxed))?;
            messages.fetch_add(written.messages, Ordering::Relaxed);
            octets.fetch_add(written.octets, Ordering::Relaxed);
            said.lock().unwrap_or_else(PoisonError::into_inner).say(index - maildirs.first);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        working.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread broke"),
        })
    })?;
    let (messages, octets) = (messages.into_inner(), octets.into_inner());
    println!("{} Maildirs with {messages} messages of {octets} octets", end - maildirs.first);
    Ok(())
}

/// Where Maildirs go.
enum Destination {
    /// Into our store.
    Store(store::Store),
    /// Below a folder, in another server's layout.
    Folder(PathBuf, String),
}

impl Destination {
    fn of(maildirs: &Maildirs) -> anyhow::Result<Self> {
        match (&maildirs.root, &maildirs.layout) {
            (Some(root), Some(layout)) => {
                if !["{local}", "{address}"].iter().any(|part| layout.contains(part)) {
                    bail!(
                        "--layout `{layout}` has neither {{local}} nor {{address}}: all accounts would share a Maildir"
                    );
                }
                Ok(Self::Folder(root.clone(), layout.clone()))
            }
            (None, None) => Ok(Self::Store(crate::mailbox::open_store(&maildirs.place)?)),
            _ => bail!("--root and --layout go together"),
        }
    }

    fn of_account(&self, account: &Account) -> anyhow::Result<PathBuf> {
        match self {
            Self::Store(store) => Ok(store.maildir(&AccountId::new(&account.address))?),
            Self::Folder(root, layout) => {
                let address = account.address.to_string();
                let (local, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
                let path = layout
                    .replace("{domain}", domain)
                    .replace("{local}", local)
                    .replace("{address}", &address);
                Ok(root.join(Path::new(&path)))
            }
        }
    }
}
