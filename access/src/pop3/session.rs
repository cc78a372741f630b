//! One connection from the greeting to the end.
//!
//! The protocol's states live in [`pop3_proto::Session`]; here its actions are carried out. Replies are collected and
//! sent when no complete line is left, so that a client that pipelines is answered in one segment.

mod login;
mod transfer;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use directory::{LoginDialogue, LoginOffer};
use pop3_proto::{Action, Framer, Offer, Reply, Session as Machine};
use runtime::{Drain, Stream};
use store::{Mailbox, Uid};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::lock::Lock;
use super::metrics::{End, Listener};
use super::reply;
use super::server::Server;
use wire::Input;

struct Session {
    server: Arc<Server>,
    drain: Drain,
    peer: IpAddr,
    /// Absent after a handshake that failed.
    stream: Option<Stream>,
    framer: Framer,
    out: Vec<u8>,
    /// When the login must be done.
    login_deadline: Instant,
    failed_logins: u32,
    bad_commands: u32,
    login_offer: LoginOffer,
    /// The names of what is offered.
    mechanisms: Vec<&'static str>,
    /// A login under way.
    dialogue: Option<LoginDialogue>,
    open: Option<Open>,
}

/// What a session in TRANSACTION has. The lock is released last.
struct Open {
    mailbox: Arc<Mailbox>,
    _lock: Lock,
}

/// Serves one connection.
pub(super) async fn run(
    server: Arc<Server>,
    drain: Drain,
    listener: Listener,
    tcp: TcpStream,
    peer: SocketAddr,
) {
    let counted = Counted::new(&server, listener);
    let end = match begin(&server, listener, tcp, &drain).await {
        Some(stream) => Session::new(Arc::clone(&server), drain, stream, peer.ip()).serve().await,
        None => End::Handshake,
    };
    drop(counted);
    server.metrics.ended(listener, end);
    tracing::info!(%peer, listener = listener.name(), end = end.name(), "session ended");
}

/// A panic ends the session and is counted out all the same.
struct Counted {
    server: Arc<Server>,
    listener: Listener,
}

impl Counted {
    fn new(server: &Arc<Server>, listener: Listener) -> Self {
        server.metrics.began(listener);
        Self { server: Arc::clone(server), listener }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.server.metrics.closed(self.listener);
    }
}

async fn begin(server: &Server, listener: Listener, tcp: TcpStream, drain: &Drain) -> Option<Stream> {
    if listener == Listener::Pop3 {
        return Some(Stream::Plain(tcp));
    }
    server.tls.as_ref()?.upgrade_first(tcp, drain).await.ok()
}

impl Session {
    fn new(server: Arc<Server>, drain: Drain, stream: Stream, peer: IpAddr) -> Self {
        let login_deadline = Instant::now() + server.config.login_timeout.as_duration();
        let login_offer = server.login_offer(&stream);
        Self {
            server,
            drain,
            peer,
            stream: Some(stream),
            framer: Framer::new(),
            out: Vec::new(),
            login_deadline,
            failed_logins: 0,
            bad_commands: 0,
            mechanisms: login_offer.names(),
            login_offer,
            dialogue: None,
            open: None,
        }
    }

    async fn serve(mut self) -> End {
        self.put(&Machine::greeting());
        let mut machine = Machine::new();
        let end = loop {
            let line = match self.input().await {
                Ok(Input::Line(line)) => line,
                Ok(Input::TooLong) => {
                    self.dialogue = None;
                    if machine == Machine::Exchange {
                        machine = Machine::refused();
                    }
                    match self.answer(&reply::line_too_long()) {
                        Ok(()) => continue,
                        Err(end) => break end,
                    }
                }
                Err(end) => break end,
            };
            self.server.metrics.commands.inc();
            let (next, action) = machine.step(&line, self.offer());
            machine = match self.act(next, action).await {
                Ok(machine) => machine,
                Err(end) => break end,
            };
        };
        // Free before the client hears the last word: it may come back at once.
        self.open = None;
        self.farewell(end).await;
        end
    }

    async fn act(&mut self, machine: Machine, action: Action) -> Result<Machine, End> {
        match action {
            Action::Close(reply) => {
                self.put(&reply);
                return Err(End::Quit);
            }
            Action::List(kind) => self.list(&machine, kind).await?,
            Action::Login { login, password } => return self.user_pass(&login, &password).await,
            Action::Reply(reply) => self.answer(&reply)?,
            Action::Retrieve { message, lines } => self.retrieve(message, lines).await?,
            Action::SaslBegin { mechanism, initial } => return self.sasl_begin(&mechanism, initial).await,
            Action::SaslRespond(line) => return self.sasl_respond(&line).await,
            Action::StartTls(reply) => return self.start_tls(&reply).await,
            Action::Update { deleted } => return Err(self.update(deleted).await),
        }
        Ok(machine)
    }

    /// STLS: what was read before the handshake counts for nothing after it (RFC 2595 §4).
    async fn start_tls(&mut self, reply: &Reply) -> Result<Machine, End> {
        let tls = self.server.tls.clone().ok_or(End::Handshake)?;
        self.put(reply);
        self.flush().await?;
        self.framer.discard();
        self.upgrade(&tls).await?;
        if let Some(stream) = &self.stream {
            // Another channel: there is something to bind to now.
            self.login_offer = self.server.login_offer(stream);
            self.mechanisms = self.login_offer.names();
        }
        Ok(Machine::new())
    }

    /// UPDATE (RFC 1939 §6): the only place where messages are removed.
    async fn update(&mut self, deleted: Vec<u32>) -> End {
        let Some(open) = &self.open else { return End::Store };
        if deleted.is_empty() {
            self.put(&Reply::ok("bye"));
            return End::Quit;
        }
        let (mailbox, count) = (Arc::clone(&open.mailbox), deleted.len());
        let uids: Vec<Uid> = deleted.into_iter().map(Uid).collect();
        match self.server.deps.work(move || mailbox.expunge(&uids)).await {
            Ok(removed) => {
                self.server.metrics.deleted.inc_by(u64::try_from(removed.len()).unwrap_or(u64::MAX));
                self.put(&reply::updated(count));
                End::Quit
            }
            Err(error) => {
                tracing::warn!(%error, count, "messages could not be removed");
                self.put(&reply::update_failed());
                End::Store
            }
        }
    }

    fn offer(&self) -> Offer<'_> {
        let is_tls = self.stream.as_ref().is_some_and(Stream::is_tls);
        Offer {
            starttls: self.server.tls.is_some() && !is_tls,
            login: self.server.config.plaintext_login.permits(self.peer, is_tls),
            passwords: self.login_offer.takes_passwords(),
            mechanisms: &self.mechanisms,
        }
    }

    /// Puts a reply to a command; too many refusals end the session.
    fn answer(&mut self, reply: &Reply) -> Result<(), End> {
        self.put(reply);
        if !reply.is_err() {
            self.bad_commands = 0;
            return Ok(());
        }
        self.server.metrics.refusals.inc();
        self.bad_commands += 1;
        if self.bad_commands < self.server.config.bad_commands_max { Ok(()) } else { Err(End::BadCommands) }
    }

    fn put(&mut self, reply: &Reply) {
        self.out.extend_from_slice(reply.as_bytes());
    }
}
