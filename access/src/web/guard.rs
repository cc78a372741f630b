//! What stands before every page: security headers, where a form comes from, deadlines, and who is signed in.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::error::PageError;
use super::server::Connection;
use super::session::{Session, same};

/// No script but our file, no frame but our own message frame, nothing from elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A signed-in request.
pub(super) struct Signed(pub(super) Arc<Session>);

impl FromRequestParts<Shared> for Signed {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, PageError> {
        let secure = web.is_secure(parts.extensions.get::<Connection>());
        let session = cookie(&parts.headers, session_cookie(secure))
            .and_then(|name| web.sessions.find(name, Instant::now()))
            .ok_or(PageError::SignedOut)?;
        if holds(web, &session).await { Ok(Self(session)) } else { Err(PageError::SignedOut) }
    }
}

/// Whether the login that a session rests on still holds; asked now and then, and the session ends when it does not: a
/// thief's must not outlive the change of the password. A directory that can't say changes nothing.
pub(super) async fn holds(web: &Shared, session: &Arc<Session>) -> bool {
    if !session.is_check_due(web.config.session_check_interval.into(), Instant::now()) {
        return true;
    }
    match web.deps.directory.login_stamp(&session.account).await {
        Ok(Some(stamp)) if stamp == session.stamp => true,
        Ok(_) => {
            tracing::info!(account = %session.account, "the login changed, the session ends");
            web.sessions.revoke(session);
            false
        }
        Err(error) => {
            tracing::warn!(%error, "whether a session's login still holds is not known");
            true
        }
    }
}

/// A form that carries the session's token.
pub(super) fn check_token(session: &Session, token: Option<&str>) -> Result<(), PageError> {
    if same(token.unwrap_or_default(), &session.csrf) { Ok(()) } else { Err(PageError::Forged) }
}

/// The session cookie's name: with the prefix, browsers refuse it from other hosts, paths and plain connections.
pub(super) const fn session_cookie(secure: bool) -> &'static str {
    if secure { "__Host-sluice" } else { "sluice" }
}

/// The sign-in form's cookie.
pub(super) const fn login_cookie(secure: bool) -> &'static str {
    if secure { "__Host-sluice-form" } else { "sluice-form" }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A Set-Cookie value; `value` is one of our random names, or empty to remove the cookie.
pub(super) fn set_cookie(name: &str, value: &str, secure: bool, same_site: &str) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{age}"))
        .ok()
}

/// The outermost layer: deadline, origin, counters, headers.
pub(super) async fn guard(State(web): State<Shared>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let secure = web.is_secure(request.extensions().get::<Connection>());
    let upload = request.uri().path() == "/compose" && request.method() == Method::POST;
    let live = request.uri().path().starts_with("/live/");
    let allowed = request.method() == Method::GET
        || request.method() == Method::HEAD
        || (request.method() == Method::POST && is_from_here(request.headers()));
    let mut response = if !allowed && request.method() != Method::POST {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    } else if !allowed {
        PageError::Forged.into_response()
    } else {
        let deadline = if upload { web.config.upload_timeout } else { web.config.request_timeout };
        match tokio::time::timeout(deadline.as_duration(), next.run(request)).await {
            Ok(response) => response,
            Err(_) => PageError::Busy.into_response(),
        }
    };
    add_headers(&mut response, secure);
    if !live {
        web.metrics.request(response.status(), started.elapsed());
    }
    response
}

fn add_headers(response: &mut Response, secure: bool) {
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(header::X_FRAME_OPTIONS, "DENY");
    // Not `no-referrer`: under it browsers send `Origin: null` with our own forms. Other sites get nothing either way.
    add(header::REFERRER_POLICY, "same-origin");
    add(header::CACHE_CONTROL, "no-store");
    add(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    add(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    add(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    add(HeaderName::from_static("x-robots-tag"), "noindex");
    add(header::X_DNS_PREFETCH_CONTROL, "off");
    if secure {
        add(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

/// Whether a browser says that a form comes from our own pages. The token in the form decides as well; a browser
/// that says nothing is old, and has only the token.
fn is_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_come_from_here() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_from_here(&headers), expected, "{pairs:?}");
        };
        check(&[("host", "mail.test")], true);
        check(&[("host", "mail.test"), ("origin", "https://mail.test")], true);
        check(&[("host", "mail.test:8080"), ("origin", "http://mail.test:8080")], true);
        check(&[("host", "mail.test"), ("origin", "https://evil.test")], false);
        check(&[("host", "mail.test"), ("origin", "https://mail.test.evil.test")], false);
        check(&[("host", "mail.test"), ("origin", "null")], false);
        check(&[("origin", "https://mail.test")], false);
        check(&[("host", "mail.test"), ("sec-fetch-site", "same-origin")], true);
        check(&[("host", "mail.test"), ("sec-fetch-site", "none")], true);
        check(&[("host", "mail.test"), ("sec-fetch-site", "cross-site")], false);
        check(
            &[("host", "mail.test"), ("sec-fetch-site", "same-site"), ("origin", "https://mail.test")],
            false,
        );
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xsluice=1; sluice=abc; sluice-form=d"));
        headers.append(header::COOKIE, HeaderValue::from_static("other=e"));
        assert_eq!(cookie(&headers, "sluice"), Some("abc"));
        assert_eq!(cookie(&headers, "sluice-form"), Some("d"));
        assert_eq!(cookie(&headers, "other"), Some("e"));
        assert_eq!(cookie(&headers, "slu"), None);
    }

    #[test]
    fn a_cookie_is_private() {
        let cookie = set_cookie(session_cookie(true), "n", true, "Lax").unwrap();
        assert_eq!(cookie.to_str().unwrap(), "__Host-sluice=n; Path=/; HttpOnly; SameSite=Lax; Secure");
        let gone = set_cookie(session_cookie(false), "", false, "Strict").unwrap();
        assert_eq!(gone.to_str().unwrap(), "sluice=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
