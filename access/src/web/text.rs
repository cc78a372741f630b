//! Plain text as HTML: escaped, links made, quotes set apart; and the two directions of format=flowed (RFC 3676).

use std::fmt::Write as _;

/// How deep quotes are told apart.
const DEPTH_MAX: usize = 4;
/// The widest line that is written (RFC 3676 §4.2).
const WIDTH: usize = 76;

/// Escapes for element content and quoted attributes.
pub(super) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

/// A plain text body as HTML. Every character of the text is escaped.
pub(super) fn to_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut depth = 0;
    let mut first = true;
    for line in text.lines() {
        let (now, rest) = unquote(line);
        let now = now.min(DEPTH_MAX);
        while depth > now {
            out.push_str("</blockquote>");
            depth -= 1;
            first = true;
        }
        while depth < now {
            out.push_str("<blockquote>");
            depth += 1;
            first = true;
        }
        if !first {
            out.push('\n');
        }
        first = false;
        link(if now == 0 { line } else { rest }, &mut out);
    }
    for _ in 0..depth {
        out.push_str("</blockquote>");
    }
    out
}

/// Quote depth and the text behind the marks.
fn unquote(line: &str) -> (usize, &str) {
    let mut depth = 0;
    let mut rest = line;
    while let Some(after) = rest.strip_prefix('>') {
        depth += 1;
        rest = after.strip_prefix(' ').filter(|next| next.starts_with('>')).unwrap_or(after);
    }
    (depth, if depth > 0 { rest.strip_prefix(' ').unwrap_or(rest) } else { rest })
}

fn link(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(start) = find_link(rest) {
        let (before, from) = rest.split_at(start);
        let stop = |c: char| c.is_whitespace() || c.is_control() || "<>\"`{}|\\^".contains(c);
        let end = from.find(stop).unwrap_or(from.len());
        let (target, _) = from.split_at(end);
        let target = target.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
        let target = if target.contains(['(', '[']) { target } else { target.trim_end_matches([')', ']']) };
        escape(before, out);
        out.push_str("<a rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"");
        escape(target, out);
        out.push_str("\">");
        escape(target, out);
        out.push_str("</a>");
        rest = from.get(target.len()..).unwrap_or_default();
    }
    escape(rest, out);
}

/// Looks at no octet behind the link that it finds, so that a line full of links takes time that grows with its length.
fn find_link(text: &str) -> Option<usize> {
    text.match_indices("http").map(|(start, _)| start).find(|start| {
        let behind = text.get(start + "http".len()..).unwrap_or_default();
        let target = behind.strip_prefix('s').unwrap_or(behind).strip_prefix("://");
        target.is_some_and(|target| !target.is_empty())
    })
}

/// Joins the lines of a format=flowed text (RFC 3676 §4.1). `delsp`: the space at a line's end goes.
pub(super) fn unflow(text: &str, delsp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let marks = line.bytes().take_while(|byte| *byte == b'>').count();
        let (quote, content) = line.split_at(marks);
        let content = content.strip_prefix(' ').unwrap_or(content);
        if open.is_some_and(|depth| depth != marks) {
            out.push('\n');
            open = None;
        }
        if open.is_none() {
            out.push_str(quote);
            if marks > 0 {
                out.push(' ');
            }
        }
        let flows = content.ends_with(' ') && content != "-- ";
        out.push_str(if flows && delsp { content.trim_end_matches(' ') } else { content });
        open = flows.then_some(marks);
        if !flows {
            out.push('\n');
        }
    }
    out
}

/// Writes a text as format=flowed with CRLF line ends (RFC 3676 §4.2): long lines broken at spaces, quotes left alone. Whatever
/// ends a line in it, a lone CR too, ends one.
pub(super) fn flow(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 64);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in text.lines() {
        let line = if line == "-- " { line } else { line.trim_end_matches(' ') };
        if line.starts_with('>') {
            out.push_str(line);
        } else {
            wrap(line, &mut out);
        }
        out.push_str("\r\n");
    }
    out
}

fn wrap(line: &str, out: &mut String) {
    let mut width = 0;
    let stuff = |word: &str, out: &mut String| {
        if word.starts_with([' ', '>']) || word.starts_with("From") {
            out.push(' ');
        }
    };
    stuff(line, out);
    for word in line.split_inclusive(' ') {
        let length = word.chars().count();
        if width > 0 && width + length > WIDTH {
            out.push_str("\r\n");
            stuff(word, out);
            width = 0;
        }
        out.push_str(word);
        width += length;
    }
}

/// The quoted text for an answer: every line behind `> `.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for line in text.trim_end().lines() {
        let mark = if line.is_empty() || line.starts_with('>') { ">" } else { "> " };
        let _ = writeln!(out, "{mark}{line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_links_and_quotes() {
        let check = |input: &str, expected: &str| assert_eq!(to_html(input), expected, "{input}");
        let a = |url: &str| {
            format!("<a rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"{url}\">{url}</a>")
        };
        check("a <b> & \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;");
        check("see https://x.test/a?b=1&c=2.", &format!("see {}.", a("https://x.test/a?b=1&amp;c=2")));
        check("(http://x.test/)", &format!("({})", a("http://x.test/")));
        check("http://x.test/a_(b)", &a("http://x.test/a_(b)"));
        check(
            "http://x.test/\"onmouseover=alert(1)",
            &format!("{}&quot;onmouseover=alert(1)", a("http://x.test/")),
        );
        check("javascript:alert(1)", "javascript:alert(1)");
        check("https://", "https://");
        check("http http:// https", &format!("http {} https", a("http://")));
        check("[http://x.test/)])", &format!("[{})])", a("http://x.test/")));
        check("a\n> b\n>> c\n> > d\ne", "a<blockquote>b<blockquote>c\nd</blockquote></blockquote>e");
        check("one\n\ntwo", "one\n\ntwo");
    }

    #[test]
    fn flowed_lines_join() {
        let check = |input: &str, delsp: bool, expected: &str| {
            assert_eq!(unflow(input, delsp), expected, "{input:?}")
        };
        check("a \nb\nc\n", false, "a b\nc\n");
        check("a \nb\n", true, "ab\n");
        check("> a \n> b\n", false, "> a b\n");
        check("> a \nb\n", false, "> a \nb\n");
        check(" >not a quote\n", false, ">not a quote\n");
        check("text\n-- \nname\n", false, "text\n-- \nname\n");
    }

    #[test]
    fn quotes() {
        assert_eq!(quote("a\n\n> b\n"), "> a\n>\n>> b\n");
    }

    proptest! {
        #[test]
        fn unflow_of_flow_is_identity(text in "([a-zA-Z>' ]{0,120}[a-z]\n){0,6}") {
            // Quotes are written as they are: only texts without them come back to the letter.
            let text: String = text.lines().filter(|line| !line.starts_with('>')).map(|line| format!("{line}\n")).collect();
            let flowed = flow(&text);
            prop_assert_eq!(unflow(&flowed.replace("\r\n", "\n"), false), text);
        }

        #[test]
        fn no_markup_of_the_text_survives(text in "[<>\"'&a-z:/ \n]{0,80}") {
            let html = to_html(&text);
            let ours = html.replace("<blockquote>", "").replace("</blockquote>", "").replace("</a>", "");
            for piece in ours.split('<').skip(1) {
                prop_assert!(piece.starts_with("a rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"http"), "{}", html);
            }
        }
    }
}
