//! TRANSACTION and the way into UPDATE (RFC 1939 §5, §6).

use super::{Action, Offer, Session, capabilities};
use crate::{Command, ListKind, Maildrop, Message, Reply};

pub(super) fn step(mut maildrop: Maildrop, command: Command, offer: Offer) -> (Session, Action) {
    let action = match command {
        Command::Capa => Action::Reply(capabilities(offer)),
        Command::Dele(number) => Action::Reply(if maildrop.delete(number) {
            Reply::ok(format_args!("message {number} deleted"))
        } else {
            no_such_message()
        }),
        Command::List(None) => Action::List(ListKind::Sizes),
        Command::List(Some(number)) => {
            one(&maildrop, number, |message| Reply::ok(format_args!("{number} {}", message.size)))
        }
        Command::Noop => Action::Reply(Reply::ok("nothing done")),
        Command::Quit => return (Session::Ended, Action::Update { deleted: maildrop.deleted() }),
        Command::Retr(number) => retrieve(&maildrop, number, None),
        Command::Rset => {
            maildrop.reset();
            let (count, octets) = maildrop.totals();
            Action::Reply(Reply::ok(format_args!("{count} messages, {octets} octets")))
        }
        Command::Stat => {
            let (count, octets) = maildrop.totals();
            Action::Reply(Reply::ok(format_args!("{count} {octets}")))
        }
        Command::Top { number, lines } => retrieve(&maildrop, number, Some(lines)),
        Command::Uidl(None) => Action::List(ListKind::UniqueIds),
        Command::Uidl(Some(number)) => one(&maildrop, number, |message| {
            Reply::ok(format_args!("{number} {}", maildrop.unique_id(message)))
        }),
        Command::Apop
        | Command::Auth { .. }
        | Command::AuthList
        | Command::Pass(_)
        | Command::Stls
        | Command::User(_) => Action::Reply(Reply::err("already logged in")),
    };
    (Session::Transaction(maildrop), action)
}

fn retrieve(maildrop: &Maildrop, number: u32, lines: Option<u64>) -> Action {
    match maildrop.message(number) {
        Some(message) => Action::Retrieve { message, lines },
        None => Action::Reply(no_such_message()),
    }
}

fn one(maildrop: &Maildrop, number: u32, reply: impl Fn(Message) -> Reply) -> Action {
    Action::Reply(maildrop.message(number).map_or_else(no_such_message, reply))
}

fn no_such_message() -> Reply {
    Reply::err("no such message")
}
