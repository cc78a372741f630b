//! Names of files as the reader's machine takes them, and letters that nobody sees.

use mail_parser::{HeaderName, Message, MessageParser, MessagePart, MimeHeaders as _};

/// Names of one part that are looked at.
const NAMES_MAX: usize = 8;

/// Letters without a width: between the letters of a word they hide it from whoever looks for the word, not from whoever reads it. Controls that are no white
/// space, soft hyphens, joiners, marks of direction (Unicode Standard Annex 9), tags.
pub(in crate::policy) fn is_invisible(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')
        || matches!(
            letter,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180e}'
                | '\u{feff}'
        )
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(letter, '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// A text as it is seen.
pub(super) fn visible(text: &str) -> String {
    let seen = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    if text.as_bytes().iter().all(seen) {
        return text.to_owned();
    }
    text.chars().filter(|letter| !is_invisible(*letter)).collect()
}

/// A file's name as a machine keeps it: without folders and what nobody sees, and without the dots and spaces at the end that Windows drops.
pub(super) fn as_kept(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    visible(last).trim_end_matches(|c: char| c == '.' || c.is_whitespace()).trim_start().to_owned()
}

/// What decides with which program it opens: behind the last dot, in lower case.
pub(super) fn extension(name: &str) -> String {
    let kept = as_kept(name);
    kept.rsplit_once('.').map(|(_, last)| last.trim().to_lowercase()).unwrap_or_default()
}

/// The name of a part: what our own readers show, and where they see none what others find in the same fields.
pub(super) fn of_part(message: &Message<'_>, part: &MessagePart<'_>) -> String {
    let found = part.attachment_name().filter(|name| !name.is_empty()).map(str::to_owned);
    found.or_else(|| read_again(message, part)).unwrap_or_default()
}

/// Names that other programs may give a part: the first of several fields, `name` instead of `filename`, one form instead of the other (RFC 2231). Those that
/// end as the one that we show are left out.
pub(super) fn others(part: &MessagePart<'_>, shown: &str) -> Vec<String> {
    let mut endings = vec![extension(shown)];
    let mut found = Vec::new();
    for name in all(part).take(NAMES_MAX) {
        let ending = extension(name);
        if !endings.contains(&ending) {
            endings.push(ending);
            found.push(name.to_owned());
        }
    }
    found
}

/// Whether a part has names that would open with different programs.
pub(super) fn differ(part: &MessagePart<'_>) -> bool {
    let mut endings = all(part).take(NAMES_MAX).map(extension);
    endings.next().is_some_and(|first| endings.any(|other| other != first))
}

/// Every name in every field of a part (RFC 2183 §2.3, RFC 2045 §5.1).
fn all<'m>(part: &'m MessagePart<'_>) -> impl Iterator<Item = &'m str> {
    let fields = part.headers.iter().filter_map(|field| field.value.as_content_type());
    let attributes = fields.flat_map(|field| field.attributes().unwrap_or_default());
    attributes
        .filter(|attribute| ["filename", "name"].iter().any(|name| attribute.name.eq_ignore_ascii_case(name)))
        .map(|attribute| attribute.value.as_ref())
}

/// Reads the fields without comments and without blanks around `=`, which RFC 2045 §5.1 does not allow and several programs take.
fn read_again(message: &Message<'_>, part: &MessagePart<'_>) -> Option<String> {
    let fields = part
        .headers
        .iter()
        .filter(|field| matches!(field.name, HeaderName::ContentDisposition | HeaderName::ContentType))
        .filter_map(|field| {
            let raw = message.raw_message.get(field.offset_start as usize..field.offset_end as usize)?;
            Some((field.name.as_str(), String::from_utf8_lossy(raw).into_owned()))
        });
    let text: String = fields
        .filter(|(_, value)| value.to_ascii_lowercase().contains("name"))
        .map(|(name, value)| format!("{name}: {}\r\n", plain_parameters(&value)))
        .collect();
    if text.is_empty() {
        return None;
    }
    let text = format!("{text}\r\n");
    let parsed = MessageParser::new().with_mime_headers().parse_headers(text.as_bytes())?;
    parsed.attachment_name().map(str::to_owned)
}

fn plain_parameters(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let (mut quoted, mut escaped, mut comments, mut blank) = (false, false, 0usize, false);
    for letter in value.chars().filter(|letter| !matches!(letter, '\r' | '\n')) {
        if quoted {
            plain.push(letter);
            quoted = letter != '"' || escaped;
            escaped = letter == '\\' && !escaped;
            continue;
        }
        match letter {
            '(' => comments += 1,
            ')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            ' ' | '\t' => blank = true,
            _ => {
                if blank && letter != '=' && !plain.ends_with('=') {
                    plain.push(' ');
                }
                (blank, quoted) = (false, letter == '"');
                plain.push(letter);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_names_that_end_otherwise_than_they_look() {
        let check = |name: &str, expected: &str| assert_eq!(extension(name), expected, "{name:?}");
        check("a.pdf", "pdf");
        check("a.PDF", "pdf");
        check("a", "");
        check("", "");
        check("evil.exe.", "exe");
        check("evil.exe . .", "exe");
        check("evil.exe\u{a0}", "exe");
        check("evil.e\u{200b}xe", "exe");
        check("invoice\u{202e}fdp.exe", "exe");
        check("a.pdf\r\n .exe", "exe");
        check("C:\\a.b\\evil", "");
        check("../a.b/evil.js", "js");
        check("evil.\u{ff45}xe", "\u{ff45}xe");
    }
}
