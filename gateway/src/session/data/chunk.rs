//! BDAT: a message that comes in counted pieces (RFC 3030).
//!
//! The octets of a chunk are taken exactly, also of one that counts for nothing: what stands behind them is the next command.
//! Of those that count for nothing no more than `limits.discard_max` are read; beyond that the answer ends the session.

use std::time::Duration;

use smtp_proto::{Bdat, ChunkDecoder, Reply};
use tokio::time::Instant;

use super::Incoming;
use super::intake::Fault;
use super::text::Ending;
use crate::reply;
use crate::session::{End, Session};

/// A message of which chunks came and more are awaited.
pub(in crate::session) struct Chunked {
    incoming: Incoming,
    decoder: ChunkDecoder,
    /// How long its octets were waited for; the time between two chunks is the client's.
    spent: Duration,
}

impl Session {
    /// Reads a chunk to its end. The last one is answered as the text behind DATA is; one that makes the message unfit is
    /// answered with the refusal, and the message is dropped.
    pub(in crate::session) async fn receive_chunk(&mut self, bdat: Bdat) -> Result<Reply, End> {
        let mut chunked = match self.chunked.take() {
            Some(chunked) => chunked,
            None => match self.begin_message().await {
                Ok(incoming) => {
                    let decoder = ChunkDecoder::new(self.shared.config.limits.data());
                    Chunked { incoming, decoder, spent: Duration::ZERO }
                }
                Err(refusal) => {
                    self.skip_chunk(bdat.size, &refusal).await?;
                    return Ok(refusal);
                }
            },
        };
        chunked.decoder.begin(bdat.size);
        let ending = self.read_chunk(&mut chunked).await?;
        if bdat.last && ending == Ending::Known {
            let line_end = chunked.decoder.finish();
            chunked.judge();
            chunked.incoming.intake.take(line_end).await;
        }
        if ending == Ending::Known && !bdat.last && !chunked.incoming.intake.has_failed() {
            self.chunked = Some(chunked);
            return Ok(reply::chunk_taken(bdat.size));
        }
        let reply = self.finish_message(chunked.incoming).await;
        if ending == Ending::Unknown {
            return Err(self.say_last(&reply).await);
        }
        Ok(reply)
    }

    /// Throws a chunk away; one that is too long for that ends the session with the answer.
    pub(in crate::session) async fn skip_chunk(&mut self, size: u64, refusal: &Reply) -> Result<(), End> {
        let limits = &self.shared.config.limits;
        let (discard_max, rate_min) = (limits.discard_max.as_u64(), limits.data_rate_min.as_u64());
        if size > discard_max {
            self.send(refusal).await?;
            return Err(End::Refused);
        }
        let began = Instant::now();
        let mut left = size;
        loop {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(self.wire.input.len());
            self.wire.consume(taken);
            left -= taken as u64;
            if left == 0 {
                return Ok(());
            }
            self.read_more(began, size - left, rate_min).await?;
        }
    }

    async fn read_chunk(&mut self, chunked: &mut Chunked) -> Result<Ending, End> {
        let limits = &self.shared.config.limits;
        let (discard_max, rate_min) = (limits.discard_max.as_u64(), limits.data_rate_min.as_u64());
        let now = Instant::now();
        let began = now.checked_sub(chunked.spent).unwrap_or(now);
        let mut text = Vec::new();
        loop {
            text.clear();
            let taken = chunked.decoder.decode(&self.wire.input, |slice| text.extend_from_slice(slice));
            self.wire.consume(taken);
            chunked.judge();
            let intake = &mut chunked.incoming.intake;
            intake.take(&text).await;
            if chunked.decoder.left() == 0 {
                chunked.spent = began.elapsed();
                return Ok(Ending::Known);
            }
            if intake.has_failed() && chunked.decoder.left() > discard_max {
                return Ok(Ending::Unknown);
            }
            self.read_more(began, chunked.decoder.size(), rate_min).await?;
        }
    }

    /// Waits for more octets of a chunk. What was answered before does not wait with them: the client may.
    async fn read_more(&mut self, began: Instant, octets: u64, rate_min: u64) -> Result<(), End> {
        self.wire.flush().await?;
        let (deadline, end) = self.data_deadline(began, octets, rate_min);
        if Instant::now() >= deadline {
            return Err(end);
        }
        match self.wire.read_data(deadline).await {
            Err(End::Timeout) => Err(end),
            read => read,
        }
    }
}

impl Chunked {
    fn judge(&mut self) {
        if let Some(poison) = self.decoder.poison() {
            self.incoming.intake.fail(Fault::Poison(poison));
        }
    }
}
