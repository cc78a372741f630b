//! The style, the script and the icons: in the binary, their addresses change with the version.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::super::Shared;

const STYLE: &str = include_str!("../../../assets/app.css");
const SCRIPT: &str = include_str!("../../../assets/app.js");
const ICONS: &str = include_str!("../../../assets/icons.svg");
const LOGO: &str = include_str!("../../../assets/logo.svg");

/// Where pages find the style.
pub(super) const STYLE_LINK: &str = concat!("/assets/app.css?v=", env!("CARGO_PKG_VERSION"));
/// Where pages find the script.
pub(super) const SCRIPT_LINK: &str = concat!("/assets/app.js?v=", env!("CARGO_PKG_VERSION"));

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/assets/app.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/assets/app.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/assets/icons.svg", get(async || file("image/svg+xml", ICONS)))
        .route("/assets/logo.svg", get(async || file("image/svg+xml", LOGO)))
        .route("/favicon.ico", get(async || file("image/svg+xml", LOGO)))
}

fn file(media_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
    ];
    (headers, content)
}
