//! `tests/transcripts/smtp/*.txt`, against the machine and against the role.
//!
//! ```text
//! # a comment; `# door: mx` (or submission, lmtp) comes first
//! C: a line that the client sends, with CRLF
//! C> octets with \r \n \0 \xHH escapes, as they are
//! S: how the next reply begins; its lines are joined by |
//! S: (closed)
//! ```

use std::path::PathBuf;

use envelope::Address;
use smtp_proto::server::{Action, Input, Offer, Service, Session};
use smtp_proto::{
    Bdat, ChunkDecoder, DataDecoder, DataLimits, ForwardPath, Frame, LineDecoder, Poison, Reply,
    SessionLimits,
};

use crate::node::{resolution, start};

enum Step {
    Client(Vec<u8>),
    Server(String),
}

struct Transcript {
    name: String,
    door: String,
    steps: Vec<Step>,
}

fn transcripts() -> Vec<Transcript> {
    let folder =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../tests/transcripts/smtp");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| parse(path.display().to_string(), &std::fs::read_to_string(path).unwrap());
    paths.iter().filter(|path| path.extension().is_some_and(|e| e == "txt")).map(read).collect()
}

fn parse(name: String, text: &str) -> Transcript {
    let mut transcript = Transcript { name, door: "mx".to_owned(), steps: Vec::new() };
    for line in text.lines() {
        if let Some(door) = line.strip_prefix("# door: ") {
            transcript.door = door.to_owned();
        } else if let Some(sent) = line.strip_prefix("C: ") {
            transcript.steps.push(Step::Client(format!("{sent}\r\n").into_bytes()));
        } else if let Some(sent) = line.strip_prefix("C> ") {
            transcript.steps.push(Step::Client(unescape(sent)));
        } else if let Some(expected) = line.strip_prefix("S: ") {
            transcript.steps.push(Step::Server(expected.to_owned()));
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{}: {line}", transcript.name);
        }
    }
    transcript
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            octets.extend_from_slice(c.to_string().as_bytes());
            continue;
        }
        match characters.next() {
            Some('r') => octets.push(b'\r'),
            Some('n') => octets.push(b'\n'),
            Some('0') => octets.push(0),
            Some('x') => {
                let hex: String = characters.by_ref().take(2).collect();
                octets.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            other => panic!("unknown escape {other:?}"),
        }
    }
    octets
}

fn matches(actual: &str, expected: &str) -> bool {
    if expected == "(closed)" { actual.is_empty() } else { actual.starts_with(expected) }
}

#[tokio::test]
async fn against_the_role() {
    for transcript in transcripts() {
        let node = start(|config| {
            config.allow_plaintext_auth = true;
            config.limits.errors_max = 20;
            config.timeouts.error_delay = units::Span::millis(0);
        })
        .await;
        let mut peer = node.connect(&transcript.door).await;
        for (number, step) in transcript.steps.iter().enumerate() {
            match step {
                Step::Client(octets) => peer.send(octets).await,
                Step::Server(expected) => {
                    let actual = peer.reply().await;
                    let name = &transcript.name;
                    assert!(
                        matches(&actual, expected),
                        "{name} step {number}: expected `{expected}`, got `{actual}`"
                    );
                }
            }
        }
    }
}

#[test]
fn against_the_machine() {
    for transcript in transcripts() {
        let mut machine = Machine::new(&transcript.door);
        let mut replies = std::collections::VecDeque::from([machine.session.greeting()]);
        for (number, step) in transcript.steps.iter().enumerate() {
            match step {
                Step::Client(octets) => replies.extend(machine.feed(octets)),
                Step::Server(expected) => {
                    let actual = replies.pop_front().map(|reply| text(&reply)).unwrap_or_default();
                    let name = &transcript.name;
                    assert!(
                        matches(&actual, expected),
                        "{name} step {number}: expected `{expected}`, got `{actual}`"
                    );
                    assert!(expected != "(closed)" || !machine.open, "{name} step {number}: still open");
                }
            }
        }
    }
}

fn text(reply: &Reply) -> String {
    let mut wire = Vec::new();
    reply.write(&mut wire);
    String::from_utf8(wire).unwrap().trim_end().replace("\r\n", "|")
}

const DATA_LIMITS: DataLimits = DataLimits { line_max: 128 << 10, message_max: 50 << 20 };

/// What the next octets are.
enum Reading {
    Lines,
    Text(DataDecoder),
    Chunk(Bdat),
    Skip(u64, Reply),
}

/// The machine with answers as the test directory gives them, and one password.
struct Machine {
    session: Session,
    lines: LineDecoder,
    reading: Reading,
    message: ChunkDecoder,
    buffer: Vec<u8>,
    open: bool,
    submission: bool,
}

impl Machine {
    fn new(door: &str) -> Self {
        let submission = door == "submission";
        let offer = Offer {
            name: "mx.example.test".parse().unwrap(),
            service: match door {
                "submission" => Service::Submission,
                "lmtp" => Service::Lmtp,
                _ => Service::Mx,
            },
            starttls: true,
            mechanisms: if submission {
                vec!["PLAIN", "LOGIN", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"]
            } else {
                Vec::new()
            },
            dsn: door != "mx",
            plaintext_auth: true,
        };
        let limits = SessionLimits {
            recipients_max: 1000,
            transactions_max: 100_000,
            errors_max: 20,
            idle_commands_max: 100,
            message_max: 50 << 20,
            auth_failures_max: 3,
        };
        Self {
            session: Session::new(offer, limits, false),
            lines: LineDecoder::default(),
            reading: Reading::Lines,
            message: ChunkDecoder::new(DATA_LIMITS),
            buffer: Vec::new(),
            open: true,
            submission,
        }
    }

    fn feed(&mut self, octets: &[u8]) -> Vec<Reply> {
        self.buffer.extend_from_slice(octets);
        let mut replies = Vec::new();
        while self.open {
            let consumed = match std::mem::replace(&mut self.reading, Reading::Lines) {
                Reading::Lines => self.line(&mut replies),
                Reading::Text(decoder) => self.text(decoder, &mut replies),
                Reading::Chunk(bdat) => {
                    let consumed = self.message.decode(&self.buffer, |_| {});
                    let action = self.chunk(bdat);
                    action.into_iter().for_each(|action| self.act(action, &mut replies));
                    consumed
                }
                Reading::Skip(size, reply) => {
                    let consumed = usize::try_from(size).unwrap().min(self.buffer.len());
                    self.skip(size - consumed as u64, reply, &mut replies);
                    consumed
                }
            };
            self.buffer.drain(..consumed);
            if consumed == 0 {
                break;
            }
        }
        replies
    }

    fn text(&mut self, mut decoder: DataDecoder, replies: &mut Vec<Reply>) -> usize {
        let progress = decoder.decode(&self.buffer, |_| {});
        if progress.finished {
            let action = self.judge_message(decoder.poison());
            self.act(action, replies);
            self.open &= !decoder.poison().is_some_and(Poison::is_smuggling);
        } else {
            self.reading = Reading::Text(decoder);
        }
        progress.consumed
    }

    fn judge_message(&mut self, poison: Option<Poison>) -> Action {
        self.session.step(Input::Verdict(match poison {
            None => code(250, (2, 0, 0)),
            Some(Poison::MessageTooBig) => code(552, (5, 3, 4)),
            Some(_) => code(550, (5, 6, 0)),
        }))
    }

    fn chunk(&mut self, bdat: Bdat) -> Option<Action> {
        if self.message.left() > 0 {
            self.reading = Reading::Chunk(bdat);
            return None;
        }
        if bdat.last {
            self.message.finish();
        }
        Some(self.judge_message(self.message.poison()))
    }

    fn skip(&mut self, left: u64, reply: Reply, replies: &mut Vec<Reply>) {
        if left == 0 {
            replies.push(reply);
        } else {
            self.reading = Reading::Skip(left, reply);
        }
    }

    fn line(&mut self, replies: &mut Vec<Reply>) -> usize {
        let (action, consumed) = match self.lines.decode(&self.buffer, 2048) {
            Frame::Line(line, consumed) => {
                (self.session.step(Input::Line { line, more: self.buffer.len() > consumed }), consumed)
            }
            Frame::Bad(error, consumed) => (self.session.step(Input::BadLine(error)), consumed),
            Frame::Incomplete(consumed) => return consumed,
        };
        if !self.session.in_chunks() {
            self.message = ChunkDecoder::new(DATA_LIMITS);
        }
        self.act(action, replies);
        consumed
    }

    fn act(&mut self, mut action: Action, replies: &mut Vec<Reply>) {
        loop {
            action = match action {
                Action::Reply(reply) => return replies.push(reply),
                Action::ReplyAndClose(reply) => {
                    self.open = false;
                    return replies.push(reply);
                }
                Action::CheckSender(mail) => {
                    let own =
                        mail.reverse_path.address().is_none_or(|a| a.to_string() == "alice@example.test");
                    let good = own || !self.submission;
                    self.session.step(Input::Verdict(if good {
                        code(250, (2, 1, 0))
                    } else {
                        code(553, (5, 7, 1))
                    }))
                }
                Action::CheckRecipient(rcpt) => {
                    let verdict = recipient(&rcpt.forward_path, self.session.is_authenticated());
                    self.session.step(Input::Verdict(verdict))
                }
                Action::ReplyToEach { reply, count, close } => {
                    self.open &= !close;
                    return replies.extend(std::iter::repeat_n(reply, count));
                }
                Action::ReceiveMessage(reply) => {
                    self.reading = Reading::Text(DataDecoder::new(DATA_LIMITS));
                    return replies.push(reply);
                }
                Action::ReceiveChunk(bdat) => {
                    self.message.begin(bdat.size);
                    if bdat.size > DATA_LIMITS.message_max {
                        self.open = false;
                        return replies.push(code(552, (5, 3, 4)));
                    }
                    match self.chunk(bdat) {
                        Some(action) => action,
                        None => return,
                    }
                }
                Action::SkipChunk(size, reply) => {
                    if size > DATA_LIMITS.message_max {
                        self.open = false;
                        return replies.push(reply);
                    }
                    return self.skip(size, reply, replies);
                }
                Action::AuthStart(auth) => match auth.initial_response {
                    None => self.session.step(Input::Challenge("")),
                    Some(response) => self.judge(response.expose().as_bytes()),
                },
                Action::AuthResponse(response) => self.judge(response.expose()),
                Action::StartTls(_) => panic!("transcripts are in the clear"),
            };
        }
    }

    fn judge(&mut self, response: &[u8]) -> Action {
        let good = response == b"AGFsaWNlQGV4YW1wbGUudGVzdAB3b25kZXJsYW5k";
        self.session.step(Input::AuthDone(if good { code(235, (2, 7, 0)) } else { code(535, (5, 7, 8)) }))
    }
}

fn recipient(path: &ForwardPath, authenticated: bool) -> Reply {
    let address: Address = match path {
        ForwardPath::Address(address) => address.clone(),
        ForwardPath::Postmaster => "postmaster@example.test".parse().unwrap(),
    };
    match resolution(&address) {
        directory::Resolution::Alias(_)
        | directory::Resolution::List { .. }
        | directory::Resolution::Mailbox { .. } => code(250, (2, 1, 5)),
        directory::Resolution::NotLocal if authenticated => code(250, (2, 1, 5)),
        directory::Resolution::NotLocal => code(550, (5, 7, 1)),
        directory::Resolution::Unknown => code(550, (5, 1, 1)),
    }
}

fn code(code: u16, enhanced: (u8, u16, u16)) -> Reply {
    Reply::enhanced(code, enhanced, "verdict")
}
