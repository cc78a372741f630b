//! What the system says to a process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT. Made first, asked later: a signal in between is not lost.
pub struct Terminate {
    interrupt: Signal,
    terminate: Signal,
}

impl Terminate {
    /// Takes the signals over: from now on they no longer end the process by themselves.
    pub fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The name of the next signal. Cancel-safe. A second one while draining means: end at once.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits for the first SIGTERM or SIGINT.
pub async fn terminate() -> io::Result<&'static str> {
    Ok(Terminate::new()?.next().await)
}
