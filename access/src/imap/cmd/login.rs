//! LOGIN (RFC 3501 §6.2.3).

use envelope::AccountId;
use imap_proto::Login;
use sasl::{Credentials, Limits};

use super::super::answer::{Answer, Stop};
use super::super::connection::End;
use super::super::reply::{Reply, WRONG_STATE};
use super::super::session::{Person, Session, State};
use super::capability::{capabilities, login_offer, may_log_in};
use crate::login::{LoginError, login};

/// How long names, passwords and a mechanism's responses may be.
pub(super) fn limits(session: &Session) -> Limits {
    let response_octets_max = session.server.config.command_before_login_max.as_usize();
    Limits { response_octets_max, login_octets_max: 512, password_octets_max: 1024 }
}

pub(crate) async fn run(session: &mut Session, args: Login) -> Answer {
    permitted(session)?;
    if !login_offer(session).takes_passwords() {
        return Err(Reply::no("Use AUTHENTICATE").with_code("CANNOT").into());
    }
    match Credentials::new(args.user.as_bytes(), args.password.expose(), &limits(session)) {
        Ok(credentials) => log_in(session, &credentials).await,
        Err(_) => refuse(session, LoginError::Refused).await,
    }
}

/// Whether the client may try to log in now.
pub(super) fn permitted(session: &Session) -> Result<(), Stop> {
    if !matches!(session.state, State::NotAuthenticated) {
        return Err(Reply::bad(WRONG_STATE).into());
    }
    if !may_log_in(session) {
        let reply = Reply::no("Passwords are taken over TLS only").with_code("PRIVACYREQUIRED");
        return Err(reply.into());
    }
    Ok(())
}

/// Asks the directory.
async fn log_in(session: &mut Session, credentials: &Credentials) -> Answer {
    let asked =
        login(&session.server.deps, &credentials.login, &credentials.password, session.peer.ip()).await;
    match asked {
        Ok(account) => enter(session, account, "LOGIN completed").await,
        Err(error) => refuse(session, error).await,
    }
}

/// Opens the account's mail for who is logged in.
pub(super) async fn enter(session: &mut Session, account: AccountId, done: &'static str) -> Answer {
    let Some(place) = session.server.accounts.enter(&account) else {
        session.server.metrics.refused.with_label_values(&["account"]).inc();
        return Err(Reply::no("The account has too many connections").with_code("LIMIT").into());
    };
    let (store, id) = (session.server.deps.store.clone(), account.clone());
    let mail = session.server.deps.work(move || store.account(&id)).await?;
    session.account = Some(account.to_string());
    session.state = State::Authenticated(Person::new(mail, place));
    session.server.metrics.logins.with_label_values(&["accepted"]).inc();
    Ok(Reply::ok(done).with_code(format!("CAPABILITY {}", capabilities(session))))
}

/// A failed login costs time, and in the end the connection.
pub(super) async fn refuse(session: &mut Session, error: LoginError) -> Answer {
    let label = match error {
        LoginError::Refused => "refused",
        LoginError::Throttled => "throttled",
        LoginError::Unavailable => "unavailable",
    };
    session.server.metrics.logins.with_label_values(&[label]).inc();
    if error == LoginError::Unavailable {
        return Err(Reply::from(error).into());
    }
    tokio::select! {
        () = tokio::time::sleep(session.server.config.failed_login_delay.as_duration()) => {}
        () = session.drain.requested() => return Err(End::Drained.into()),
    }
    session.failed_logins += 1;
    if session.failed_logins >= session.server.config.failed_logins_max {
        return Err(End::Refused("Too many failed logins").into());
    }
    Err(Reply::from(error).into())
}
