//! One connection from the greeting to the end.
//!
//! The protocol's states live in [`smtp_proto::server::Session`]; here its questions are answered. Commands are taken
//! from the buffer one by one and answered in order; the answers leave together when the buffer is exhausted, so that
//! a client that pipelines is answered in one segment.

mod auth;
mod count;
mod data;
mod filter;
mod mail;
mod rcpt;
mod shared;
mod starttls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use directory::{LoginDialogue, LoginOffer};
use envelope::{AccountId, Address};
use filters::FilterSession;
use runtime::{Drain, ServerTls, Stream};
use smtp_proto::server::{Action, Input, Offer, Session as Machine};
use smtp_proto::{Frame, LineDecoder, Reply};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::listen::Kind;
use crate::reply;
use crate::wire::{Wire, spoke_early};

pub(crate) use count::{Command, End, Login, Refused};
pub(crate) use data::fuzz_binary;
pub(crate) use shared::Shared;

/// First octet of a TLS handshake, where a command was expected.
const TLS_HANDSHAKE: u8 = 0x16;

/// Where a connection came in.
pub(crate) struct Door {
    pub(crate) kind: Kind,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) drain: Drain,
}

/// What a session is made of.
struct Session {
    shared: Arc<Shared>,
    drain: Drain,
    kind: Kind,
    tls: Option<ServerTls>,
    peer: IpAddr,
    peer_socket: SocketAddr,
    machine: Machine,
    wire: Wire,
    lines: LineDecoder,
    /// Who logged in.
    account: Option<AccountId>,
    login_offer: LoginOffer,
    /// A login under way.
    dialogue: Option<LoginDialogue>,
    /// The message that comes with BDAT, between two chunks.
    chunked: Option<data::Chunked>,
    /// What is checked about the client and its mail; set before the greeting.
    filters: Option<FilterSession>,
    /// How the client logs in, for milters.
    mechanism: String,
    /// Under which name the filters know the client.
    greeted: Option<String>,
    /// The last moment of the session.
    deadline: Instant,
    /// Whom `<Postmaster>` means, when it is not the configured address.
    postmaster: Option<Address>,
    unknown_recipients: u32,
    /// Recipients of this transaction at other mail systems.
    elsewhere: usize,
    accepted: u32,
    commands: u32,
}

/// Serves one connection; says in the log how it ended.
pub(crate) async fn run(shared: Arc<Shared>, door: Door, tcp: TcpStream, peer: SocketAddr) {
    let kind = door.kind;
    let _counted = shared.metrics.connected(kind);
    let began = Instant::now();
    let mut session = match open(&shared, door, tcp, peer).await {
        Ok(session) => session,
        Err(end) => {
            shared.metrics.session_ended(kind, end);
            return;
        }
    };
    let end = match session.serve().await {
        Ok(()) => End::Quit,
        Err(end) => end,
    };
    session.say_goodbye(end).await;
    shared.metrics.session_ended(kind, end);
    info!(
        listener = kind.name(),
        %peer,
        end = end.name(),
        commands = session.commands,
        messages = session.accepted,
        errors = session.machine.errors(),
        tls = session.machine.is_tls(),
        client_certificate = session.wire.peer_certificate().map(tracing::field::display),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "session ended"
    );
    session.wire.close().await;
}

/// Everything up to the greeting: the handshake where it comes first, and the look for early talkers.
async fn open(shared: &Arc<Shared>, door: Door, tcp: TcpStream, peer: SocketAddr) -> Result<Session, End> {
    let Door { kind, tls, drain } = door;
    let timeouts = &shared.config.timeouts;
    let peer_socket = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let peer = peer_socket.ip();
    let early = !kind.is_implicit_tls() && spoke_early(&tcp, timeouts.greeting_pause.as_duration()).await;
    let stream = match (&tls, kind.is_implicit_tls()) {
        (Some(tls), true) => tls.upgrade_first(tcp, &drain).await.map_err(|_| End::Handshake)?,
        (None, true) => return Err(End::Handshake),
        (_, false) => Stream::Plain(tcp),
    };
    let is_tls = stream.is_tls();
    let mut wire = Wire::new(stream, BytesMut::new(), timeouts.reply.as_duration());
    let login_offer = auth::login_offer(shared, kind, tls.as_ref(), &wire);
    let offer = Offer {
        name: shared.hostname.clone(),
        service: kind.service(),
        starttls: tls.is_some() && !kind.is_implicit_tls(),
        mechanisms: login_offer.names(),
        dsn: kind != Kind::Mx || shared.config.mx_dsn,
        plaintext_auth: shared.config.allow_plaintext_auth && peer.is_loopback(),
    };
    let machine = Machine::new(offer, shared.config.limits.session(), is_tls);
    let unwelcome = if kind == Kind::Lmtp && !shared.config.may_deliver(peer) {
        Some((End::NotAllowed, reply::not_allowed()))
    } else {
        early.then(|| (End::EarlyTalker, reply::early_talker()))
    };
    if let Some((end, reply)) = unwelcome {
        wire.push(&reply).await?;
        wire.flush().await?;
        wire.close().await;
        return Err(end);
    }
    Ok(Session {
        shared: Arc::clone(shared),
        drain,
        kind,
        tls,
        peer,
        peer_socket,
        machine,
        wire,
        lines: LineDecoder::default(),
        account: None,
        login_offer,
        dialogue: None,
        chunked: None,
        filters: None,
        mechanism: String::new(),
        greeted: None,
        deadline: Instant::now() + timeouts.session.as_duration(),
        postmaster: None,
        unknown_recipients: 0,
        elsewhere: 0,
        accepted: 0,
        commands: 0,
    })
}

/// Whether a command line is AUTH: its initial response may be as long as any other (quirk `auth-line-long`).
fn begins_auth(input: &[u8]) -> bool {
    input.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
}

impl Session {
    async fn serve(&mut self) -> Result<(), End> {
        self.filter_connection().await?;
        self.send(&self.machine.greeting()).await?;
        loop {
            let action = self.next_line().await?;
            if self.act(action).await? {
                return self.wire.flush().await;
            }
        }
    }

    /// Waits for a line and gives it to the machine.
    async fn next_line(&mut self) -> Result<Action, End> {
        let limits = self.shared.config.limits.lines();
        let wait = self.shared.config.timeouts.command.as_duration();
        let deadline = (Instant::now() + wait).min(self.deadline);
        loop {
            let in_auth = self.machine.in_auth();
            let is_auth = in_auth || self.kind.is_submission() && begins_auth(&self.wire.input);
            let length_max = if is_auth { limits.auth_max } else { limits.command_max };
            let (action, consumed) = match self.lines.decode(&self.wire.input, length_max) {
                Frame::Line(line, consumed) => {
                    self.commands = self.commands.saturating_add(1);
                    self.shared.metrics.command(if in_auth { Command::Auth } else { Command::of(line) });
                    let more = self.wire.input.len() > consumed;
                    (self.machine.step(Input::Line { line, more }), consumed)
                }
                Frame::Bad(error, consumed) => {
                    self.shared.metrics.command(Command::BadLine);
                    (self.machine.step(Input::BadLine(error)), consumed)
                }
                Frame::Incomplete(useless) => {
                    self.wire.consume(useless);
                    self.wire.flush().await?;
                    // A message of which a part came is awaited to its end.
                    let drain = self.chunked.is_none().then_some(&self.drain);
                    self.wire.read_commands(deadline, drain).await?;
                    if self.commands == 0 && self.wire.input.first() == Some(&TLS_HANDSHAKE) {
                        return Err(End::NotSmtp);
                    }
                    continue;
                }
            };
            self.wire.consume(consumed);
            return Ok(action);
        }
    }

    /// Does what the machine wants until it wants another line. Gives whether the session is over.
    async fn act(&mut self, mut action: Action) -> Result<bool, End> {
        if !self.machine.in_chunks() {
            // RSET, EHLO or QUIT between two chunks: what came of the message goes.
            self.chunked = None;
        }
        loop {
            let input = match action {
                Action::Reply(reply) => {
                    self.tarpit(&reply).await;
                    self.say(&reply).await?;
                    return Ok(false);
                }
                Action::ReplyAndClose(reply) => {
                    self.say(&reply).await?;
                    return if reply.code == 221 {
                        Ok(true)
                    } else {
                        self.wire.flush().await.and(Err(End::Refused))
                    };
                }
                Action::ReplyToEach { reply, count, close } => {
                    self.say_to_each(&reply, count).await?;
                    return if close { self.wire.flush().await.and(Err(End::Refused)) } else { Ok(false) };
                }
                Action::SkipChunk(size, reply) => {
                    self.skip_chunk(size, &reply).await?;
                    self.tarpit(&reply).await;
                    self.say(&reply).await?;
                    return Ok(false);
                }
                Action::CheckSender(mail) => Input::Verdict(self.check_sender(&mail).await),
                Action::CheckRecipient(rcpt) => Input::Verdict(self.check_recipient(&rcpt).await),
                Action::ReceiveMessage(reply) => self.receive(&reply).await?,
                Action::ReceiveChunk(bdat) => Input::Verdict(self.receive_chunk(bdat).await?),
                Action::StartTls(reply) => {
                    self.start_tls(&reply).await?;
                    Input::TlsStarted
                }
                Action::AuthStart(auth) => {
                    action = self.auth_start(&auth).await;
                    continue;
                }
                Action::AuthResponse(line) => {
                    action = self.auth_response(line.expose()).await;
                    continue;
                }
            };
            action = self.machine.step(input);
        }
    }

    /// Puts a reply into the output.
    async fn say(&mut self, reply: &Reply) -> Result<(), End> {
        if !reply.lines.is_empty() {
            self.shared.metrics.reply(reply.code);
        }
        self.wire.push(reply).await
    }

    /// The same for each of `count` recipients (RFC 2033 §4.2).
    async fn say_to_each(&mut self, reply: &Reply, count: usize) -> Result<(), End> {
        for _ in 0..count {
            self.say(reply).await?;
        }
        Ok(())
    }

    /// Who makes many errors is answered ever later; the budget of errors ends it.
    async fn tarpit(&mut self, reply: &Reply) {
        if reply.is_permanent() && self.machine.errors() > self.shared.config.limits.errors_prompt {
            self.delay(self.shared.config.timeouts.error_delay.as_duration()).await;
        }
    }

    /// Lets a client wait for its answer. What was answered before does not wait with it; a peer that is gone shows at the
    /// next write.
    async fn delay(&mut self, delay: Duration) {
        let _ = self.wire.flush().await;
        let _ = timeout(delay, self.drain.requested()).await;
    }

    /// Puts a reply into the output and sends what is there.
    async fn send(&mut self, reply: &Reply) -> Result<(), End> {
        self.say(reply).await?;
        self.wire.flush().await
    }

    /// The last words to a client that did not ask for the end.
    async fn say_goodbye(&mut self, end: End) {
        let reply = match end {
            End::Drained => reply::draining(),
            End::CommandTimeout | End::DataTimeout | End::TooSlow => reply::timed_out(),
            _ => return,
        };
        let _ = self.send(&reply).await;
    }
}
