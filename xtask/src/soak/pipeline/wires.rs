//! The network between the machines: a namespace for each, a bridge between them, and wires that can be cut.

use std::process::Command;

use anyhow::{Context as _, ensure};

const TABLE: &str = "add table inet soak\n\
    add chain inet soak in { type filter hook input priority 0; }\n\
    add chain inet soak out { type filter hook output priority 0; }\n";

/// All of it; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Wires {
    prefix: String,
    names: Vec<String>,
}

impl Wires {
    /// A bridge, and nobody at it yet.
    pub(super) fn lay(prefix: &str) -> anyhow::Result<Self> {
        let mut wires = Self { prefix: prefix.to_owned(), names: Vec::new() };
        let hub = wires.name("hub");
        ip(&["netns", "add", &hub])?;
        wires.names.push(hub.clone());
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "br0", "up"])?;
        Ok(wires)
    }

    /// Whether this machine lets us.
    pub(super) fn possible(prefix: &str) -> bool {
        Self::lay(prefix).is_ok_and(|mut wires| wires.plug("try").is_ok())
    }

    /// Connects one more machine; gives the namespace and the address.
    pub(super) fn plug(&mut self, name: &str) -> anyhow::Result<(String, String)> {
        let (hub, space) = (self.name("hub"), self.name(name));
        let number = self.names.len();
        let (port, address) = (format!("v{number}"), format!("10.99.0.{}", number + 10));
        ip(&["netns", "add", &space])?;
        self.names.push(space.clone());
        ip(&["link", "add", "eth0", "netns", &space, "type", "veth", "peer", "name", &port, "netns", &hub])?;
        ip(&["-n", &hub, "link", "set", &port, "master", "br0", "up"])?;
        ip(&["-n", &space, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])?;
        nft(&space, TABLE)?;
        Ok((space, address))
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

/// Nothing of `address` comes in any more at `space`, and, when it is cut both ways, nothing goes there.
pub(super) fn cut(space: &str, address: &str, both: bool) -> anyhow::Result<()> {
    nft(space, &format!("add rule inet soak in ip saddr {address} drop\n"))?;
    if both {
        nft(space, &format!("add rule inet soak out ip daddr {address} drop\n"))?;
    }
    Ok(())
}

/// Everything that was cut at `space` is whole.
pub(super) fn heal(space: &str) -> anyhow::Result<()> {
    nft(space, "flush chain inet soak in\nflush chain inet soak out\n")
}

impl Drop for Wires {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(arguments))
}

fn nft(space: &str, commands: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(["netns", "exec", space, "nft", "--", commands]))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
