//! BDAT (RFC 3030 §2).

use super::{Action, Refusal, Session, State};
use crate::Bdat;

impl Session {
    /// A chunk is read whatever becomes of it: its octets are counted, so that what stands behind it are commands in any
    /// case. That is why anything may be pipelined behind it (RFC 3030 §4.2).
    pub(super) fn bdat(&self, state: State, bdat: Bdat) -> (State, Action) {
        match state {
            State::Transaction(client, transaction) if transaction.recipients.is_empty() => {
                skip(State::Transaction(client, transaction), bdat, &self.no_recipients())
            }
            State::Transaction(client, transaction) | State::Chunks(client, transaction)
                if client.extended =>
            {
                (State::Chunk(client, transaction, bdat), Action::ReceiveChunk(bdat))
            }
            // Nothing was offered to a client that said HELO.
            state @ State::Transaction(..) => skip(state, bdat, &Refusal::NotOffered("BDAT")),
            state => skip(state, bdat, &Refusal::Sequence("Send MAIL and RCPT first")),
        }
    }
}

/// Stays in `state`; the chunk counts for nothing.
fn skip(state: State, bdat: Bdat, refusal: &Refusal) -> (State, Action) {
    (state, Action::SkipChunk(bdat.size, refusal.reply()))
}
