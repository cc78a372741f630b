//! A message taken apart for reading: who, what, which parts.
//!
//! Parts are named by their number in the parser's list, so that a link names a part of this message and nothing else.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::Address;
use mail_parser::{
    Addr, Address as Addresses, HeaderName, HeaderValue, Message, MessageParser, MessagePart,
    MimeHeaders as _, PartType,
};

use super::address::Person;
use super::download::{is_deceptive, safe_name};
use super::html::{Images, percent_decoded};
use super::text;

/// What people see of a message.
#[derive(Debug, Default)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) from: Vec<Party>,
    pub(super) reply_to: Vec<Party>,
    pub(super) to: Vec<Party>,
    pub(super) cc: Vec<Party>,
    pub(super) bcc: Vec<Party>,
    pub(super) date: Option<i64>,
    pub(super) message_id: Option<String>,
    pub(super) in_reply_to: Vec<String>,
    pub(super) references: Vec<String>,
    /// The text as written, or made from the HTML when there is only that.
    pub(super) text: String,
    /// The HTML as written, not cleaned.
    pub(super) html: Option<String>,
    /// Whether `text` was written by the sender.
    pub(super) has_text: bool,
    /// Whether a part was longer than what is shown.
    pub(super) cut: bool,
    pub(super) attachments: Vec<Attachment>,
}

/// A name and an address as the message says it, whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) address: String,
}

impl Party {
    /// As somebody who can be written to.
    pub(super) fn person(&self) -> Option<Person> {
        let address: Address = self.address.parse().ok()?;
        let name = (!self.name.is_empty() && self.name != self.address).then(|| self.name.clone());
        Some(Person { name, address })
    }

    /// The name, or the address of one without.
    pub(super) fn label(&self) -> &str {
        if self.name.is_empty() { &self.address } else { &self.name }
    }
}

/// A file in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) part: usize,
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) size: usize,
    /// A picture that the HTML shows where it belongs.
    pub(super) is_shown: bool,
}

/// Reads a message; `shown_max` bounds the text and the HTML that are taken.
pub(super) fn read(raw: &[u8], shown_max: usize) -> Letter {
    let Some(message) = MessageParser::default().parse(raw) else {
        return Letter {
            text: String::from_utf8_lossy(raw).into_owned(),
            has_text: true,
            ..Letter::default()
        };
    };
    let mut letter = Letter {
        subject: printable(message.subject().unwrap_or_default()),
        from: parties(&message, HeaderName::From),
        reply_to: parties(&message, HeaderName::ReplyTo),
        to: parties(&message, HeaderName::To),
        cc: parties(&message, HeaderName::Cc),
        bcc: parties(&message, HeaderName::Bcc),
        date: message.date().map(mail_parser::DateTime::to_timestamp),
        message_id: message.message_id().map(str::to_owned),
        in_reply_to: ids(message.in_reply_to()),
        references: ids(message.references()),
        ..Letter::default()
    };
    bodies(&message, shown_max, &mut letter);
    letter.attachments = attachments(&message, letter.html.as_deref());
    letter
}

/// One part's content, for a download.
pub(super) fn part(raw: &[u8], number: usize) -> Option<(Attachment, Vec<u8>)> {
    parts(raw, &[number])?.pop()
}

/// The content of some parts; nothing when one of them is no part with content.
pub(super) fn parts(raw: &[u8], numbers: &[usize]) -> Option<Vec<(Attachment, Vec<u8>)>> {
    let message = MessageParser::default().parse(raw)?;
    let one = |number: &usize| {
        let part = message.parts.get(*number)?;
        let has_content = *number > 0 && !matches!(part.body, PartType::Multipart(_));
        has_content.then(|| (describe(*number, part), part.contents().to_vec()))
    };
    numbers.iter().map(one).collect()
}

/// The pictures that the message's HTML may name, together at most `size_max`; as much of them is shown again.
pub(super) fn images(raw: &[u8], size_max: usize) -> Images {
    let mut by_id = HashMap::new();
    let mut left = size_max;
    if let Some(message) = MessageParser::default().parse(raw) {
        for part in &message.parts {
            let (Some(id), Some(kind)) = (part.content_id(), picture_type(part.contents())) else { continue };
            if part.contents().len() > left {
                continue;
            }
            left -= part.contents().len();
            by_id.insert(id.to_owned(), format!("data:{kind};base64,{}", STANDARD.encode(part.contents())));
        }
    }
    // In base64, and each octet twice: a logo that stands above and below.
    Images { by_id, written_max: size_max.saturating_mul(4) / 3 * 2 }
}

/// What the first bytes say, whatever the header claims.
fn picture_type(content: &[u8]) -> Option<&'static str> {
    match content {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn bodies(message: &Message<'_>, shown_max: usize, letter: &mut Letter) {
    let mut html = String::new();
    let mut has_html = false;
    for part in message.html_bodies() {
        match &part.body {
            PartType::Html(body) => {
                has_html = true;
                push(&mut html, body, shown_max, &mut letter.cut);
            }
            PartType::Text(body) => {
                html.push_str("<pre>");
                let mut escaped = String::new();
                text::escape(body, &mut escaped);
                push(&mut html, &escaped, shown_max, &mut letter.cut);
                html.push_str("</pre>");
            }
            _ => {}
        }
    }
    for (position, part) in message.text_bodies().enumerate() {
        match &part.body {
            PartType::Text(body) => {
                letter.has_text = true;
                let plain = if is_flowed(part) {
                    text::unflow(
                        body,
                        parameter(part, "delsp").is_some_and(|value| value.eq_ignore_ascii_case("yes")),
                    )
                } else {
                    body.to_string()
                };
                push(&mut letter.text, &plain, shown_max, &mut letter.cut);
            }
            // Turning HTML into text takes time that grows with it: only what would be shown as well.
            PartType::Html(body) if body.len() <= shown_max => {
                let plain = message.body_text(position).unwrap_or_default();
                push(&mut letter.text, &plain, shown_max, &mut letter.cut);
            }
            _ => letter.cut = true,
        }
    }
    letter.html = has_html.then_some(html);
}

fn push(out: &mut String, body: &str, shown_max: usize, cut: &mut bool) {
    let left = shown_max.saturating_sub(out.len());
    let end = body.floor_char_boundary(left.min(body.len()));
    *cut |= end < body.len();
    out.push_str(body.get(..end).unwrap_or_default());
}

fn is_flowed(part: &MessagePart<'_>) -> bool {
    parameter(part, "format").is_some_and(|value| value.eq_ignore_ascii_case("flowed"))
}

fn parameter<'a>(part: &'a MessagePart<'_>, name: &str) -> Option<&'a str> {
    part.content_type().and_then(|content_type| content_type.attribute(name))
}

fn attachments(message: &Message<'_>, html: Option<&str>) -> Vec<Attachment> {
    let named = html.map(named_parts).unwrap_or_default();
    let is_shown = |part: &MessagePart<'_>| {
        part.content_id().is_some_and(|id| named.contains(id)) && picture_type(part.contents()).is_some()
    };
    message
        .attachments
        .iter()
        .filter_map(|number| usize::try_from(*number).ok())
        .filter_map(|number| message.parts.get(number).map(|part| (number, part)))
        .map(|(number, part)| Attachment { is_shown: is_shown(part), ..describe(number, part) })
        .collect()
}

/// The Content-IDs that an HTML text names (RFC 2392). Each octet is looked at once: a text may be made of `cid:` alone,
/// and a message of thousands of parts.
fn named_parts(html: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut rest = html;
    while let Some(start) = rest.find("cid:") {
        let from = rest.get(start + "cid:".len()..).unwrap_or_default();
        let stop = |c: char| c.is_whitespace() || "\"'<>)".contains(c);
        let (name, behind) = from.split_at(from.find(stop).unwrap_or(from.len()));
        names.insert(percent_decoded(name));
        rest = behind;
    }
    names
}

fn describe(number: usize, part: &MessagePart<'_>) -> Attachment {
    let media_type = part.content_type().map_or_else(
        || "application/octet-stream".to_owned(),
        |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("octet-stream")).to_ascii_lowercase(),
    );
    let otherwise = match &part.body {
        PartType::Message(inner) => {
            format!("{}.eml", safe_name(inner.subject().unwrap_or_default(), "message"))
        }
        PartType::Html(_) => format!("part-{number}.html"),
        PartType::Text(_) => format!("part-{number}.txt"),
        _ => match picture_type(part.contents()).and_then(|kind| kind.strip_prefix("image/")) {
            Some(kind) => format!("picture-{number}.{kind}"),
            None => format!("part-{number}"),
        },
    };
    let name = safe_name(part.attachment_name().unwrap_or_default(), &otherwise);
    let (media_type, size) = (printable(&media_type), part.contents().len());
    Attachment { part: number, name, media_type, size, is_shown: false }
}

fn parties(message: &Message<'_>, name: HeaderName<'static>) -> Vec<Party> {
    const PARTIES_MAX: usize = 1000;
    let party = |name: &str, address: &str| Party { name: printable(name), address: printable(address) };
    let member = |addr: &Addr<'_>| party(addr.name().unwrap_or_default(), addr.address().unwrap_or_default());
    let found: Vec<Party> = match message.header(name).and_then(HeaderValue::as_address) {
        None => Vec::new(),
        Some(Addresses::List(list)) => list.iter().take(PARTIES_MAX).map(member).collect(),
        // A group without members is a name alone: `undisclosed-recipients:;`, or what a draft keeps.
        Some(Addresses::Group(groups)) => groups
            .iter()
            .flat_map(|group| {
                let alone = group.name.as_deref().filter(|_| group.addresses.is_empty());
                group.addresses.iter().map(member).chain(alone.map(|name| party(name, "")))
            })
            .take(PARTIES_MAX)
            .collect(),
    };
    found.into_iter().filter(|party| !party.address.is_empty() || !party.name.is_empty()).collect()
}

fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    match value {
        HeaderValue::Text(id) => vec![id.to_string()],
        HeaderValue::TextList(ids) => ids.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// One line without controls and direction overrides.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_deceptive(*c)).take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = concat!(
        "From: =?utf-8?Q?Zo=C3=AB?= <zoe@x.test>\r\nTo: a@x.test, \"B, C\" <b@x.test>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n",
        "Message-ID: <1@x.test>\r\nReferences: <a@x.test> <b@x.test>\r\nMIME-Version: 1.0\r\n",
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/related; boundary=r\r\n\r\n",
        "--r\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n",
        "--a\r\nContent-Type: text/plain; format=flowed\r\n\r\nHello \r\nworld\r\n",
        "--a\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>world</b> <img src=\"cid:pic@x\">\r\n--a--\r\n",
        "--r\r\nContent-Type: image/png\r\nContent-ID: <pic@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--r--\r\n",
        "--m\r\nContent-Type: application/pdf; name=\"../a\u{202e}.pdf\"\r\nContent-Disposition: attachment\r\n\r\nPDF\r\n",
        "--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--m--\r\n",
    );

    #[test]
    fn takes_a_message_apart() {
        let letter = read(MIXED.as_bytes(), 1000);
        assert_eq!(letter.subject, "Grüße");
        assert_eq!(letter.from, [Party { name: "Zoë".to_owned(), address: "zoe@x.test".to_owned() }]);
        assert_eq!(letter.to.len(), 2);
        assert_eq!(letter.references, ["a@x.test", "b@x.test"]);
        assert_eq!(letter.text.trim_end(), "Hello world");
        assert!(letter.has_text && !letter.cut && letter.html.unwrap().contains("<b>world</b>"));
        let names: Vec<_> = letter.attachments.iter().map(|a| (a.name.as_str(), a.is_shown)).collect();
        assert_eq!(names, [("picture-5.png", true), ("a.pdf", false), ("inner.eml", false)]);
        let images = images(MIXED.as_bytes(), 1000);
        assert_eq!(images.by_id.get("pic@x").map(String::as_str), Some("data:image/png;base64,iVBORw0KGgo="));
        let (file, content) = part(MIXED.as_bytes(), letter.attachments[1].part).unwrap();
        assert_eq!((file.media_type.as_str(), content.as_slice()), ("application/pdf", b"PDF".as_slice()));
        for wrong in [0, 1, 999, usize::MAX] {
            assert!(part(MIXED.as_bytes(), wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn cuts_what_is_too_long() {
        let raw = format!("Subject: x\r\n\r\n{}", "ä".repeat(100));
        let letter = read(raw.as_bytes(), 99);
        assert!(letter.cut);
        assert_eq!(letter.text, "ä".repeat(49));
        assert!(images(MIXED.as_bytes(), 7).by_id.is_empty());
        assert_eq!(images(MIXED.as_bytes(), 8).by_id.len(), 1);
    }

    #[test]
    fn named_parts_are_found_by_their_whole_name() {
        let named = |html: &str| {
            let mut names: Vec<_> = named_parts(html).into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(named("<img src=\"cid:a@x\"><img src='cid:b%40x'> url(cid:c)"), ["a@x", "b@x", "c"]);
        assert_eq!(named("cid:cid:cid:a"), ["cid:cid:a"]);
        assert_eq!(named("<img src=cid:aa>"), ["aa"]);
        assert!(named("no picture").is_empty());
    }

    #[test]
    fn survives_the_strange() {
        let deep = (0..1000).fold(String::new(), |text, n| {
            format!("{text}Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")
        });
        let inner =
            (0..1000).fold(String::new(), |text, _| format!("{text}Content-Type: message/rfc822\r\n\r\n"));
        for raw in [
            "",
            "\r\n",
            "no header at all",
            "From: \r\nContent-Type: multipart/mixed\r\n\r\n--",
            &deep,
            &inner,
        ] {
            let letter = read(raw.as_bytes(), 1000);
            assert!(letter.text.len() <= 1000);
        }
    }
}
