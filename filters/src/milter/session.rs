//! One SMTP session with all its milters.
//!
//! ```text
//!  connect ─▶ helo ─▶ mail ─▶ rcpt… ─▶ data ─▶ message ─▶ mail…       abort: at any time between two calls
//! ```
//! Each milter is, for the message under way: not concerned, asked, or failed. A call that is given up (its future dropped) leaves its milter in an unknown state;
//! the next call notices.

mod message;

use std::sync::Arc;

use bytes::Bytes;
use envelope::{Address, ReversePath};
use milter_proto::{Answer, Command, Macros, Peer};
use tokio::time::Instant;

use super::Milter;
use super::facts::{Authenticated, Connection, Tls};
use super::failure::Failure;
use super::link::Link;
use super::verdict::{TracePlace, refusal, unavailable};
use crate::peer::Outcome;
use crate::verdict::{Action, OnFailure, Refusal, Verdict};

/// The milters of one SMTP session. Dropping it says goodbye to them.
#[derive(Debug)]
pub struct MilterSession {
    connection: Connection,
    helo: Option<String>,
    macros: Macros,
    members: Vec<Member>,
    /// Who wants the message under way to be dropped. Nobody is asked about it any more.
    discarded_by: Option<String>,
}

/// One milter in this session.
#[derive(Debug)]
struct Member {
    milter: Arc<Milter>,
    link: Option<Link>,
    part: Part,
}

/// What a milter has to do with the message under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing: it has accepted it, or it is not asked about such clients.
    None,
    /// It is asked.
    Asked,
    /// It has failed, and the message goes on without it.
    Passed,
    /// It has failed, and the message can't be accepted.
    Failed,
}

impl MilterSession {
    pub(super) fn new(milters: impl Iterator<Item = Arc<Milter>>, connection: Connection) -> Self {
        let members = milters.map(|milter| Member { milter, link: None, part: Part::None }).collect();
        let macros = connection.macros();
        Self { connection, helo: None, macros, members, discarded_by: None }
    }

    /// Whether no milter is concerned with this client.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The client's name is known: one that leads back to its address.
    pub fn set_hostname(&mut self, hostname: Option<String>) {
        self.connection.hostname = hostname;
        self.macros = self.connection.macros();
    }

    /// STARTTLS was done. The EHLO that follows is told to the milters with this.
    pub fn set_tls(&mut self, tls: Option<Tls>) {
        self.connection.tls = tls;
        self.macros = self.connection.macros();
    }

    /// The client logged in.
    pub fn set_authenticated(&mut self, authenticated: Option<Authenticated>) {
        self.connection.authenticated = authenticated;
        self.macros = self.connection.macros();
    }

    /// A client connected. A refusal is of the client: it may be told at once, or whatever it says.
    pub async fn connect(&mut self) -> Result<(), Refusal> {
        self.introduce_all().await
    }

    /// The client says what it calls itself; as often as it says so.
    pub async fn helo(&mut self, name: &str) -> Result<(), Refusal> {
        self.helo = Some(name.to_owned());
        self.members
            .iter_mut()
            .filter_map(|member| member.link.as_mut())
            .for_each(|link| link.greeted = false);
        self.introduce_all().await
    }

    /// A message begins, with the parameters of MAIL as they were written. What is left of the one before is forgotten.
    pub async fn mail(&mut self, reverse_path: &ReversePath, parameters: &[&str]) -> Result<(), Refusal> {
        self.abort().await;
        self.macros.set("mail_addr", Some(reverse_path.to_string()));
        self.macros.set("mail_host", reverse_path.address().map(|address| address.domain().to_string()));
        let path = format!("<{reverse_path}>");
        let command = Command::Mail(words(&path, parameters));
        for index in 0..self.members.len() {
            let begun = self.begin(index, &command).await;
            if let Err(refusal) = begun {
                self.abort().await;
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// A recipient, with the parameters of RCPT as they were written. A refusal concerns this recipient alone.
    pub async fn rcpt(&mut self, recipient: &Address, parameters: &[&str]) -> Result<(), Refusal> {
        self.macros.set("rcpt_addr", Some(recipient.to_string()));
        self.macros.set("rcpt_host", Some(recipient.domain().to_string()));
        let path = format!("<{recipient}>");
        self.ask_all(&Command::Rcpt(words(&path, parameters))).await
    }

    /// The client wants to send the text. A refusal concerns the message.
    pub async fn data(&mut self) -> Result<(), Refusal> {
        self.ask_all(&Command::Data).await
    }

    /// The text of the message, without this server's own trace field, and the id that it will have here. All changes are in the verdict, also those that one
    /// milter made and the next changed again: [`crate::apply`] makes them in their order.
    pub async fn message(&mut self, id: &str, message: &Bytes) -> Verdict {
        self.macros.set("i", Some(id.to_owned()));
        let verdict = self.judge(message).await;
        self.abort().await;
        verdict
    }

    /// The message under way will not come, or is over.
    pub async fn abort(&mut self) {
        for member in &mut self.members {
            if let Some(link) = &mut member.link
                && link.in_message()
                && !link.abort().await
            {
                member.link = None;
            }
        }
        self.forget_message();
    }

    fn forget_message(&mut self) {
        self.macros = self.connection.macros();
        self.discarded_by = None;
        self.members.iter_mut().for_each(|member| member.part = Part::None);
    }

    async fn introduce_all(&mut self) -> Result<(), Refusal> {
        for index in 0..self.members.len() {
            self.introduce(index).await?;
        }
        Ok(())
    }

    /// Tells a milter of the client, as far as it does not know of it yet.
    async fn introduce(&mut self, index: usize) -> Result<(), Refusal> {
        let authenticated = self.connection.authenticated.is_some();
        let (connection, helo, macros) = (&self.connection, self.helo.as_deref(), &self.macros);
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        if !member.milter.config.clients.include(authenticated) {
            return Ok(());
        }
        let answer = member.introduce(connection, helo, macros).await;
        match answer {
            Ok(answer) => member.decide(&answer),
            Err(failure) => member.fail(&failure),
        }
    }

    /// Begins a message with one milter. The connection may be left over from a message before, or be gone.
    async fn begin(&mut self, index: usize, command: &Command<'_>) -> Result<(), Refusal> {
        if self.discarded_by.is_some() {
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(index)
            && let Some(link) = &mut member.link
            && !link.is_fresh().await
        {
            member.link = None;
        }
        self.introduce(index).await?;
        let authenticated = self.connection.authenticated.is_some();
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        let concerned = member.milter.config.clients.include(authenticated) && member.part == Part::None;
        if !concerned || member.link.is_none() {
            return Ok(());
        }
        member.part = Part::Asked;
        self.ask(index, command).await
    }

    async fn ask_all(&mut self, command: &Command<'_>) -> Result<(), Refusal> {
        if self.members.iter().any(|member| member.part == Part::Failed) {
            return Err(unavailable());
        }
        for index in 0..self.members.len() {
            if self.discarded_by.is_none() {
                self.ask(index, command).await?;
            }
        }
        Ok(())
    }

    /// Asks one milter, if it is still asked.
    async fn ask(&mut self, index: usize, command: &Command<'_>) -> Result<(), Refusal> {
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        let (Part::Asked, Some(link)) = (member.part, &mut member.link) else { return Ok(()) };
        match link.ask(command, &self.macros, None).await {
            Ok(answer) => {
                if answer == Answer::Discard {
                    member.milter.figures.count(Outcome::Discarded);
                    self.discarded_by = Some(member.milter.config.name.clone());
                }
                member.decide(&answer)
            }
            Err(failure) => member.fail(&failure),
        }
    }
}

impl Member {
    async fn introduce(
        &mut self,
        connection: &Connection,
        helo: Option<&str>,
        macros: &Macros,
    ) -> Result<Answer, Failure> {
        let link = match &mut self.link {
            Some(link) if !link.is_lost() => link,
            slot => slot.insert(Link::open(&self.milter).await?),
        };
        if !link.introduced {
            let peer = connection.peer.map_or(Peer::Unknown, Peer::Inet);
            let command = Command::Connect { hostname: connection.name().as_bytes(), peer };
            let answer = link.ask(&command, macros, None).await?;
            if !matches!(answer, Answer::Continue | Answer::Accept) {
                self.link = None;
                return Ok(answer);
            }
            link.introduced = true;
        }
        match helo {
            Some(name) if !link.greeted => {
                let answer = link.ask(&Command::Helo(name.as_bytes()), macros, None).await?;
                link.greeted = matches!(answer, Answer::Continue | Answer::Accept);
                Ok(answer)
            }
            _ => Ok(Answer::Continue),
        }
    }

    /// What an answer before the end of a message means.
    fn decide(&mut self, answer: &Answer) -> Result<(), Refusal> {
        if *answer == Answer::Shutdown {
            self.link = None;
            self.part = Part::Failed;
        }
        if *answer == Answer::Accept && self.part == Part::Asked {
            self.milter.figures.count(Outcome::Accepted);
        }
        let Some(refusal) = refusal(answer) else { return Ok(()) };
        self.milter.figures.count(if refusal.is_temporary() { Outcome::Deferred } else { Outcome::Refused });
        Err(refusal)
    }

    /// The milter's state is unknown: its connection goes, and its configuration says what that means.
    fn fail(&mut self, failure: &Failure) -> Result<(), Refusal> {
        let config = &self.milter.config;
        self.milter.figures.count(failure.outcome());
        if matches!(failure, Failure::NotAsked) {
            tracing::debug!(milter = config.name, "milter is not asked after failures");
        } else {
            tracing::warn!(milter = config.name, failure = failure.told(), on_failure = ?config.on_failure, "milter failed");
        }
        if let Some(mut link) = self.link.take() {
            link.failed();
        }
        match config.on_failure {
            OnFailure::Accept => {
                self.part = Part::Passed;
                Ok(())
            }
            OnFailure::Tempfail => {
                self.part = Part::Failed;
                Err(unavailable())
            }
        }
    }
}

fn words<'a>(path: &'a str, parameters: &[&'a str]) -> Vec<&'a [u8]> {
    std::iter::once(path).chain(parameters.iter().copied()).map(str::as_bytes).collect()
}
