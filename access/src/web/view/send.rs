//! POST /compose: sends, saves or throws away.
//!
//! Nothing written is lost: what can't be sent is kept as a draft with its files, and the page says why. A sheet is sent
//! once: its name is remembered while and after it is sent. Sending runs as a task of its own, so that a browser that
//! goes away does not end it halfway.

mod upload;

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Multipart, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use envelope::{Address, Secret, Timestamp};
use store::{Account, FlagChange, Flags, SpecialUse};
use tracing::info;

use super::super::Shared;
use super::super::address::{People, Person};
use super::super::content;
use super::super::error::PageError;
use super::super::form::Fields;
use super::super::guard::Signed;
use super::super::link::{self, MessageRef, encode};
use super::super::outgoing::{File, Outgoing, thread};
use super::super::session::Session;
use super::super::submit::{Submission, SubmitError};
use super::compose::{KeptFile, Sheet, kept, sheet_page};
use super::message::{shown_max, size};
use super::{find, page, work};

/// What came with the form.
struct Sent {
    fields: Fields,
    files: Vec<File>,
}

/// POST.
pub(super) async fn post(
    State(web): State<Shared>,
    Signed(session): Signed,
    multipart: Multipart,
) -> Result<Response, PageError> {
    let upload = web.uploads.begin(&session.account).ok_or(PageError::Busy)?;
    let (sent, upload) = upload::read(&web, &session, multipart, upload).await?;
    let turn = web.uploads.turn(web.config.request_timeout.into()).await.ok_or(PageError::Busy)?;
    let task = web.drain.spawn({
        let web = Arc::clone(&web);
        async move {
            let done = dispatch(&web, session, sent).await;
            drop((turn, upload));
            done
        }
    });
    task.await.map_err(|_| PageError::Unexpected)?
}

async fn dispatch(web: &Shared, session: Arc<Session>, sent: Sent) -> Result<Response, PageError> {
    match sent.fields.text("do") {
        "discard" => discard(web, session, &sent.fields).await,
        "save" => save(web, session, sent).await,
        "send" => {
            let nonce = sent.fields.text("nonce").to_owned();
            if !session.claim(&nonce) {
                session.tell("This message was sent already.");
                return Ok(Redirect::to("/folder/INBOX").into_response());
            }
            let outcome = send(web, &session, sent).await;
            if !matches!(outcome, Ok((_, true))) {
                session.release(&nonce);
            }
            outcome.map(|(response, _)| response)
        }
        _ => Err(PageError::Invalid("There is no such action.")),
    }
}

async fn discard(web: &Shared, session: Arc<Session>, fields: &Fields) -> Result<Response, PageError> {
    let draft = MessageRef::from_field(fields.text("draft"));
    let shared = Arc::clone(web);
    work(web, move || {
        if let Some(draft) = draft {
            let account = shared.deps.store.account(&session.account)?;
            let (mailbox, ..) = find(&account, &draft)?;
            let trash = account.special(SpecialUse::Trash)?;
            mailbox.move_to(&[draft.uid], &trash)?;
        }
        session.tell("Discarded. A saved draft is in the Trash.");
        Ok(())
    })
    .await?;
    Ok(Redirect::to("/folder/INBOX").into_response())
}

async fn save(web: &Shared, session: Arc<Session>, sent: Sent) -> Result<Response, PageError> {
    let shared = Arc::clone(web);
    let response = work(web, move || {
        let account = shared.deps.store.account(&session.account)?;
        let (written, wrong) = Written::gather(&shared, &account, &session, sent)?;
        if let Some(wrong) = wrong {
            return Ok(Err(written.back(&shared, &account, &session, &wrong)?));
        }
        let draft = written.keep(&account)?;
        session.tell("Draft saved.");
        let origin = format!(
            "reply={}&forward={}",
            encode(&written.sheet.reply, b""),
            encode(&written.sheet.forward, b"")
        );
        Ok(Ok(format!("{}?{origin}", draft.link("edit"))))
    })
    .await?;
    match response {
        Ok(to) => Ok(Redirect::to(&to).into_response()),
        Err(compose) => Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&compose)?).into_response()),
    }
}

/// Sends; the flag says whether it was sent.
async fn send(web: &Shared, session: &Arc<Session>, sent: Sent) -> Result<(Response, bool), PageError> {
    let (shared, owner) = (Arc::clone(web), Arc::clone(session));
    let ready = work(web, move || {
        let account = shared.deps.store.account(&owner.account)?;
        let (written, wrong) = Written::gather(&shared, &account, &owner, sent)?;
        let wrong = wrong.or_else(|| written.unfit(shared.config.recipients_max));
        match wrong {
            None => Ok(Ok(written)),
            Some(wrong) => Ok(Err(written.back(&shared, &account, &owner, &wrong)?)),
        }
    })
    .await?;
    let written = match ready {
        Ok(written) => written,
        Err(compose) => {
            return Ok(((StatusCode::UNPROCESSABLE_ENTITY, page(&compose)?).into_response(), false));
        }
    };
    let submission = Submission {
        login: session.login.clone(),
        password: Secret::new(session.password.expose().to_owned()),
        sender: written.outgoing.from.address.clone(),
        recipients: written.recipients(),
        content: Bytes::copy_from_slice(&written.wire),
    };
    let outcome = web.submit.submit(submission).await;
    let (shared, owner) = (Arc::clone(web), Arc::clone(session));
    match outcome {
        Ok(answer) => {
            web.metrics.submission("sent");
            info!(account = %session.account, answer, "message submitted");
            let back = work(web, move || {
                let account = shared.deps.store.account(&owner.account)?;
                Ok(written.settle(&account, &owner))
            })
            .await;
            // Sent is sent: a store that fails now must not bring the sheet back.
            let back = back.unwrap_or_else(|_| {
                session.warn("Sent, but the copy could not be saved.");
                "/folder/INBOX".to_owned()
            });
            Ok((Redirect::to(&back).into_response(), true))
        }
        Err(error) => {
            web.metrics.submission(error.outcome());
            info!(account = %session.account, error = &error as &dyn std::error::Error, "submission failed");
            let compose = work(web, move || {
                let account = shared.deps.store.account(&owner.account)?;
                written.back(&shared, &account, &owner, &problem(&error))
            })
            .await?;
            Ok(((StatusCode::BAD_GATEWAY, page(&compose)?).into_response(), false))
        }
    }
}

fn problem(error: &SubmitError) -> String {
    let why = match error {
        SubmitError::Login => {
            "your password has changed. Sign out, sign in again and send the draft".to_owned()
        }
        other => other.to_string(),
    };
    match error {
        SubmitError::Unconfirmed => format!("Perhaps not sent: {why}."),
        _ => format!("Not sent: {why}. Nobody has got the message; it is kept here."),
    }
}

/// A sheet and the message that it makes.
struct Written {
    sheet: Sheet,
    outgoing: Outgoing,
    wire: Vec<u8>,
}

impl Written {
    /// Reads the sheet. What is wrong with it comes beside it, so that it can be kept all the same.
    fn gather(
        web: &Shared,
        account: &Account,
        session: &Session,
        sent: Sent,
    ) -> Result<(Self, Option<String>), PageError> {
        let fields = &sent.fields;
        let text = |name: &str| fields.get(name).unwrap_or_default().to_owned();
        let mut sheet = Sheet {
            title: "Message",
            from: text("from"),
            to: text("to"),
            cc: text("cc"),
            bcc: text("bcc"),
            subject: text("subject"),
            text: text("text").replace("\r\n", "\n"),
            reply: text("reply"),
            forward: text("forward"),
            draft: text("draft"),
            source: text("source"),
            ..Sheet::default()
        };
        let mut wrong = None;
        let mut read = |label: &str, text: &str| {
            let field = People::read(text);
            if let (Some(piece), None) = (field.unread.first(), &wrong) {
                wrong = Some(format!("{label}: “{piece}” is no mail address."));
            }
            field
        };
        let (to, cc, bcc) = (read("To", &sheet.to), read("Cc", &sheet.cc), read("Bcc", &sheet.bcc));
        let from = read("From", &sheet.from).people.into_iter().next();
        let from = from.unwrap_or_else(|| Person { name: None, address: session.account.address().clone() });
        let mut files = keep_files(account, &mut sheet, fields)?;
        files.extend(sent.files);
        if files.len() > web.config.attachments_max {
            let (count, most) = (files.len(), web.config.attachments_max);
            wrong = Some(format!("{count} files are too many: at most {most}. Take some files out."));
        }
        let (in_reply_to, references) = thread_of(account, &sheet)?;
        let outgoing = Outgoing {
            from,
            to,
            cc,
            bcc,
            subject: sheet.subject.clone(),
            text: sheet.text.clone(),
            in_reply_to,
            references,
            files,
        };
        let wire = outgoing.build().ok_or(PageError::Unexpected)?;
        let limit = web.config.message_size_max.as_u64();
        if u64::try_from(wire.len()).unwrap_or(u64::MAX) > limit {
            let limit = size(usize::try_from(limit).unwrap_or(usize::MAX));
            wrong = Some(format!("The message with its files is larger than {limit}. Take some files out."));
        }
        Ok((Self { sheet, outgoing, wire }, wrong))
    }

    /// What keeps it from being sent.
    fn unfit(&self, recipients_max: usize) -> Option<String> {
        let count = self.recipients().len();
        if count == 0 {
            return Some("Nobody to send it to: fill in To.".to_owned());
        }
        (count > recipients_max)
            .then(|| format!("{count} recipients are too many: at most {recipients_max}."))
    }

    fn recipients(&self) -> Vec<Address> {
        let mut seen = std::collections::BTreeSet::new();
        let Outgoing { to, cc, bcc, .. } = &self.outgoing;
        let everybody = to.people.iter().chain(&cc.people).chain(&bcc.people);
        let addresses = everybody.map(|person| person.address.clone());
        addresses.filter(|address| seen.insert(address.clone())).collect()
    }

    /// Saves it as a draft in place of the draft it came from.
    fn keep(&self, account: &Account) -> Result<MessageRef, PageError> {
        let drafts = account.special(SpecialUse::Drafts)?;
        let flags = Flags { draft: true, seen: true, ..Flags::default() };
        let uid = drafts.append(
            &self.outgoing.with_bcc(&self.wire),
            &flags,
            Timestamp::from(std::time::SystemTime::now()),
        )?;
        let uid_validity = drafts.view()?.uid_validity;
        remove_draft(account, &self.sheet);
        Ok(MessageRef { mailbox: drafts.name(), uid_validity, uid })
    }

    /// Keeps it as a draft and makes the page that says what was wrong.
    fn back(
        mut self,
        web: &Shared,
        account: &Account,
        session: &Session,
        wrong: &str,
    ) -> Result<super::compose::ComposePage, PageError> {
        let draft = self.keep(account)?;
        let (mailbox, ..) = find(account, &draft)?;
        let letter = content::read(&mailbox.content(draft.uid)?, shown_max(web));
        self.sheet.files = kept(&letter);
        self.sheet.draft = draft.to_field();
        self.sheet.source = draft.to_field();
        self.sheet.problem = Some(wrong.to_owned());
        sheet_page(web, account, session, self.sheet)
    }

    /// After it was sent: the copy, the flags of what it answers, the draft. Gives where to go.
    fn settle(&self, account: &Account, session: &Session) -> String {
        let copy = self.outgoing.with_bcc(&self.wire);
        let saved = account.special(SpecialUse::Sent).and_then(|sent| {
            let flags = Flags { seen: true, ..Flags::default() };
            sent.append(&copy, &flags, Timestamp::from(std::time::SystemTime::now()))
        });
        match saved {
            Ok(_) => session.tell("Message sent."),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the copy of a sent message was not saved"
                );
                session.warn("Sent, but the copy could not be saved.");
            }
        }
        let reply = MessageRef::from_field(&self.sheet.reply);
        let forward = MessageRef::from_field(&self.sheet.forward);
        if let Some(at) = &reply {
            mark(account, at, &Flags { answered: true, ..Flags::default() });
        }
        if let Some(at) = &forward {
            let keywords = ["$Forwarded".to_owned()].into();
            mark(account, at, &Flags { keywords, ..Flags::default() });
        }
        remove_draft(account, &self.sheet);
        let origin = reply.or(forward);
        origin.map_or_else(|| "/folder/INBOX".to_owned(), |at| link::folder(at.mailbox.as_str()))
    }
}

fn mark(account: &Account, at: &MessageRef, flags: &Flags) {
    // The message may have gone since: nothing to mark.
    if let Ok((mailbox, ..)) = find(account, at) {
        let _ = mailbox.store(&[at.uid], FlagChange::Add, flags, None);
    }
}

fn remove_draft(account: &Account, sheet: &Sheet) {
    let Some(draft) = MessageRef::from_field(&sheet.draft) else { return };
    if let Ok((mailbox, _, entry)) = find(account, &draft)
        && entry.flags.draft
    {
        // What another program formatted is not in what was written here.
        let html = mailbox.content(draft.uid).map(|raw| content::read(&raw, 0).html.is_some());
        let _ = match html {
            Ok(false) => mailbox.expunge(&[draft.uid]).map(drop),
            _ => account
                .special(SpecialUse::Trash)
                .and_then(|trash| mailbox.move_to(&[draft.uid], &trash))
                .map(drop),
        };
    }
}

fn keep_files(account: &Account, sheet: &mut Sheet, fields: &Fields) -> Result<Vec<File>, PageError> {
    let Some(source) = MessageRef::from_field(&sheet.source) else { return Ok(Vec::new()) };
    // Each once, however often the form names it: a file is copied for every name here.
    let mut named = HashSet::new();
    let wanted = fields.all("keep").filter_map(|part| part.parse().ok());
    let wanted: Vec<usize> = wanted.filter(|part| named.insert(*part)).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (mailbox, ..) = find(account, &source)?;
    let raw = mailbox.content(source.uid)?;
    let mut files = Vec::new();
    let parts = content::parts(&raw, &wanted).ok_or(PageError::NotFound)?;
    for (number, (file, content)) in wanted.into_iter().zip(parts) {
        sheet.files.push(KeptFile { part: number, name: file.name.clone(), size: size(file.size) });
        files.push(File { name: file.name, media_type: file.media_type, content });
    }
    Ok(files)
}

/// In-Reply-To and References: of the message answered, or as the draft has them.
fn thread_of(account: &Account, sheet: &Sheet) -> Result<(Vec<String>, Vec<String>), PageError> {
    let letter = |field: &str| {
        let at = MessageRef::from_field(field)?;
        let (mailbox, ..) = find(account, &at).ok()?;
        Some(content::read(&mailbox.content(at.uid).ok()?, 0))
    };
    if let Some(answered) = letter(&sheet.reply) {
        let references = thread(&answered.references, &answered.in_reply_to, answered.message_id.as_deref());
        return Ok((answered.message_id.into_iter().collect(), references));
    }
    let draft = letter(&sheet.draft);
    Ok(draft.map(|draft| (draft.in_reply_to, draft.references)).unwrap_or_default())
}
