//! The server's side of a session, as a machine.
//!
//! ```text
//!            EHLO, HELO               MAIL                accepted               RCPT              decided
//!   Start ──────────────▶ Ready ───────────▶ SenderAsked ──────▶ Transaction ────────▶ RecipientAsked ──▶ Transaction
//!     ▲                  │ │  ▲ ▲                                 │   │ DATA, with a recipient      │ BDAT
//!     │ TLS up  STARTTLS │ │  │ └── RSET, EHLO, 550 to the sender ─┘   ▼                             ▼   not LAST
//!     └───── Handshake ◀─┘ │  ├───────────── the message was judged ── Receiving                   Chunk ◀────▶ Chunks
//!                          │  └───────────── LAST, or one was refused ───────────────────────────────┘
//!                     AUTH │
//!                          ▼      done or refused
//!                   Authenticating ─────────────▶ Ready           any state ── QUIT, fatal, over a budget ──▶ Closed
//! ```
//!
//! LMTP (RFC 2033) is the same machine: its clients say LHLO, and a message is answered once for each recipient.
//!
//! Each state holds only what is valid in it: there is no sender without EHLO, no recipient without a
//! sender, and no message without a recipient. What it wants to know (is this somebody? is the password
//! right? was the message stored?) it asks with an [`Action`] and learns with the next [`Input`].

mod auth;
mod bdat;
mod data;
mod drive;
mod ehlo;
mod frame;
mod mail;
mod offer;
mod rcpt;
mod refusal;
mod starttls;
#[cfg(test)]
mod tests;

use envelope::{ReversePath, Secret};

pub(crate) use drive::fuzz;
pub use offer::{Offer, Service};
pub use refusal::Refusal;

use crate::limits::SessionLimits;
use crate::{Auth, Bdat, ClientName, Command, FrameError, Mail, Rcpt, Reply};
use ehlo::Hello;

/// The reply of a server that closes the session (RFC 5321 §3.8).
const CLOSING: u16 = 421;

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A line came. `more` says whether further octets came with it.
    Line {
        /// Without its CRLF.
        line: &'a [u8],
        /// Whether the client sent on without waiting for the answer.
        more: bool,
    },
    /// A line came that is none.
    BadLine(FrameError),
    /// The answer to [`Action::CheckSender`], [`Action::CheckRecipient`], [`Action::ReceiveMessage`] or
    /// [`Action::ReceiveChunk`]: a 2xx reply accepts, another one refuses, and 421 ends the session with it (RFC 5321 §3.8).
    Verdict(Reply),
    /// The other answer to [`Action::ReceiveMessage`]: no 354 was sent, this refuses.
    NotBegun(Reply),
    /// The answer to [`Action::AuthStart`] or [`Action::AuthResponse`]: a challenge to send, in base64.
    Challenge(&'a str),
    /// The end of an exchange: a 235 reply says that the client is who it says.
    AuthDone(Reply),
    /// The handshake after [`Action::StartTls`] succeeded.
    TlsStarted,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Send, then go on reading lines.
    Reply(Reply),
    /// Send, then close.
    ReplyAndClose(Reply),
    /// Send as often as the number says, once for each recipient (RFC 2033 §4.2); then go on, or close.
    ReplyToEach {
        /// What became of the message.
        reply: Reply,
        /// Recipients that were accepted.
        count: usize,
        /// Whether the session ends with it.
        close: bool,
    },
    /// Say whether this sender may begin a transaction.
    CheckSender(Mail),
    /// Say whether this recipient is served.
    CheckRecipient(Rcpt),
    /// Send the 354, read the message, store it, say what became of it; or say that it is not wanted.
    ReceiveMessage(Reply),
    /// Read the chunk's octets, all of them; say whether they are taken, or, of the last, what became of the message.
    ReceiveChunk(Bdat),
    /// Read so many octets and throw them away; then send.
    SkipChunk(u64, Reply),
    /// Send the 220, throw away whatever was read, do the handshake.
    StartTls(Reply),
    /// Begin an exchange with one of the mechanisms offered.
    AuthStart(Auth),
    /// Go on with the exchange: the client's line, still in base64.
    AuthResponse(Secret<Vec<u8>>),
}

/// Who is on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What it calls itself.
    pub name: ClientName,
    /// Whether it said EHLO.
    pub extended: bool,
}

/// A transaction under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// What MAIL said.
    pub mail: Mail,
    /// What each accepted RCPT said, in their order.
    pub recipients: Vec<Rcpt>,
}

/// Where the session stands.
#[derive(Debug)]
enum State {
    Start,
    Ready(Client),
    SenderAsked(Client, Mail),
    Transaction(Client, Transaction),
    RecipientAsked(Client, Transaction, Rcpt),
    Receiving(Client, Transaction),
    /// A chunk is being read.
    Chunk(Client, Transaction, Bdat),
    /// Between two chunks.
    Chunks(Client, Transaction),
    Handshake,
    AuthJudged(Client),
    AuthAwaited(Client),
    Closed,
}

/// One client's session.
#[derive(Debug)]
pub struct Session {
    offer: Offer,
    limits: SessionLimits,
    tls: bool,
    authenticated: bool,
    state: State,
    errors: u32,
    idle_commands: u32,
    auth_failures: u32,
    transactions: u32,
    /// The last command was a DATA that was refused: its message may be on the way all the same.
    message_refused: bool,
}

impl Session {
    /// A session at its beginning; `tls` for a connection that was encrypted from the start.
    pub const fn new(offer: Offer, limits: SessionLimits, tls: bool) -> Self {
        Self {
            offer,
            limits,
            tls,
            authenticated: false,
            state: State::Start,
            errors: 0,
            idle_commands: 0,
            auth_failures: 0,
            transactions: 0,
            message_refused: false,
        }
    }

    /// The first words.
    ///
    /// ```abnf
    /// Greeting = "220 " Domain [ SP textstring ] CRLF     ; RFC 5321 §4.2
    /// ```
    pub fn greeting(&self) -> Reply {
        let protocol = if self.offer.service.is_lmtp() { "LMTP" } else { "ESMTP" };
        Reply::new(220, None, format!("{} {protocol} Sluice", self.offer.name))
    }

    /// Takes one thing that happened and says what to do.
    pub fn step(&mut self, input: Input<'_>) -> Action {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let is_final = match (&state, &input) {
            (State::Receiving(..), Input::Verdict(_) | Input::NotBegun(_)) => true,
            (State::Chunk(_, _, bdat), Input::Verdict(reply)) => bdat.last || !reply.is_positive(),
            _ => false,
        };
        let (state, action) = match input {
            Input::Line { line, more } => self.line(state, line, more),
            Input::BadLine(error) => self.bad_line(state, error),
            Input::Verdict(reply) => self.verdict(state, reply),
            Input::NotBegun(reply) => self.not_begun(state, reply),
            Input::Challenge(challenge) => Self::challenge(state, challenge),
            Input::AuthDone(reply) => self.auth_done(state, reply),
            Input::TlsStarted => self.tls_started(state),
        };
        self.state = state;
        self.charge(action, is_final)
    }

    /// Whether the next line belongs to an AUTH exchange, whose lines may be longer.
    pub const fn in_auth(&self) -> bool {
        matches!(self.state, State::AuthAwaited(_))
    }

    /// Offers other SASL mechanisms from now on: the connection has changed below, as with TLS.
    pub fn offer_mechanisms(&mut self, mechanisms: Vec<&'static str>) {
        self.offer.mechanisms = mechanisms;
    }

    /// Who is on the other side, once it said so.
    pub const fn client(&self) -> Option<&Client> {
        match &self.state {
            State::Ready(client)
            | State::SenderAsked(client, _)
            | State::Transaction(client, _)
            | State::RecipientAsked(client, _, _)
            | State::Receiving(client, _)
            | State::Chunk(client, _, _)
            | State::Chunks(client, _)
            | State::AuthJudged(client)
            | State::AuthAwaited(client) => Some(client),
            State::Start | State::Handshake | State::Closed => None,
        }
    }

    /// The transaction under way, with the recipients accepted so far.
    pub const fn transaction(&self) -> Option<&Transaction> {
        match &self.state {
            State::Transaction(_, transaction)
            | State::RecipientAsked(_, transaction, _)
            | State::Receiving(_, transaction)
            | State::Chunk(_, transaction, _)
            | State::Chunks(_, transaction) => Some(transaction),
            _ => None,
        }
    }

    /// Whether a part of a message came with BDAT and the rest is awaited.
    pub const fn in_chunks(&self) -> bool {
        matches!(self.state, State::Chunk(..) | State::Chunks(..))
    }

    /// Whether the connection is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the client logged in.
    pub const fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Refusals so far.
    pub const fn errors(&self) -> u32 {
        self.errors
    }

    fn line(&mut self, state: State, line: &[u8], more: bool) -> (State, Action) {
        match state {
            State::AuthAwaited(client) => self.auth_line(client, line),
            State::Start | State::Ready(_) | State::Transaction(..) | State::Chunks(..) => {
                match Command::parse(line) {
                    Ok(command) => {
                        let refusable = matches!(command, Command::Data);
                        let (state, action) = self.command(state, command, more);
                        self.message_refused = refusable && matches!(action, Action::Reply(_));
                        (state, action)
                    }
                    // What comes behind a refused DATA and is no command is the message, whose author must not give commands.
                    Err(_) if self.message_refused => refuse(state, Refusal::Pipelining),
                    Err(error) => refuse(state, Refusal::Command(error)),
                }
            }
            // The caller owes an answer first.
            state => refuse(state, Refusal::OutOfStep),
        }
    }

    fn command(&mut self, state: State, command: Command, more: bool) -> (State, Action) {
        // RFC 2920 §3.1: these change what follows, so that nothing may be sent behind them unseen.
        let synchronises = matches!(
            command,
            Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) | Command::Data | Command::Auth(_)
        );
        if more && synchronises && !self.authenticated {
            return refuse(state, Refusal::Pipelining);
        }
        if !moves_mail(&command) {
            self.idle_commands += 1;
        }
        match command {
            Command::Auth(auth) => self.auth(state, auth),
            Command::Bdat(bdat) => self.bdat(state, bdat),
            Command::Data => match self.data(state) {
                (state, Action::Reply(_)) if more => refuse(state, Refusal::Pipelining),
                answer => answer,
            },
            Command::Ehlo(name) => self.hello(state, name, Hello::Ehlo),
            Command::Expn => refuse(state, Refusal::NotOffered("EXPN")),
            Command::Helo(name) => self.hello(state, name, Hello::Helo),
            Command::Help => (state, Action::Reply(offer::help(self.offer.service))),
            Command::Lhlo(name) => self.hello(state, name, Hello::Lhlo),
            Command::Mail(mail) => self.mail(state, mail),
            Command::Noop => (state, Action::Reply(Reply::enhanced(250, (2, 0, 0), "OK"))),
            Command::NotOffered(name) => refuse(state, Refusal::NotOffered(name)),
            Command::Quit => {
                let text = format!("{} closing connection", self.offer.name);
                (State::Closed, Action::ReplyAndClose(Reply::enhanced(221, (2, 0, 0), text)))
            }
            Command::Rcpt(rcpt) => self.rcpt(state, rcpt),
            Command::Rset => {
                let state = match state {
                    State::Transaction(client, _) | State::Chunks(client, _) => State::Ready(client),
                    other => other,
                };
                (state, Action::Reply(Reply::enhanced(250, (2, 0, 0), "OK")))
            }
            Command::StartTls => self.start_tls(state),
            Command::Vrfy(vrfy) if vrfy.needs_utf8 => refuse(state, Refusal::Utf8),
            Command::Vrfy(_) => (state, Action::Reply(offer::vrfy())),
        }
    }

    fn verdict(&mut self, state: State, reply: Reply) -> (State, Action) {
        let closes = reply.code == CLOSING;
        match self.decided(state, reply) {
            (_, Action::Reply(reply)) if closes => (State::Closed, Action::ReplyAndClose(reply)),
            (_, Action::ReplyToEach { reply, count, .. }) if closes => {
                (State::Closed, Action::ReplyToEach { reply, count, close: true })
            }
            decided => decided,
        }
    }

    /// One answer whatever the service, for there was no text. It may come all the same, as behind a DATA that this machine refused.
    fn not_begun(&mut self, state: State, reply: Reply) -> (State, Action) {
        match state {
            State::Receiving(..) if reply.code == CLOSING => (State::Closed, Action::ReplyAndClose(reply)),
            State::Receiving(client, _) => {
                self.message_refused = true;
                (State::Ready(client), Action::Reply(reply))
            }
            state => refuse(state, Refusal::OutOfStep),
        }
    }

    fn decided(&mut self, state: State, reply: Reply) -> (State, Action) {
        let good = reply.is_positive();
        let state = match state {
            State::SenderAsked(client, mail) if good => {
                State::Transaction(client, Transaction { mail, recipients: Vec::new() })
            }
            State::SenderAsked(client, _) => State::Ready(client),
            State::RecipientAsked(client, mut transaction, rcpt) => {
                if good {
                    transaction.recipients.push(rcpt);
                }
                State::Transaction(client, transaction)
            }
            State::Chunk(client, transaction, bdat) if good && !bdat.last => {
                State::Chunks(client, transaction)
            }
            // RFC 3030 §2: a chunk that is refused ends the transaction, and those behind it are refused too.
            State::Chunk(client, _, Bdat { last: false, .. }) => State::Ready(client),
            State::Receiving(client, transaction) | State::Chunk(client, transaction, _) => {
                return self.judged(client, &transaction, reply);
            }
            state => return refuse(state, Refusal::OutOfStep),
        };
        (state, Action::Reply(reply))
    }

    /// The whole message has its answer.
    fn judged(&mut self, client: Client, transaction: &Transaction, reply: Reply) -> (State, Action) {
        if reply.is_positive() {
            self.idle_commands = 0;
        }
        let count = transaction.recipients.len();
        let action = if self.offer.service.is_lmtp() {
            Action::ReplyToEach { reply, count, close: false }
        } else {
            Action::Reply(reply)
        };
        (State::Ready(client), action)
    }

    /// Counts what the client costs, and ends a session that costs too much.
    /// What was decided of a whole message is said whatever it costs: a sender that hears 421 instead sends it again.
    fn charge(&mut self, action: Action, is_final: bool) -> Action {
        if let Action::Reply(reply)
        | Action::ReplyAndClose(reply)
        | Action::ReplyToEach { reply, .. }
        | Action::SkipChunk(_, reply) = &action
            && reply.is_permanent()
        {
            self.errors += 1;
        }
        let closing = matches!(action, Action::ReplyAndClose(_));
        let refusal = if self.errors > self.limits.errors_max {
            Refusal::TooManyErrors
        } else if self.idle_commands > self.limits.idle_commands_max {
            Refusal::TooManyCommands
        } else if self.auth_failures > self.limits.auth_failures_max {
            Refusal::TooManyLogins
        } else {
            return action;
        };
        if closing {
            return action;
        }
        self.state = State::Closed;
        match action {
            Action::Reply(reply) if is_final => Action::ReplyAndClose(reply),
            Action::ReplyToEach { reply, count, .. } => Action::ReplyToEach { reply, count, close: true },
            _ => Action::ReplyAndClose(refusal.reply()),
        }
    }

    /// Whether mail may be sent at all by now; the reason, if not.
    const fn may_send(&self) -> Result<(), Refusal> {
        match self.offer.service {
            Service::Submission if !self.authenticated => Err(Refusal::AuthRequired),
            _ => Ok(()),
        }
    }
}

/// Stays in `state` and says no; closes where nothing that follows can be trusted.
fn refuse(state: State, refusal: Refusal) -> (State, Action) {
    if refusal.is_fatal() {
        (State::Closed, Action::ReplyAndClose(refusal.reply()))
    } else {
        (state, Action::Reply(refusal.reply()))
    }
}

const fn moves_mail(command: &Command) -> bool {
    match command {
        Command::Mail(_) | Command::Rcpt(_) | Command::Data | Command::Quit => true,
        Command::Bdat(bdat) => bdat.size > 0 || bdat.last,
        _ => false,
    }
}

/// Whether the reverse path is `<>`.
impl Transaction {
    /// Whether this is a report that must never be answered (RFC 5321 §4.5.5).
    pub const fn is_report(&self) -> bool {
        matches!(self.mail.reverse_path, ReversePath::Null)
    }
}
