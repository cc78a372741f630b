//! The gateway role: mail comes in here, from other mail systems (MX), from people who log in (submission) and from mail
//! systems of our own (LMTP).
//!
//! ```text
//!                 ┌ line ─▶ smtp-proto's Session ─▶ Action ┐
//!  TCP, TLS ─ wire│                                        │ RCPT ─▶ directory      AUTH ─▶ sasl, directory
//!                 └ text ─▶ its Data- or ChunkDecoder ─────┘ message ─▶ queue's body writer ─▶ publish ─▶ 250
//! ```
//!
//! **Invariant:** a message gets its 250 after [`queue::Queue::publish`] said that it is durable, and from nowhere else.
//!
//! What it is not: it never opens a mailbox, follows no alias and makes no bounce. Whom it can't serve it refuses while
//! the sender is still there.
//!
//! Failure behaviour: a directory that can't answer is 451, a queue that is full 452, a queue that fails 451; what a
//! peer does wrong gets its SMTP answer and is counted; a panic ends one connection.

mod config;
mod error;
mod listen;
mod metrics;
mod reply;
mod session;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use directory::Directory;
use filters::Filters;
use queue::Queue;
use runtime::{Drain, ServerTls};

pub use config::{Config, Limits, Timeouts};
pub use error::BindError;

/// Feeds arbitrary octets to the conversion of binary messages.
pub fn fuzz_binary(input: &[u8]) {
    session::fuzz_binary(input);
}

/// What the role needs from the process that runs it.
pub struct Deps {
    /// Who has mail here, and who may log in.
    pub directory: Arc<dyn Directory>,
    /// Where accepted messages go.
    pub queue: Arc<dyn Queue>,
    /// What is checked about mail; without them nothing is.
    pub filters: Option<Arc<Filters>>,
    /// The certificate; without it there is no STARTTLS and no listener that begins with TLS.
    pub tls: Option<ServerTls>,
    /// Where metrics are registered.
    pub registry: prometheus::Registry,
}

/// The role with its listeners bound.
pub struct Gateway {
    listeners: Vec<listen::Bound>,
    shared: Arc<session::Shared>,
}

/// Binds every configured listener, so that a port in use is known before the process calls itself ready.
pub async fn bind(config: Config, deps: Deps) -> Result<Gateway, BindError> {
    let listeners = listen::bind(&config, deps.tls.as_ref()).await?;
    let shared = Arc::new(session::Shared::new(config, deps)?);
    Ok(Gateway { listeners, shared })
}

impl Gateway {
    /// Each listener's name (`mx`, `submission`, `submissions`, `lmtp`) and where it listens.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        self.listeners.iter().map(|bound| (bound.kind.name(), bound.address)).collect()
    }

    /// Serves until the drain begins. Sessions under way are tasks of the drain, which waits for them.
    pub async fn run(self, drain: Drain) {
        let mut serving = tokio::task::JoinSet::new();
        if let Some(filters) = self.shared.filters.clone() {
            let drain = drain.clone();
            serving.spawn(async move {
                tokio::select! {
                    () = drain.requested() => {}
                    () = filters.upkeep() => {}
                }
            });
        }
        for bound in self.listeners {
            serving.spawn(listen::serve(bound, Arc::clone(&self.shared), drain.clone()));
        }
        serving.join_all().await;
    }
}
