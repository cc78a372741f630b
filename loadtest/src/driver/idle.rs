//! IMAP sessions that log in, select INBOX and idle, as phones do.
//!
//! | operation | what it is |
//! |---|---|
//! | `imap.idle` | from the connection to the answer to IDLE |
//! | `imap.news` | something that the server said meanwhile |

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use envelope::Secret;
use tokio::sync::{Semaphore, watch};

use super::PAUSE;
use crate::client::imap::Imap;
use crate::people::People;
use crate::population::Mailer;
use crate::random::Random;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// IDLE is begun anew after so long (RFC 2177: 29 minutes at most).
const RENEW: Duration = Duration::from_secs(25 * 60);
/// The longest wait between two tries to open a session; it begins with that of every client, and doubles.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a waiting session looks whether the run is over.
const LOOK: Duration = Duration::from_millis(500);

/// Sessions that log in at the same time: password hashes are meant to be slow.
const LOGINS_AT_ONCE: usize = 8;

/// What to hold: one session for each client.
#[derive(Clone)]
pub struct IdleLoad {
    /// Where.
    pub target: Target,
    /// As whom.
    pub people: People,
    /// The password of all of them.
    pub password: Secret<String>,
    /// The seed of every choice.
    pub seed: u64,
    /// Sessions that idle now.
    pub held: watch::Sender<u64>,
    logins: Arc<Semaphore>,
}

impl IdleLoad {
    /// Nothing is held yet.
    pub fn new(target: Target, people: People, password: Secret<String>, seed: u64) -> Self {
        let (held, logins) = (watch::Sender::new(0), Arc::new(Semaphore::new(LOGINS_AT_ONCE)));
        Self { target, people, password, seed, held, logins }
    }
}

impl Load for IdleLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Idler { load: self.clone(), number })
    }
}

struct Idler {
    load: IdleLoad,
    number: u64,
}

#[async_trait]
impl Client for Idler {
    async fn run(self: Box<Self>, context: Context) {
        let over = || context.schedule.is_over();
        let mut pause = PAUSE;
        while !over() {
            let turn = self.load.logins.acquire().await;
            let since = Instant::now();
            let opened = self.open().await;
            drop(turn);
            context.recorder.ended("imap.idle", since, opened.as_ref().map(|_| 0));
            match opened {
                Ok(imap) => {
                    self.load.held.send_modify(|held| *held += 1);
                    let held = hold(imap, &context.recorder, &over).await;
                    self.load.held.send_modify(|held| *held -= 1);
                    pause = PAUSE;
                    if let Err(failure) = held {
                        context.recorder.failed("imap.idle", &failure);
                    }
                }
                // A server that is full is not asked by a thousand clients five times a second each.
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

impl Idler {
    async fn open(&self) -> Result<Imap, Failure> {
        let load = &self.load;
        let mut random = Random::new(load.seed, self.number);
        let person = load
            .people
            .visitor(self.number, Mailer::AppleMail, &mut random)
            .map_err(|error| Failure::new(format_args!("{error:#}")))?;
        let encryption = load.target.drawn(&mut random);
        let mut imap =
            Imap::open(&load.target, self.number, encryption, &person.address.to_string(), &load.password)
                .await?;
        imap.select("INBOX", false).await?;
        imap.idle().await?;
        Ok(imap)
    }
}

/// Until the run is over or the connection is.
async fn hold(mut imap: Imap, recorder: &Recorder, over: &(impl Fn() -> bool + Sync)) -> Result<(), Failure> {
    let mut begun = Instant::now();
    while !over() {
        if imap.news(LOOK).await?.is_some() {
            recorder.took("imap.news", Duration::ZERO, 0);
        }
        if begun.elapsed() > RENEW {
            imap.done(|_| ()).await?;
            imap.idle().await?;
            begun = Instant::now();
        }
    }
    imap.done(|_| ()).await?;
    imap.logout().await;
    Ok(())
}
