//! `sluice config`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use crate::arguments::{Node, Place};
use crate::listing;
use crate::roles::Role;
use crate::settings::{self, Settings};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say everything that is wrong with a configuration file, at once.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Every key with its type, default and meaning, as Markdown.
    Reference {
        /// Taken for the sake of scripts that give it to every command; not used.
        #[arg(long, hide = true)]
        data: Option<PathBuf>,
    },
    /// What holds: the defaults, the file and the environment together. Secrets are shown as ***.
    Show {
        #[command(flatten)]
        node: Node,
    },
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.action {
        Action::Check { place } => {
            Settings::load(place)?;
            match &place.config {
                Some(file) => println!("{}: nothing wrong", file.display()),
                None => println!("the defaults: nothing wrong"),
            }
        }
        Action::Reference { data: _ } => listing::write(config::reference::<Settings>())?,
        Action::Show { node } => {
            let mut shown: Settings = config::load(node.place.config.as_deref(), settings::variables())
                .map_err(|faults| anyhow::anyhow!("the configuration is not usable\n{faults}"))?;
            shown.listen_from(node.effective_port_base(), Role::ALL);
            listing::write(config::show(&shown).context("failed to write the configuration")?)?;
        }
    }
    Ok(())
}
