//! Long runs under faults, each with a checker at its end. The seed is printed: it gives the same choices again, though threads and
//! kills come at other moments.

mod store;

#[derive(clap::Subcommand)]
pub(crate) enum Soak {
    /// Two nodes on one NFS export with kills, server stops, cut wires and power cuts. Needs root.
    Store(store::Arguments),
}

pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    match soak {
        Soak::Store(arguments) => store::run(arguments),
    }
}
