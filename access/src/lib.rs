//! The access role: people read their mail here, over IMAP, POP3 and in the browser.
//!
//! Any node serves any account: all state is in the store. One task serves one connection; work on files runs on
//! the blocking pool. Mail written in the browser goes out through the gateway's submission port, as any client's does.
//!
//! ```text
//! imap imaps ─┐
//! pop3 pop3s ─┼→ session ─→ directory (who is it) ─→ store (what is there)
//! web        ─┘      └─ web only ─→ gateway's submission port
//! ```
//!
//! What it is not: it never talks to the queue or the broker, it delivers nothing, and it keeps nothing of its own on disk.
//!
//! Failure behaviour: a listener that can't be bound fails [`bind`]; a store or directory that is down refuses commands
//! in the protocol's terms and keeps the connection; a panic ends one connection.

mod accounts;
mod config;
mod error;
mod imap;
mod listen;
mod login;
mod pop3;
mod web;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;

use directory::Directory;
use runtime::{BlockingPool, ClientTls, Drain, ServerTls};
use store::Store;

pub use config::Config;
pub use error::BindError;
pub use imap::Config as ImapConfig;
pub use login::PlaintextLogin;
pub use pop3::Config as Pop3Config;
pub use web::Config as WebConfig;

/// What the role needs from the process that runs it.
pub struct Deps {
    /// Who may log in.
    pub directory: Arc<dyn Directory>,
    /// Everybody's mail.
    pub store: Store,
    /// Where work on files runs.
    pub blocking: BlockingPool,
    /// The certificate; without it there is no STARTTLS and no TLS listener.
    pub tls: Option<ServerTls>,
    /// Where metrics are registered.
    pub registry: prometheus::Registry,
    /// Where the webmail submits what people write; without it the webmail can't send.
    pub submission: Option<Submission>,
}

/// Finds the gateway's submission listener.
pub type Locate = Arc<dyn Fn() -> Option<SocketAddr> + Send + Sync>;

/// The gateway's submission listener as the webmail reaches it.
#[derive(Clone)]
pub struct Submission {
    /// Where it listens now; none when no gateway is known. Asked for every message, for a gateway may start later than this
    /// role, and again at another address.
    pub locate: Locate,
    /// How its certificate is checked after STARTTLS; without it the connection stays plain.
    pub tls: Option<ClientTls>,
    /// The name in its certificate.
    pub server_name: String,
}

/// The role with its listeners bound.
pub struct Access {
    imap: imap::Imap,
    pop3: pop3::Pop3,
    web: web::Web,
}

/// Binds every configured listener, so that a port in use is known before the process calls itself ready.
pub async fn bind(config: Config, deps: Deps) -> Result<Access, BindError> {
    let deps = Arc::new(deps);
    Ok(Access {
        imap: imap::Imap::bind(config.imap, Arc::clone(&deps)).await?,
        pop3: pop3::Pop3::bind(config.pop3, Arc::clone(&deps)).await?,
        web: web::Web::bind(config.web, deps).await?,
    })
}

impl Access {
    /// Every bound listener: `imap`, `imaps`, `pop3`, `pop3s`, `web`.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let mut addresses = self.imap.addresses();
        addresses.extend(self.pop3.addresses());
        addresses.extend(self.web.addresses());
        addresses
    }

    /// Serves until the drain is asked for and every accept loop has stopped. Sessions run as the drain's tasks.
    pub async fn run(self, drain: Drain) {
        tokio::join!(self.imap.run(drain.clone()), self.pop3.run(drain.clone()), self.web.run(drain));
    }
}
