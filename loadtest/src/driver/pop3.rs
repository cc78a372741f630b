//! POP3: visits of a program that polls.
//!
//! | operation | what it is |
//! |---|---|
//! | `pop3.connect` `pop3.login` `pop3.uidl` `pop3.retr` | a step each |
//! | `pop3.visit` | all of a visit, from when it was due |

use async_trait::async_trait;
use envelope::Secret;

use super::{due, step};
use crate::client::pop3::Pop3;
use crate::people::People;
use crate::population::Mailer;
use crate::random::Random;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// Messages that are taken in one visit, at most.
const TAKEN_MAX: u32 = 100;

/// What to do.
#[derive(Clone)]
pub struct Pop3Load {
    /// Where.
    pub target: Target,
    /// As whom.
    pub people: People,
    /// The password of all of them.
    pub password: Secret<String>,
    /// Whether messages are deleted once they were taken.
    pub delete: bool,
    /// Only log in and out: what servers are compared by.
    pub login_only: bool,
    /// Every client has an account of its own: most servers give a mailbox to one POP3 session at a time.
    pub own_accounts: bool,
    /// The seed of every choice.
    pub seed: u64,
}

impl Load for Pop3Load {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Poller { load: self.clone(), random: Random::new(self.seed, number) })
    }
}

struct Poller {
    load: Pop3Load,
    random: Random,
}

#[async_trait]
impl Client for Poller {
    async fn run(mut self: Box<Self>, context: Context) {
        while let Some(ticket) = context.schedule.take() {
            due(ticket.due).await;
            let outcome = self
                .visit(if self.load.own_accounts { context.number } else { ticket.number }, &context.recorder)
                .await;
            context.recorder.ended("pop3.visit", ticket.due, outcome.as_ref().copied());
        }
    }
}

impl Poller {
    async fn visit(&mut self, number: u64, recorder: &Recorder) -> Result<u64, Failure> {
        let (load, random) = (&self.load, &mut self.random);
        let person = load
            .people
            .visitor(number, Mailer::Pop3, random)
            .map_err(|error| Failure::new(format_args!("{error:#}")))?;
        let encryption = load.target.drawn(random);
        let mut pop3 =
            step(recorder, "pop3.connect", Pop3::connect(&load.target, number, encryption)).await?;
        step(recorder, "pop3.login", pop3.login(&person.address.to_string(), &load.password)).await?;
        if !load.login_only {
            let stat = pop3.command("STAT").await?;
            let messages: u32 = stat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
            step(recorder, "pop3.uidl", pop3.listing("UIDL")).await?;
            let take = person.news.min(messages).min(TAKEN_MAX);
            for message in messages - take + 1..=messages {
                step(recorder, "pop3.retr", pop3.listing(&format!("RETR {message}"))).await?;
                if load.delete {
                    pop3.command(&format!("DELE {message}")).await?;
                }
            }
        }
        let octets = pop3.octets;
        pop3.quit().await?;
        Ok(octets)
    }
}
