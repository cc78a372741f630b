//! SMTP and submission: messages, one or many a session; and those who send what should not be sent.
//!
//! | operation | what it is |
//! |---|---|
//! | `smtp.connect` | from the connection to the answer to EHLO, with TLS and AUTH |
//! | `smtp.message` | from when the message was due, in a closed loop from when the client turned to it, to the answer to its end |
//! | `smtp.spam` | the same of a message that filters should keep away; a refusal is an answer like another |
//! | `smtp.bad` | a sender that guesses, relays or hangs up: done when the server refused it or had nothing to refuse |

mod bad;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use envelope::{Address, Secret};
use smtp_proto::Reply;

use super::{PAUSE, due, step};
use crate::client::smtp::{Login, Mail, Smtp, refused};
use crate::ledger::Book;
use crate::message::{Draft, Sizes};
use crate::pace::Ticket;
use crate::people::People;
use crate::random::Random;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// What spam filters know as spam, by agreement: the GTUBE string of SpamAssassin and rspamd.
const GTUBE: &[u8] = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n";
/// The run's name for what is in no ledger.
const NO_RUN: &str = "load";

/// What to send.
#[derive(Clone)]
pub struct SmtpLoad {
    /// Where.
    pub target: Target,
    /// Reverse path and author; nothing for strangers of the population.
    pub from: Option<Address>,
    /// To whom.
    pub to: People,
    /// How large.
    pub sizes: Sizes,
    /// Messages of a session; nothing for as many as there are.
    pub per_session: Option<u64>,
    /// Whether MAIL, RCPT and DATA go in one packet.
    pub pipelined: bool,
    /// Part of the messages that go to two recipients.
    pub to_two: f64,
    /// Log in first, as the author, with this password: submission.
    pub password: Option<Secret<String>>,
    /// Part of the operations that are no mail but an attack.
    pub bad: f64,
    /// Part of the messages that are spam.
    pub spam: f64,
    /// Where every message is written down.
    pub book: Option<Arc<Book>>,
    /// The seed of every choice.
    pub seed: u64,
}

impl Load for SmtpLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Sender {
            load: self.clone(),
            session: None,
            sent: 0,
            turn: number,
            random: Random::new(self.seed, number),
        })
    }
}

struct Sender {
    load: SmtpLoad,
    session: Option<Smtp>,
    /// Messages of this session.
    sent: u64,
    /// Which server is next.
    turn: u64,
    random: Random,
}

/// A message before it is sent.
struct Composed {
    author: Address,
    to: Vec<Address>,
    text: Vec<u8>,
    /// In the ledger.
    number: Option<u64>,
}

#[async_trait]
impl Client for Sender {
    async fn run(mut self: Box<Self>, context: Context) {
        while let Some(ticket) = context.schedule.take() {
            due(ticket.due).await;
            if self.random.chance(self.load.bad) {
                self.misbehave(&context.recorder).await;
            } else if let Err(error) = self.message(&context, &ticket).await {
                context.recorder.failed("smtp.message", &Failure::new(error));
                break;
            }
        }
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
    }
}

impl Sender {
    /// Fails only for what is wrong with the load itself.
    async fn message(&mut self, context: &Context, ticket: &Ticket) -> anyhow::Result<()> {
        let spam = self.random.chance(self.load.spam);
        let Composed { author, to, text, number } = self.compose(ticket, spam)?;
        let since = ticket.due;
        let Some(mut session) = self.connected(context, &author).await else {
            // The load is over, and no server was there.
            if let (Some(book), Some(number)) = (&self.load.book, number) {
                book.refused(number, 0)?;
            }
            return Ok(());
        };
        let mail = Mail { from: &author, to: &to, text: &text, pipelined: self.load.pipelined };
        let outcome = session.transact(mail).await;
        let operation = if spam { "smtp.spam" } else { "smtp.message" };
        self.record(&context.recorder, (operation, since, text.len()), &outcome);
        if let (Some(book), Some(number)) = (&self.load.book, number) {
            match &outcome {
                Ok(Ok(reply)) => book.accepted(number, id(reply))?,
                Ok(Err(reply)) => book.refused(number, reply.code)?,
                Err(_) => book.unknown(number)?,
            }
        }
        self.sent += 1;
        match outcome {
            Ok(Err(reply)) if reply.code == 421 => tokio::time::sleep(PAUSE).await,
            Ok(answer) => {
                if answer.is_err() && !spam {
                    tokio::time::sleep(PAUSE).await;
                }
                if self.load.per_session.is_some_and(|most| self.sent >= most)
                    || self.load.password.is_some() && self.load.from.is_none()
                {
                    session.quit().await;
                } else {
                    self.session = Some(session);
                }
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn record(
        &self,
        recorder: &Recorder,
        (operation, since, octets): (&'static str, Instant, usize),
        outcome: &Result<Result<Reply, Reply>, Failure>,
    ) {
        match outcome {
            Ok(Ok(_)) => recorder.done(operation, since, octets as u64),
            Ok(Err(_)) if operation == "smtp.spam" => recorder.done(operation, since, octets as u64),
            Ok(Err(reply)) => recorder.failed(operation, &refused(reply)),
            Err(failure) => recorder.failed(operation, failure),
        }
    }

    fn compose(&mut self, ticket: &Ticket, spam: bool) -> anyhow::Result<Composed> {
        let (load, random) = (&self.load, &mut self.random);
        let first = load.to.recipient(ticket.number, random)?;
        let mut to = vec![first.address];
        if random.chance(load.to_two) {
            let second = load.to.recipient(ticket.number + 1, random)?.address;
            if !to.contains(&second) {
                to.push(second);
            }
        }
        let author = match (&load.from, &load.to) {
            (Some(from), _) => from.clone(),
            (None, People::Population(population)) if load.password.is_some() => {
                population.recipient(random)?.address
            }
            (None, People::Population(population)) => population.stranger(random)?,
            (None, People::Named(_)) => anyhow::bail!("a sender is missing"),
        };
        // Spam may rightly be nowhere afterwards.
        let number = match &load.book {
            Some(book) if !spam => Some(book.tried(&to)?),
            _ => None,
        };
        let run = load.book.as_ref().filter(|_| number.is_some()).map_or(NO_RUN, |book| book.run());
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let shape = load.sizes.shape(first.class, ticket.number, random);
        let names: Vec<&Address> = to.iter().collect();
        let mut text =
            Draft::between(&author, &names, number.unwrap_or(ticket.number), run, at).write(&shape, random);
        if spam {
            text.extend_from_slice(GTUBE);
        }
        Ok(Composed { author, to, text, number })
    }

    /// A session, however many tries it takes; none when the load is over.
    async fn connected(&mut self, context: &Context, author: &Address) -> Option<Smtp> {
        if let Some(session) = self.session.take() {
            return Some(session);
        }
        loop {
            self.turn += 1;
            let load = &self.load;
            let login = load
                .password
                .as_ref()
                .map(|password| Login { name: author.to_string(), password: password.clone() });
            let encryption = load.target.drawn(&mut self.random);
            let opening = Smtp::open(&load.target, self.turn, encryption, login.as_ref());
            if let Ok(session) = step(&context.recorder, "smtp.connect", opening).await {
                self.sent = 0;
                return Some(session);
            }
            if context.schedule.is_over() {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn misbehave(&mut self, recorder: &Recorder) {
        self.turn += 1;
        let kind = bad::Kind::draw(&mut self.random);
        let encryption = self.load.target.drawn(&mut self.random);
        let domain = match &self.load.to {
            People::Named(addresses) => addresses.first().map(|address| address.domain().to_string()),
            People::Population(population) => {
                population.account(0).ok().map(|account| account.address.domain().to_string())
            }
        };
        let domain = domain.unwrap_or_default();
        let behaving = bad::behave(kind, &self.load.target, (self.turn, encryption), &domain);
        // The failure says what happened; nothing else follows from it.
        let _ = step(recorder, "smtp.bad", behaving).await;
    }
}

/// Where a server names the message, the name is its last word (`queued as 01J…`).
fn id(reply: &Reply) -> &str {
    let text = reply.lines.last().map(|line| line.trim()).unwrap_or_default();
    text.rsplit(' ').next().filter(|word| !word.is_empty()).unwrap_or("-")
}
