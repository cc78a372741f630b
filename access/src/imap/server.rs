//! What the sessions of a node share.

use std::sync::Arc;

use imap_proto::{FrameLimits, ParseLimits};
use runtime::ServerTls;

use super::config::Config;
use super::metrics::Metrics;
use crate::Deps;
use crate::accounts::Accounts;
use runtime::MemoryBudget;

/// Configuration, dependencies and counters, one per node.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) deps: Arc<Deps>,
    /// The certificate, with IMAP's ALPN.
    pub(crate) tls: Option<ServerTls>,
    pub(crate) metrics: Metrics,
    pub(crate) accounts: Accounts,
    pub(crate) append_memory: MemoryBudget,
}

impl Server {
    pub(crate) fn new(
        config: Config,
        deps: Arc<Deps>,
        tls: Option<ServerTls>,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::register(&deps.registry, &config)?;
        Ok(Self {
            accounts: Accounts::new(config.connections_per_account_max),
            append_memory: MemoryBudget::new(
                config.append_memory_max.as_usize(),
                config.append_memory_wait.into(),
                metrics.append_memory.clone(),
            ),
            config,
            deps,
            tls,
            metrics,
        })
    }

    /// How large a command may be. Before login, a little.
    pub(crate) fn frame_limits(&self, logged_in: bool) -> FrameLimits {
        let config = &self.config;
        if !logged_in {
            let command_max = config.command_before_login_max.as_u64();
            return FrameLimits {
                line_max: config.command_before_login_max.as_usize(),
                literal_max: command_max.min(1024),
                message_max: 0,
                non_sync_literal_max: command_max.min(1024),
                literals_max: 4,
                command_max,
                discard_max: command_max.saturating_mul(8),
                lone_line_feed: false,
            };
        }
        FrameLimits {
            line_max: config.line_max.as_usize(),
            literal_max: config.literal_max.as_u64(),
            message_max: config.append_max.as_u64(),
            non_sync_literal_max: u64::MAX,
            literals_max: LITERALS_MAX,
            command_max: config.line_max.as_u64().saturating_add(config.literal_max.as_u64()),
            discard_max: config.append_max.as_u64().saturating_mul(2),
            lone_line_feed: false,
        }
    }

    /// How complicated a command may be.
    pub(crate) fn parse_limits(&self) -> ParseLimits {
        ParseLimits {
            nesting_max: NESTING_MAX,
            ranges_max: self.config.sequence_ranges_max,
            search_keys_max: self.config.search_keys_max,
            list_max: LIST_MAX,
            utf8_mailboxes: false,
        }
    }
}

/// Parentheses and NOTs within each other; numbers in a section.
const NESTING_MAX: usize = 50;

/// Members of a list: flags, items, header names, patterns.
const LIST_MAX: usize = 250;

/// Literals in one command.
const LITERALS_MAX: usize = 64;
