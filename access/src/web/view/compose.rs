//! The compose page in its five beginnings: new, reply, reply to all, forward, a draft taken up again.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use store::{Account, SpecialUse};

use super::super::Shared;
use super::super::address::{Person, join};
use super::super::content::{self, Letter, Party};
use super::super::error::PageError;
use super::super::guard::Signed;
use super::super::link::MessageRef;
use super::super::session::{Session, random_name};
use super::super::text;
use super::super::when::{When, now};
use super::message::{shown_max, size};
use super::{Shell, find, page, reference, shell, work};

type Ids = Path<(u32, u32, String)>;

/// What stands in the form's fields, as typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet {
    pub(super) title: &'static str,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cc: String,
    pub(super) bcc: String,
    pub(super) subject: String,
    pub(super) text: String,
    /// The message that is answered.
    pub(super) reply: String,
    /// The message that is forwarded.
    pub(super) forward: String,
    /// The draft that this sheet replaces.
    pub(super) draft: String,
    /// The message whose files can be kept.
    pub(super) source: String,
    pub(super) files: Vec<KeptFile>,
    pub(super) problem: Option<String>,
    /// What to know before writing.
    pub(super) note: Option<&'static str>,
    /// Made anew for each sheet: one sheet is sent once.
    pub(super) nonce: String,
}

/// A file that is there already.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    pub(super) part: usize,
    pub(super) name: String,
    pub(super) size: String,
}

#[derive(Template)]
#[template(path = "compose.html")]
pub(super) struct ComposePage {
    pub(super) shell: Shell,
    pub(super) sheet: Sheet,
    pub(super) size_max: String,
}

#[derive(Deserialize)]
pub(super) struct Prefilled {
    #[serde(default)]
    to: String,
    #[serde(default)]
    subject: String,
}

#[derive(Deserialize)]
pub(super) struct Origin {
    #[serde(default)]
    reply: String,
    #[serde(default)]
    forward: String,
}

/// GET: an empty sheet.
pub(super) async fn new(
    State(web): State<Shared>,
    Signed(session): Signed,
    Query(prefilled): Query<Prefilled>,
) -> Result<Response, PageError> {
    let one_line = |text: &str| text.chars().filter(|c| !c.is_control()).take(1000).collect::<String>();
    let sheet = Sheet {
        title: "New message",
        to: one_line(&prefilled.to),
        subject: one_line(&prefilled.subject),
        ..Sheet::default()
    };
    render(&web, session, move |_, _, _| Ok(sheet)).await
}

/// GET: an answer to the sender.
pub(super) async fn reply(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    render(&web, session, move |account, session, shown_max| answer(account, session, &at, false, shown_max))
        .await
}

/// GET: an answer to everybody.
pub(super) async fn reply_all(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    render(&web, session, move |account, session, shown_max| answer(account, session, &at, true, shown_max))
        .await
}

/// GET: the message with its files for somebody else.
pub(super) async fn forward(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    render(&web, session, move |account, _, shown_max| {
        let letter = letter(account, &at, shown_max)?;
        let line = |name: &str, people: &[Party]| {
            if people.is_empty() { String::new() } else { format!("{name}: {}\n", plain_list(people)) }
        };
        let date = letter.date.map(|at| When::new(at, now()).full).unwrap_or_default();
        Ok(Sheet {
            title: "Forward",
            subject: prefixed("Fwd: ", &["fwd:", "fw:"], &letter.subject),
            text: format!(
                "\n\n-------- Forwarded message --------\n{}Date: {date}\nSubject: {}\n{}{}\n{}\n",
                line("From", &letter.from),
                letter.subject,
                line("To", &letter.to),
                line("Cc", &letter.cc),
                letter.text.trim_end()
            ),
            forward: at.to_field(),
            source: at.to_field(),
            files: kept(&letter),
            ..Sheet::default()
        })
    })
    .await
}

/// GET: a draft taken up again. What it answers travels in the address, when it is known.
pub(super) async fn edit(
    State(web): State<Shared>,
    Signed(session): Signed,
    Path(ids): Ids,
    Query(origin): Query<Origin>,
) -> Result<Response, PageError> {
    let at = reference(ids)?;
    render(&web, session, move |account, _, shown_max| {
        let letter = letter(account, &at, shown_max)?;
        if letter.cut {
            return Err(PageError::Invalid("This draft is too long to be edited here."));
        }
        Ok(Sheet {
            title: "Draft",
            from: letter
                .from
                .iter()
                .filter_map(Party::person)
                .map(|person| person.to_string())
                .next()
                .unwrap_or_default(),
            to: typed(&letter.to),
            cc: typed(&letter.cc),
            bcc: typed(&letter.bcc),
            subject: letter.subject.clone(),
            text: letter.text.clone(),
            reply: origin.reply,
            forward: origin.forward,
            draft: at.to_field(),
            source: at.to_field(),
            files: kept(&letter),
            note: letter.html.is_some().then_some(
                "This draft has formatting, which can't be written here. Saving or sending keeps its text and its files; \
                 the draft as it was goes to the Trash.",
            ),
            ..Sheet::default()
        })
    })
    .await
}

async fn render(
    web: &Shared,
    session: Arc<Session>,
    fill: impl FnOnce(&Account, &Session, usize) -> Result<Sheet, PageError> + Send + 'static,
) -> Result<Response, PageError> {
    let shared = Arc::clone(web);
    let compose = work(web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let sheet = fill(&account, &session, shown_max(&shared))?;
        sheet_page(&shared, &account, &session, sheet)
    })
    .await?;
    page(&compose)
}

/// The page for a sheet, with a sender and a name of its own.
pub(super) fn sheet_page(
    web: &Shared,
    account: &Account,
    session: &Session,
    mut sheet: Sheet,
) -> Result<ComposePage, PageError> {
    if sheet.from.is_empty() {
        sheet.from = usual_sender(account, session).to_string();
    }
    sheet.nonce = random_name().ok_or(PageError::Unexpected)?;
    let size_max = size(usize::try_from(web.config.message_size_max.as_u64()).unwrap_or(usize::MAX));
    Ok(ComposePage { shell: shell(account, session, "")?, sheet, size_max })
}

/// Who the person was the last time they wrote, or their address alone. The gateway decides who they may be.
fn usual_sender(account: &Account, session: &Session) -> Person {
    let last = || {
        let sent = account.special(SpecialUse::Sent).ok()?;
        let uid = sent.view().ok()?.iter().next_back()?.uid;
        let summary = sent.summary(uid).ok()?;
        let (name, address) = super::super::address::readable(summary.from.first()?)?;
        Party { name, address }.person()
    };
    last().unwrap_or_else(|| Person { name: None, address: session.account.address().clone() })
}

fn letter(account: &Account, at: &MessageRef, shown_max: usize) -> Result<Letter, PageError> {
    let (mailbox, ..) = find(account, at)?;
    Ok(content::read(&mailbox.content(at.uid)?, shown_max))
}

fn answer(
    account: &Account,
    session: &Session,
    at: &MessageRef,
    all: bool,
    shown_max: usize,
) -> Result<Sheet, PageError> {
    let letter = letter(account, at, shown_max)?;
    let own = [session.account.to_string(), usual_sender(account, session).address.to_string()];
    let is_own = |party: &Party| own.iter().any(|address| address.eq_ignore_ascii_case(&party.address));
    let senders = if letter.reply_to.is_empty() { &letter.from } else { &letter.reply_to };
    // An answer to one's own message goes to those it went to.
    let to: Vec<Party> = if senders.iter().all(is_own) { letter.to.clone() } else { senders.clone() };
    let mut cc: Vec<Party> = Vec::new();
    if all {
        for party in letter.to.iter().chain(&letter.cc) {
            let known = to.iter().chain(&cc).any(|other| other.address.eq_ignore_ascii_case(&party.address));
            if !known && !is_own(party) {
                cc.push(party.clone());
            }
        }
    }
    let date = letter.date.map(|at| When::new(at, now()).full).unwrap_or_default();
    let who = letter.from.first().map_or("somebody", Party::label).to_owned();
    Ok(Sheet {
        title: if all { "Reply to all" } else { "Reply" },
        to: people(&to),
        cc: people(&cc),
        subject: prefixed("Re: ", &["re:"], &letter.subject),
        text: format!("\n\nOn {date}, {who} wrote:\n{}", text::quote(&letter.text)),
        reply: at.to_field(),
        ..Sheet::default()
    })
}

/// The files of a message as they can be kept.
pub(super) fn kept(letter: &Letter) -> Vec<KeptFile> {
    let files = letter.attachments.iter();
    files.map(|file| KeptFile { part: file.part, name: file.name.clone(), size: size(file.size) }).collect()
}

fn people(parties: &[Party]) -> String {
    join(&parties.iter().filter_map(Party::person).collect::<Vec<_>>())
}

/// The same as it was typed, with what is no address.
fn typed(parties: &[Party]) -> String {
    let one = |party: &Party| match party.person() {
        Some(person) => person.to_string(),
        None if party.address.is_empty() => party.name.clone(),
        None => party.address.clone(),
    };
    parties.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn plain_list(parties: &[Party]) -> String {
    let one = |party: &Party| {
        if party.name.is_empty() {
            party.address.clone()
        } else {
            format!("{} <{}>", party.name, party.address)
        }
    };
    parties.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn prefixed(prefix: &str, known: &[&str], subject: &str) -> String {
    let lower = subject.trim_start().to_lowercase();
    if known.iter().any(|known| lower.starts_with(known)) {
        subject.trim_start().to_owned()
    } else {
        format!("{prefix}{subject}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_come_once() {
        let check = |input: &str, expected: &str| assert_eq!(prefixed("Re: ", &["re:"], input), expected);
        check("Hello", "Re: Hello");
        check("Re: Hello", "Re: Hello");
        check(" RE: Hello", "RE: Hello");
        check("Regarding", "Re: Regarding");
        check("", "Re: ");
    }
}
