//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use imap_proto::response::word;
use imap_proto::{Mailbox, Select};
use store::{MailboxName, StoreError};

use super::super::answer::Answer;
use super::super::flags;
use super::super::reply::Reply;
use super::super::selected::{Selected, untagged};
use super::super::session::Session;

/// Keywords that a mailbox may have before no new ones are offered.
const KEYWORDS_MAX: usize = 200;

pub(crate) async fn run(session: &mut Session, args: &Select, read_only: bool) -> Answer {
    let mail = session.state.person()?.mail.clone();
    // RFC 3501 §6.3.1: a SELECT that fails leaves nothing selected.
    session.state.unselect();
    let name = existing(&args.mailbox)?;
    let opened = session.server.deps.work(move || {
        let mailbox = mail.mailbox(&name)?;
        let view = mailbox.refresh()?;
        let recent = mailbox.recent(!read_only)?;
        // Counted here, where it holds up nobody else.
        view.status();
        Ok((mailbox, view, recent))
    });
    let (mailbox, view, recent) = opened.await?;
    let selected = Selected::new(mailbox, view, read_only, &recent);
    describe(&selected, args.condstore, &mut session.connection.out);
    session.state.select(selected);
    Ok(if read_only {
        Reply::ok("EXAMINE completed").with_code("READ-ONLY")
    } else {
        Reply::ok("SELECT completed").with_code("READ-WRITE")
    })
}

/// The name of a mailbox that should be there. A name that none can have names none.
pub(super) fn existing(mailbox: &Mailbox) -> Result<MailboxName, StoreError> {
    MailboxName::parse(mailbox.as_str()).map_err(|_| StoreError::NoSuchMailbox)
}

fn describe(selected: &Selected, condstore: bool, out: &mut Vec<u8>) {
    let view = selected.told();
    let keywords = view.keywords();
    out.extend_from_slice(b"* FLAGS ");
    flags::encode_defined(&keywords, false, out);
    out.extend_from_slice(b"\r\n");
    untagged(selected.len(), "EXISTS", out);
    untagged(selected.recent_count(), "RECENT", out);
    if let Some(first) = view.first_unseen() {
        code("UNSEEN", first as u64 + 1, "is the first unseen message", out);
    }
    out.extend_from_slice(b"* OK [PERMANENTFLAGS ");
    if selected.read_only {
        out.extend_from_slice(b"()");
    } else {
        flags::encode_defined(&keywords, keywords.len() < KEYWORDS_MAX, out);
    }
    out.extend_from_slice(b"] Flags that are kept\r\n");
    code("UIDNEXT", view.uid_next.0.into(), "is the next UID", out);
    code("UIDVALIDITY", view.uid_validity.0.into(), "is the UIDs' incarnation", out);
    if condstore {
        code("HIGHESTMODSEQ", view.highest_mod_seq.0, "is the latest change", out);
    }
}

fn code(name: &str, value: u64, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* OK [");
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    word::number(value, out);
    out.extend_from_slice(b"] ");
    word::number(value, out);
    out.push(b' ');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}
