//! The client's side of a session: one message, then QUIT.
//!
//! ```text
//!  Greeting ─220▶ Ehlo ─250▶ [StartTls ─220▶ Handshake ─▶ Ehlo ─250▶] [Auth ─235▶] Mail ─250▶ Rcpt… ─▶ Data ─354▶ Message ─250▶ Quit ─▶ Done
//!                  └─5xx▶ Helo (without extensions)                                  at least one 250 ┘
//!  any refusal that ends the message: Quit with the failure kept; an answer to QUIT is not waited for beyond the caller's patience
//! ```
//!
//! The caller writes what [`Action::Send`] holds, reads with a [`ReplyDecoder`](crate::ReplyDecoder) and gives each reply to
//! [`Client::reply`]. The message's text goes through a [`DotStuffer`](crate::DotStuffer) when [`Action::SendMessage`] asks for it.
//!
//! What it is not: no deadlines and no look-up of the server; no second message.

mod extensions;
mod outcome;
mod session;
#[cfg(test)]
mod tests;

use envelope::{Address, ReversePath, Secret};

use crate::Reply;
use extensions::Extensions;
pub use outcome::{Failure, Outcome, Step};
pub use session::{Answer, Hello, Next, Session, To, Transaction, Verdict};

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is encrypted already, or shall not be.
    AsItIs,
    /// With STARTTLS when the server offers it.
    IfOffered,
    /// With STARTTLS, or the message is not sent.
    Required,
}

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to call oneself: a host name or an address literal.
    pub name: String,
    /// Whether to encrypt first.
    pub encryption: Encryption,
    /// The base64 of a PLAIN response to log in with.
    pub plain_response: Option<Secret<String>>,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// To whom.
    pub recipients: Vec<Address>,
    /// Octets of the message.
    pub size: u64,
    /// Whether the message holds octets beyond ASCII.
    pub eight_bit: bool,
    /// Whether the message or an address needs SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Action {
    /// Write these octets, then wait for a reply.
    Send(Vec<u8>),
    /// Write the message, dot-stuffed, with its end; then wait for a reply.
    SendMessage,
    /// Throw away what was read, do the handshake, then call [`Client::tls_started`].
    StartTls,
    /// Close the connection: all is known.
    Done(Outcome),
}

/// One message on its way to one server.
#[derive(Debug)]
pub struct Client {
    job: Job,
    state: State,
    extensions: Extensions,
    encrypted: bool,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Auth,
    Mail,
    /// The recipient with this index was asked for.
    Rcpt(usize),
    Data,
    Message,
    Quit,
    Done,
}

impl Client {
    /// A client that waits for the greeting.
    pub fn new(job: Job) -> Self {
        Self {
            job,
            state: State::Greeting,
            extensions: Extensions::default(),
            encrypted: false,
            outcome: Outcome::default(),
        }
    }

    /// Takes the server's next reply.
    pub fn reply(&mut self, reply: Reply) -> Action {
        match self.state {
            State::Greeting if reply.code == 220 => self.ehlo(),
            State::Ehlo if reply.is_positive() => {
                self.extensions = Extensions::from_reply(&reply);
                self.after_ehlo()
            }
            // RFC 5321 §3.2: an old server that knows no EHLO.
            State::Ehlo if reply.is_permanent() && !self.needs_extensions() => {
                self.state = State::Helo;
                self.send(format!("HELO {}", self.job.name))
            }
            State::Helo if reply.is_positive() => {
                self.extensions = Extensions::default();
                self.mail()
            }
            State::StartTls if reply.code == 220 => {
                self.state = State::Handshake;
                Action::StartTls
            }
            State::StartTls if self.job.encryption == Encryption::IfOffered => self.after_encryption(),
            State::Auth if reply.code == 235 => self.mail(),
            State::Mail if reply.is_positive() => self.rcpt(0),
            State::Rcpt(index) => self.after_rcpt(index, reply),
            State::Data if reply.code == 354 => {
                self.state = State::Message;
                Action::SendMessage
            }
            State::Message if reply.is_positive() => {
                self.outcome.accepted = Some(reply);
                self.quit()
            }
            State::Quit | State::Done => self.done(),
            State::Handshake => self.fail(Failure::OutOfStep),
            state => self.fail(Failure::Refused { step: Step::of(state), reply }),
        }
    }

    /// The handshake succeeded: everything is asked anew (RFC 3207 §4.2).
    pub fn tls_started(&mut self) -> Action {
        if self.state != State::Handshake {
            return self.fail(Failure::OutOfStep);
        }
        self.encrypted = true;
        self.ehlo()
    }

    /// Whether the message itself was sent to its end and its answer is missing: then nobody knows whether it was
    /// accepted, if the connection breaks now.
    pub const fn awaits_verdict(&self) -> bool {
        matches!(self.state, State::Message)
    }

    /// What is known so far, for a connection that broke.
    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }

    fn ehlo(&mut self) -> Action {
        self.state = State::Ehlo;
        self.send(format!("EHLO {}", self.job.name))
    }

    fn after_ehlo(&mut self) -> Action {
        let wanted = self.job.encryption != Encryption::AsItIs && !self.encrypted;
        if wanted && self.extensions.starttls {
            self.state = State::StartTls;
            return self.send("STARTTLS".to_owned());
        }
        self.after_encryption()
    }

    fn after_encryption(&mut self) -> Action {
        if self.job.encryption == Encryption::Required && !self.encrypted {
            return self.fail(Failure::NoEncryption);
        }
        let Some(response) = self.job.plain_response.take() else { return self.mail() };
        if !self.extensions.auth_plain {
            return self.fail(Failure::NoLogin);
        }
        self.state = State::Auth;
        self.send(format!("AUTH PLAIN {}", response.expose()))
    }

    fn mail(&mut self) -> Action {
        if self.job.recipients.is_empty() {
            return self.fail(Failure::NoRecipients);
        }
        let mut line = format!("MAIL FROM:<{}>", self.job.reverse_path);
        let extensions = &self.extensions;
        if extensions.size_max.is_some_and(|max| max > 0 && self.job.size > max) {
            return self.fail(Failure::TooBig);
        }
        if extensions.size {
            line.push_str(&format!(" SIZE={}", self.job.size));
        }
        if self.job.smtp_utf8 {
            if !extensions.smtp_utf8 {
                return self.fail(Failure::NoUtf8);
            }
            line.push_str(" SMTPUTF8");
        }
        if (self.job.eight_bit || self.job.smtp_utf8) && extensions.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        self.state = State::Mail;
        self.send(line)
    }

    fn rcpt(&mut self, index: usize) -> Action {
        match self.job.recipients.get(index) {
            Some(address) => {
                let line = format!("RCPT TO:<{address}>");
                self.state = State::Rcpt(index);
                self.send(line)
            }
            None if self.outcome.recipients.iter().any(|(_, reply)| reply.is_positive()) => {
                self.state = State::Data;
                self.send("DATA".to_owned())
            }
            None => self.fail(Failure::NoRecipients),
        }
    }

    fn after_rcpt(&mut self, index: usize, reply: Reply) -> Action {
        let closing = reply.code == 421;
        if let Some(address) = self.job.recipients.get(index) {
            self.outcome.recipients.push((address.clone(), reply.clone()));
        }
        // RFC 5321 §3.8: the server closes; nothing more can be asked.
        if closing { self.fail(Failure::Refused { step: Step::Rcpt, reply }) } else { self.rcpt(index + 1) }
    }

    fn quit(&mut self) -> Action {
        self.state = State::Quit;
        self.send("QUIT".to_owned())
    }

    /// Keeps the failure and takes leave, unless the server already does.
    fn fail(&mut self, failure: Failure) -> Action {
        let gone = match &failure {
            Failure::Refused { reply, .. } => reply.code == 421,
            Failure::OutOfStep => true,
            _ => false,
        };
        self.outcome.failure = Some(failure);
        if gone { self.done() } else { self.quit() }
    }

    fn done(&mut self) -> Action {
        self.state = State::Done;
        Action::Done(std::mem::take(&mut self.outcome))
    }

    fn send(&self, mut line: String) -> Action {
        // Values are parsed types; what the caller's name or response could smuggle in ends here.
        line.retain(|c| !c.is_control());
        line.push_str("\r\n");
        Action::Send(line.into_bytes())
    }

    const fn needs_extensions(&self) -> bool {
        self.job.plain_response.is_some()
            || self.job.smtp_utf8
            || matches!(self.job.encryption, Encryption::Required)
    }
}
