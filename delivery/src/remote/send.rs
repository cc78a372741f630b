//! One message to one destination.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use envelope::{Domain, EnhancedCode, Envelope, Recipient};
use smtp_proto::Reply;
use smtp_proto::client::{Answer, Failure as SmtpFailure, Step, To, Transaction, Verdict};
use tokio::time::Instant;

use super::connection::Connection;
use super::destination::{Admission, Place};
use super::mta_sts::Mode;
use super::reach::NoWay;
use super::{Egress, Fate, Later, Remote, Route};
use crate::outcome::{Failure, RemoteReply};

/// Transactions for single members of a list that end with the connection, one after the other, after which the rest waits.
const IN_VAIN_MAX: u32 = 3;
/// Octets that are kept of what a server says.
const SAID_MAX: usize = 500;

/// A message, ready for the wire.
pub(crate) struct Message<'a> {
    pub(crate) envelope: &'a Envelope,
    /// With CRLF line ends throughout.
    pub(crate) octets: Bytes,
    pub(crate) eight_bit: bool,
    /// The header holds characters beyond ASCII.
    pub(crate) utf8_header: bool,
}

/// Who took part in a transaction.
struct Server {
    host: String,
    address: IpAddr,
    tls: &'static str,
    tells: bool,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]", self.host, self.address)
    }
}

impl Remote {
    /// Sends to recipients of one destination; their fates, in order.
    pub(crate) async fn send(
        &self,
        domain: &Domain,
        message: &Message<'_>,
        recipients: &[Recipient],
    ) -> Vec<Fate> {
        let sender = message.envelope.reverse_path.address().map(envelope::Address::domain);
        let key = self.key(sender, domain);
        let place = match self.destinations.admit(&key, self.limits(domain)) {
            Admission::Go(place) => place,
            Admission::Later { after, reason } => {
                let later = Later { after, reason, said: None, untried: true };
                return vec![Fate::Later(later); recipients.len()];
            }
        };
        let egress = key.egress.and_then(|index| self.config.egress.get(index));
        let route = self.config.route(domain.as_str()).map(|(_, route)| route);
        Sending { remote: self, domain, route, egress, place, message }.all(recipients).await
    }
}

/// A message on its way to a destination that has a place for it.
pub(super) struct Sending<'a> {
    pub(super) remote: &'a Remote,
    pub(super) domain: &'a Domain,
    pub(super) route: Option<&'a Route>,
    pub(super) egress: Option<&'a Egress>,
    pub(super) place: Place,
    pub(super) message: &'a Message<'a>,
}

impl Sending<'_> {
    async fn all(&self, recipients: &[Recipient]) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; recipients.len()];
        let mut open: Vec<usize> = (0..recipients.len()).collect();
        let mut connection = None;
        let began = Instant::now();
        // Recipients that have senders of their own have transactions of their own.
        let (transactions_max, together_max) =
            match self.message.envelope.list.as_ref().and_then(|list| list.separator) {
                None => (
                    usize::from(self.remote.config.transactions_max),
                    usize::from(self.remote.config.recipients_max),
                ),
                // Each is a message to the destination, which may want few of them.
                Some(_) if self.remote.limits(self.domain).rate > 0 => (1, 1),
                Some(_) => (usize::from(self.remote.config.transactions_max), 1),
            };
        let mut in_vain = 0;
        for _ in 0..transactions_max {
            let most = together_max.min(open.len());
            if most == 0 {
                break;
            }
            let now: Vec<usize> = open.drain(..most).collect();
            let asked: Vec<&Recipient> = now.iter().filter_map(|index| recipients.get(*index)).collect();
            let (answers, kept) = self.transaction(connection.take(), &asked).await;
            connection = kept;
            let some_accepted = answers.iter().any(|fate| matches!(fate, Some(Fate::Relayed { .. })));
            for (index, fate) in now.into_iter().zip(answers) {
                match fate {
                    // RFC 5321 §4.5.3.1.10: too many for one transaction.
                    None if some_accepted => open.push(index),
                    fate => {
                        if let Some(slot) = fates.get_mut(index) {
                            *slot = fate;
                        }
                    }
                }
            }
            // Whoever is slow gets the others at the next try.
            in_vain = if connection.is_none() && !some_accepted { in_vain + 1 } else { 0 };
            // One member at whom the server hangs up does not hold up the others.
            let in_vain_max = if together_max == 1 { IN_VAIN_MAX } else { 1 };
            if in_vain >= in_vain_max
                || began.elapsed() > self.remote.config.transactions_within.as_duration()
            {
                break;
            }
        }
        if let Some(connection) = connection {
            if connection.is_good(&self.remote.config) {
                self.place.keep(connection);
            } else {
                connection.leave();
            }
        }
        let apart = together_max == 1;
        let untold = || {
            let reason = "the other mail system did not get to this recipient".to_owned();
            let after = if apart { self.remote.config.members_after.as_duration() } else { Duration::ZERO };
            Fate::Later(Later { after, reason, said: None, untried: apart })
        };
        fates.into_iter().map(|fate| fate.unwrap_or_else(untold)).collect()
    }

    /// One transaction. None: the server wants this recipient in another one.
    async fn transaction(
        &self,
        open: Option<Connection>,
        recipients: &[&Recipient],
    ) -> (Vec<Option<Fate>>, Option<Connection>) {
        let all = |fate: Fate| (vec![Some(fate); recipients.len()], None);
        let mut waited = open;
        loop {
            // A connection that waited may be gone, which shows at once and says nothing; the next one is made anew.
            let (connection, fresh) = match match waited.take() {
                Some(waited) => Some(waited),
                None => self.idle().await,
            } {
                Some(connection) => (connection, false),
                None => match self.connect().await {
                    Ok(connection) => (connection, true),
                    Err(way) => return all(self.no_way(way)),
                },
            };
            let server = Server {
                host: connection.host.clone(),
                address: connection.address,
                tls: connection.tls,
                tells: connection.knows_dsn(),
            };
            let transaction = self.offer(recipients);
            let done = connection.transact(&self.remote.config, transaction, &self.message.octets).await;
            match done {
                Ok((connection, verdict)) => {
                    self.place.succeeded();
                    let fates = fates(verdict, &server);
                    if !connection.is_good(&self.remote.config) {
                        connection.leave();
                        return (fates, None);
                    }
                    return (fates, Some(connection));
                }
                Err((broken, verdict, unconfirmed)) => {
                    let nothing = verdict
                        .as_ref()
                        .is_none_or(|Verdict(answers)| answers.iter().all(|answer| *answer == Answer::Open));
                    if !fresh && nothing && !unconfirmed {
                        continue;
                    }
                    let mut why = format!("{server}: {broken}");
                    if nothing && !unconfirmed {
                        // It greets, and does no more: as good as not there.
                        self.place.failed(&why);
                    } else {
                        self.place.strained();
                    }
                    if unconfirmed {
                        why.push_str("; the whole message was sent, and it may have been taken");
                    }
                    let Some(verdict) = verdict else { return all(later(why, None)) };
                    let fates = fates(verdict, &server).into_iter();
                    let open = |fate| match fate {
                        Some(Fate::Later(one)) if one.said.is_none() => Some(later(why.clone(), None)),
                        None => Some(later(why.clone(), None)),
                        fate => fate,
                    };
                    return (fates.map(open).collect(), None);
                }
            }
        }
    }

    /// A connection that waits, if it is as well protected as this message must be.
    async fn idle(&self) -> Option<Connection> {
        let connection = self.place.idle()?;
        let enforced = match &self.remote.dns {
            Ok(dns) => self.policy(&**dns).await.is_some_and(|policy| policy.mode == Mode::Enforce),
            Err(_) => false,
        };
        let proof = self.message.envelope.require_tls || enforced;
        if connection.is_good(&self.remote.config) && (connection.is_proved() || !proof) {
            return Some(connection);
        }
        connection.leave();
        None
    }

    fn no_way(&self, way: NoWay) -> Fate {
        match way {
            NoWay::Failed(failure) => Fate::Failed(failure),
            NoWay::Unreachable(why, said) => {
                self.place.failed(&why);
                later(why, said)
            }
            NoWay::Congested(why, said) => {
                if !self.place.congested() {
                    self.place.failed(&why);
                }
                later(why, said)
            }
            NoWay::Unknown(why) => later(why, None),
        }
    }

    fn offer(&self, recipients: &[&Recipient]) -> Transaction {
        let Message { envelope, octets, eight_bit, utf8_header } = self.message;
        let reverse_path = recipients
            .first()
            .map_or_else(|| envelope.reverse_path.clone(), |first| envelope.reverse_path_for(first));
        let mut addresses =
            recipients.iter().map(|recipient| &recipient.address).chain(reverse_path.address());
        let smtp_utf8 = *utf8_header || addresses.any(envelope::Address::needs_utf8);
        Transaction {
            reverse_path,
            recipients: recipients
                .iter()
                .map(|recipient| To {
                    address: recipient.address.clone(),
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                })
                .collect(),
            size: octets.len() as u64,
            eight_bit: *eight_bit,
            smtp_utf8,
            require_tls: envelope.require_tls,
            envelope_id: envelope.envelope_id.clone(),
            returned: envelope.returned,
            all_or_none: false,
        }
    }
}

fn later(reason: String, said: Option<RemoteReply>) -> Fate {
    Fate::Later(Later { after: Duration::ZERO, reason, said, untried: false })
}

/// None: in another transaction, if this one succeeded for others.
fn fates(Verdict(answers): Verdict, server: &Server) -> Vec<Option<Fate>> {
    let host = &server.host;
    let some_accepted = answers.iter().any(|answer| matches!(answer, Answer::Accepted(_)));
    let one = |answer: Answer| match answer {
        Answer::Accepted(reply) => {
            let Server { address, tls, tells, .. } = *server;
            Some(Fate::Relayed { said: said(host, &reply), address, tls, tells })
        }
        // Quirk `too-many-552`: servers older than RFC 2821 say 552 for too many recipients; with a code of its own it means a full mailbox.
        Answer::Refused(Step::Rcpt, reply)
            if some_accepted && (reply.code == 452 || (reply.code == 552 && reply.enhanced.is_none())) =>
        {
            None
        }
        Answer::Refused(_, reply) if reply.is_permanent() => {
            let code =
                reply.enhanced.filter(|code| !code.is_transient()).unwrap_or(EnhancedCode::new(5, 0, 0));
            Some(Fate::Failed(Failure::refused(code, said(host, &reply))))
        }
        Answer::Refused(_, reply) => Some(later(format!("{server} said {reply}"), Some(said(host, &reply)))),
        Answer::Unfit(SmtpFailure::TooBig) => Some(Fate::Failed(Failure::TOO_BIG)),
        Answer::Unfit(SmtpFailure::NoUtf8) => Some(Fate::Failed(Failure::NO_UTF8)),
        Answer::Unfit(SmtpFailure::NoRequireTls) => Some(Fate::Failed(Failure::NO_REQUIRE_TLS)),
        Answer::Unfit(failure) => Some(later(failure.to_string(), None)),
        Answer::Open => Some(later(format!("{server} gave no answer"), None)),
    };
    answers.into_iter().map(one).collect()
}

/// A server's words are a stranger's: bounded, one line.
pub(super) fn said(host: &str, reply: &Reply) -> RemoteReply {
    let text: String =
        reply.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MAX).collect();
    RemoteReply { mta: host.to_owned(), text }
}
