//! Flags between the wire and the store.

use std::collections::BTreeSet;

use imap_proto::Flag;
use store::Flags;

use super::reply::Reply;

/// Keywords that one message may have.
const KEYWORDS_MAX: usize = 64;

/// The flags of a command as the store knows them.
pub(crate) fn from_wire(flags: &[Flag]) -> Result<Flags, Reply> {
    let mut result = Flags::default();
    for flag in flags {
        match flag {
            Flag::Answered => result.answered = true,
            Flag::Deleted => result.deleted = true,
            Flag::Draft => result.draft = true,
            Flag::Flagged => result.flagged = true,
            Flag::Seen => result.seen = true,
            Flag::Keyword(keyword) => {
                result.keywords.insert(keyword.as_str().to_owned());
            }
        }
    }
    if result.keywords.len() > KEYWORDS_MAX {
        return Err(Reply::no("Too many keywords").with_code("LIMIT"));
    }
    Ok(result)
}

/// `(\Seen $Junk)`
pub(crate) fn encode(flags: &Flags, recent: bool, out: &mut Vec<u8>) {
    out.push(b'(');
    let mut space = false;
    let mut word = |text: &str, out: &mut Vec<u8>| {
        if std::mem::replace(&mut space, true) {
            out.push(b' ');
        }
        out.extend_from_slice(text.as_bytes());
    };
    for (set, name) in [
        (flags.answered, "\\Answered"),
        (flags.flagged, "\\Flagged"),
        (flags.deleted, "\\Deleted"),
        (flags.seen, "\\Seen"),
        (flags.draft, "\\Draft"),
        (recent, "\\Recent"),
    ] {
        if set {
            word(name, out);
        }
    }
    for keyword in &flags.keywords {
        word(keyword, out);
    }
    out.push(b')');
}

/// `(\Answered \Flagged \Deleted \Seen \Draft $Junk)`, with `\*` where new keywords may be made.
pub(crate) fn encode_defined(keywords: &BTreeSet<String>, may_make: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"(\\Answered \\Flagged \\Deleted \\Seen \\Draft");
    for keyword in keywords {
        out.push(b' ');
        out.extend_from_slice(keyword.as_bytes());
    }
    out.extend_from_slice(if may_make { b" \\*)" } else { b")" });
}
