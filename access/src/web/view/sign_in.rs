//! Signing in and out.

use std::time::Instant;

use askama::Template;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use directory::LoginStamp;
use envelope::{AccountId, Secret};

use super::super::Shared;
use super::super::error::PageError;
use super::super::form::Fields;
use super::super::guard::{Signed, check_token, cookie, login_cookie, session_cookie, set_cookie};
use super::super::server::Connection;
use super::super::session::{random_name, same};
use super::{assets, page};
use crate::login::{LoginError, login};

/// The longest name and the longest password that are looked at.
const FIELD_MAX: usize = 1024;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    token: &'a str,
    name: &'a str,
    problem: Option<&'static str>,
    style: &'static str,
}

/// GET: the form, or the inbox for who is signed in.
pub(super) async fn show(
    State(web): State<Shared>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let secure = web.is_secure(Some(&connection));
    let signed =
        cookie(&headers, session_cookie(secure)).and_then(|name| web.sessions.find(name, Instant::now()));
    if signed.is_some() {
        return Ok(Redirect::to("/folder/INBOX").into_response());
    }
    let open = may_sign_in(&web, &connection);
    let problem =
        (!open).then_some("Signing in needs an encrypted connection. Open this page with https://.");
    form(StatusCode::OK, secure, "", problem)
}

/// POST: checks the name and the password.
pub(super) async fn sign_in(
    State(web): State<Shared>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let secure = web.is_secure(Some(&connection));
    let sent = cookie(&headers, login_cookie(secure)).filter(|sent| sent.len() >= 32);
    let name = fields.text("name");
    if !sent.is_some_and(|sent| same(sent, fields.text("token"))) {
        // No cookie at all, or a form from elsewhere: a fresh form, nothing looked at.
        web.metrics.login("forged");
        return form(StatusCode::FORBIDDEN, secure, "", Some("That form was too old. Please sign in again."));
    }
    if !may_sign_in(&web, &connection) {
        web.metrics.login("plaintext");
        let problem = "Signing in needs an encrypted connection. Open this page with https://.";
        return form(StatusCode::FORBIDDEN, secure, "", Some(problem));
    }
    let password = fields.get("password").unwrap_or_default();
    if name.is_empty() || password.is_empty() || name.len() > FIELD_MAX || password.len() > FIELD_MAX {
        web.metrics.login("refused");
        return form(
            StatusCode::UNAUTHORIZED,
            secure,
            "",
            Some("Please fill in your address and your password."),
        );
    }
    let checked = login(&web.deps, name, &Secret::new(password.to_owned()), connection.peer).await;
    let (account, stamp) = match with_stamp(&web, checked).await {
        Ok(known) => known,
        Err(error) => {
            let (status, outcome, problem) = match error {
                LoginError::Refused => {
                    (StatusCode::UNAUTHORIZED, "refused", "The address or the password is wrong.")
                }
                LoginError::Throttled => (
                    StatusCode::TOO_MANY_REQUESTS,
                    "throttled",
                    "Too many failed attempts. Please wait a few minutes before the next.",
                ),
                LoginError::Unavailable => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "Your password can't be checked at this moment. Please try again soon.",
                ),
            };
            web.metrics.login(outcome);
            return form(status, secure, name, Some(problem));
        }
    };
    // A session that this browser had goes: its name is never used again.
    if let Some(old) = cookie(&headers, session_cookie(secure)) {
        web.sessions.end(old);
    }
    let Some((new, _)) = web.sessions.begin(account, name, password, stamp, Instant::now()) else {
        return Err(PageError::Unexpected);
    };
    web.metrics.login("accepted");
    let mut response = Redirect::to("/folder/INBOX").into_response();
    append_cookie(&mut response, session_cookie(secure), &new, secure, "Lax");
    append_cookie(&mut response, login_cookie(secure), "", secure, "Strict");
    Ok(response)
}

/// POST: ends the session.
pub(super) async fn sign_out(
    State(web): State<Shared>,
    Extension(connection): Extension<Connection>,
    Signed(session): Signed,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check_token(&session, fields.get("csrf"))?;
    let secure = web.is_secure(Some(&connection));
    if let Some(name) = cookie(&headers, session_cookie(secure)) {
        web.sessions.end(name);
    }
    let mut response = Redirect::to("/sign-in").into_response();
    append_cookie(&mut response, session_cookie(secure), "", secure, "Lax");
    if let Ok(value) = "\"cache\", \"storage\"".parse() {
        response.headers_mut().insert("clear-site-data", value);
    }
    Ok(response)
}

/// What the login rests on, so that the session can end with it.
async fn with_stamp(
    web: &Shared,
    login: Result<AccountId, LoginError>,
) -> Result<(AccountId, LoginStamp), LoginError> {
    let account = login?;
    match web.deps.directory.login_stamp(&account).await {
        Ok(Some(stamp)) => Ok((account, stamp)),
        Ok(None) => Err(LoginError::Refused),
        Err(_) => Err(LoginError::Unavailable),
    }
}

fn may_sign_in(web: &Shared, connection: &Connection) -> bool {
    web.config.plaintext_login.permits(connection.peer, web.is_secure(Some(connection)))
}

/// The form with a fresh token, in the form and in a cookie: a page elsewhere can't know it, so nobody is signed in
/// under somebody else's name.
fn form(
    status: StatusCode,
    secure: bool,
    name: &str,
    problem: Option<&'static str>,
) -> Result<Response, PageError> {
    let token = random_name().ok_or(PageError::Unexpected)?;
    let mut response = page(&SignIn { token: &token, name, problem, style: assets::STYLE_LINK })?;
    *response.status_mut() = status;
    append_cookie(&mut response, login_cookie(secure), &token, secure, "Strict");
    Ok(response)
}

fn append_cookie(response: &mut Response, name: &str, value: &str, secure: bool, same_site: &str) {
    if let Some(cookie) = set_cookie(name, value, secure, same_site) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
