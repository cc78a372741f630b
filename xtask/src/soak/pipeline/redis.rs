//! The shared state of a round.

use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::Context as _;

use super::machine::Machine;

/// A server that keeps nothing on disk.
pub(super) struct Redis {
    pub(super) machine: Machine,
    port: u16,
    child: Option<Child>,
}

impl Redis {
    pub(super) fn start(machine: Machine, port: u16) -> anyhow::Result<Self> {
        let mut redis = Self { machine, port, child: None };
        redis.begin()?;
        Ok(redis)
    }

    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.machine.address, self.port)
    }

    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        let mut command = self.machine.command(Path::new("redis-server"));
        command.args(["--port", &self.port.to_string(), "--bind", &self.machine.address]);
        command.args(["--save", "", "--appendonly", "no", "--protected-mode", "no"]);
        command.current_dir(&self.machine.folder).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().context("the soak needs Debian's package redis-server")?);
        Ok(())
    }

    /// As `kill -9` does it.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub(super) fn signal(&self, name: &str) -> anyhow::Result<()> {
        self.child.as_ref().map_or(Ok(()), |child| super::site::signal(child, name))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
