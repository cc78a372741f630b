//! `sluice alias`.

use clap::Subcommand;
use envelope::{Address, Domain};

use crate::arguments::Place;
use crate::domain::admin;
use crate::listing;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Let an address lead to others.
    Add {
        /// The address.
        address: Address,
        /// Where it leads.
        #[arg(required = true)]
        targets: Vec<Address>,
        #[command(flatten)]
        place: Place,
    },
    /// Every alias.
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
    /// Take an alias away.
    Remove {
        /// The alias.
        address: Address,
        #[command(flatten)]
        place: Place,
    },
    /// Let an alias lead elsewhere.
    Set {
        /// The alias.
        address: Address,
        /// Where it leads from now on.
        #[arg(required = true)]
        targets: Vec<Address>,
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Add { address, targets, place } => {
            admin(place)?.add_alias(address, targets)?;
            println!("alias {} added", address.canonical());
        }
        Action::List { domain, json, place } => {
            let aliases = admin(place)?.aliases(domain.as_ref())?;
            listing::print(*json, &aliases, &["address", "leads to"], |info| {
                let targets: Vec<String> = info.targets.iter().map(ToString::to_string).collect();
                vec![info.address.to_string(), targets.join(", ")]
            })?;
        }
        Action::Remove { address, place } => {
            admin(place)?.remove_alias(address)?;
            println!("alias {} removed", address.canonical());
        }
        Action::Set { address, targets, place } => {
            admin(place)?.set_alias(address, targets)?;
            println!("alias {} changed", address.canonical());
        }
    }
    Ok(())
}
