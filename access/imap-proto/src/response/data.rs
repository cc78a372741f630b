//! Untagged responses but FETCH (RFC 3501 §7.2, §7.3, §7.4.1).

use std::io::Write as _;

use super::word;
use crate::{StatusItem, Tag};

/// `* CAPABILITY …`
pub fn capability(names: &[&str], out: &mut Vec<u8>) {
    words("CAPABILITY", names, out);
}

/// `* ENABLED …` (RFC 5161 §3.2): what this ENABLE has newly enabled, maybe nothing.
pub fn enabled(names: &[&str], out: &mut Vec<u8>) {
    words("ENABLED", names, out);
}

fn words(name: &str, words: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ");
    out.extend_from_slice(name.as_bytes());
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A LIST or LSUB response.
#[derive(Debug, Clone, Copy)]
pub struct ListLine<'a> {
    /// Attributes with their backslash: `\HasChildren`, `\Subscribed`, `\Sent`, …
    pub attributes: &'a [&'a str],
    /// None where the name is flat.
    pub delimiter: Option<char>,
    /// The name as text.
    pub name: &'a str,
    /// `CHILDINFO`: a child matches the selection though this name does not (RFC 5258 §3.5).
    pub subscribed_below: bool,
    /// Whether names are shown in UTF-8 rather than modified UTF-7.
    pub utf8: bool,
}

/// ```abnf
/// mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox [SP mbox-list-extended]
/// ```
pub fn list(line: &ListLine<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* LIST ");
    list_rest(line, out);
}

/// `* LSUB …`
pub fn lsub(line: &ListLine<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* LSUB ");
    list_rest(line, out);
}

fn list_rest(line: &ListLine<'_>, out: &mut Vec<u8>) {
    word::list(line.attributes.iter().copied(), out);
    out.push(b' ');
    match line.delimiter {
        Some(delimiter) => {
            let mut buffer = [0; 4];
            word::string(delimiter.encode_utf8(&mut buffer).as_bytes(), out);
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    mailbox(line.name, line.utf8, out);
    if line.subscribed_below {
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.extend_from_slice(b"\r\n");
}

fn mailbox(name: &str, utf8: bool, out: &mut Vec<u8>) {
    if utf8 { word::mailbox_utf8(name, out) } else { word::mailbox(name, out) }
}

/// `* STATUS name (MESSAGES 1 …)`
pub fn status(name: &str, utf8: bool, items: &[(StatusItem, u64)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* STATUS ");
    mailbox(name, utf8, out);
    out.extend_from_slice(b" (");
    for (index, (item, value)) in items.iter().enumerate() {
        let space = if index > 0 { " " } else { "" };
        let _ = write!(out, "{space}{} {value}", item.as_str());
    }
    out.extend_from_slice(b")\r\n");
}

/// `* SEARCH 2 84 882`, with `(MODSEQ n)` when the search asked for it (RFC 7162 §3.1.5).
pub fn search(numbers: impl IntoIterator<Item = u32>, mod_seq: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* SEARCH");
    for number in numbers {
        let _ = write!(out, " {number}");
    }
    if let Some(value) = mod_seq {
        let _ = write!(out, " (MODSEQ {value})");
    }
    out.extend_from_slice(b"\r\n");
}

/// What an ESEARCH response holds. MIN, MAX and ALL are left out when nothing is found (RFC 4731 §3.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct Esearch<'a> {
    /// Whether the numbers are UIDs.
    pub uid: bool,
    /// `MIN`
    pub min: Option<u32>,
    /// `MAX`
    pub max: Option<u32>,
    /// `ALL`, ascending.
    pub all: Option<&'a [u32]>,
    /// `COUNT`
    pub count: Option<u32>,
    /// `MODSEQ`
    pub mod_seq: Option<u64>,
}

/// ```abnf
/// esearch-response  = "ESEARCH" [SP "(" "TAG" SP tag-string ")"] [SP "UID"] *(SP search-return-data)   ; RFC 4466 §2.6.2
/// ```
pub fn esearch(tag: &Tag, found: &Esearch<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ESEARCH (TAG ");
    word::string(tag.as_str().as_bytes(), out);
    out.push(b')');
    if found.uid {
        out.extend_from_slice(b" UID");
    }
    let wide = |number: Option<u32>| number.map(u64::from);
    for (name, value) in [("MIN", wide(found.min)), ("MAX", wide(found.max)), ("COUNT", wide(found.count))] {
        if let Some(value) = value {
            let _ = write!(out, " {name} {value}");
        }
    }
    if let Some(all) = found.all.filter(|all| !all.is_empty()) {
        out.extend_from_slice(b" ALL ");
        word::set(all.iter().copied(), out);
    }
    if let Some(value) = found.mod_seq {
        let _ = write!(out, " MODSEQ {value}");
    }
    out.extend_from_slice(b"\r\n");
}

/// `* FLAGS (…)`: the flags that this mailbox knows.
pub fn flags<'a>(flags: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* FLAGS ");
    word::list(flags, out);
    out.extend_from_slice(b"\r\n");
}

/// `* n EXISTS`
pub fn exists(count: u32, out: &mut Vec<u8>) {
    let _ = write!(out, "* {count} EXISTS\r\n");
}

/// `* n RECENT`
pub fn recent(count: u32, out: &mut Vec<u8>) {
    let _ = write!(out, "* {count} RECENT\r\n");
}

/// `* n EXPUNGE`: that message is gone, and the numbers above it are one less.
pub fn expunge(sequence: u32, out: &mut Vec<u8>) {
    let _ = write!(out, "* {sequence} EXPUNGE\r\n");
}

/// `* ID ("name" "Sluice" …)` (RFC 2971 §3.2); NIL without pairs.
pub fn id(pairs: &[(&str, &str)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ID ");
    for (index, (name, value)) in pairs.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        word::string(name.as_bytes(), out);
        out.push(b' ');
        word::string(value.as_bytes(), out);
    }
    out.extend_from_slice(if pairs.is_empty() { b"NIL\r\n" } else { b")\r\n" });
}

/// `* NAMESPACE (("" "/")) NIL NIL` (RFC 2342 §5): prefix and delimiter of the personal, others' and shared namespaces.
pub fn namespace(kinds: [&[(&str, char)]; 3], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* NAMESPACE");
    for kind in kinds {
        out.push(b' ');
        for (index, (prefix, delimiter)) in kind.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"((" } else { b"(" });
            let mut buffer = [0; 4];
            word::string(crate::mutf7::encode(prefix).as_bytes(), out);
            out.push(b' ');
            word::string(delimiter.encode_utf8(&mut buffer).as_bytes(), out);
            out.push(b')');
        }
        out.extend_from_slice(if kind.is_empty() { b"NIL" } else { b")" });
    }
    out.extend_from_slice(b"\r\n");
}
