//! Files on their way out: names that are only names, types that browsers do not run.

use super::link::encode;

/// The longest file name given out, in characters.
const NAME_LENGTH_MAX: usize = 150;
/// Types that go out as they are; everything else is `application/octet-stream`. None can carry a script that runs here:
/// every download is an attachment with `nosniff` and a policy that allows nothing.
const TYPES: &[&str] = &[
    "application/gzip",
    "application/json",
    "application/msword",
    "application/pdf",
    "application/rtf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.oasis.opendocument.presentation",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/zip",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "image/webp",
    "message/rfc822",
    "text/calendar",
    "text/csv",
    "text/plain",
    "text/vcard",
    "video/mp4",
    "video/mpeg",
    "video/quicktime",
    "video/webm",
];

/// The type a download goes out with.
pub(super) fn safe_type(media_type: &str) -> &'static str {
    TYPES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(media_type))
        .copied()
        .unwrap_or("application/octet-stream")
}

/// A file's name without directories, control characters and direction overrides.
pub(super) fn safe_name(name: &str, otherwise: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !is_deceptive(*c)).take(NAME_LENGTH_MAX).collect();
    let kept = kept.trim().trim_start_matches('.').trim();
    if kept.is_empty() { otherwise.to_owned() } else { kept.to_owned() }
}

/// Controls, and the marks that make `gpj.exe` look like `exe.jpg`.
pub(super) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{2028}' | '\u{2029}')
}

/// Content-Disposition with the name in both forms (RFC 6266 §4.3, RFC 8187).
pub(super) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !"\"\\%;".contains(c) { c } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encode(name, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |input: &str, expected: &str| assert_eq!(safe_name(input, "file"), expected, "{input:?}");
        check("report.pdf", "report.pdf");
        check("../../etc/passwd", "passwd");
        check("C:\\Users\\x\\a.doc", "a.doc");
        check("..", "file");
        check(".htaccess", "htaccess");
        check("", "file");
        check("a\r\nSet-Cookie: x=1", "aSet-Cookie: x=1");
        check("photo\u{202e}gpj.exe", "photogpj.exe");
        check("\0a", "a");
        assert_eq!(safe_name(&"ä".repeat(500), "file").chars().count(), 150);
    }

    #[test]
    fn dispositions() {
        let check = |input: &str, expected: &str| assert_eq!(disposition(input), expected);
        check("report 1.pdf", "attachment; filename=\"report 1.pdf\"");
        check("Übersicht.pdf", "attachment; filename=\"_bersicht.pdf\"; filename*=UTF-8''%C3%9Cbersicht.pdf");
        check("a\"b;c%.txt", "attachment; filename=\"a_b_c_.txt\"; filename*=UTF-8''a%22b%3Bc%25.txt");
        check("€ rates", "attachment; filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates");
    }

    #[test]
    fn types() {
        for (input, expected) in [
            ("image/PNG", "image/png"),
            ("text/html", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("application/xhtml+xml", "application/octet-stream"),
            ("text/xml", "application/octet-stream"),
            ("application/javascript", "application/octet-stream"),
            ("text/html; charset=x", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(safe_type(input), expected);
        }
    }
}
