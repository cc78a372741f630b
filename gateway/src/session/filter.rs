//! What filters say at each step, put into replies.

use envelope::{Address, Filtered, ReversePath};
use filters::{Client, Judged, Refusal};
use smtp_proto::{BodyType, Mail, Reply};
use tracing::debug;

use super::{End, Refused, Session};
use crate::reply;

impl Session {
    /// Before the greeting: a peer that is refused here is told so and no more.
    pub(super) async fn filter_connection(&mut self) -> Result<(), End> {
        let Some(shared) = &self.shared.filters else { return Ok(()) };
        let client = Client {
            peer: self.peer_socket,
            listener: self.kind.name(),
            our_name: self.shared.hostname.to_string(),
        };
        let mut filters = shared.session(client);
        let welcome = filters.connect().await;
        self.filters = Some(filters);
        let Err(refusal) = welcome else {
            self.filters_learn_tls();
            return Ok(());
        };
        self.shared.metrics.refused(Refused::Filtered);
        let reasons = self.filters.as_ref().map(|filters| filters.reasons().join("; "));
        debug!(peer = %self.peer, reply = refusal.text, reasons, "peer refused");
        self.send(&reply::unwelcome(&refusal)).await?;
        Err(End::Refused)
    }

    /// After a handshake.
    pub(super) fn filters_learn_tls(&mut self) {
        if let (Some(filters), Some((version, cipher))) = (&mut self.filters, self.wire.tls_names()) {
            filters.encrypted(version, cipher, self.wire.peer_certificate().is_some());
        }
    }

    pub(super) async fn filter_sender(&mut self, mail: &Mail) -> Option<Reply> {
        let name = self.machine.client().map(|client| client.name.to_string()).unwrap_or_default();
        let filters = self.filters.as_mut()?;
        // What the client calls itself is asked about with its first message: a refusal must be of something.
        let greeted =
            if self.greeted.as_deref() == Some(name.as_str()) { Ok(()) } else { filters.helo(&name).await };
        self.greeted = greeted.is_ok().then_some(name);
        let judged = match greeted {
            Ok(()) => {
                let parameters = parameters(mail);
                let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
                filters.mail(&mail.reverse_path, &parameters).await
            }
            refused => refused,
        };
        self.filtered(judged)
    }

    pub(super) async fn filter_recipient(&mut self, recipient: &Address) -> Option<Reply> {
        let reverse_path = self.machine.transaction()?.mail.reverse_path.clone();
        let judged = self.filters.as_mut()?.rcpt(&reverse_path, recipient, &[]).await;
        self.filtered(judged)
    }

    pub(super) fn filters_hear_of_unknown(&self) {
        if let Some(filters) = &self.filters {
            let null = ReversePath::Null;
            let transaction = self.machine.transaction();
            filters
                .unknown_recipient(transaction.map_or(&null, |transaction| &transaction.mail.reverse_path));
        }
    }

    pub(super) async fn filter_data(&mut self) -> Option<Reply> {
        let judged = self.filters.as_mut()?.data().await;
        self.filtered(judged)
    }

    fn filtered(&self, judged: Result<(), Refusal>) -> Option<Reply> {
        let refusal = judged.err()?;
        self.shared.metrics.refused(Refused::Filtered);
        debug!(peer = %self.peer, reply = refusal.text, "command refused by a filter");
        Some(reply::filtered(&refusal))
    }
}

/// What the queue keeps of a judgement.
pub(super) fn told(judged: &Judged) -> Option<Filtered> {
    let filtered = Filtered {
        reasons: judged.reasons.clone(),
        authentication: judged.authentication_line(),
        rules: judged.rules.clone(),
    };
    (filtered != Filtered::default()).then_some(filtered)
}

/// The parameters of MAIL that milters look at, as they are written (RFC 1870, RFC 6152, RFC 6531).
fn parameters(mail: &Mail) -> Vec<String> {
    let size = mail.size.map(|size| format!("SIZE={size}"));
    let body = mail.body.map(|body| {
        let body = match body {
            // What milters get has been made text.
            BodyType::BinaryMime | BodyType::EightBitMime => "8BITMIME",
            BodyType::SevenBit => "7BIT",
        };
        format!("BODY={body}")
    });
    let utf8 = mail.smtp_utf8.then(|| "SMTPUTF8".to_owned());
    [size, body, utf8].into_iter().flatten().collect()
}
