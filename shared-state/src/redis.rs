//! In Redis: one channel for signals, one key a counter or value.
//!
//! ```text
//!  signal ──→ waiting (each mailbox once) ──→ one pipeline of PUBLISH <prefix>.changes ──→ every node's subscription
//!                 ↑ put back when Redis does not answer; beyond `signals_max` one word says that not all is told
//!  count  ──→ one script: INCRBY <prefix>.count.<key>, and PEXPIRE when it is new
//!  keep   ──→ SET <prefix>.value.<key> PX   (entries.rs: what is read, kept, forgotten and listed)
//! ```
//! The subscription is a connection of its own. It is asked for a sign of life every `ping_interval`: a connection that is half open is a gap, not a silence.
//!
//! The password is read anew with each connection of the subscription, and calls follow it: a password that was changed needs no restart.
//!
//! A node that can't reach Redis tells nobody of its changes, while the others believe that they hear of all. So their trust has a bound:
//! `store.attached_poll_interval`.

mod entries;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use envelope::Secret;
use futures_util::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, Script};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::change::{Word, decode, encode};
use crate::metrics::Metrics;
use crate::subscriber::Subscriber;
use crate::{
    Change, Config, Counted, CounterKey, Event, Kept, KeyPrefix, Listing, OpenError, SharedState,
    Unavailable, Value,
};
use entries::milliseconds;

/// Signals of one pipeline.
const TOGETHER: usize = 500;
const COUNT: &str = "\
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum";

/// The state in Redis, as one process uses it.
#[derive(Debug)]
pub struct RedisState {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

/// Where the password comes from, each time that one is needed; none: no login.
pub type Password = Box<dyn Fn() -> Result<Option<Secret<String>>, String> + Send + Sync>;

struct Shared {
    config: Config,
    password: Password,
    /// For calls; made anew with each subscription.
    manager: Mutex<ConnectionManager>,
    /// Names this process, so that it does not hear itself.
    node: String,
    waiting: Mutex<HashSet<Change>>,
    /// Something is not among them that should be.
    lost: AtomicBool,
    wake: Notify,
    subscribers: Mutex<Subscribers>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Subscribers {
    all: Vec<Subscriber>,
    attached: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl RedisState {
    /// Begins to connect; a server that is away is tried again for as long as the state is open. Must be called within a tokio runtime.
    pub fn open(
        config: &Config,
        password: Password,
        registry: &prometheus::Registry,
    ) -> Result<Self, OpenError> {
        let wrong = |error: redis::RedisError| OpenError::Config(error.to_string());
        let first = password().map_err(OpenError::Config)?;
        let manager =
            client(config, first.as_ref()).and_then(|client| manage(config, client)).map_err(wrong)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| OpenError::Config(error.to_string()))?;
        let shared = Arc::new(Shared {
            config: config.clone(),
            password,
            manager: Mutex::new(manager),
            node: format!("{:016x}", u64::from_le_bytes(random)),
            waiting: Mutex::default(),
            lost: AtomicBool::new(false),
            wake: Notify::new(),
            subscribers: Mutex::default(),
            metrics: Metrics::new(registry).map_err(OpenError::Metrics)?,
        });
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(send_all(Arc::clone(&shared), stopped.clone())),
            tokio::spawn(listen(Arc::clone(&shared), stopped)),
        ];
        Ok(Self { shared, tasks: Mutex::new(tasks), stop })
    }
}

fn manage(config: &Config, client: Client) -> redis::RedisResult<ConnectionManager> {
    let settings = &config.redis;
    let manager = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(settings.connect_max.as_duration()))
        .set_response_timeout(Some(settings.call_max.as_duration()))
        .set_min_delay(settings.reconnect_wait_min.as_duration())
        .set_max_delay(settings.reconnect_wait_max.as_duration());
    ConnectionManager::new_lazy_with_config(client, manager)
}

fn client(config: &Config, password: Option<&Secret<String>>) -> redis::RedisResult<Client> {
    let address = &config.redis.address;
    let address = match address.rsplit_once(':') {
        Some((host, port)) if !address.starts_with('/') => match port.parse() {
            Ok(port) => ConnectionAddr::Tcp(host.trim_matches(['[', ']']).to_owned(), port),
            Err(_) => return Err((redis::ErrorKind::InvalidClientConfig, "the address has no port").into()),
        },
        _ => ConnectionAddr::Unix(address.into()),
    };
    let mut login = RedisConnectionInfo::default();
    if !config.redis.user.is_empty() {
        login = login.set_username(&config.redis.user);
    }
    if let Some(password) = password {
        login = login.set_password(password.expose());
    }
    Client::open(address.into_connection_info()?.set_redis_settings(login))
}

impl Shared {
    fn manager(&self) -> ConnectionManager {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn channel(&self) -> String {
        format!("{}.changes", self.config.redis.prefix)
    }

    /// At most [`TOGETHER`] of what waits.
    fn take(&self) -> Vec<Change> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let some: Vec<Change> = waiting.iter().take(TOGETHER).cloned().collect();
        some.iter().for_each(|change| {
            waiting.remove(change);
        });
        some
    }

    fn put(&self, changes: impl IntoIterator<Item = Change>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if waiting.len() < self.config.signals_max {
                waiting.insert(change);
            } else if !waiting.contains(&change) {
                self.metrics.dropped.inc();
                self.lost.store(true, Ordering::Release);
            }
        }
    }

    fn tell(&self, event: &Event) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Attached => subscribers.attached = true,
            Event::Gap => subscribers.attached = false,
            Event::Changed(_) => {}
        }
        let attached = subscribers.attached;
        subscribers.all.retain(|subscriber| !subscriber.is_gone());
        subscribers.all.iter_mut().for_each(|subscriber| subscriber.tell(event, attached));
    }
}

#[async_trait]
impl SharedState for RedisState {
    fn signal(&self, change: Change) {
        self.shared.put([change]);
        self.shared.wake.notify_one();
    }

    fn subscribe(&self) -> mpsc::Receiver<Event> {
        let (mut subscriber, receiver) = Subscriber::new(self.shared.config.signals_max);
        let mut subscribers = self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        if subscribers.attached {
            subscriber.tell(&Event::Attached, true);
        }
        subscribers.all.push(subscriber);
        receiver
    }

    async fn count(&self, key: &CounterKey, window: Duration, amount: u64) -> Result<u64, Unavailable> {
        let name = self.shared.counter(key);
        let milliseconds = milliseconds(window);
        // Counted twice at worst, which a limit bears.
        self.shared
            .ask(|mut manager| {
                let script = Script::new(COUNT);
                let name = name.clone();
                async move { script.key(name).arg(amount).arg(milliseconds).invoke_async(&mut manager).await }
            })
            .await
    }

    async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        self.shared.counted(key).await
    }

    async fn keep(&self, key: &CounterKey, value: &Value, age: Duration) -> Result<(), Unavailable> {
        self.shared.keep(key, value, age).await
    }

    async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        self.shared.kept(key).await
    }

    async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
        self.shared.forget(key).await
    }

    async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
        self.shared.list(prefix, limit).await
    }

    async fn close(&self) {
        let _ = self.stop.send(true);
        self.shared.wake.notify_one();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = timeout(self.shared.config.redis.close_max.as_duration(), task).await;
        }
    }
}

impl Drop for RedisState {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.shared.wake.notify_one();
    }
}

/// Sends what waits, all that there is at once.
async fn send_all(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let channel = shared.channel();
    let call_max = shared.config.redis.call_max.as_duration();
    loop {
        let changes = shared.take();
        let lost = shared.lost.swap(false, Ordering::AcqRel);
        if changes.is_empty() && !lost {
            if *stopped.borrow() {
                return;
            }
            shared.wake.notified().await;
            continue;
        }
        let mut pipeline = redis::pipe();
        let words = changes.iter().cloned().map(Word::Changed).chain(lost.then_some(Word::Lost));
        for word in words {
            // A name that is too long to be told is a change that is not told.
            let text = encode(&shared.node, &word).or_else(|| encode(&shared.node, &Word::Lost));
            pipeline.publish(&channel, text.unwrap_or_default()).ignore();
        }
        let mut connection = shared.manager();
        let sent = timeout(call_max, pipeline.query_async::<()>(&mut connection)).await;
        if matches!(sent, Ok(Ok(()))) {
            shared.metrics.sent.inc_by(changes.len() as u64);
            continue;
        }
        shared.metrics.failed.inc();
        if *stopped.borrow() {
            return;
        }
        shared.put(changes);
        if lost {
            shared.lost.store(true, Ordering::Release);
        }
        let wait = shared.config.redis.reconnect_wait_min.as_duration();
        let _ = timeout(wait, stopped.wait_for(|stopped| *stopped)).await;
    }
}

/// Hears what other nodes say, for as long as the process runs.
async fn listen(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let settings = shared.config.redis.clone();
    let mut wait = settings.reconnect_wait_min.as_duration();
    let mut told = false;
    while !*stopped.borrow() {
        let why = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            why = subscribed(&shared, || wait = settings.reconnect_wait_min.as_duration()) => why,
        };
        if shared.metrics.attached.get() == 1 {
            shared.metrics.attached.set(0);
            shared.metrics.gaps.inc();
            shared.tell(&Event::Gap);
            told = false;
        }
        if !told {
            tracing::warn!(why, "the signals of other nodes don't come: mailboxes are polled");
            told = true;
        }
        let _ = timeout(wait, stopped.wait_for(|stopped| *stopped)).await;
        wait = wait.saturating_mul(2).min(settings.reconnect_wait_max.as_duration());
    }
}

/// Subscribes and passes on until something fails; says what.
async fn subscribed(shared: &Shared, mut connected: impl FnMut()) -> String {
    let settings = &shared.config.redis;
    let password = match (shared.password)() {
        Ok(password) => password,
        Err(why) => return why,
    };
    let subscribing = async {
        let client = client(&shared.config, password.as_ref())?;
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(shared.channel()).await?;
        Ok::<_, redis::RedisError>((connection, manage(&shared.config, client)?))
    };
    let (connection, manager) = match timeout(settings.connect_max.as_duration(), subscribing).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "no connection in time".to_owned(),
    };
    *shared.manager.lock().unwrap_or_else(PoisonError::into_inner) = manager;
    let (mut sink, mut messages) = connection.split();
    connected();
    shared.metrics.attached.set(1);
    tracing::info!("the signals of other nodes come");
    shared.tell(&Event::Attached);
    let mut ping = tokio::time::interval(settings.ping_interval.as_duration());
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => {
                    match decode(&shared.node, message.get_payload_bytes()) {
                        Some(Word::Changed(change)) => {
                            shared.metrics.received.inc();
                            shared.tell(&Event::Changed(change));
                        }
                        // What was looked at before counts for nothing; from here on we hear again.
                        Some(Word::Lost) => {
                            shared.metrics.gaps.inc();
                            shared.tell(&Event::Gap);
                            shared.tell(&Event::Attached);
                        }
                        None => {}
                    }
                }
                None => return "the connection is lost".to_owned(),
            },
            _ = ping.tick() => {
                let answer = timeout(settings.call_max.as_duration(), sink.ping::<redis::Value>()).await;
                if !matches!(answer, Ok(Ok(_))) {
                    return "no sign of life".to_owned();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
