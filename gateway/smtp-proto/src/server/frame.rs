//! Lines that are none.

use super::{Action, Refusal, Session, State, refuse};
use crate::FrameError;

impl Session {
    /// A bad line within an AUTH exchange ends the exchange.
    pub(super) fn bad_line(&mut self, state: State, error: FrameError) -> (State, Action) {
        let state = match state {
            State::AuthAwaited(client) => {
                self.auth_failures += 1;
                State::Ready(client)
            }
            other => other,
        };
        refuse(state, if self.message_refused { Refusal::Pipelining } else { Refusal::Frame(error) })
    }
}
