//! What a command's function gives back.

use store::StoreError;

use super::connection::End;
use super::reply::Reply;
use crate::work::WorkError;

/// The tagged answer, or why there is another one or none.
pub(crate) type Answer = Result<Reply, Stop>;

/// Why a command stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused or failed; the session goes on.
    Refused(Reply),
    /// The connection ends.
    End(End),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<WorkError> for Stop {
    fn from(error: WorkError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}
