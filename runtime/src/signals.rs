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

/// Waits for SIGHUP: read again what may have changed. Made early: from then on the signal no longer ends the process.
pub struct Hangup(Signal);

impl Hangup {
    /// Takes the signal over.
    pub fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one. Cancel-safe.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Waits for the first SIGTERM or SIGINT.
pub async fn terminate() -> io::Result<&'static str> {
    Ok(Terminate::new()?.next().await)
}
