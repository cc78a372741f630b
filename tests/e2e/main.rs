//! End to end: the real binary, driven by clients that others wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can't go on must say so and stop"
)]

mod adoption;
mod broker;
mod browser;
mod certificates;
mod clients;
#[path = "../../queue/src/rabbitmq/tests/broker.rs"]
mod cluster;
mod dns;
mod dnssec;
mod example;
mod filters;
mod first_session;
mod hostile;
mod kills;
mod loadtest;
mod logins;
mod node;
mod outbound;
mod policy;
mod processes;
mod reports;
mod reputation;
mod signals;
mod volumes;
mod wire;
