//! Which messages a SEARCH means (RFC 3501 §6.4.4).
//!
//! A key is answered with what is at hand: first the index, then the fields of the summary, then the message's text, each read only
//! for messages about which the cheaper could not decide ([`matches`] gives None).

mod decode;
mod facts;

use imap_proto::{Date, MessageSet, SearchKey};
use store::{Fields, Flags, MailAddress, Part};

pub(crate) use facts::{Facts, Picture, Texts};

/// Prepares a key: texts in lower case, once instead of for every message.
pub(crate) fn fold(key: &mut SearchKey) {
    match key {
        SearchKey::And(keys) | SearchKey::Or(keys) => keys.iter_mut().for_each(fold),
        SearchKey::Not(key) => fold(key),
        SearchKey::Bcc(text)
        | SearchKey::Cc(text)
        | SearchKey::From(text)
        | SearchKey::Subject(text)
        | SearchKey::To(text)
        | SearchKey::Body(text)
        | SearchKey::Text(text)
        | SearchKey::Header { text, .. } => *text = text.to_lowercase(),
        _ => {}
    }
}

/// Whether a message matches; None when more must be read to know. How deep keys nest is bounded by the parser.
pub(crate) fn matches(key: &SearchKey, facts: &Facts<'_>) -> Option<bool> {
    match key {
        SearchKey::And(keys) => all(keys.iter().map(|key| matches(key, facts))),
        SearchKey::Or(keys) => {
            all(keys.iter().map(|key| matches(key, facts).map(|matches| !matches))).map(|none| !none)
        }
        SearchKey::Not(key) => matches(key, facts).map(|matches| !matches),
        SearchKey::All => Some(true),
        SearchKey::Sequence(set) => Some(in_set(set, facts.sequence, facts.picture.count, facts)),
        SearchKey::Uid(set) => Some(in_set(set, facts.entry.uid.0, facts.picture.largest_uid, facts)),
        SearchKey::Answered
        | SearchKey::Deleted
        | SearchKey::Draft
        | SearchKey::Flagged
        | SearchKey::Seen
        | SearchKey::Keyword(_) => Some(has_flag(key, &facts.entry.flags)),
        SearchKey::Recent => Some(facts.recent),
        SearchKey::Before(date) => Some(facts.day() < date.unix_days()),
        SearchKey::On(date) => Some(facts.day() == date.unix_days()),
        SearchKey::Since(date) => Some(facts.day() >= date.unix_days()),
        SearchKey::Older(seconds) => Some(facts.age() >= u64::from(*seconds)),
        SearchKey::Younger(seconds) => Some(facts.age() <= u64::from(*seconds)),
        SearchKey::Larger(octets) => Some(facts.entry.size > *octets),
        SearchKey::Smaller(octets) => Some(facts.entry.size < *octets),
        SearchKey::ModSeq(mod_seq) => Some(facts.entry.mod_seq.0 >= *mod_seq),
        SearchKey::SentBefore(_)
        | SearchKey::SentOn(_)
        | SearchKey::SentSince(_)
        | SearchKey::Bcc(_)
        | SearchKey::Cc(_)
        | SearchKey::From(_)
        | SearchKey::Subject(_)
        | SearchKey::To(_) => facts.fields.map(|fields| in_fields(key, fields, facts)),
        SearchKey::Header { field, text } => facts.texts.map(|texts| texts.header_field_holds(field, text)),
        SearchKey::Body(text) => facts.texts.map(|texts| texts.body_holds(text)),
        SearchKey::Text(text) => facts.texts.map(|texts| texts.header_holds(text) || texts.body_holds(text)),
    }
}

/// Whether all hold: false decides, None leaves it open.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}

fn in_set(set: &MessageSet, number: u32, largest: u32, facts: &Facts<'_>) -> bool {
    match set {
        MessageSet::Numbers(set) => set.contains(number, largest),
        MessageSet::Saved => super::selected::in_ranges(&facts.picture.saved, facts.entry.uid.0),
    }
}

fn has_flag(key: &SearchKey, flags: &Flags) -> bool {
    match key {
        SearchKey::Answered => flags.answered,
        SearchKey::Deleted => flags.deleted,
        SearchKey::Draft => flags.draft,
        SearchKey::Flagged => flags.flagged,
        SearchKey::Seen => flags.seen,
        SearchKey::Keyword(keyword) => {
            flags.keywords.iter().any(|held| held.eq_ignore_ascii_case(keyword.as_str()))
        }
        _ => false,
    }
}

fn in_fields(key: &SearchKey, fields: &Fields<&[u8]>, facts: &Facts<'_>) -> bool {
    // Quirk `sent-date-fallback`: a message whose Date can't be read counts by its internal date.
    let sent = || fields.date.and_then(decode::day).unwrap_or_else(|| facts.day());
    let before = |date: &Date| sent() < date.unix_days();
    match key {
        SearchKey::SentBefore(date) => before(date),
        SearchKey::SentOn(date) => sent() == date.unix_days(),
        SearchKey::SentSince(date) => !before(date),
        SearchKey::Bcc(text) => addresses_hold(&fields.bcc, text),
        SearchKey::Cc(text) => addresses_hold(&fields.cc, text),
        SearchKey::From(text) => addresses_hold(&fields.from, text),
        SearchKey::To(text) => addresses_hold(&fields.to, text),
        SearchKey::Subject(text) => {
            fields.subject.is_some_and(|subject| decode::folded(subject).contains(text))
        }
        _ => false,
    }
}

/// Whether an address holds a text, as `Name <mailbox@host>`.
fn addresses_hold(addresses: &[MailAddress<&[u8]>], text: &str) -> bool {
    let mut whole = String::new();
    addresses.iter().any(|address| {
        whole.clear();
        let parts = [(address.name, " <"), (address.mailbox, "@"), (address.host, ">")];
        for (part, behind) in parts {
            decode::push_folded(part.unwrap_or_default(), &mut whole);
            whole.push_str(behind);
        }
        whole.contains(text)
    })
}

/// The text parts of a message, outermost first.
fn text_parts<'a>(part: &'a Part, found: &mut Vec<&'a Part>) {
    match &part.kind {
        store::PartKind::Leaf if part.media_type.eq_ignore_ascii_case(b"text") => found.push(part),
        store::PartKind::Leaf => {}
        store::PartKind::Multipart(parts) => parts.iter().for_each(|part| text_parts(part, found)),
        store::PartKind::Message(inner) => text_parts(&inner.structure, found),
    }
}

#[cfg(test)]
mod tests;
