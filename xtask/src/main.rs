//! The project's own tools: `cargo xtask bench | ci | fuzz | growth | soak | tidy`.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks through standard output")]

mod bench;
mod ci;
mod fuzz;
mod growth;
mod soak;
mod tidy;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Tools for people who work on Sluice")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures this build and prints the rows of docs/performance.md.
    Bench(bench::Arguments),
    /// Everything a change must pass before the tests: formatting, clippy, tidy.
    Ci,
    /// Arbitrary octets for every parser, guided by coverage.
    Fuzz(fuzz::Arguments),
    /// How cost grows with accounts, messages, connections and processes: tables and charts of docs/growth.md. Needs rabbitmq-server.
    Growth(growth::Arguments),
    /// Long runs under faults, with a proof at the end: `operations N violations 0`.
    #[command(subcommand)]
    Soak(soak::Soak),
    /// Layers, exclusive dependencies, lengths of files, module names, links in documents, licences.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Ci => ci::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Growth(arguments) => growth::run(&arguments),
        Command::Soak(soak) => soak::run(&soak),
        Command::Tidy => tidy::run(),
    }
}
