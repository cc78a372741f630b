//! The only place where a failure becomes a page.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use runtime::BlockingError;
use store::StoreError;

/// Why a page can't be shown.
#[derive(Debug)]
pub(super) enum PageError {
    /// Too much at once on this node.
    Busy,
    /// The form is not one of ours, or too old.
    Forged,
    /// The request makes no sense.
    Invalid(&'static str),
    /// No such page, mailbox or message; somebody else's look the same.
    NotFound,
    /// Nobody is signed in.
    SignedOut,
    /// The store failed.
    Store(StoreError),
    /// Over a size limit.
    TooLarge,
    /// A page could not be made, or the work for it panicked.
    Unexpected,
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSuchMailbox | StoreError::NoSuchMessage | StoreError::Name(_) => Self::NotFound,
            other => Self::Store(other),
        }
    }
}

impl From<BlockingError> for PageError {
    fn from(error: BlockingError) -> Self {
        match error {
            BlockingError::Busy => Self::Busy,
            BlockingError::Panicked => Self::Unexpected,
        }
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be rendered");
        Self::Unexpected
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    title: &'static str,
    text: &'static str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, text) = match &self {
            Self::SignedOut => return Redirect::to("/sign-in").into_response(),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Busy just now",
                "The server has too much to do at this moment. Please try again in a few seconds.",
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                "Please try again",
                "This form was too old or did not come from here, so nothing was changed. Go back, reload the page and try again.",
            ),
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, "That did not work", *text),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not here",
                "This message or folder is not here. It may have been moved or deleted.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too large",
                "What you sent is larger than this server takes. Nothing was saved or sent.",
            ),
            Self::Store(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "the store failed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The mail store does not answer",
                    "Your mail can't be reached at this moment. Nothing is lost; please try again soon.",
                )
            }
            Self::Unexpected => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "The page could not be made. The error is in the server's log.",
            ),
        };
        let body = ErrorPage { title, text }.render().unwrap_or_else(|_| text.to_owned());
        let mut response = (status, Html(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
