//! Milters: filters of others, asked over the milter protocol at each step of an SMTP session.
//!
//! One connection to each milter and SMTP session, opened when the milter is first concerned; ABORT between messages that were not brought to their end, QUIT when
//! the session is over. Milters are asked in the order of the configuration, and each sees what those before it changed in the header section and the body.
//!
//! Failure behaviour: a milter that can't be reached, does not answer in time, closes, or says what is not allowed is in an unknown state. Its connection is
//! dropped with everything it said of the message, and `on_failure` decides: the message is refused for now, or goes on without it. The next message begins with
//! a new connection. After several failures in a row a breaker stops asking for a while.

mod config;
mod facts;
mod failure;
mod link;
mod session;
mod verdict;

use std::sync::Arc;

use prometheus::Registry;

pub use config::{Clients, MilterConfig, MilterLimits, faults};
pub(crate) use config::{list_faults, serves};
pub use facts::{Authenticated, Connection, Tls};
pub use session::MilterSession;

use crate::peer::{Breaker, Counts, Figures};

/// All configured milters, shared by all sessions.
#[derive(Debug, Clone, Default)]
pub struct Milters {
    milters: Arc<[Arc<Milter>]>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Milter {
    pub(crate) config: MilterConfig,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) figures: Figures,
}

impl Milters {
    /// Takes the configuration and registers the metrics; nothing is connected yet.
    pub fn new(configs: &[MilterConfig], registry: &Registry) -> Result<Self, prometheus::Error> {
        if configs.is_empty() {
            return Ok(Self::default());
        }
        let counts = Counts::new(registry, "milter")?;
        let milter = |config: &MilterConfig| {
            let figures = counts.of(&config.name);
            let breaker = Breaker::new(config.breaker, figures.open.clone());
            Arc::new(Milter { config: config.clone(), breaker, figures })
        };
        Ok(Self { milters: configs.iter().map(milter).collect() })
    }

    /// Begins with a client. Nothing is asked before [`MilterSession::connect`].
    pub fn session(&self, connection: &Connection) -> MilterSession {
        let concerned = |milter: &&Arc<Milter>| milter.config.serves(&connection.listener);
        MilterSession::new(self.milters.iter().filter(concerned).cloned(), connection.clone())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.milters.is_empty()
    }
}

#[cfg(test)]
mod tests;
