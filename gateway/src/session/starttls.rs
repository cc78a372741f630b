//! STARTTLS: what was read before the handshake counts for nothing after it.

use smtp_proto::{LineDecoder, Reply};

use super::{End, Session, auth};

impl Session {
    pub(super) async fn start_tls(&mut self, reply: &Reply) -> Result<(), End> {
        let tls = self.tls.clone().ok_or(End::Handshake)?;
        self.send(reply).await?;
        tokio::select! {
            () = self.drain.requested() => return Err(End::Drained),
            started = self.wire.start_tls(&tls) => started?,
        }
        // RFC 3207 §4.2: nothing learnt from the client before survives; the machine forgets its own part.
        self.lines = LineDecoder::default();
        self.account = None;
        self.dialogue = None;
        // Another channel: there is something to bind to now.
        self.login_offer = auth::login_offer(&self.shared, self.kind, Some(&tls), &self.wire);
        self.machine.offer_mechanisms(self.login_offer.names());
        self.greeted = None;
        if let Some(filters) = &mut self.filters {
            filters.logged_out();
        }
        self.filters_learn_tls();
        Ok(())
    }
}
