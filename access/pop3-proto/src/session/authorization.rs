//! AUTHORIZATION (RFC 1939 §4).

use super::{Action, Offer, Session, capabilities};
use crate::{Command, Reply};

pub(super) fn step(user: Option<Vec<u8>>, command: Command, offer: Offer<'_>) -> (Session, Action) {
    let stay = |user, reply| (Session::Authorization { user }, Action::Reply(reply));
    match command {
        Command::Capa => stay(user, capabilities(offer)),
        Command::Quit => (Session::Ended, Action::Close(Reply::ok("bye"))),
        Command::Stls if offer.starttls => (Session::new(), Action::StartTls(Reply::ok("begin TLS"))),
        Command::Stls => stay(user, Reply::err("TLS is active or not available")),
        Command::AuthList => {
            let mechanisms: &[&str] = if offer.login { offer.mechanisms } else { &[] };
            stay(user, Reply::lines("mechanisms", mechanisms))
        }
        Command::Apop => stay(None, Reply::err("APOP is not offered")),
        Command::User(_) | Command::Pass(_) | Command::Auth { .. } if !offer.login => {
            stay(None, Reply::err("begin TLS first: no passwords on this connection"))
        }
        Command::User(_) | Command::Pass(_) if !offer.passwords => {
            stay(None, Reply::err("log in with AUTH: no passwords here"))
        }
        // The same answer for names that exist and names that don't.
        Command::User(name) => stay(Some(name), Reply::ok("now the password")),
        Command::Pass(password) => match user {
            Some(login) => (Session::Checking, Action::Login { login, password }),
            None => stay(None, Reply::err("USER comes first")),
        },
        Command::Auth { mechanism, initial } => (Session::Checking, Action::SaslBegin { mechanism, initial }),
        Command::Dele(_)
        | Command::List(_)
        | Command::Noop
        | Command::Retr(_)
        | Command::Rset
        | Command::Stat
        | Command::Top { .. }
        | Command::Uidl(_) => stay(user, Reply::err("log in first")),
    }
}
