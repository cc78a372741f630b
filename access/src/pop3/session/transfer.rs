//! LIST, UIDL, RETR and TOP: long answers, in pieces, as fast as the client reads them.
//! Flags stay as they are (quirk `flags-untouched`).

use std::sync::Arc;

use bytes::Bytes;
use pop3_proto::{ListKind, Message, Reply, Session as Machine, Stuffer, TopCutter};
use store::Uid;

use super::Session;
use crate::pop3::metrics::End;
use crate::pop3::reply;
use crate::work::WorkError;

/// A message up to this size is read at once: its file is opened once.
const WHOLE_OCTETS_MAX: u64 = 1 << 20;

impl Session {
    pub(super) async fn list(&mut self, machine: &Machine, kind: ListKind) -> Result<(), End> {
        let Machine::Transaction(maildrop) = machine else { return Err(End::Store) };
        let (count, octets) = maildrop.totals();
        self.answer(&Reply::ok(format_args!("{count} messages, {octets} octets")))?;
        let piece_max = self.server.config.piece_size.as_usize();
        let mut after = Some(0);
        while let Some(number) = after {
            let mut piece = String::new();
            after = maildrop.write_listing(kind, number, piece_max, &mut piece);
            self.out.extend_from_slice(piece.as_bytes());
            if after.is_some() {
                self.flush().await?;
            }
        }
        self.out.extend_from_slice(b".\r\n");
        Ok(())
    }

    /// Sends a message. The first piece is read before `+OK`, so that one which is gone is refused; a failure behind that
    /// can only be told by closing, since the client must not take a part for the whole.
    pub(super) async fn retrieve(&mut self, message: Message, lines: Option<u64>) -> Result<(), End> {
        let mut piece = match self.piece(message, 0).await {
            Ok(piece) => piece,
            Err(error) => {
                tracing::warn!(uid = message.uid, %error, "a message could not be read");
                return self.answer(&reply::store_failed(&error));
            }
        };
        self.answer(&match lines {
            None => Reply::ok(format_args!("{} octets", message.size)),
            Some(_) => Reply::ok("top of the message"),
        })?;
        let mut cutter = lines.map(TopCutter::new);
        let mut stuffer = Stuffer::new();
        let mut offset = 0;
        loop {
            let length = cutter.as_mut().map_or(piece.len(), |cutter| cutter.take(&piece));
            stuffer.write(piece.get(..length).unwrap_or_default(), &mut self.out);
            offset += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if offset >= message.size || piece.is_empty() || cutter.is_some_and(|cutter| cutter.is_complete())
            {
                break;
            }
            self.flush().await?;
            piece = self.piece(message, offset).await.map_err(|error| {
                tracing::warn!(uid = message.uid, offset, %error, "a message could not be read to its end");
                End::Store
            })?;
        }
        stuffer.finish(&mut self.out);
        self.server.metrics.retrieved.inc();
        Ok(())
    }

    async fn piece(&self, message: Message, offset: u64) -> Result<Bytes, WorkError> {
        let Some(open) = &self.open else { return Ok(Bytes::new()) };
        let mailbox = Arc::clone(&open.mailbox);
        let uid = Uid(message.uid);
        let length = self.server.config.piece_size.as_u64();
        let work = move || match message.size {
            0..=WHOLE_OCTETS_MAX if offset == 0 => mailbox.content(uid),
            _ => mailbox.content_range(uid, offset, length),
        };
        self.server.deps.work(work).await
    }
}
