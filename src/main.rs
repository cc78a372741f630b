//! `sluice`: one binary for every role and for the people who run them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks through its standard streams"
)]

mod account;
mod alias;
mod announce;
mod arguments;
mod config_command;
mod data;
mod domain;
mod listing;
mod load_test;
mod mailbox;
mod password;
mod policy_command;
mod quarantine_command;
mod queue_command;
mod queues;
mod quota;
mod reports_command;
mod reputation_command;
mod roles;
mod settings;
mod start;
mod tls_command;
mod trace;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::process::decline_huge_pages();
    runtime::install_crypto_provider();
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Access(node) => start::run(&node, &[roles::Role::Access]),
        Command::Account(arguments) => account::run(&arguments),
        Command::Alias(arguments) => alias::run(&arguments),
        Command::Config(arguments) => config_command::run(&arguments),
        Command::Domain(arguments) => domain::run(&arguments),
        Command::Gateway(node) => start::run(&node, &[roles::Role::Gateway]),
        Command::Loadtest(arguments) => load_test::run(*arguments),
        Command::Mailbox(arguments) => mailbox::run(&arguments),
        Command::Policy(arguments) => policy_command::run(&arguments),
        Command::Quarantine(arguments) => quarantine_command::run(&arguments),
        Command::Queue(arguments) => queue_command::run(&arguments),
        Command::Reports(arguments) => reports_command::run(&arguments),
        Command::Reputation(arguments) => reputation_command::run(&arguments),
        Command::Tls(arguments) => tls_command::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Up(node) => start::run(&node, roles::Role::ALL),
        Command::Worker(node) => start::run(&node, &[roles::Role::Worker]),
    }
}

/// The error and its causes as one line for a person.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
