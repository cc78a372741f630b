//! The text behind DATA, read as far as it makes sense.

use std::time::Duration;

use smtp_proto::DataDecoder;
use tokio::time::Instant;

use super::intake::{Fault, Intake};
use crate::session::{End, Session};

impl Session {
    /// Reads to `CRLF.CRLF`, or as far as makes sense with a message that is refused anyway.
    pub(super) async fn read_text(&mut self, intake: &mut Intake) -> Result<Ending, End> {
        let limits = &self.shared.config.limits;
        let (discard_max, rate_min) = (limits.discard_max.as_u64(), limits.data_rate_min.as_u64());
        let mut decoder = DataDecoder::new(limits.data());
        let began = Instant::now();
        let mut text = Vec::new();
        let (mut octets, mut discarded) = (0u64, 0u64);
        let mut tail = Tail::default();
        loop {
            text.clear();
            let progress = decoder.decode(&self.wire.input, |slice| text.extend_from_slice(slice));
            tail.push(self.wire.input.get(..progress.consumed).unwrap_or_default());
            self.wire.consume(progress.consumed);
            octets = octets.saturating_add(progress.consumed as u64);
            if let Some(poison) = decoder.poison() {
                intake.fail(Fault::Poison(poison));
            }
            intake.take(&text).await;
            let smuggling = decoder.poison().is_some_and(smtp_proto::Poison::is_smuggling);
            if progress.finished {
                return Ok(if smuggling { Ending::Unknown } else { Ending::Known });
            }
            if smuggling && tail.is_an_end_to_others() {
                // A client with other line ends waits for its answer now.
                return Ok(Ending::Unknown);
            }
            if intake.has_failed() {
                discarded = discarded.saturating_add(progress.consumed as u64);
                if discarded > discard_max {
                    return Ok(Ending::Unknown);
                }
            }
            let (deadline, end) = self.data_deadline(began, octets, rate_min);
            if Instant::now() >= deadline {
                // A sender that always has an octet at hand never lets the wait below run out.
                return Err(end);
            }
            match self.wire.read_data(deadline).await {
                // Who waits here for an answer gets the one that is final.
                Err(End::Timeout) if smuggling => return Ok(Ending::Unknown),
                Err(End::Timeout) => return Err(end),
                read => read?,
            }
        }
    }

    /// When the next octets must be here, and what it means if they are not: the wait for a block, the least rate or
    /// the session's end, whichever comes first.
    pub(super) fn data_deadline(&self, began: Instant, octets: u64, rate_min: u64) -> (Instant, End) {
        let timeouts = &self.shared.config.timeouts;
        let by_block = (Instant::now() + timeouts.data_block.as_duration()).min(self.deadline);
        let Some(allowed) = octets.checked_div(rate_min) else { return (by_block, End::DataTimeout) };
        let by_rate = began + timeouts.data_grace.as_duration() + Duration::from_secs(allowed);
        if by_rate < by_block { (by_rate, End::TooSlow) } else { (by_block, End::DataTimeout) }
    }
}

/// How the reading of a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// At its end: what follows are commands.
    Known,
    /// Somewhere in it: the session is over with the answer.
    Unknown,
}

/// The last octets of a message as it comes.
#[derive(Debug, Default)]
struct Tail([u8; 4]);

impl Tail {
    fn push(&mut self, octets: &[u8]) {
        let last = octets.last_chunk::<4>();
        match last {
            Some(last) => self.0 = *last,
            None => octets.iter().for_each(|octet| {
                self.0.rotate_left(1);
                if let Some(slot) = self.0.last_mut() {
                    *slot = *octet;
                }
            }),
        }
    }

    /// Whether a program that takes LF for a line's end has said that the message ends here.
    fn is_an_end_to_others(&self) -> bool {
        self.0.ends_with(b"\n.\n") || self.0.ends_with(b"\n.\r\n")
    }
}
