//! BDAT: a message that comes in counted pieces (RFC 3030).
//!
//! The octets of a chunk are taken exactly, also of one that counts for nothing: what stands behind them is the next command.
//! Of those that count for nothing no more than `limits.discard_max` are read; beyond that the answer ends the session.

use std::io::ErrorKind;
use std::time::Duration;

use runtime::HeldMemory;
use smtp_proto::{Bdat, BodyType, ChunkDecoder, DataLimits, Reply};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::Incoming;
use super::binary::{Bounds, to_text};
use super::intake::Fault;
use super::text::Ending;
use crate::reply;
use crate::session::{End, Session};

/// Octets of converted text that are handed on at once.
const PIECE: usize = 64 * 1024;

/// A message of which chunks came and more are awaited.
pub(in crate::session) struct Chunked {
    incoming: Incoming,
    decoder: ChunkDecoder,
    /// How long its octets were waited for; the time between two chunks is the client's.
    spent: Duration,
    /// With BINARYMIME: what came so far.
    binary: Option<Binary>,
    /// Octets of a header section.
    header_max: usize,
}

/// A message that must be whole before it can be made text.
struct Binary {
    octets: Vec<u8>,
    memory: HeldMemory,
}

impl Session {
    /// Reads a chunk to its end. The last one is answered as the text behind DATA is; one that makes the message unfit is
    /// answered with the refusal, and the message is dropped.
    pub(in crate::session) async fn receive_chunk(&mut self, bdat: Bdat) -> Result<Reply, End> {
        let mut chunked = match self.chunked.take() {
            Some(chunked) => chunked,
            None => match self.begin_message().await {
                Ok(incoming) => self.begin_chunks(incoming),
                Err(refusal) => {
                    self.skip_chunk(bdat.size, &refusal).await?;
                    return Ok(refusal);
                }
            },
        };
        chunked.decoder.begin(bdat.size);
        let ending = self.read_chunk(&mut chunked).await?;
        let deadline = self.checked_until();
        if bdat.last
            && ending == Ending::Known
            && timeout_at(deadline, chunked.finish(self.shared.config.limits.data())).await.is_err()
        {
            chunked.incoming.intake.fail(Fault::Spool(ErrorKind::TimedOut.into()));
        }
        if ending == Ending::Known && !bdat.last && !chunked.incoming.intake.has_failed() {
            self.chunked = Some(chunked);
            return Ok(reply::chunk_taken(bdat.size));
        }
        let reply = self.finish_message(chunked.incoming, deadline).await;
        if ending == Ending::Unknown {
            return Err(self.say_last(&reply).await);
        }
        Ok(reply)
    }

    fn begin_chunks(&self, incoming: Incoming) -> Chunked {
        let limits = self.shared.config.limits.data();
        let body = self.machine.transaction().and_then(|transaction| transaction.mail.body);
        let is_binary = body == Some(BodyType::BinaryMime);
        let decoder = if is_binary { ChunkDecoder::binary(limits) } else { ChunkDecoder::new(limits) };
        let memory = || self.shared.binary_memory.hold();
        let binary = is_binary.then(|| Binary { octets: Vec::new(), memory: memory() });
        let header_max = self.shared.config.limits.header_size_max.as_usize();
        Chunked { incoming, decoder, spent: Duration::ZERO, binary, header_max }
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
            chunked.take(&text).await;
            let intake = &chunked.incoming.intake;
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
    async fn take(&mut self, octets: &[u8]) {
        let Some(binary) = &mut self.binary else { return self.incoming.intake.take(octets).await };
        if self.incoming.intake.has_failed() {
            binary.octets = Vec::new();
            binary.memory.release();
        } else if binary.memory.grow_to(binary.octets.len().saturating_add(octets.len()) as u64).await {
            binary.octets.extend_from_slice(octets);
        } else {
            self.incoming.intake.fail(Fault::Memory);
        }
    }

    /// The last chunk is there.
    async fn finish(&mut self, limits: DataLimits) {
        if let Some(binary) = self.binary.take() {
            return self.convert(binary, limits).await;
        }
        let line_end = self.decoder.finish();
        self.judge();
        self.incoming.intake.take(line_end).await;
    }

    /// Makes text of it, which is judged as any other.
    async fn convert(&mut self, binary: Binary, limits: DataLimits) {
        let intake = &mut self.incoming.intake;
        if intake.has_failed() {
            return;
        }
        let Binary { octets, mut memory } = binary;
        // Base64 has four letters and its share of a line end for three octets.
        let grown = (octets.len() as u64).saturating_mul(3) / 2;
        if !memory.grow_to((octets.len() as u64).saturating_add(grown)).await {
            return intake.fail(Fault::Memory);
        }
        let bounds = Bounds { header_max: self.header_max, line_max: limits.line_max };
        // It goes on when nobody waits for it any more: the memory is held as long as it is used.
        let converted = tokio::task::spawn_blocking(move || (to_text(&octets, bounds), memory)).await;
        let (text, _memory) = match converted {
            Ok((Ok(text), memory)) => (text, memory),
            Ok((Err(unfit), _)) => return intake.fail(Fault::Unfit(unfit)),
            Err(failure) => {
                error!(%failure, "a binary message could not be converted, message refused for now");
                return intake.fail(Fault::Spool(std::io::Error::other(failure)));
            }
        };
        // The size limit holds for the text too: what is larger can't be sent on, nor judged.
        self.decoder = ChunkDecoder::new(limits);
        self.decoder.begin(text.len() as u64);
        for piece in text.chunks(PIECE) {
            let mut judged = Vec::new();
            self.decoder.decode(piece, |slice| judged.extend_from_slice(slice));
            self.judge();
            self.incoming.intake.take(&judged).await;
        }
        let line_end = self.decoder.finish();
        self.judge();
        self.incoming.intake.take(line_end).await;
    }

    fn judge(&mut self) {
        if let Some(poison) = self.decoder.poison() {
            self.incoming.intake.fail(Fault::Poison(poison));
        }
    }
}
