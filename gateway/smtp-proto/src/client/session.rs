//! The client's side of a session with another mail system: any number of messages, one after the other.
//!
//! ```text
//!  Greeting ─▶ Ehlo ─▶ [StartTls ─▶ Handshake ─▶ Ehlo] ─▶ [Auth] ─▶ Ready ◀──────────────────────────────┐
//!                └5xx▶ Helo                                          │ begin                             │
//!       MAIL, RCPT… in one write when the server takes PIPELINING ───┘                                   │
//!            ├ somebody accepted: DATA ─354▶ text ─▶ verdict, or BDAT with the text ─▶ verdict ──────────┤
//!            └ nobody: RSET ─────────────────────────────────────────────────────────────────────────────┘
//! ```
//! DATA is not sent along with the recipients: a server that accepts none of them and says 354 would have to be given an empty message (RFC 2920 §3.1).
//!
//! What a server answers before the handshake is not known after it (RFC 3207 §4.2); the caller throws away what it has read.
//!
//! Quirk `eight-bit-anyway`: to a server without 8BITMIME text beyond ASCII goes as it is. To convert it would break signatures, to return it helps nobody.
//!
//! What it is not: no deadlines, no look-up, no choice of a server.

mod lines;

use std::collections::VecDeque;

use envelope::{Address, Notify, OriginalRecipient, Return, ReversePath, Secret};

use super::extensions::Extensions;
use super::failure::{Failure, Step};
use crate::Reply;
use lines::ended;

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is encrypted already, or shall not be.
    AsItIs,
    /// With STARTTLS when the server offers it.
    IfOffered,
    /// With STARTTLS, or nothing is sent.
    Required,
}

/// How a session begins.
#[derive(Debug, Clone)]
pub struct Hello {
    /// What to call oneself: a host name or an address literal.
    pub name: String,
    /// Whether to encrypt first.
    pub encryption: Encryption,
    /// The base64 of a PLAIN response to log in with.
    pub plain_response: Option<Secret<String>>,
}

/// One recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    /// Who.
    pub address: Address,
    /// When the sender wants to hear of it (RFC 3461 §4.1); passed on where the server knows DSN.
    pub notify: Option<Notify>,
    /// The address that the first sender wrote (RFC 3461 §4.2).
    pub original: Option<OriginalRecipient>,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// To whom.
    pub recipients: Vec<To>,
    /// Octets of the message with CRLF line ends, which is what BDAT announces.
    pub size: u64,
    /// Whether the message holds octets beyond ASCII.
    pub eight_bit: bool,
    /// Whether the message or an address needs SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// Whether it may only go on over verified TLS (RFC 8689).
    pub require_tls: bool,
    /// The sender's name for it (ENVID, RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// How much a report of failure returns (RET, RFC 3461 §4.3).
    pub returned: Option<Return>,
    /// Whether it goes to nobody when one of its recipients is refused.
    pub all_or_none: bool,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Next {
    /// Write these octets, then read a reply.
    Send(Vec<u8>),
    /// Read a reply.
    Read,
    /// Write the message, dot-stuffed, with its end; then read a reply.
    SendStuffed,
    /// Write these octets and the message as it is behind them; then read a reply.
    SendChunk(Vec<u8>),
    /// Throw away what was read, do the handshake, then call [`Session::tls_started`].
    StartTls,
    /// Ready for a message: the greeting is over, or this became of the last one.
    Ready(Option<Verdict>),
    /// Close the connection. Of a message that was under way this is known.
    Closed(Failure, Option<Verdict>),
}

/// What a server said of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has the message for it; the reply to the message.
    Accepted(Reply),
    /// It said no to the recipient, or to the message.
    Refused(Step, Reply),
    /// The message does not fit the server.
    Unfit(Failure),
    /// It was not asked, or did not answer.
    Open,
}

/// What became of a message, in the order of its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict(pub Vec<Answer>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Auth,
    Ready,
    /// Replies to MAIL and RCPT are due, in the order of `due`.
    Envelope,
    Data,
    Message,
    Reset,
    Closed,
}

/// A reply that the server owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Mail,
    Rcpt(usize),
}

#[derive(Debug)]
struct Current {
    transaction: Transaction,
    answers: Vec<Answer>,
    /// Sent, and not yet answered.
    due: VecDeque<Due>,
    /// The next recipient to ask for, without PIPELINING.
    next: usize,
    /// The refusal of MAIL.
    refused: Option<Reply>,
}

/// A session with one server.
#[derive(Debug)]
pub struct Session {
    hello: Hello,
    state: State,
    extensions: Extensions,
    encrypted: bool,
    current: Option<Current>,
}

impl Session {
    /// A session that waits for the greeting.
    pub fn new(hello: Hello) -> Self {
        let (state, extensions) = (State::Greeting, Extensions::default());
        Self { hello, state, extensions, encrypted: false, current: None }
    }

    /// Whether STARTTLS was done.
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server passes on what the sender wants to hear of (RFC 3461).
    pub const fn knows_dsn(&self) -> bool {
        self.extensions.dsn
    }

    /// Whether the whole message was sent and its answer is missing: if the connection breaks now nobody knows whether it was accepted.
    pub const fn awaits_verdict(&self) -> bool {
        matches!(self.state, State::Message)
    }

    /// What is known of the message under way, for a connection that broke.
    pub fn into_verdict(self) -> Option<Verdict> {
        self.current.map(Current::broken_off)
    }

    /// Takes the server's next reply.
    pub fn reply(&mut self, reply: Reply) -> Next {
        match self.state {
            State::Greeting if reply.code == 220 => self.ehlo(),
            State::Ehlo if is_done(&reply) => {
                self.extensions = Extensions::from_reply(&reply);
                self.after_ehlo()
            }
            // RFC 5321 §3.2: an old server that knows no EHLO.
            State::Ehlo if reply.is_permanent() && self.may_do_without() => {
                self.state = State::Helo;
                line(format!("HELO {}", self.hello.name))
            }
            State::Helo if is_done(&reply) => {
                self.extensions = Extensions::default();
                self.ready(None)
            }
            State::StartTls if reply.code == 220 => {
                self.state = State::Handshake;
                Next::StartTls
            }
            State::StartTls if self.hello.encryption == Encryption::IfOffered => self.after_encryption(),
            State::Auth if reply.code == 235 => self.ready(None),
            State::Envelope => self.envelope_reply(reply),
            State::Data if reply.code == 354 => {
                self.state = State::Message;
                Next::SendStuffed
            }
            State::Data => self.message_refused(Step::Data, reply),
            State::Message => self.message_reply(reply),
            State::Reset if is_done(&reply) => self.ready_with_verdict(),
            State::Handshake | State::Ready | State::Closed => self.close(Failure::OutOfStep),
            state => {
                let step = match state {
                    State::StartTls => Step::StartTls,
                    State::Auth => Step::Auth,
                    State::Reset => Step::Message,
                    _ => Step::Greeting,
                };
                self.close(Failure::Refused { step, reply })
            }
        }
    }

    /// The handshake succeeded: everything is asked anew.
    pub fn tls_started(&mut self) -> Next {
        if self.state != State::Handshake {
            return self.close(Failure::OutOfStep);
        }
        self.encrypted = true;
        self.ehlo()
    }

    /// Begins a message, when the session is ready for one.
    pub fn begin(&mut self, transaction: Transaction) -> Next {
        if self.state != State::Ready || transaction.recipients.is_empty() {
            return self.close(Failure::OutOfStep);
        }
        let count = transaction.recipients.len();
        if let Some(failure) = self.unfit(&transaction) {
            return Next::Ready(Some(Verdict(vec![Answer::Unfit(failure); count])));
        }
        let mut octets = lines::mail(&self.extensions, &transaction);
        let mut due = VecDeque::from([Due::Mail]);
        let mut next = 0;
        if self.extensions.pipelining {
            for (index, to) in transaction.recipients.iter().enumerate() {
                octets.push_str(&lines::rcpt(&self.extensions, to));
                due.push_back(Due::Rcpt(index));
            }
            next = count;
        }
        self.current =
            Some(Current { transaction, answers: vec![Answer::Open; count], due, next, refused: None });
        self.state = State::Envelope;
        Next::Send(octets.into_bytes())
    }

    /// The polite end, to be written if the caller has the time; no answer is waited for.
    pub const fn quit() -> &'static [u8] {
        b"QUIT\r\n"
    }

    fn ehlo(&mut self) -> Next {
        self.state = State::Ehlo;
        line(format!("EHLO {}", self.hello.name))
    }

    fn after_ehlo(&mut self) -> Next {
        let wanted = self.hello.encryption != Encryption::AsItIs && !self.encrypted;
        if wanted && self.extensions.starttls {
            self.state = State::StartTls;
            return line("STARTTLS".to_owned());
        }
        self.after_encryption()
    }

    fn after_encryption(&mut self) -> Next {
        if self.hello.encryption == Encryption::Required && !self.encrypted {
            return self.close(Failure::NoEncryption);
        }
        let Some(response) = self.hello.plain_response.take() else { return self.ready(None) };
        if !self.extensions.auth_plain {
            return self.close(Failure::NoLogin);
        }
        self.state = State::Auth;
        line(format!("AUTH PLAIN {}", response.expose()))
    }

    const fn may_do_without(&self) -> bool {
        self.hello.plain_response.is_none() && !matches!(self.hello.encryption, Encryption::Required)
    }

    fn unfit(&self, transaction: &Transaction) -> Option<Failure> {
        let extensions = &self.extensions;
        if extensions.size_max.is_some_and(|max| max > 0 && transaction.size > max) {
            return Some(Failure::TooBig);
        }
        if transaction.smtp_utf8 && !extensions.smtp_utf8 {
            return Some(Failure::NoUtf8);
        }
        let require_tls = transaction.require_tls && !(self.encrypted && extensions.require_tls);
        require_tls.then_some(Failure::NoRequireTls)
    }

    fn envelope_reply(&mut self, reply: Reply) -> Next {
        let Some(current) = &mut self.current else { return self.close(Failure::OutOfStep) };
        let Some(due) = current.due.pop_front() else { return self.close(Failure::OutOfStep) };
        // RFC 5321 §3.8: the server closes; nothing more can be asked.
        if reply.code == 421 {
            let step = if due == Due::Mail { Step::Mail } else { Step::Rcpt };
            return self.close(Failure::Refused { step, reply });
        }
        match due {
            Due::Mail if !is_done(&reply) => current.refused = Some(reply),
            Due::Mail => {}
            Due::Rcpt(index) => {
                if let Some(answer) = current.answers.get_mut(index) {
                    *answer = match &current.refused {
                        Some(refusal) => Answer::Refused(Step::Mail, refusal.clone()),
                        // Kept as accepted until there is a verdict on the message.
                        None if is_done(&reply) => Answer::Accepted(reply),
                        None => Answer::Refused(Step::Rcpt, reply),
                    };
                }
            }
        }
        if !current.due.is_empty() {
            return Next::Read;
        }
        if let Some(refusal) = &current.refused {
            let refused = Answer::Refused(Step::Mail, refusal.clone());
            current.answers.iter_mut().for_each(|answer| *answer = refused.clone());
            return self.ready_with_verdict();
        }
        let refused = current.answers.iter().any(|answer| matches!(answer, Answer::Refused(..)));
        if refused && current.transaction.all_or_none {
            current.take_back();
            self.state = State::Reset;
            return line("RSET".to_owned());
        }
        if let Some(to) = current.transaction.recipients.get(current.next) {
            let to = to.clone();
            current.due.push_back(Due::Rcpt(current.next));
            current.next += 1;
            return Next::Send(lines::rcpt(&self.extensions, &to).into_bytes());
        }
        if current.answers.iter().any(|answer| matches!(answer, Answer::Accepted(_))) {
            return self.text();
        }
        self.state = State::Reset;
        line("RSET".to_owned())
    }

    fn text(&mut self) -> Next {
        let size = self.current.as_ref().map_or(0, |current| current.transaction.size);
        if self.extensions.chunking {
            self.state = State::Message;
            return Next::SendChunk(ended(format!("BDAT {size} LAST")).into_bytes());
        }
        self.state = State::Data;
        line("DATA".to_owned())
    }

    /// RFC 5321 §4.2.5: one answer for all who were accepted.
    fn message_reply(&mut self, reply: Reply) -> Next {
        // "Go on" is no answer to a whole message: who says so has not understood it.
        if reply.code / 100 == 3 {
            return self.close(Failure::OutOfStep);
        }
        if !is_done(&reply) {
            return self.message_refused(Step::Message, reply);
        }
        self.settle(|| Answer::Accepted(reply.clone()));
        self.ready_with_verdict()
    }

    fn message_refused(&mut self, step: Step, reply: Reply) -> Next {
        self.settle(|| Answer::Refused(step, reply.clone()));
        if reply.code == 421 {
            return self.close(Failure::Refused { step, reply });
        }
        // A refused chunk or DATA leaves the transaction open on some servers (RFC 3030 §2): they are told that it is over.
        self.state = State::Reset;
        line("RSET".to_owned())
    }

    fn settle(&mut self, answer: impl Fn() -> Answer) {
        let answers = self.current.iter_mut().flat_map(|current| &mut current.answers);
        for one in answers.filter(|one| matches!(one, Answer::Accepted(_))) {
            *one = answer();
        }
    }

    fn ready_with_verdict(&mut self) -> Next {
        let verdict = self.current.take().map(|current| Verdict(current.answers));
        self.ready(verdict)
    }

    const fn ready(&mut self, verdict: Option<Verdict>) -> Next {
        self.state = State::Ready;
        Next::Ready(verdict)
    }

    fn close(&mut self, failure: Failure) -> Next {
        self.state = State::Closed;
        Next::Closed(failure, self.current.take().map(Current::broken_off))
    }
}

impl Current {
    /// Who was accepted, without a verdict on the message, is as open as who was not asked.
    fn broken_off(mut self) -> Verdict {
        self.take_back();
        Verdict(self.answers)
    }

    fn take_back(&mut self) {
        let undecided = self.answers.iter_mut().filter(|answer| matches!(answer, Answer::Accepted(_)));
        undecided.for_each(|answer| *answer = Answer::Open);
    }
}

/// RFC 5321 §4.2.1: only 2yz says that it is done.
const fn is_done(reply: &Reply) -> bool {
    reply.code / 100 == 2
}

fn line(text: String) -> Next {
    Next::Send(ended(text).into_bytes())
}

#[cfg(test)]
mod tests;
