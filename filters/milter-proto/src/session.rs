//! A session with one milter: which command may be sent when, and which reply is legal.
//!
//! ```text
//!  Options ─▶ Ready ──MAIL──▶ Message ──end of message──▶ Ready
//!               │                │ accept, discard or a refusal of the message (not of a recipient)
//!               │                ▼
//!               │              Over ──ABORT──▶ Ready            Message ──ABORT──▶ Ready
//!               └ accept of the connection: Done, nothing is asked any more
//!  anything illegal ─▶ Broken: the connection must go
//! ```
//!
//! A modification is legal between the end of a message and the answer to it, when it was negotiated; nowhere else. A report of progress is legal
//! while an answer is due. Nothing is legal when none is due.

use crate::command::{Command, Step};
use crate::limits::Limits;
use crate::macros::Macros;
use crate::modification::Modification;
use crate::options::{Options, OptionsError, Steps};
use crate::packet::{BODY_CHUNK_MAX, DATA_MAX, FrameError, Packet};
use crate::reply::{Reply, ReplyError};
use crate::reply_code::ReplyCode;

/// What a milter's packet means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session can begin.
    Negotiated,
    /// The answer takes longer; it is still due.
    Progress,
    /// A change of the message; the answer is still due.
    Modification(Modification),
    /// The answer.
    Answer(Answer),
}

/// What a milter says to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has nothing against it.
    Continue,
    /// It does not want to hear more of the connection or the message.
    Accept,
    /// It refuses for good: the connection, the command, the recipient or the message.
    Reject,
    /// It refuses for now.
    Tempfail,
    /// The message is to be accepted and dropped.
    Discard,
    /// It refuses with this reply.
    Reply(ReplyCode),
    /// The server is to close the session.
    Shutdown,
}

/// Why a session with a milter is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Octets that are no packet.
    #[error("no packet")]
    Frame(#[from] FrameError),
    /// A packet that is no reply.
    #[error("no reply")]
    Reply(#[from] ReplyError),
    /// Nothing was agreed on.
    #[error("nothing agreed on")]
    Options(#[from] OptionsError),
    /// A reply that nobody asked for.
    #[error("a reply {0:#04x} that nobody asked for")]
    Unasked(u8),
    /// A reply that is not legal here.
    #[error("a reply {code:#04x} to {}", step.name())]
    Illegal {
        /// The letter.
        code: u8,
        /// What was asked.
        step: Step,
    },
    /// A change that was not negotiated.
    #[error("a change {0:#04x} that was not negotiated")]
    NotNegotiated(u8),
    /// More changes than one message may get.
    #[error("more than {0} changes")]
    TooManyModifications(usize),
    /// Larger changes than one message may get.
    #[error("more than {0} octets of changes")]
    ModificationsTooLarge(usize),
    /// It works on one command for ever.
    #[error("more than {0} reports of progress")]
    TooMuchProgress(u32),
    /// The milter says that it has failed.
    #[error("the milter has failed")]
    ConnectionFailed,
}

/// A command that can't be sent. It was not, and the session is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// Not in this state.
    #[error("the command is not allowed now")]
    OutOfStep,
    /// Milters take no packet of this size.
    #[error("a command of more than {DATA_MAX} octets")]
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Options,
    Ready,
    Message,
    Over,
    Done,
    Broken,
}

/// What one message has cost so far, and what of it is not wanted.
#[derive(Debug, Clone, Copy, Default)]
struct Message {
    modifications: usize,
    octets: usize,
    skip_rcpt: bool,
    skip_header: bool,
    skip_body: bool,
}

/// The state of a connection.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    state: State,
    options: Options,
    due: Option<Step>,
    progress: u32,
    message: Message,
}

impl Session {
    /// Begins a session: appends our offer. Its answer is due.
    pub fn open(limits: Limits, out: &mut Vec<u8>) -> Self {
        let options = Options::offer();
        Command::Negotiate(options.clone()).write(out);
        let due = Some(Step::Negotiate);
        Self { limits, state: State::Options, options, due, progress: 0, message: Message::default() }
    }

    /// The largest packet that is read.
    pub const fn packet_max(&self) -> usize {
        self.limits.packet_max
    }

    /// What was agreed on; our offer until then.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a message is open here: begun, and neither ended nor aborted.
    pub const fn in_message(&self) -> bool {
        matches!(self.state, State::Message | State::Over)
    }

    /// Whether the milter is asked about the rest of the message.
    pub const fn wants_message(&self) -> bool {
        matches!(self.state, State::Message)
    }

    /// Whether the milter has accepted the connection and is asked nothing any more.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Appends a command with its macros, if the milter wants to hear it. Whether an answer is due.
    ///
    /// Of a field, `value` is all behind the colon with CRLF line ends; the wire has LF, and the first space only if that was negotiated.
    pub fn send(
        &mut self,
        command: &Command<'_>,
        macros: &Macros,
        out: &mut Vec<u8>,
    ) -> Result<bool, Misuse> {
        let step = command.step().filter(|step| *step != Step::Negotiate).ok_or(Misuse::OutOfStep)?;
        if !self.may_send(step)? {
            return Ok(false);
        }
        if length(command) > DATA_MAX {
            return Err(Misuse::TooLong);
        }
        if step == Step::Mail {
            self.state = State::Message;
            self.message = Message::default();
        }
        if self.leaves_out(step) {
            return Ok(false);
        }
        if let Some(stage) = step.stage() {
            let mut known = Vec::new();
            macros.fill(&self.options.macros.names(stage), &mut known);
            if !known.is_empty() {
                crate::packet::write(out, b'D', |out| {
                    out.push(command.code());
                    out.extend_from_slice(&known);
                });
            }
        }
        match command {
            Command::Header(name, value) => {
                let value = self.wire_value(value);
                Command::Header(name, &value).write(out);
            }
            command => command.write(out),
        }
        let due = !self.answers_not(step);
        self.due = due.then_some(step);
        self.progress = 0;
        Ok(due)
    }

    /// Appends ABORT if a message is open. No answer is due. An answer that is still due can't be told from the next one, so the session is over then.
    pub fn abort(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.due.is_some() {
            return Err(Misuse::OutOfStep);
        }
        if self.in_message() {
            Command::Abort.write(out);
            self.state = State::Ready;
        }
        Ok(())
    }

    /// Appends QUIT; nothing may be sent after it.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Broken {
            Command::Quit.write(out);
        }
        self.state = State::Broken;
        self.due = None;
    }

    /// Appends QUIT_NC: the connection serves another client with the options agreed on. Not every milter knows it.
    pub fn quit_new_connection(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.due.is_some() || !matches!(self.state, State::Ready | State::Done) {
            return Err(Misuse::OutOfStep);
        }
        Command::QuitNewConnection.write(out);
        self.state = State::Ready;
        Ok(())
    }

    /// Takes a packet. After a fault the connection must go.
    pub fn receive(&mut self, packet: Packet<'_>) -> Result<Event, Fault> {
        let event = self.judge(packet);
        if event.is_err() {
            self.state = State::Broken;
            self.due = None;
        }
        event
    }

    fn judge(&mut self, packet: Packet<'_>) -> Result<Event, Fault> {
        let step = self.due.ok_or(Fault::Unasked(packet.code))?;
        let illegal = Fault::Illegal { code: packet.code, step };
        let reply = Reply::parse(packet)?;
        if step == Step::Negotiate {
            let Reply::Options(data) = reply else { return Err(illegal) };
            self.options = Options::agreed(&data)?;
            self.due = None;
            self.state = State::Ready;
            return Ok(Event::Negotiated);
        }
        let answer = match reply {
            Reply::Progress => return self.progressed(),
            Reply::Modification(modification) if step == Step::EndOfMessage => {
                return self.modified(modification, packet.data.len());
            }
            Reply::ConnectionFailed => return Err(Fault::ConnectionFailed),
            Reply::Skip if self.may_skip(step) => {
                self.skip(step);
                Answer::Continue
            }
            // Discarding is said of messages, not of clients.
            Reply::Discard if matches!(step, Step::Connect | Step::Helo | Step::Unknown) => {
                return Err(illegal);
            }
            Reply::Continue => Answer::Continue,
            Reply::Accept => Answer::Accept,
            Reply::Reject => Answer::Reject,
            Reply::Tempfail => Answer::Tempfail,
            Reply::Discard => Answer::Discard,
            Reply::Shutdown => Answer::Shutdown,
            Reply::Code(code) => Answer::Reply(code),
            Reply::Options(_) | Reply::Modification(_) | Reply::Skip => return Err(illegal),
        };
        self.due = None;
        self.answered(step, &answer);
        Ok(Event::Answer(answer))
    }

    fn progressed(&mut self) -> Result<Event, Fault> {
        self.progress = self.progress.saturating_add(1);
        if self.progress > self.limits.progress_max {
            return Err(Fault::TooMuchProgress(self.limits.progress_max));
        }
        Ok(Event::Progress)
    }

    fn modified(&mut self, modification: Modification, octets: usize) -> Result<Event, Fault> {
        if !self.options.actions.contains(modification.needs()) {
            return Err(Fault::NotNegotiated(modification.code()));
        }
        self.message.modifications += 1;
        self.message.octets = self.message.octets.saturating_add(octets);
        if self.message.modifications > self.limits.modifications_max {
            return Err(Fault::TooManyModifications(self.limits.modifications_max));
        }
        if self.message.octets > self.limits.modifications_octets_max {
            return Err(Fault::ModificationsTooLarge(self.limits.modifications_octets_max));
        }
        let leading_space = self.options.steps.contains(Steps::LEADING_SPACE);
        Ok(Event::Modification(if leading_space { modification } else { modification.with_leading_space() }))
    }

    fn answered(&mut self, step: Step, answer: &Answer) {
        let refused = matches!(answer, Answer::Reject | Answer::Tempfail | Answer::Reply(_));
        self.state = match (step, answer) {
            (_, Answer::Shutdown) => State::Broken,
            (Step::EndOfMessage, _) => State::Ready,
            (_, Answer::Continue) => self.state,
            (Step::Connect | Step::Helo, Answer::Accept) => State::Done,
            // The client is not to come in; what comes of it later begins anew.
            (Step::Connect, _) => State::Broken,
            (Step::Helo | Step::Unknown, _) => self.state,
            (Step::Rcpt, _) if refused => self.state,
            _ => State::Over,
        };
    }

    /// Whether the state allows the command; `Ok(false)` where the milter does not want to hear it.
    fn may_send(&self, step: Step) -> Result<bool, Misuse> {
        if self.due.is_some() {
            return Err(Misuse::OutOfStep);
        }
        let of_message = !matches!(step, Step::Connect | Step::Helo | Step::Mail | Step::Unknown);
        match self.state {
            State::Options | State::Broken => Err(Misuse::OutOfStep),
            State::Done => Ok(false),
            State::Ready if !of_message => Ok(true),
            State::Ready => Err(Misuse::OutOfStep),
            State::Message if of_message || step == Step::Unknown => Ok(true),
            State::Over if of_message || step == Step::Unknown => Ok(false),
            State::Message | State::Over => Err(Misuse::OutOfStep),
        }
    }

    fn leaves_out(&self, step: Step) -> bool {
        let flag = match step {
            Step::Connect => Steps::NO_CONNECT,
            Step::Helo => Steps::NO_HELO,
            Step::Mail => Steps::NO_MAIL,
            Step::Rcpt => Steps::NO_RCPT,
            Step::Data => Steps::NO_DATA,
            Step::Unknown => Steps::NO_UNKNOWN,
            Step::Header => Steps::NO_HEADERS,
            Step::EndOfHeaders => Steps::NO_END_OF_HEADERS,
            Step::Body => Steps::NO_BODY,
            Step::Negotiate | Step::EndOfMessage => return false,
        };
        let skipped = match step {
            Step::Rcpt => self.message.skip_rcpt,
            Step::Header => self.message.skip_header,
            Step::Body => self.message.skip_body,
            _ => false,
        };
        skipped || self.options.steps.contains(flag)
    }

    const fn answers_not(&self, step: Step) -> bool {
        let flag = match step {
            Step::Connect => Steps::NO_REPLY_CONNECT,
            Step::Helo => Steps::NO_REPLY_HELO,
            Step::Mail => Steps::NO_REPLY_MAIL,
            Step::Rcpt => Steps::NO_REPLY_RCPT,
            Step::Data => Steps::NO_REPLY_DATA,
            Step::Unknown => Steps::NO_REPLY_UNKNOWN,
            Step::Header => Steps::NO_REPLY_HEADER,
            Step::EndOfHeaders => Steps::NO_REPLY_END_OF_HEADERS,
            Step::Body => Steps::NO_REPLY_BODY,
            Step::Negotiate | Step::EndOfMessage => return false,
        };
        self.options.steps.contains(flag)
    }

    const fn may_skip(&self, step: Step) -> bool {
        self.options.steps.contains(Steps::SKIP) && matches!(step, Step::Rcpt | Step::Header | Step::Body)
    }

    const fn skip(&mut self, step: Step) {
        match step {
            Step::Rcpt => self.message.skip_rcpt = true,
            Step::Header => self.message.skip_header = true,
            Step::Body => self.message.skip_body = true,
            _ => {}
        }
    }

    fn wire_value(&self, value: &[u8]) -> Vec<u8> {
        let leading_space = self.options.steps.contains(Steps::LEADING_SPACE);
        let value = if leading_space { value } else { value.strip_prefix(b" ").unwrap_or(value) };
        let mut wire = Vec::with_capacity(value.len());
        let mut rest = value.iter().copied().peekable();
        while let Some(byte) = rest.next() {
            if byte != b'\r' || rest.peek() != Some(&b'\n') {
                wire.push(byte);
            }
        }
        wire
    }
}

/// About how much data a command has; pieces of a body have their own limit, which is the same.
fn length(command: &Command<'_>) -> usize {
    const _: () = assert!(BODY_CHUNK_MAX == DATA_MAX);
    match command {
        Command::Helo(text) | Command::Unknown(text) => text.len() + 1,
        Command::Body(piece) => piece.len(),
        Command::Mail(words) | Command::Rcpt(words) => words.iter().map(|word| word.len() + 1).sum(),
        Command::Header(name, value) => name.len() + value.len() + 2,
        _ => 0,
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let limits =
        Limits { packet_max: 64, modifications_max: 3, modifications_octets_max: 64, progress_max: 2 };
    let mut out = Vec::new();
    let mut session = Session::open(limits, &mut out);
    let script = [
        Command::Connect { hostname: b"h", peer: crate::command::Peer::Unknown },
        Command::Helo(b"h"),
        Command::Mail(vec![b"<a@b.test>"]),
        Command::Rcpt(vec![b"<c@d.test>"]),
        Command::Data,
        Command::Header(b"A", b" b\r\n c"),
        Command::EndOfHeaders,
        Command::Body(b"x"),
        Command::EndOfMessage,
    ];
    let mut commands = script.iter().cycle();
    let (mut rest, mut changes) = (input, 0);
    for _ in 0..script.len() * 4 {
        while session.due.is_some() {
            let Ok(Some((packet, taken))) = crate::packet::frame(rest, limits.packet_max) else { return };
            rest = rest.get(taken..).unwrap_or_default();
            let step = session.due;
            match session.receive(packet) {
                Ok(Event::Modification(change)) => {
                    changes += 1;
                    assert_eq!(step, Some(Step::EndOfMessage), "changes come at the end");
                    assert!(session.options.actions.contains(change.needs()), "and were negotiated");
                    assert!(changes <= limits.modifications_max, "and are counted");
                }
                Ok(_) => changes = if session.due.is_some() { changes } else { 0 },
                Err(_) => {
                    assert_eq!(
                        session.send(&Command::Data, &Macros::default(), &mut out),
                        Err(Misuse::OutOfStep)
                    );
                    return;
                }
            }
        }
        let Some(command) = commands.next() else { return };
        if command.step() == Some(Step::Connect) && session.abort(&mut out).is_err() {
            return;
        }
        out.clear();
        let sent = session.send(command, &Macros::default(), &mut out);
        assert!(sent != Ok(true) || !out.is_empty(), "who is to answer was asked");
    }
}

#[cfg(test)]
mod tests;
