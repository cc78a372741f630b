//! Which function runs which command.

use imap_proto::{CommandBody, Numbering};

use super::super::answer::Answer;
use super::super::cmd;
use super::super::selected::Moment;
use super::Session;

/// What may be said at the end of a command. RFC 3501 §7.4.1: no EXPUNGE in the answers to FETCH, STORE and SEARCH; their
/// UID forms are other commands and allow it.
pub(super) const fn moment(body: &CommandBody) -> Moment {
    let numbering = match body {
        CommandBody::Fetch(fetch) => fetch.numbering,
        CommandBody::Store(store) => store.numbering,
        CommandBody::Search(search) => search.numbering,
        _ => return Moment::Any,
    };
    match numbering {
        Numbering::Sequence => Moment::NoExpunge,
        Numbering::Uid => Moment::Any,
    }
}

pub(super) async fn run(session: &mut Session, body: CommandBody) -> Answer {
    match body {
        CommandBody::Append(append) => cmd::append::run(session, append).await,
        CommandBody::Authenticate(authenticate) => cmd::authenticate::run(session, authenticate).await,
        CommandBody::Capability => cmd::capability::run(session),
        CommandBody::Check => cmd::check::run(session).await,
        CommandBody::Close => cmd::close::run(session).await,
        CommandBody::Copy(transfer) => cmd::copy::run(session, transfer).await,
        CommandBody::Create(create) => cmd::create::run(session, create).await,
        CommandBody::Delete(mailbox) => cmd::delete::run(session, &mailbox).await,
        CommandBody::Enable(names) => cmd::enable::run(session, &names),
        CommandBody::Examine(select) => cmd::select::run(session, &select, true).await,
        CommandBody::Expunge => cmd::expunge::run(session, None).await,
        CommandBody::Fetch(fetch) => cmd::fetch::run(session, fetch).await,
        CommandBody::Id(fields) => cmd::id::run(session, &fields),
        CommandBody::Idle => cmd::idle::run(session).await,
        CommandBody::List(list) => cmd::list::run(session, list).await,
        CommandBody::Login(login) => cmd::login::run(session, login).await,
        CommandBody::Logout => cmd::logout::run(session),
        CommandBody::Lsub(list) => cmd::lsub::run(session, list).await,
        CommandBody::Move(transfer) => cmd::r#move::run(session, transfer).await,
        CommandBody::Namespace => cmd::namespace::run(session),
        CommandBody::Noop => cmd::noop::run(),
        CommandBody::Rename { from, to } => cmd::rename::run(session, &from, &to).await,
        CommandBody::Search(search) => cmd::search::run(session, search).await,
        CommandBody::Select(select) => cmd::select::run(session, &select, false).await,
        CommandBody::StartTls => cmd::starttls::run(session),
        CommandBody::Status { mailbox, items } => cmd::status::run(session, &mailbox, &items).await,
        CommandBody::Store(store) => cmd::store::run(session, store).await,
        CommandBody::Subscribe(mailbox) => cmd::subscribe::run(session, &mailbox, true).await,
        CommandBody::UidExpunge(uids) => cmd::expunge::run(session, Some(&uids)).await,
        CommandBody::Unselect => cmd::unselect::run(session),
        CommandBody::Unsubscribe(mailbox) => cmd::subscribe::run(session, &mailbox, false).await,
    }
}
