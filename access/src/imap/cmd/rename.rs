//! RENAME (RFC 3501 §6.3.5).

use imap_proto::Mailbox;
use store::MailboxName;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::create::name_to_make;
use super::list::DELIMITER;
use super::select::existing;

pub(crate) async fn run(session: &mut Session, from: &Mailbox, to: &Mailbox) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let (from, to) = (existing(from)?, name_to_make(to.as_str())?);
    // The selected mailbox stays selected under its new name. INBOX keeps its name and only loses its messages.
    let follow = match session.state.selected() {
        Ok(selected) if !from.is_inbox() => renamed(&selected.mailbox.name(), &from, &to),
        _ => None,
    };
    let work = move || {
        mail.rename(&from, &to)?;
        let Some(name) = follow else { return Ok(None) };
        let mailbox = mail.mailbox(&name)?;
        // Read here, so that the session's next look needs no I/O of its own. The mailbox has its new name whether it can be read
        // now or not: a session that kept the old one would take it for deleted.
        if let Err(error) = mailbox.refresh() {
            tracing::warn!(error = ?error, "a renamed mailbox could not be looked at");
        }
        Ok(Some(mailbox))
    };
    if let Some(mailbox) = session.server.deps.work(work).await? {
        session.state.selected()?.mailbox = mailbox;
    }
    Ok(Reply::ok("RENAME completed"))
}

/// What a mailbox is called after a RENAME of itself or of one above it.
fn renamed(name: &MailboxName, from: &MailboxName, to: &MailboxName) -> Option<MailboxName> {
    let rest = name.as_str().strip_prefix(from.as_str())?;
    if !rest.is_empty() && !rest.starts_with(DELIMITER) {
        return None;
    }
    MailboxName::parse(&format!("{}{rest}", to.as_str())).ok()
}
