//! One connection from its greeting to its end.

mod dispatch;
mod person;
mod sync;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use imap_proto::{
    Command, CommandBody, CommandError, Expect, Frame, FrameEvent, Refusal, Tag, parse_command,
};
use runtime::{Accepted, Drain, Stream};
use tokio::io::AsyncWriteExt;
use tracing::{debug, info};

pub(crate) use person::Person;

use super::answer::{Answer, Stop};
use super::connection::{Connection, End, Patience};
use super::metrics::Counted;
use super::reply::{Condition, Reply, WRONG_STATE};
use super::selected::{Moment, Selected};
use super::server::Server;

/// How long a refused connection gets for its line.
const REFUSAL_MAX: Duration = Duration::from_secs(5);

/// Where a session is (RFC 3501 §3).
pub(crate) enum State {
    /// Nobody is logged in.
    NotAuthenticated,
    /// Somebody is.
    Authenticated(Person),
    /// Somebody is, and works on a mailbox.
    Selected(Person, Box<Selected>),
    /// It is over.
    Logout,
}

impl State {
    /// Who is logged in.
    pub(crate) fn person(&self) -> Result<&Person, Stop> {
        match self {
            Self::Authenticated(person) | Self::Selected(person, _) => Ok(person),
            Self::NotAuthenticated | Self::Logout => Err(Reply::bad(WRONG_STATE).into()),
        }
    }

    /// The mailbox at work.
    pub(crate) fn selected(&mut self) -> Result<&mut Selected, Stop> {
        match self {
            Self::Selected(_, selected) => Ok(selected),
            _ => Err(Reply::bad("No mailbox is selected").into()),
        }
    }

    /// The mailbox at work, when it may be changed.
    pub(crate) fn writable(&mut self) -> Result<&mut Selected, Stop> {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Reply::no("The mailbox is read-only").with_code("READ-ONLY").into());
        }
        Ok(selected)
    }

    /// Leaves the mailbox.
    pub(crate) fn unselect(&mut self) {
        *self = match std::mem::replace(self, Self::Logout) {
            Self::Selected(person, _) => Self::Authenticated(person),
            other => other,
        };
    }

    /// Works on a mailbox from now on.
    pub(crate) fn select(&mut self, selected: Selected) {
        *self = match std::mem::replace(self, Self::Logout) {
            Self::Authenticated(person) | Self::Selected(person, _) => {
                Self::Selected(person, Box::new(selected))
            }
            other => other,
        };
    }
}

/// One client.
pub(crate) struct Session {
    pub(crate) server: Arc<Server>,
    pub(crate) connection: Connection,
    pub(crate) state: State,
    pub(crate) peer: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) failed_logins: u32,
    /// The tag of the command at work.
    pub(crate) tag: Option<Tag>,
    /// STARTTLS was accepted: the handshake follows its answer.
    pub(crate) tls_follows: bool,
    started: Instant,
    bad_commands: u32,
    commands: u64,
    /// Who was logged in, for the log.
    pub(crate) account: Option<String>,
}

/// Serves an accepted connection.
pub(crate) async fn serve(server: Arc<Server>, accepted: Accepted, tls_first: bool, drain: Drain) {
    let (tcp, peer, admission) = match accepted {
        Accepted::Connection(tcp, peer, admission) => (tcp, peer, admission),
        Accepted::Refused(mut tcp, ..) => {
            server.metrics.refused.with_label_values(&["address"]).inc();
            if !tls_first {
                let line = b"* BYE [LIMIT] Too many connections from your address\r\n";
                let _ = tokio::time::timeout(REFUSAL_MAX, tcp.write_all(line)).await;
            }
            return;
        }
    };
    let _admission = admission;
    let _counted = Counted::new(&server.metrics.connections);
    let stream = match (&server.tls, tls_first) {
        // The handshake's room is not held for the session's life.
        (Some(tls), true) => match Box::pin(tls.upgrade_first(tcp, &drain)).await {
            Ok(stream) => stream,
            Err(error) => {
                debug!(%error, "tls handshake failed");
                server.metrics.ended.with_label_values(&["handshake"]).inc();
                return;
            }
        },
        _ => Stream::Plain(tcp),
    };
    let connection =
        Connection::new(stream, server.append_memory.hold(), server.config.write_timeout.as_duration());
    let session = Session {
        connection,
        state: State::NotAuthenticated,
        peer,
        drain,
        failed_logins: 0,
        tag: None,
        tls_follows: false,
        started: Instant::now(),
        bad_commands: 0,
        commands: 0,
        account: None,
        server,
    };
    session.run().await;
}

impl Session {
    async fn run(mut self) {
        let end = match self.converse().await {
            Ok(()) => End::Logout,
            Err(end) => end,
        };
        if let End::Io(error) = &end {
            debug!(%error, "imap connection failed");
        }
        self.say_goodbye(&end).await;
        self.connection.close().await;
        self.server.metrics.ended.with_label_values(&[end.label()]).inc();
        self.server.metrics.sent.inc_by(self.connection.sent);
        info!(
            account = self.account.as_deref().unwrap_or("-"),
            end = end.label(),
            commands = self.commands,
            received = self.connection.received,
            sent = self.connection.sent,
            seconds = self.started.elapsed().as_secs(),
            tls = self.connection.is_tls(),
            "imap session ended"
        );
    }

    /// `* BYE` where the client still listens.
    async fn say_goodbye(&mut self, end: &End) {
        let text = match end {
            End::Closed | End::Io(_) | End::Logout => return,
            End::Drained => "The server is shutting down",
            End::Timeout => "Nothing was heard for too long",
            End::Refused(text) => text,
        };
        self.connection.out.clear();
        self.connection.out.extend_from_slice(b"* BYE ");
        self.connection.out.extend_from_slice(text.as_bytes());
        self.connection.out.extend_from_slice(b"\r\n");
        let _ = tokio::time::timeout(REFUSAL_MAX, self.connection.flush()).await;
    }

    async fn converse(&mut self) -> Result<(), End> {
        let capabilities = super::cmd::capability::capabilities(self);
        let greeting = Reply::ok("Sluice ready").with_code(format!("CAPABILITY {capabilities}"));
        greeting.encode("*", &mut self.connection.out);
        self.connection.flush().await?;
        while !matches!(self.state, State::Logout) {
            match self.event(Expect::Command).await? {
                FrameEvent::Frame(frame) => self.command(frame).await?,
                FrameEvent::Refused(refusal) => self.refused(refusal).await?,
                FrameEvent::Continue { octets, append } => self.literal(octets, append).await?,
                FrameEvent::Incomplete | FrameEvent::Line(_) => {}
            }
        }
        Ok(())
    }

    /// Waits for what the client says next.
    pub(crate) async fn event(&mut self, expect: Expect) -> Result<FrameEvent, End> {
        let logged_in = !matches!(self.state, State::NotAuthenticated);
        let limits = self.server.frame_limits(logged_in);
        let config = &self.server.config;
        let patience = if logged_in {
            Patience {
                idle: config.idle_timeout.as_duration(),
                command: config.command_timeout.as_duration(),
            }
        } else {
            let rest = config.login_timeout.as_duration().saturating_sub(self.started.elapsed());
            Patience { idle: rest, command: rest.min(config.command_timeout.as_duration()) }
        };
        self.connection.event(expect, &limits, patience, &self.drain).await
    }

    /// The client waits to be told that it may send a literal.
    async fn literal(&mut self, octets: u64, append: bool) -> Result<(), End> {
        if append && !self.connection.memory.grow_to(octets).await {
            let tag = self.connection.pending_tag();
            self.connection.abandon();
            let reply = Reply::no("Too many messages are being stored, try again").with_code("LIMIT");
            return self.finish(tag.as_ref(), &reply).await;
        }
        self.connection.out.extend_from_slice(b"+ OK\r\n");
        self.connection.flush().await
    }

    /// A command that broke a limit of its octets.
    async fn refused(&mut self, refusal: Refusal) -> Result<(), End> {
        self.connection.end_command();
        let reply = Reply::from(refusal.error);
        self.finish(refusal.tag.as_ref(), &reply).await?;
        if refusal.close { Err(End::Refused("The command's end can't be found")) } else { Ok(()) }
    }

    async fn command(&mut self, frame: Frame) -> Result<(), End> {
        let parsed = parse_command(frame, &self.server.parse_limits());
        match parsed {
            Ok(Command { tag, body }) => {
                self.commands += 1;
                self.tag = Some(tag.clone());
                let moment = dispatch::moment(&body);
                let answer: Answer = match body {
                    // Most sessions spend their lives in it: they don't hold room for the largest of all commands.
                    CommandBody::Idle => Box::pin(super::cmd::idle::run(self)).await,
                    body => Box::pin(dispatch::run(self, body)).await,
                };
                let reply = match answer {
                    Ok(reply) | Err(Stop::Refused(reply)) => reply,
                    Err(Stop::End(end)) => return Err(end),
                };
                self.connection.end_command();
                let gone = match self.sync(moment).await {
                    Ok(()) => Ok(()),
                    // The goodbye waits: a client that is not told how its command ended would give it again.
                    Err(end @ End::Refused(_)) => Err(end),
                    Err(end) => return Err(end),
                };
                self.finish(Some(&tag), &reply).await?;
                gone?;
                self.start_tls().await
            }
            Err(CommandError { tag, error }) => {
                self.connection.end_command();
                self.finish(tag.as_ref(), &error.into()).await
            }
        }
    }

    /// Does the handshake after STARTTLS.
    async fn start_tls(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.tls_follows) {
            return Ok(());
        }
        match &self.server.tls {
            Some(tls) => self.connection.start_tls(tls).await,
            None => Err(End::Closed),
        }
    }

    /// Sends the tagged answer, and loses patience with a client that only says nonsense.
    async fn finish(&mut self, tag: Option<&Tag>, reply: &Reply) -> Result<(), End> {
        self.server.metrics.commands.with_label_values(&[reply.condition.label()]).inc();
        reply.encode(tag.map_or("*", Tag::as_str), &mut self.connection.out);
        self.connection.flush().await?;
        if let Some(goodbye) = reply.goodbye {
            return Err(End::Refused(goodbye));
        }
        if reply.condition == Condition::Bad {
            self.bad_commands += 1;
            if self.bad_commands >= self.server.config.bad_commands_max {
                return Err(End::Refused("Too many bad commands"));
            }
        } else {
            self.bad_commands = 0;
        }
        Ok(())
    }

    /// Tells the client what changed, where something is selected.
    pub(crate) async fn sync(&mut self, moment: Moment) -> Result<(), End> {
        let interval = self.server.config.poll_interval.as_duration();
        sync::sync(self, moment, interval).await
    }

    /// As [`Self::sync`], looking at the disk whenever the last look is longer ago than `interval`.
    pub(crate) async fn sync_after(&mut self, interval: Duration) -> Result<(), End> {
        sync::sync(self, Moment::Any, interval).await
    }
}
