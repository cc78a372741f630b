//! The role's configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How people reach their mail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The IMAP server.
    pub imap: crate::imap::Config,
    /// The POP3 server.
    pub pop3: crate::pop3::Config,
    /// The webmail.
    pub web: crate::web::Config,
}

impl Config {
    /// What is wrong with the values: pairs of key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let rooms = [("imap", self.imap.faults()), ("pop3", self.pop3.faults()), ("web", self.web.faults())];
        let prefixed = rooms.into_iter().flat_map(|(room, faults)| {
            faults.into_iter().map(move |(key, problem)| (format!("{room}.{key}"), problem))
        });
        prefixed.collect()
    }
}
