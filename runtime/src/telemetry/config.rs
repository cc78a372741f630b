//! What an operator says about logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For people.
    Text,
}

/// Logs and the trail of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The form of the lines on standard error: `text` or `json`.
    pub format: LogFormat,
    /// The least severe level that is written: `error`, `warn`, `info`, `debug` or `trace`, with `,target=level` for single parts.
    pub level: String,
    /// How many days the trail of messages is kept, which `sluice trace` reads.
    pub trail_days: u16,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned(), trail_days: 14 }
    }
}

impl LogConfig {
    /// What is wrong: key path and problem.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if let Err(error) = super::targets(&self.level) {
            faults.push(("level".to_owned(), error.to_string()));
        }
        if self.trail_days == 0 {
            faults.push(("trail_days".to_owned(), "keep at least 1 day".to_owned()));
        }
        faults
    }
}
