//! Lines that are none, and the session driven over plain octets for tests and fuzzing.

use super::{Action, Input, Offer, Refusal, Service, Session, State, refuse};
use crate::limits::{DataLimits, SessionLimits};
use crate::{DataDecoder, Frame, FrameError, LineDecoder, Reply};

impl Session {
    /// A bad line within an AUTH exchange ends the exchange.
    pub(super) fn bad_line(&mut self, state: State, error: FrameError) -> (State, Action) {
        let state = match state {
            State::AuthAwaited(client) => {
                self.auth_failures += 1;
                State::Ready(client)
            }
            other => other,
        };
        refuse(state, if self.message_refused { Refusal::Pipelining } else { Refusal::Frame(error) })
    }
}

/// Every reply to `input`, given in pieces of `piece` octets. Every sender, recipient and message is accepted,
/// every password refused.
pub(super) fn transcript(input: &[u8], piece: usize) -> Vec<Reply> {
    let limits = SessionLimits {
        recipients_max: 3,
        errors_max: 5,
        idle_commands_max: 10,
        message_max: 1000,
        auth_failures_max: 2,
    };
    let Ok(name) = "mx.example.test".parse() else { return Vec::new() };
    let mechanisms = vec!["PLAIN", "LOGIN"];
    let offer =
        Offer { name, service: Service::Mx, starttls: true, mechanisms, dsn: true, plaintext_auth: true };
    let mut replies = Vec::new();
    let mut driver = Driver {
        session: Session::new(offer, limits, false),
        lines: LineDecoder::default(),
        data: None,
        buffer: Vec::new(),
        open: true,
    };
    for part in input.chunks(piece) {
        driver.buffer.extend_from_slice(part);
        while driver.open {
            let consumed = driver.turn(&mut replies);
            driver.buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
    }
    replies
}

struct Driver {
    session: Session,
    lines: LineDecoder,
    data: Option<DataDecoder>,
    buffer: Vec<u8>,
    open: bool,
}

impl Driver {
    /// Takes one line or piece of text; gives how many octets it was.
    fn turn(&mut self, replies: &mut Vec<Reply>) -> usize {
        if let Some(data) = &mut self.data {
            let progress = data.decode(&self.buffer, |_| {});
            if progress.finished {
                let good = data.poison().is_none();
                self.data = None;
                let reply = if good { (250, (2, 0, 0)) } else { (550, (5, 6, 0)) };
                let action = self.session.step(Input::Verdict(Reply::enhanced(reply.0, reply.1, "done")));
                self.act(action, replies);
            }
            return progress.consumed;
        }
        let (action, consumed) = match self.lines.decode(&self.buffer, 512) {
            Frame::Line(line, consumed) => {
                let more = self.buffer.len() > consumed;
                (self.session.step(Input::Line { line, more }), consumed)
            }
            Frame::Bad(error, consumed) => (self.session.step(Input::BadLine(error)), consumed),
            Frame::Incomplete(consumed) => return consumed,
        };
        let discard = matches!(action, Action::StartTls(_));
        self.act(action, replies);
        if discard { self.buffer.len() } else { consumed }
    }

    fn act(&mut self, mut action: Action, replies: &mut Vec<Reply>) {
        loop {
            action = match action {
                Action::Reply(reply) => {
                    replies.extend(Some(reply).filter(|reply| !reply.lines.is_empty()));
                    return;
                }
                Action::ReplyAndClose(reply) => {
                    replies.push(reply);
                    self.open = false;
                    return;
                }
                Action::CheckSender(_) | Action::CheckRecipient(_) => {
                    self.session.step(Input::Verdict(Reply::enhanced(250, (2, 1, 0), "OK")))
                }
                Action::ReceiveMessage(reply) => {
                    let limits = DataLimits { line_max: 998, message_max: 1000 };
                    self.data = Some(DataDecoder::new(limits));
                    replies.push(reply);
                    return;
                }
                Action::StartTls(reply) => {
                    replies.push(reply);
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
}
