//! `sluice account`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use directory::{AccountChange, NewAccount};
use envelope::{Address, Domain, Secret};

use crate::arguments::Place;
use crate::domain::admin;
use crate::{listing, password, quota};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Give somebody a mailbox. The password comes from a prompt or from standard input.
    Add {
        /// The address, which is also the login name.
        address: Address,
        /// The name that the webmail puts before the address.
        #[arg(long)]
        name: Option<String>,
        /// Without a password: mail is received, nobody can log in.
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        quota: quota::QuotaChange,
        #[command(flatten)]
        place: Place,
    },
    /// Give many people a mailbox: one address a line, a display name behind a space. Domains that are missing are added. Their password, the same for
    /// all, comes from a prompt or from standard input.
    Import {
        /// The file.
        file: PathBuf,
        /// Without a password: mail is received, nobody can log in.
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Every account.
    List {
        /// Only those of this domain.
        #[arg(long)]
        domain: Option<Domain>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Take a mailbox away from the directory. Mail that was delivered stays on the disk.
    Remove {
        /// The account.
        address: Address,
        #[command(flatten)]
        place: Place,
    },
    /// Change an account.
    Set {
        /// The account.
        address: Address,
        /// The name that the webmail puts before the address.
        #[arg(long)]
        name: Option<String>,
        /// A new password, from a prompt or from standard input.
        #[arg(long)]
        password: bool,
        /// Whether it may log in; mail is received either way.
        #[arg(long, value_name = "true|false")]
        login: Option<bool>,
        #[command(flatten)]
        quota: quota::QuotaChange,
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Add { address, name, no_password, quota, place } => {
            // Opened first, so that nobody types a password for nothing.
            let mut admin = admin(place)?;
            let password = if *no_password { None } else { Some(Some(password::read()?)) };
            let change = change(password, name.as_deref(), None, quota);
            admin.add_account(address, &change)?;
            println!("account {} added", address.canonical());
            if admin.make_postmaster_if_first(address)? {
                let domain = address.domain();
                println!(
                    "it gets the mail for postmaster@{domain} and abuse@{domain}: `sluice domain set {domain} --postmaster ADDRESS` changes that"
                );
            }
        }
        Action::Import { file, no_password, place } => {
            let accounts = listed(file)?;
            let mut admin = admin(place)?;
            let password = if *no_password { None } else { Some(password::read()?) };
            let added = admin.add_many(accounts.into_iter(), password.as_ref(), |_| ())?;
            let directory::Added { accounts, domains, known } = added;
            println!("{accounts} accounts and {domains} domains added; {known} accounts were there");
        }
        Action::List { domain, json, place } => {
            let accounts = admin(place)?.accounts(domain.as_ref())?;
            listing::print(*json, &accounts, &["address", "name", "login", "quota"], |info| {
                let login = match (info.login_allowed, info.has_password) {
                    (true, true) => "yes",
                    (true, false) => "no password",
                    (false, _) => "no",
                };
                let quota = quota::shown(info.quota_octets, info.quota_messages);
                vec![info.address.to_string(), info.display_name.clone(), login.to_owned(), quota]
            })?;
        }
        Action::Remove { address, place } => {
            admin(place)?.remove_account(address)?;
            println!("account {} removed", address.canonical());
        }
        Action::Set { address, name, password: ask, login, quota, place } => {
            if name.is_none() && !ask && login.is_none() && quota.is_empty() {
                bail!("nothing to change: give --name, --password, --login, --quota or --quota-messages");
            }
            let mut admin = admin(place)?;
            let password = if *ask { Some(Some(password::read()?)) } else { None };
            let change = change(password, name.as_deref(), *login, quota);
            admin.set_account(address, &change)?;
            println!("account {} changed", address.canonical());
        }
    }
    Ok(())
}

/// The accounts of a file; every fault in it is told before any is added.
fn listed(file: &Path) -> anyhow::Result<Vec<NewAccount>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
    let mut faults = Vec::new();
    let mut accounts = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let (address, name) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match address.parse() {
            Ok(address) => accounts.push(NewAccount { address, display_name: name.trim().to_owned() }),
            Err(error) => faults.push(format!("line {number}: `{}`: {error}", listing::clean(address))),
        }
    }
    if !faults.is_empty() {
        bail!(
            "nothing was added, for in `{}` there are lines that begin with no address:\n{}",
            file.display(),
            faults.join("\n")
        );
    }
    Ok(accounts)
}

fn change(
    password: Option<Option<Secret<String>>>,
    name: Option<&str>,
    login: Option<bool>,
    quota: &quota::QuotaChange,
) -> AccountChange {
    AccountChange {
        password,
        display_name: name.map(str::to_owned),
        login_allowed: login,
        quota_octets: quota.octets(),
        quota_messages: quota.messages(),
    }
}
