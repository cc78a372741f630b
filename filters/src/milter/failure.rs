//! How a milter fails.

use std::io;

use milter_proto::{Fault, Misuse, Step};

use crate::peer::Outcome;

/// Why nothing is known of what a milter thinks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("can't be reached")]
    Unreachable(#[source] io::Error),
    #[error("no connection within connect_max")]
    ConnectTimeout,
    #[error("no answer to {} within its deadline", .0.name())]
    Timeout(Step),
    #[error("closed the connection at {}", .0.name())]
    Closed(Step),
    #[error("the connection failed at {}", step.name())]
    Io {
        step: Step,
        #[source]
        error: io::Error,
    },
    #[error("said what is not allowed at {}", step.name())]
    Fault {
        step: Step,
        #[source]
        fault: Fault,
    },
    #[error("wants a change that can't be made: {0}")]
    Change(&'static str),
    #[error("can't be told of {}", step.name())]
    Misuse {
        step: Step,
        #[source]
        misuse: Misuse,
    },
    #[error("not asked after failures")]
    NotAsked,
}

impl Failure {
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable(_) => Outcome::Unreachable,
            Self::ConnectTimeout | Self::Timeout(_) => Outcome::Timeout,
            Self::Closed(_) | Self::Io { .. } => Outcome::Closed,
            Self::Fault { fault: Fault::ConnectionFailed, .. } => Outcome::Closed,
            Self::Fault { .. } | Self::Change(_) | Self::Misuse { .. } => Outcome::Protocol,
            Self::NotAsked => Outcome::NotAsked,
        }
    }

    /// For logs: with what lies behind it.
    pub(crate) fn told(&self) -> String {
        let mut told = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            told = format!("{told}: {error}");
            source = error.source();
        }
        told
    }
}
