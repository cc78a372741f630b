//! `sluice alias`: aliases and mailing lists.

use clap::Subcommand;
use directory::AliasChange;
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
        /// Make it a mailing list, for which this address answers: the members get mail under its name, and it hears of what can't be
        /// delivered.
        #[arg(long, value_name = "ADDRESS")]
        owner: Option<Address>,
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
    /// Let an alias lead elsewhere, or give it another owner.
    Set {
        /// The alias.
        address: Address,
        /// Where it leads from now on; without any it leads where it did.
        #[arg(required_unless_present_any = ["owner", "no_owner"])]
        targets: Vec<Address>,
        /// Make it a mailing list, for which this address answers.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "no_owner")]
        owner: Option<Address>,
        /// It is no mailing list any more.
        #[arg(long)]
        no_owner: bool,
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Add { address, targets, owner, place } => {
            admin(place)?.add_alias(address, targets, owner.as_ref())?;
            println!("{} {} added", kind(owner.is_some()), address.canonical());
        }
        Action::List { domain, json, place } => {
            let aliases = admin(place)?.aliases(domain.as_ref())?;
            listing::print(*json, &aliases, &["address", "leads to", "owner"], |info| {
                let targets: Vec<String> = info.targets.iter().map(ToString::to_string).collect();
                let owner = info.owner.as_ref().map(ToString::to_string).unwrap_or_default();
                vec![info.address.to_string(), targets.join(", "), owner]
            })?;
        }
        Action::Remove { address, place } => {
            admin(place)?.remove_alias(address)?;
            println!("alias {} removed", address.canonical());
        }
        Action::Set { address, targets, owner, no_owner, place } => {
            let change = AliasChange {
                targets: (!targets.is_empty()).then(|| targets.clone()),
                owner: if *no_owner { Some(None) } else { owner.clone().map(Some) },
            };
            admin(place)?.set_alias(address, &change)?;
            println!("alias {} changed", address.canonical());
        }
    }
    Ok(())
}

const fn kind(owned: bool) -> &'static str {
    if owned { "list" } else { "alias" }
}
