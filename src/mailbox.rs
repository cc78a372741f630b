//! `sluice mailbox`.

use clap::Subcommand;
use store::Store;

use crate::arguments::Place;
use crate::settings::Settings;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make the configured store.root a mail volume, once, with its file system mounted. Without that mark Sluice refuses to
    /// serve it, so that a mount that is away never looks like empty mailboxes.
    Init {
        #[command(flatten)]
        place: Place,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Init { place } => {
            let root = Settings::load(place)?.store.root;
            Store::init_volume(&root)?;
            println!("`{}` is a mail volume", root.display());
        }
    }
    Ok(())
}
