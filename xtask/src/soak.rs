//! Long runs under faults, each with a checker at its end. The seed is printed: it gives the same choices again, though threads and
//! kills come at other moments.

#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the broker of the tests: it says so and stops when it can't be started"
)]
#[path = "../../queue/src/rabbitmq/tests/broker.rs"]
pub(crate) mod broker;
mod pipeline;
mod store;

#[derive(clap::Subcommand)]
pub(crate) enum Soak {
    /// Gateways, workers and access nodes with kills, stand-stills, cut wires and power, bad disks and clocks, and a broker that dies; then a
    /// ledger. Needs rabbitmq-server, redis-server, python3, cc, and root for network namespaces and disks of its own.
    Pipeline(pipeline::Arguments),
    /// Two nodes on one NFS export with kills, server stops, cut wires and power cuts. Needs root.
    Store(store::Arguments),
}

pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    match soak {
        Soak::Pipeline(arguments) => pipeline::run(arguments),
        Soak::Store(arguments) => store::run(arguments),
    }
}
