//! A message's HTML made harmless, and the document in which the frame shows it.
//!
//! Three walls, each enough alone: the sanitiser leaves no script and no outside reference; the document's own policy
//! allows neither; the frame has no origin and may not run scripts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use ammonia::{Builder, UrlRelative};

use super::style;

/// The policy of the frame's document: styles of its own, pictures inside it, nothing else.
pub(super) const FRAME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";

/// The pictures that a message brings along.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// `data:` addresses by Content-ID.
    pub(super) by_id: HashMap<String, String>,
    /// How many octets of `data:` addresses a document may hold: one small picture that is named very often would make
    /// a document of gigabytes. Pictures behind it are left out.
    pub(super) written_max: usize,
}

/// Elements whose content goes with them.
const GONE: &[&str] = &[
    "script",
    "style",
    "title",
    "noscript",
    "iframe",
    "object",
    "template",
    "textarea",
    "select",
    "xmp",
    "noembed",
    "noframes",
    "svg",
    "math",
    "audio",
    "video",
    "plaintext",
];

/// Cleans a message's HTML.
pub(super) fn clean(html: &str, images: Images) -> String {
    let left = AtomicUsize::new(images.written_max);
    let table = || {
        HashSet::from([
            "align",
            "bgcolor",
            "border",
            "cellpadding",
            "cellspacing",
            "height",
            "valign",
            "width",
        ])
    };
    let cell =
        || HashSet::from(["align", "bgcolor", "colspan", "height", "nowrap", "rowspan", "valign", "width"]);
    let mut builder = Builder::default();
    builder
        .rm_tags(["map", "area", "nav"])
        .add_tags(["font", "big"])
        .clean_content_tags(GONE.iter().copied().collect())
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href", "name"])),
            ("font", HashSet::from(["color", "face", "size"])),
            ("hr", HashSet::from(["align", "size", "width"])),
            ("img", HashSet::from(["align", "alt", "border", "height", "src", "width"])),
            ("li", HashSet::from(["value"])),
            ("ol", HashSet::from(["start", "type"])),
            ("col", HashSet::from(["align", "span", "width"])),
            ("table", table()),
            ("tbody", HashSet::from(["align", "valign"])),
            ("td", cell()),
            ("th", cell()),
            ("tr", HashSet::from(["align", "bgcolor", "valign"])),
        ]))
        .generic_attributes(HashSet::from(["align", "dir", "lang", "style", "title"]))
        .url_schemes(HashSet::from(["http", "https", "mailto", "cid", "data"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            ("img", "src") => picture(value, &images, &left).map(Cow::Owned),
            ("img", _) if attribute == "srcset" => None,
            (_, "href") => is_outside_link(value).then_some(Cow::Borrowed(value)),
            (_, "src") => None,
            (_, "style") => style::clean(value).map(Cow::Owned),
            _ => Some(Cow::Borrowed(value)),
        });
    builder.clean(html).to_string()
}

/// The whole document for the frame.
pub(super) fn document(clean: &str) -> String {
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta name=\"color-scheme\" content=\"light\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Message</title><style>\
         html{{background:#fff;color:#1c2430;color-scheme:light}}\
         body{{margin:0;padding:16px;font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;overflow-wrap:anywhere}}\
         img{{max-width:100%;height:auto}}table,td,th,div{{max-width:100%!important}}pre{{white-space:pre-wrap}}a{{color:#0b6b74}}\
         blockquote{{margin:0 0 0 4px;padding-left:12px;border-left:3px solid #d5dce3;color:#4b5563}}\
         </style></head><body>{clean}</body></html>"
    )
}

fn picture(source: &str, images: &Images, left: &AtomicUsize) -> Option<String> {
    let trimmed = source.trim();
    if let Some(id) = strip_scheme(trimmed, "cid:") {
        let picture = images.by_id.get(&percent_decoded(id))?;
        let fits = |left: usize| left.checked_sub(picture.len());
        return left.fetch_update(Relaxed, Relaxed, fits).is_ok().then(|| picture.clone());
    }
    if let Some(data) = strip_scheme(trimmed, "data:") {
        let (kind, body) = data.split_once(";base64,")?;
        let known = ["image/png", "image/jpeg", "image/gif", "image/webp"]
            .contains(&kind.to_ascii_lowercase().as_str());
        let base64 = body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/= \t\r\n".contains(&b));
        return (known && base64).then(|| trimmed.to_owned());
    }
    None
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn is_outside_link(target: &str) -> bool {
    let target = target.trim();
    ["http://", "https://", "mailto:"].iter().any(|scheme| strip_scheme(target, scheme).is_some())
}

/// A Content-ID in a `cid:` address is percent-encoded (RFC 2392 §2).
pub(super) fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
