//! IMAP: visits as mail programs make them, and single operations for comparing servers.
//!
//! The scripts are what these programs say on the wire when they look for mail: which folders, which items, in how many round trips. Each is a file of its own.
//!
//! | operation | what it is |
//! |---|---|
//! | `imap.connect` | connection, greeting, TLS |
//! | `imap.login` `imap.list` `imap.select` `imap.status` `imap.headers` `imap.flags` `imap.body` `imap.store` `imap.search` `imap.append` | a command each |
//! | `imap.visit` | all of a visit, from when it was due |

mod apple_mail;
mod mbsync;
mod outlook;
mod single;
mod thunderbird;

use std::time::Instant;

use async_trait::async_trait;
use envelope::Secret;
use imap_proto::client::ResponseKind;

pub use single::Single;

use super::{due, step};
use crate::client::imap::{Imap, Selected, quoted};
use crate::people::{People, Person};
use crate::population::Mailer;
use crate::random::Random;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// Folders that a client looks into beside INBOX in one visit, at most.
const FOLDERS_MAX: usize = 40;

/// How the mail is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// As a mail program does.
    Mailer(Mailer),
    /// One operation over and over on a session that stays.
    Single(Single),
}

/// What to do.
#[derive(Clone)]
pub struct ImapLoad {
    /// Where.
    pub target: Target,
    /// As whom.
    pub people: People,
    /// The password of all of them.
    pub password: Secret<String>,
    /// What.
    pub script: Script,
    /// The seed of every choice.
    pub seed: u64,
}

impl Load for ImapLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Reader { load: self.clone(), random: Random::new(self.seed, number), kept: None })
    }
}

struct Reader {
    load: ImapLoad,
    random: Random,
    /// The session of single operations, and what it selected.
    kept: Option<(Imap, Selected)>,
}

/// A session in a visit.
struct Visit<'a> {
    imap: Imap,
    recorder: &'a Recorder,
    random: &'a mut Random,
    person: &'a Person,
}

#[async_trait]
impl Client for Reader {
    async fn run(mut self: Box<Self>, context: Context) {
        while let Some(ticket) = context.schedule.take() {
            due(ticket.due).await;
            match self.load.script {
                Script::Single(single) => self.once(single, &context, ticket.due).await,
                Script::Mailer(mailer) => {
                    let outcome = self.visit(mailer, ticket.number, &context.recorder).await;
                    context.recorder.ended("imap.visit", ticket.due, outcome.as_ref().copied());
                }
            }
        }
        if let Some((imap, _)) = self.kept.take() {
            imap.logout().await;
        }
    }
}

impl Reader {
    /// Gives the octets that the server sent.
    async fn visit(&mut self, mailer: Mailer, number: u64, recorder: &Recorder) -> Result<u64, Failure> {
        let (load, random) = (&self.load, &mut self.random);
        let person = load
            .people
            .visitor(number, mailer, random)
            .map_err(|error| Failure::new(format_args!("{error:#}")))?;
        let imap = open(load, number, &person, recorder, random).await?;
        let mut visit = Visit { imap, recorder, random, person: &person };
        match mailer {
            Mailer::AppleMail => apple_mail::sync(&mut visit).await?,
            Mailer::Mbsync => mbsync::sync(&mut visit).await?,
            Mailer::Outlook => outlook::sync(&mut visit).await?,
            Mailer::Thunderbird => thunderbird::sync(&mut visit).await?,
            Mailer::Pop3 | Mailer::Web => return Err(Failure::new("this program does not speak IMAP")),
        }
        let octets = visit.imap.octets;
        visit.imap.logout().await;
        Ok(octets)
    }
}

/// Connects and logs in.
async fn open(
    load: &ImapLoad,
    number: u64,
    person: &Person,
    recorder: &Recorder,
    random: &mut Random,
) -> Result<Imap, Failure> {
    let encryption = load.target.drawn(random);
    let mut imap = step(recorder, "imap.connect", Imap::connect(&load.target, number, encryption)).await?;
    let login = person.address.to_string();
    step(recorder, "imap.login", imap.login(&login, &load.password)).await?;
    Ok(imap)
}

impl Visit<'_> {
    /// A command whose answers nobody looks at.
    async fn command(&mut self, operation: &'static str, command: &str) -> Result<(), Failure> {
        step(self.recorder, operation, self.imap.command(command, |_| ())).await
    }

    /// Names of the folders, as the server writes them, quotation marks included; INBOX is not among them.
    async fn folders(&mut self, command: &str) -> Result<Vec<String>, Failure> {
        let mut folders = Vec::new();
        let listing = self.imap.command(command, |response| {
            let ResponseKind::Untagged(rest) = response.kind() else { return };
            let Ok(text) = std::str::from_utf8(rest) else { return };
            let Some(name) = text.strip_prefix("LIST (").and_then(listed) else { return };
            if !name.trim_matches('"').eq_ignore_ascii_case("INBOX") && folders.len() < FOLDERS_MAX {
                folders.push(name.to_owned());
            }
        });
        step(self.recorder, "imap.list", listing).await?;
        Ok(folders)
    }

    async fn select(&mut self, mailbox: &str) -> Result<Selected, Failure> {
        step(self.recorder, "imap.select", self.imap.select(mailbox.trim_matches('"'), false)).await
    }

    /// UIDs of the newest messages: as many as are news to this visitor, of those that the mailbox has.
    async fn newest(&mut self, selected: Selected) -> Result<Vec<u32>, Failure> {
        let count = self.person.news.min(selected.exists);
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = selected.exists - count + 1;
        let mut uids = Vec::new();
        let command = format!("FETCH {first}:{} (UID FLAGS)", selected.exists);
        let fetching = self.imap.command(&command, |response| uids.extend(uid(response.text())));
        step(self.recorder, "imap.flags", fetching).await?;
        Ok(uids)
    }

    /// The text of one message.
    async fn body(&mut self, uid: u32, items: &str) -> Result<(), Failure> {
        self.command("imap.body", &format!("UID FETCH {uid} ({items})")).await
    }
}

/// The name at the end of `\HasNoChildren) "/" "Archive/2025"`.
fn listed(rest: &str) -> Option<&str> {
    if rest.split(')').next()?.to_ascii_lowercase().contains("\\noselect") {
        return None;
    }
    let (_, rest) = rest.split_once(") ")?;
    let (_, name) = rest.split_once(' ')?;
    Some(name)
}

/// The number behind `UID` in a FETCH response.
pub(super) fn uid(text: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(text, b"UID ")? + 4;
    let digits = text.get(at..)?.split(|octet| !octet.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Numbers with commas between them.
fn set(uids: &[u32]) -> String {
    uids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Reader {
    /// One operation on the kept session; a session that broke is opened anew the next time.
    async fn once(&mut self, single: Single, context: &Context, since: Instant) {
        let outcome = self.single(single, context).await;
        if outcome.is_err() {
            self.kept = None;
        }
        context.recorder.ended(single.operation(), since, outcome.as_ref().copied());
    }

    async fn single(&mut self, single: Single, context: &Context) -> Result<u64, Failure> {
        let (load, random) = (&self.load, &mut self.random);
        let person = || {
            load.people.visitor(
                context.number,
                Mailer::Thunderbird,
                &mut Random::new(load.seed, context.number),
            )
        };
        let person = person().map_err(|error| Failure::new(format_args!("{error:#}")))?;
        if single == Single::Login {
            let imap = Imap::open(
                &load.target,
                context.number,
                load.target.drawn(random),
                &person.address.to_string(),
                &load.password,
            )
            .await?;
            imap.logout().await;
            return Ok(0);
        }
        if self.kept.is_none() {
            let mut imap = open(load, context.number, &person, &context.recorder, random).await?;
            let selected = step(&context.recorder, "imap.open", imap.select("INBOX", false)).await?;
            self.kept = Some((imap, selected));
        }
        let Some((imap, selected)) = &mut self.kept else { return Err(Failure::new("no session")) };
        let before = imap.octets;
        single.perform(imap, *selected, random).await?;
        Ok(imap.octets - before)
    }
}

/// A mailbox's name for a command: servers quote where they must, so what they listed goes back as it came.
fn named(folder: &str) -> String {
    if folder.starts_with('"') { folder.to_owned() } else { quoted(folder) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(listed("\\HasNoChildren \\Sent) \"/\" Sent"), Some("Sent"));
        assert_eq!(listed("\\HasNoChildren) \"/\" \"Project 7\""), Some("\"Project 7\""));
        assert_eq!(listed("\\Noselect \\HasChildren) \"/\" Lists"), None);
        assert_eq!(listed("\\HasNoChildren"), None);
        assert_eq!(uid(b"* 12 FETCH (FLAGS (\\Seen) UID 4711)"), Some(4711));
        assert_eq!(uid(b"* 12 FETCH (FLAGS ())"), None);
        assert_eq!(set(&[3, 5, 9]), "3,5,9");
        assert_eq!((named("Sent"), named("\"a b\"")), ("\"Sent\"".to_owned(), "\"a b\"".to_owned()));
    }
}
