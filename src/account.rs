//! `sluice account`.

use anyhow::bail;
use clap::Subcommand;
use directory::AccountChange;
use envelope::{Address, Domain};

use crate::arguments::Place;
use crate::domain::admin;
use crate::{listing, password};

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
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Add { address, name, no_password, place } => {
            // Opened first, so that nobody types a password for nothing.
            let mut admin = admin(place)?;
            let password = if *no_password { None } else { Some(Some(password::read()?)) };
            let change = AccountChange { password, display_name: name.clone(), login_allowed: None };
            admin.add_account(address, &change)?;
            println!("account {} added", address.canonical());
            if admin.make_postmaster_if_first(address)? {
                let domain = address.domain();
                println!(
                    "it gets the mail for postmaster@{domain} and abuse@{domain}: `sluice domain set {domain} --postmaster ADDRESS` changes that"
                );
            }
        }
        Action::List { domain, json, place } => {
            let accounts = admin(place)?.accounts(domain.as_ref())?;
            listing::print(*json, &accounts, &["address", "name", "login"], |info| {
                let login = match (info.login_allowed, info.has_password) {
                    (true, true) => "yes",
                    (true, false) => "no password",
                    (false, _) => "no",
                };
                vec![info.address.to_string(), info.display_name.clone(), login.to_owned()]
            })?;
        }
        Action::Remove { address, place } => {
            admin(place)?.remove_account(address)?;
            println!("account {} removed", address.canonical());
        }
        Action::Set { address, name, password: ask, login, place } => {
            if name.is_none() && !ask && login.is_none() {
                bail!("nothing to change: give --name, --password or --login");
            }
            let mut admin = admin(place)?;
            let password = if *ask { Some(Some(password::read()?)) } else { None };
            let change = AccountChange { password, display_name: name.clone(), login_allowed: *login };
            admin.set_account(address, &change)?;
            println!("account {} changed", address.canonical());
        }
    }
    Ok(())
}
