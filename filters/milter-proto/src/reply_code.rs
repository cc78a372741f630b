//! An SMTP reply that a milter chose.

/// Lines in one reply (`smfi_setmlreply` takes 32).
const LINES_MAX: usize = 32;

/// Class, subject, detail.
type Enhanced = (u8, u16, u16);

/// What the SMTP client is to be told.
///
/// ```abnf
/// reply-code = line *( CRLF line ) %x00         ; all of one code
/// line       = ( "4" / "5" ) 2DIGIT [ ( SP / "-" ) [ enhanced SP ] *text-char ]
/// enhanced   = class "." 1*3DIGIT "." 1*3DIGIT  ; RFC 3463, class = first digit of the code
/// text-char  = %x20-24 / %x26-7E / "%%" / UTF8  ; "%%" means one "%"
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyCode {
    /// 400 to 599.
    pub code: u16,
    /// The enhanced code, if the milter gave one.
    pub enhanced: Option<(u8, u16, u16)>,
    /// Text without control characters, a line each; never empty.
    pub lines: Vec<String>,
}

impl ReplyCode {
    /// Reads the text of a reply, without its NUL. `None` for one that no client may be shown.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let mut reply: Option<Self> = None;
        for line in text.split('\n') {
            let (code, enhanced, line) = Self::line(line.strip_suffix('\r').unwrap_or(line))?;
            let reply = reply.get_or_insert_with(|| Self { code, enhanced, lines: Vec::new() });
            if reply.code != code || reply.lines.len() == LINES_MAX {
                return None;
            }
            reply.lines.push(line);
        }
        reply
    }

    fn line(line: &str) -> Option<(u16, Option<Enhanced>, String)> {
        let (digits, rest) = line.split_at_checked(3)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let code: u16 = digits.parse().ok().filter(|code| (400..600).contains(code))?;
        let rest = match rest.strip_prefix([' ', '-']) {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return None,
        };
        if rest.contains('\r') {
            return None;
        }
        let (first, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        let (enhanced, text) = match enhanced(first) {
            Some((class, ..)) if u16::from(class) != code / 100 => return None,
            Some(enhanced) => (Some(enhanced), behind),
            None => (None, rest),
        };
        let text = text.replace("%%", "%");
        Some((code, enhanced, text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()))
    }

    /// Appends the text and its NUL.
    pub(crate) fn fill(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}", self.code).as_bytes());
            if let Some((class, subject, detail)) = self.enhanced {
                out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
            }
            out.extend_from_slice(line.replace('%', "%%").as_bytes());
            if index != last {
                out.extend_from_slice(b"\r\n");
            }
        }
        out.push(0);
    }
}

/// Reads an enhanced code of the classes that a refusal may have.
fn enhanced(text: &str) -> Option<Enhanced> {
    let mut numbers = text.splitn(3, '.');
    let mut next = || {
        let digits = numbers.next()?;
        let fine = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fine.then(|| digits.parse::<u16>().ok())?
    };
    let (class, subject, detail) = (next()?, next()?, next()?);
    Some((u8::try_from(class).ok()?, subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (u16, Option<Enhanced>, &'a [&'a str]);

    fn check(text: &str, expected: Option<Parts<'_>>) {
        let got = ReplyCode::parse(text.as_bytes());
        let got = got
            .as_ref()
            .map(|r| (r.code, r.enhanced, r.lines.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(got, expected.map(|(code, enhanced, lines)| (code, enhanced, lines.to_vec())), "{text:?}");
    }

    #[test]
    fn replies() {
        check("550 5.7.1 no", Some((550, Some((5, 7, 1)), &["no"])));
        check("451 later", Some((451, None, &["later"])));
        check("550", Some((550, None, &[""])));
        check("550 5.7.1", Some((550, Some((5, 7, 1)), &[""])));
        check("550 100%% spam", Some((550, None, &["100% spam"])));
        check("550 100% spam", Some((550, None, &["100% spam"])));
        check("550-5.7.1 a\r\n550 5.7.1 b", Some((550, Some((5, 7, 1)), &["a", "b"])));
        check("550-a\n550 b", Some((550, None, &["a", "b"])));
        check("421 4.3.2 bye", Some((421, Some((4, 3, 2)), &["bye"])));
        check("550 a\tb\u{1b}[2J", Some((550, None, &["a?b?[2J"])));
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "55",
            "250 ok",
            "354 go",
            "600 x",
            "5.0 x",
            "550x",
            "550 4.7.1 class",
            "550 2.0.0 ok",
            "550 a\r\n250 ok",
            "550 a\r\n551 b",
            "550 a\r\nDATA",
            "550 a\rb",
            "550 a\r\n",
            "+50 a",
        ] {
            check(text, None);
        }
        assert!(ReplyCode::parse(["550-a"; LINES_MAX].join("\r\n").as_bytes()).is_some());
        assert!(ReplyCode::parse(["550-a"; LINES_MAX + 1].join("\r\n").as_bytes()).is_none());
    }
}
