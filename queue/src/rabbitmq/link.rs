//! A connection to the broker that is made again whenever it is lost.
//!
//! ```text
//!  down ──connect, log in, declare──→ up ──lost──→ down, after a wait that doubles
//!    └── a queue with other properties: refused for good at the start, said and tried again later
//! ```
//! There are two in a process: what publishes may be blocked by the broker (an alarm), and then must not hold up what acknowledges.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use envelope::Secret;
use futures_util::StreamExt as _;
use lapin::options::ConfirmSelectOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::topology;
use crate::RabbitConfig;
use crate::metrics::BrokerMetrics;

/// Frames of this size are asked for; the broker's own limit holds.
const FRAME_MAX: u32 = 131_072;

/// How to log in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The password of `user`.
    pub password: Secret<String>,
    /// Certificates that vouch for the broker, as PEM; none: no encryption.
    pub roots: Option<String>,
}

/// A connection that works.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) connection: Connection,
    /// With publisher confirms.
    pub(super) channel: Channel,
    /// Why the broker takes no messages now.
    blocked: Mutex<Option<String>>,
    given_up: AtomicBool,
    /// When each queue took a message last.
    taken: Mutex<HashMap<String, Instant>>,
}

impl Up {
    /// A queue confirmed a message.
    pub(super) fn took(&self, queue: &str) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(queue) {
            Some(at) => *at = Instant::now(),
            None => drop(taken.insert(queue.to_owned(), Instant::now())),
        }
    }

    /// A queue said nothing to a message that was sent at `sent`. A channel may hold on to a leader that is gone, and have refused for ever what another
    /// channel would bring in: when the queue has taken nothing since, the connection is given up. (One that refuses at once is full, and stays.)
    pub(super) fn said_nothing(&self, queue: &str, sent: Instant) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(queue).is_none_or(|at| *at < sent) {
            self.give_up();
        }
    }

    pub(super) fn blocked(&self) -> Option<String> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_blocked(&self, reason: Option<String>) {
        *self.blocked.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    pub(super) fn works(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// It is connected and does nothing: another address may do better.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

/// How the connection stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It works.
    Up(Arc<Up>),
    /// It does not, for this reason.
    Down(Arc<str>),
    /// A person must do something first.
    Refused(Arc<str>),
    /// The queue closes.
    Closed,
}

/// Keeps a connection.
#[derive(Debug)]
pub(super) struct Link {
    standing: watch::Receiver<Standing>,
    closing: watch::Sender<bool>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn start(
        config: &RabbitConfig,
        credentials: &Credentials,
        purpose: &'static str,
        metrics: BrokerMetrics,
    ) -> Self {
        let (sender, standing) = watch::channel(Standing::Down("not connected yet".into()));
        let (closing, closed) = watch::channel(false);
        let keeper = Keeper {
            config: config.clone(),
            credentials: credentials.clone(),
            purpose,
            standing: sender,
            closed,
            metrics,
        };
        Self { standing, closing, task: Mutex::new(Some(tokio::spawn(keeper.run()))) }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until it works, or until a person must do something or the queue closes.
    pub(super) async fn settled(&self) -> Standing {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(|standing| !matches!(standing, Standing::Down(_))).await;
        settled.map_or(Standing::Closed, |standing| standing.clone())
    }

    /// Waits until this connection is another's or none's.
    pub(super) async fn lost(&self, up: &Arc<Up>) {
        let mut standing = self.standing.clone();
        let other =
            |standing: &Standing| !matches!(standing, Standing::Up(current) if Arc::ptr_eq(current, up));
        let _ = standing.wait_for(other).await;
    }

    pub(super) async fn close(&self) {
        let _ = self.closing.send(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.closing.send(true);
    }
}

struct Keeper {
    config: RabbitConfig,
    credentials: Credentials,
    purpose: &'static str,
    standing: watch::Sender<Standing>,
    closed: watch::Receiver<bool>,
    metrics: BrokerMetrics,
}

impl Keeper {
    async fn run(mut self) {
        let mut next = usize::from(random_byte());
        let mut wait = self.config.reconnect_wait_min.as_duration();
        while !*self.closed.borrow() {
            let address = self
                .config
                .addresses
                .get(next % self.config.addresses.len().max(1))
                .cloned()
                .unwrap_or_default();
            next = next.wrapping_add(1);
            let mut closed = self.closed.clone();
            let connected = tokio::select! {
                () = set(&mut closed) => break,
                connected = self.connect(&address) => connected,
            };
            match connected {
                Ok(up) => {
                    tracing::info!(address, purpose = self.purpose, "connected to the broker");
                    let began = Instant::now();
                    let why = self.keep(&Arc::new(up)).await;
                    // One that is lost at once again and again is not asked for all the time.
                    if began.elapsed() >= self.config.reconnect_wait_max.as_duration() {
                        wait = self.config.reconnect_wait_min.as_duration();
                    }
                    self.metrics.connected.with_label_values(&[self.purpose]).set(0);
                    if *self.closed.borrow() {
                        break;
                    }
                    tracing::warn!(
                        address,
                        purpose = self.purpose,
                        why,
                        "the connection to the broker is lost"
                    );
                    let _ = self.standing.send(Standing::Down(why.into()));
                }
                Err(Failed { why, lasting }) => {
                    tracing::warn!(address, purpose = self.purpose, why, "failed to connect to the broker");
                    let why: Arc<str> = why.into();
                    let _ = self.standing.send(if lasting {
                        Standing::Refused(why)
                    } else {
                        Standing::Down(why)
                    });
                }
            }
            // Not all nodes of a site at the same moment.
            let jitter = wait.mul_f64(f64::from(random_byte()) / 512.0);
            tokio::select! {
                () = set(&mut closed) => break,
                () = tokio::time::sleep(wait + jitter) => {}
            }
            wait = wait.saturating_mul(2).min(self.config.reconnect_wait_max.as_duration());
        }
        let _ = self.standing.send(Standing::Closed);
    }

    async fn connect(&self, address: &str) -> Result<Up, Failed> {
        let limit = self.config.connect_max.as_duration();
        let properties =
            ConnectionProperties::default().with_connection_name(format!("sluice {}", self.purpose).into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.credentials.roots.clone() };
        let runtime = lapin::runtime::default_runtime()?;
        let connecting = Connection::connect_uri_with_config(self.uri(address), properties, tls, runtime);
        let connection = timeout(limit, connecting).await.map_err(|_| Failed::time_out())??;
        let set_up = async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare(&channel, &self.config).await?;
            Ok::<Channel, lapin::Error>(channel)
        };
        let channel = timeout(limit, set_up).await.map_err(|_| Failed::time_out())??;
        Ok(Up {
            connection,
            channel,
            blocked: Mutex::new(None),
            given_up: AtomicBool::new(false),
            taken: Mutex::default(),
        })
    }

    /// Watches a connection until it is lost; says why.
    async fn keep(&mut self, up: &Arc<Up>) -> String {
        let mut events = Box::pin(up.connection.events_listener());
        self.metrics.connected.with_label_values(&[self.purpose]).set(1);
        let _ = self.standing.send(Standing::Up(Arc::clone(up)));
        let mut look = tokio::time::interval(Duration::from_millis(200));
        let mut closed = self.closed.clone();
        loop {
            tokio::select! {
                () = set(&mut closed) => {
                    let _ = timeout(self.config.answer_max.as_duration(), up.connection.close(200, "closing".into())).await;
                    return "the queue closes".to_owned();
                }
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, purpose = self.purpose, "the broker takes no messages for now");
                        self.metrics.blocked.with_label_values(&[self.purpose]).set(1);
                        up.set_blocked(Some(reason));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        self.metrics.blocked.with_label_values(&[self.purpose]).set(0);
                        up.set_blocked(None);
                    }
                    Some(Event::Error(error)) => return self.unblocked(error.to_string()),
                    Some(_) => {}
                    None => return self.unblocked("it was closed".to_owned()),
                },
                _ = look.tick() => if !up.works() {
                    return self.unblocked("the broker closed it".to_owned());
                } else if up.given_up.load(Ordering::Acquire) {
                    let _ = timeout(self.config.answer_max.as_duration(), up.connection.close(200, "of no use".into())).await;
                    return self.unblocked("it brought nothing, and was given up".to_owned());
                },
            }
        }
    }

    fn unblocked(&self, why: String) -> String {
        self.metrics.blocked.with_label_values(&[self.purpose]).set(0);
        why
    }

    fn uri(&self, address: &str) -> AMQPUri {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let encrypted = self.credentials.roots.is_some();
        let port = port.parse().unwrap_or(if encrypted { 5671 } else { 5672 });
        AMQPUri {
            scheme: if encrypted { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.config.user.clone(),
                    password: self.credentials.password.expose().clone(),
                },
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
            },
            vhost: self.config.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_MAX),
                heartbeat: Some(
                    u16::try_from(self.config.heartbeat.as_duration().as_secs()).unwrap_or(u16::MAX),
                ),
                connection_timeout: Some(
                    u64::try_from(self.config.connect_max.as_duration().as_millis()).unwrap_or(u64::MAX),
                ),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// Waits until a switch is on, or nobody can turn it on any more.
pub(super) async fn set(switch: &mut watch::Receiver<bool>) {
    let _ = switch.wait_for(|on| *on).await;
}

/// Why a connection was not made.
struct Failed {
    why: String,
    /// Trying again does not help: the broker has a queue with other properties, or this user may not.
    lasting: bool,
}

impl Failed {
    fn time_out() -> Self {
        Self { why: "no answer in time".to_owned(), lasting: false }
    }
}

impl From<lapin::Error> for Failed {
    fn from(error: lapin::Error) -> Self {
        Self { why: error.to_string(), lasting: topology::is_mismatch(&error) }
    }
}

fn random_byte() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
