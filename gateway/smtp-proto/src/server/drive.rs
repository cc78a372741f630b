//! The session driven over plain octets, for fuzzing: as the gateway does it, with everybody accepted and every password
//! refused.

use super::{Action, Input, Offer, Refusal, Service, Session};
use crate::limits::{DataLimits, SessionLimits};
use crate::{Bdat, ChunkDecoder, DataDecoder, Frame, LineDecoder, Reply};

const DATA_LIMITS: DataLimits = DataLimits { line_max: 998, message_max: 1000 };
/// A refused chunk above it ends the session.
const DISCARD_MAX: u64 = 2000;

pub(crate) fn fuzz(input: &[u8]) {
    for service in [Service::Mx, Service::Submission, Service::Lmtp] {
        let whole = transcript(service, input, input.len().max(1));
        let bytewise = transcript(service, input, 1);
        for reply in whole.replies.iter().chain(&bytewise.replies) {
            assert!((200..600).contains(&reply.code), "a reply has a code");
            assert!(!reply.lines.is_empty(), "a reply has text");
        }
        compare(&whole, &bytewise);
    }
}

/// Segments matter to two rules only: what may not be pipelined, and what is thrown away at the handshake. Up to there, and
/// everywhere else, both hear the same.
fn compare(whole: &Transcript, bytewise: &Transcript) {
    let pipelining = Refusal::Pipelining.reply();
    for (at, reply) in whole.replies.iter().enumerate() {
        if *reply == pipelining || whole.handshakes.contains(&at) {
            return;
        }
        assert!(bytewise.replies.get(at) == Some(reply), "the same answer, whole and byte by byte");
    }
    assert!(whole.replies.len() == bytewise.replies.len(), "as many answers, whole and byte by byte");
}

/// What a client heard.
#[derive(Default)]
struct Transcript {
    replies: Vec<Reply>,
    /// Which of the replies began a handshake.
    handshakes: Vec<usize>,
}

/// Every reply to `input`, given in pieces of `piece` octets.
fn transcript(service: Service, input: &[u8], piece: usize) -> Transcript {
    let limits = SessionLimits {
        recipients_max: 3,
        transactions_max: 4,
        errors_max: 5,
        idle_commands_max: 10,
        message_max: DATA_LIMITS.message_max,
        auth_failures_max: 2,
    };
    let Ok(name) = "mx.example.test".parse() else { return Transcript::default() };
    let mechanisms = if service == Service::Submission { vec!["PLAIN", "LOGIN"] } else { Vec::new() };
    let offer = Offer { name, service, starttls: true, mechanisms, dsn: true, plaintext_auth: true };
    let mut driver = Driver {
        session: Session::new(offer, limits, false),
        lines: LineDecoder::default(),
        reading: Reading::Lines,
        message: ChunkDecoder::new(DATA_LIMITS),
        buffer: Vec::new(),
        open: true,
        said: Transcript::default(),
    };
    for part in input.chunks(piece) {
        driver.buffer.extend_from_slice(part);
        while driver.open {
            let consumed = driver.turn();
            assert!(consumed <= driver.buffer.len(), "nothing is consumed that did not come");
            driver.buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    driver.said
}

/// What the next octets are.
enum Reading {
    Lines,
    Text(DataDecoder),
    Chunk(Bdat, u64),
    Skip(u64, Reply),
}

struct Driver {
    session: Session,
    lines: LineDecoder,
    reading: Reading,
    message: ChunkDecoder,
    buffer: Vec<u8>,
    open: bool,
    said: Transcript,
}

impl Driver {
    /// Takes one line or piece of a message; gives how many octets it was.
    fn turn(&mut self) -> usize {
        match std::mem::replace(&mut self.reading, Reading::Lines) {
            Reading::Lines => self.line(),
            Reading::Text(mut decoder) => {
                let progress = decoder.decode(&self.buffer, |_| {});
                if progress.finished {
                    let action = self.judge(decoder.poison().is_none());
                    self.act(action);
                } else {
                    self.reading = Reading::Text(decoder);
                }
                progress.consumed
            }
            Reading::Chunk(bdat, taken) => {
                let consumed = self.message.decode(&self.buffer, |_| {});
                let taken = taken + consumed as u64;
                assert!(taken + self.message.left() == bdat.size, "a chunk is consumed exactly");
                let action = self.chunk(bdat, taken);
                action.into_iter().for_each(|action| self.act(action));
                consumed
            }
            Reading::Skip(left, reply) => {
                let consumed = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                match left - consumed as u64 {
                    0 => self.said.replies.push(reply),
                    left => self.reading = Reading::Skip(left, reply),
                }
                consumed
            }
        }
    }

    fn line(&mut self) -> usize {
        let (action, consumed) = match self.lines.decode(&self.buffer, 512) {
            Frame::Line(line, consumed) => {
                let more = self.buffer.len() > consumed;
                (self.session.step(Input::Line { line, more }), consumed)
            }
            Frame::Bad(error, consumed) => (self.session.step(Input::BadLine(error)), consumed),
            Frame::Incomplete(consumed) => return consumed,
        };
        let discard = matches!(action, Action::StartTls(_));
        self.act(action);
        if !self.session.in_chunks() {
            self.message = ChunkDecoder::new(DATA_LIMITS);
        }
        if discard { self.buffer.len() } else { consumed }
    }

    fn judge(&mut self, good: bool) -> Action {
        let reply = if good { (250, (2, 0, 0)) } else { (550, (5, 6, 0)) };
        self.session.step(Input::Verdict(Reply::enhanced(reply.0, reply.1, "done")))
    }

    /// The chunk's end, if it is reached.
    fn chunk(&mut self, bdat: Bdat, taken: u64) -> Option<Action> {
        if self.message.left() > 0 {
            self.reading = Reading::Chunk(bdat, taken);
            return None;
        }
        if bdat.last {
            self.message.finish();
        }
        let good = self.message.poison().is_none();
        if bdat.last || !good {
            self.message = ChunkDecoder::new(DATA_LIMITS);
        }
        Some(self.judge(good))
    }

    fn act(&mut self, mut action: Action) {
        loop {
            action = match action {
                Action::Reply(reply) => {
                    return self.said.replies.extend(Some(reply).filter(|reply| !reply.lines.is_empty()));
                }
                Action::ReplyAndClose(reply) => return self.close(reply),
                Action::ReplyToEach { reply, count, close } => {
                    self.open &= !close;
                    return self.said.replies.extend(std::iter::repeat_n(reply, count));
                }
                Action::CheckSender(_) | Action::CheckRecipient(_) => {
                    self.session.step(Input::Verdict(Reply::enhanced(250, (2, 1, 0), "OK")))
                }
                Action::ReceiveMessage(reply) => {
                    self.reading = Reading::Text(DataDecoder::new(DATA_LIMITS));
                    return self.said.replies.push(reply);
                }
                Action::ReceiveChunk(bdat) => {
                    self.message.begin(bdat.size);
                    if bdat.size > DISCARD_MAX {
                        return self.close(Reply::enhanced(552, (5, 3, 4), "too big"));
                    }
                    match self.chunk(bdat, 0) {
                        Some(action) => action,
                        None => return,
                    }
                }
                Action::SkipChunk(0, reply) => return self.said.replies.push(reply),
                Action::SkipChunk(size, reply) if size > DISCARD_MAX => return self.close(reply),
                Action::SkipChunk(size, reply) => {
                    self.reading = Reading::Skip(size, reply);
                    return;
                }
                Action::StartTls(reply) => {
                    self.said.handshakes.push(self.said.replies.len());
                    self.said.replies.push(reply);
                    self.session.step(Input::TlsStarted)
                }
                Action::AuthStart(auth) if auth.initial_response.is_none() => {
                    self.session.step(Input::Challenge(""))
                }
                Action::AuthStart(_) | Action::AuthResponse(_) => {
                    self.session.step(Input::AuthDone(Reply::enhanced(535, (5, 7, 8), "no")))
                }
            };
        }
    }

    fn close(&mut self, reply: Reply) {
        self.open = false;
        self.said.replies.push(reply);
    }
}
