//! `sluice loadtest`: load over the wire.

mod admin;
mod compare;
mod idle;
mod imap;
mod ledger;
mod mixed;
mod options;
mod pop3;
mod population;
mod progress;
mod proof;
mod size;
mod smtp;
mod web;

use anyhow::Context as _;
use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Ask for the pages of health ports and run commands, as those do who look after the system.
    Admin(admin::Arguments),
    /// Compare the reports of two runs.
    Compare(compare::Arguments),
    /// Hold idle IMAP sessions.
    Idle(idle::Arguments),
    /// Look at mail over IMAP as mail programs do, or do one operation over and over.
    Imap(imap::Arguments),
    /// Prove that a system keeps what it accepts: send numbered messages, then find each in exactly one place.
    #[command(subcommand)]
    Ledger(ledger::Action),
    /// A day of a population with its peaks: everything at once.
    Mixed(mixed::Arguments),
    /// Poll over POP3.
    Pop3(pop3::Arguments),
    /// A population of accounts: what it is, and into a directory or Maildirs.
    #[command(subcommand)]
    Population(population::Action),
    /// How many nodes, cores and disks so many users need, from measured costs.
    Size(size::Arguments),
    /// Send messages over SMTP.
    Smtp(smtp::Arguments),
    /// Send messages as people do: log in, then send.
    Submission(smtp::Submission),
    /// Use the webmail as people do.
    Web(web::Arguments),
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Each session is one.
    runtime::process::raise_open_files();
    let executor =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start")?;
    match arguments.load {
        Load::Admin(arguments) => executor.block_on(admin::run(arguments)),
        Load::Compare(arguments) => compare::run(&arguments),
        Load::Idle(arguments) => executor.block_on(idle::run(arguments)),
        Load::Imap(arguments) => executor.block_on(imap::run(arguments)),
        Load::Ledger(action) => executor.block_on(ledger::run(action)),
        Load::Mixed(arguments) => executor.block_on(mixed::run(arguments)),
        Load::Pop3(arguments) => executor.block_on(pop3::run(arguments)),
        Load::Population(action) => population::run(action),
        Load::Size(arguments) => size::run(&arguments),
        Load::Smtp(arguments) => executor.block_on(smtp::run(arguments)),
        Load::Submission(arguments) => executor.block_on(smtp::submit(arguments)),
        Load::Web(arguments) => executor.block_on(web::run(arguments)),
    }
}
