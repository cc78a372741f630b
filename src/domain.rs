//! `sluice domain`.

use clap::Subcommand;
use directory::{Admin, DomainChange};
use envelope::{Address, Domain};

use crate::arguments::Place;
use crate::{listing, quota};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Receive mail for a domain.
    Add {
        /// The domain, such as example.test.
        domain: Domain,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        place: Place,
    },
    /// Every domain.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Stop receiving mail for a domain. Mail that was delivered stays on the disk.
    Remove {
        /// The domain.
        domain: Domain,
        /// Its accounts and aliases too.
        #[arg(long)]
        with_addresses: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Change a domain.
    Set {
        /// The domain.
        domain: Domain,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(clap::Args)]
struct Change {
    /// Who gets mail for addresses that nobody has.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_catch_all")]
    catch_all: Option<Address>,
    /// Refuse mail for addresses that nobody has.
    #[arg(long)]
    no_catch_all: bool,
    /// Who gets mail for postmaster and abuse when nobody has these addresses. Without one, the domain's first account does.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_postmaster")]
    postmaster: Option<Address>,
    /// Nobody.
    #[arg(long)]
    no_postmaster: bool,
    #[command(flatten)]
    quota: quota::QuotaChange,
}

impl From<&Change> for DomainChange {
    fn from(change: &Change) -> Self {
        let asked =
            |set: &Option<Address>, unset: bool| if unset { Some(None) } else { set.clone().map(Some) };
        Self {
            catch_all: asked(&change.catch_all, change.no_catch_all),
            postmaster: asked(&change.postmaster, change.no_postmaster),
            quota_octets: change.quota.octets(),
            quota_messages: change.quota.messages(),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Add { domain, change, place } => {
            admin(place)?.add_domain(domain, &change.into())?;
            println!("domain {domain} added");
        }
        Action::List { json, place } => {
            let domains = admin(place)?.domains()?;
            let shown = |address: &Option<Address>| {
                address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            listing::print(
                *json,
                &domains,
                &["domain", "accounts", "aliases", "catch-all", "postmaster", "quota of an account"],
                |info| {
                    vec![
                        info.domain.to_string(),
                        info.accounts.to_string(),
                        info.aliases.to_string(),
                        shown(&info.catch_all),
                        shown(&info.postmaster),
                        quota::shown(info.quota_octets, info.quota_messages),
                    ]
                },
            )?;
        }
        Action::Remove { domain, with_addresses, place } => {
            admin(place)?.remove_domain(domain, *with_addresses)?;
            println!("domain {domain} removed");
        }
        Action::Set { domain, change, place } => {
            admin(place)?.set_domain(domain, &change.into())?;
            println!("domain {domain} changed");
        }
    }
    Ok(())
}

/// The directory of an existing data folder, for changes.
pub(crate) fn admin(place: &Place) -> anyhow::Result<Admin> {
    crate::data::DataFolder::open(&place.data)?;
    let settings = crate::settings::Settings::load(place)?;
    Ok(Admin::open(&settings.directory)?)
}
