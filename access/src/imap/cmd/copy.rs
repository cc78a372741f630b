//! COPY (RFC 3501 §6.4.7) with COPYUID (RFC 4315 §3).

use std::sync::Arc;

use envelope::Usage;
use imap_proto::response::word;
use imap_proto::{Numbering, Transfer};
use store::{Copied, Mailbox, StoreError, Uid};

use super::super::answer::{Answer, Stop};
use super::super::reply::Reply;
use super::super::session::Session;
use super::select::existing;
use crate::work::WorkError;

/// What COPY and MOVE work on.
pub(super) struct Job {
    pub(super) source: Arc<Mailbox>,
    pub(super) uids: Vec<Uid>,
    pub(super) target: Arc<Mailbox>,
}

pub(crate) async fn run(session: &mut Session, args: Transfer) -> Answer {
    let Some(Job { source, uids, target }) = job(session, &args).await? else {
        return Ok(Reply::ok("COPY completed, there was nothing to copy"));
    };
    let person = session.state.person()?;
    let (mail, account) = (person.mail.clone(), person.account().clone());
    let quota = session.server.deps.quota(&account).await;
    let work = session.server.deps.work(move || {
        if quota.is_limited() {
            let view = source.view()?;
            let sizes = uids.iter().filter_map(|uid| Some(view.by_uid(*uid)?.1.size));
            let one = |size| Usage { octets: size, messages: 1 };
            mail.admit(&quota, sizes.map(one).fold(Usage::default(), Usage::plus))?;
        }
        source.copy(&uids, &target)
    });
    let copied = work.await?;
    if copied.uids.is_empty() {
        return gone(args.numbering, "COPY completed, the messages are gone");
    }
    Ok(Reply::ok("COPY completed").with_code(copy_uid(&copied)))
}

/// Others expunged all that was named. Where some are left, the pairs of COPYUID say which. A UID that is not there is no
/// error (RFC 3501 §6.4.8).
pub(super) fn gone(numbering: Numbering, done: &'static str) -> Answer {
    match numbering {
        Numbering::Sequence => Err(Reply::no("The messages are gone").with_code("EXPUNGEISSUED").into()),
        Numbering::Uid => Ok(Reply::ok(done)),
    }
}

/// Finds the messages and the target; nothing when no message is named.
pub(super) async fn job(session: &mut Session, args: &Transfer) -> Result<Option<Job>, Stop> {
    let selected = session.state.selected()?;
    let uids = selected.uids(&selected.resolve(args.numbering, &args.messages)?);
    let source = Arc::clone(&selected.mailbox);
    let mail = session.state.person()?.mail.clone();
    let target = match existing(&args.mailbox) {
        Ok(name) => session.server.deps.work(move || mail.mailbox(&name)).await,
        Err(error) => Err(error.into()),
    };
    let target = target.map_err(no_target)?;
    Ok((!uids.is_empty()).then_some(Job { source, uids, target }))
}

/// RFC 3501 §6.3.11: a target that is not there may be made and the command tried again.
pub(super) fn no_target(error: WorkError) -> Reply {
    let missing = matches!(error, WorkError::Store(StoreError::NoSuchMailbox));
    let reply = Reply::from(error);
    if missing { reply.with_code("TRYCREATE") } else { reply }
}

/// `COPYUID validity source target`
pub(super) fn copy_uid(copied: &Copied) -> String {
    let mut code = format!("COPYUID {} ", copied.uid_validity.0).into_bytes();
    word::set(copied.uids.iter().map(|(source, _)| source.0), &mut code);
    code.push(b' ');
    word::set(copied.uids.iter().map(|(_, target)| target.0), &mut code);
    String::from_utf8_lossy(&code).into_owned()
}
