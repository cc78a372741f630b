//! What a message is, in the words of rules. A fact is worked out when it is first asked for: conversion is most of the cost, and most rules are settled by
//! the facts that cost least.

mod archive;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod corpus;
mod html;
mod mailboxes;
pub(super) mod names;
mod parts;
mod readable;
mod told;
mod urls;
mod uuencode;
mod walk;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use envelope::{Entrance, Envelope};
use mail_parser::{Message, MessageParser, PartType};
use serde::{Deserialize, Serialize};

use self::names::visible;
use self::readable::Readable;
use super::PolicyConfig;
use super::load::FactNames;
use crate::authentication::{Authentication, Word};
use crate::fields::{self, Field};

pub use told::Fact;
pub(super) use told::Told;

/// What a rule is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Sender, recipients, where it came from.
    pub envelope: &'a Envelope,
    /// `mx`, `submission`, `submissions` or `lmtp`.
    pub listener: &'a str,
    /// What was found out about the peer.
    pub peer: &'a PeerFacts,
    /// Who wrote it.
    pub authentication: &'a Authentication,
    /// What scanners said.
    pub scan: &'a ScanFacts,
    /// The message.
    pub message: &'a [u8],
}

/// What is known of the peer besides its address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerFacts {
    /// Its name by a reverse and a forward look-up.
    pub hostname: String,
    /// Whether it showed a certificate that verified.
    pub client_certificate: bool,
    /// Block and allow lists that know it.
    pub lists: Vec<String>,
    /// Points from these.
    pub score: f64,
}

/// What milters and scanners said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanFacts {
    /// Whether it is spam.
    pub spam: bool,
    /// Points.
    pub spam_score: f64,
    /// What was found.
    pub symbols: Vec<String>,
    /// Whether there is a virus.
    pub virus: bool,
    /// Which.
    pub virus_name: String,
}

/// The facts of one message that rules use.
pub(super) struct Facts<'a> {
    reader: Reader<'a>,
    names: &'a FactNames,
    /// What was worked out, in the order of the names.
    found: Vec<OnceCell<Value>>,
    section: OnceCell<Arc<HeaderSection>>,
}

/// What `header` and `headers` look at.
#[derive(Default)]
pub(super) struct HeaderSection {
    octets: Vec<u8>,
    /// Where names and values stand in them.
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl HeaderSection {
    fn of(fields: &[Field<'_>]) -> Self {
        let mut section = Self { octets: Vec::new(), fields: Vec::with_capacity(fields.len()) };
        for field in fields {
            let mut put = |part: &[u8]| {
                let from = section.octets.len();
                section.octets.extend_from_slice(part);
                from..section.octets.len()
            };
            let places = (put(field.name), put(field.value));
            section.fields.push(places);
        }
        section
    }

    /// The values of all fields of a name, in their order. Only these are decoded.
    pub(super) fn get(&self, name: &str) -> impl Iterator<Item = String> {
        let part = |place: &Range<usize>| self.octets.get(place.clone()).unwrap_or_default();
        let same =
            move |found: &&(Range<usize>, Range<usize>)| part(&found.0).eq_ignore_ascii_case(name.as_bytes());
        let decode = move |(name, value): &(Range<usize>, Range<usize>)| {
            decoded(&Field { name: part(name), value: part(value), octets: &[] })
        };
        self.fields.iter().filter(same).map(decode)
    }
}

/// The message with what was read of it.
struct Reader<'a> {
    subject: Subject<'a>,
    config: &'a PolicyConfig,
    fields: Vec<Field<'a>>,
    /// Whether some rule looks behind the header section.
    whole: bool,
    /// As our parser reads it, and as others do when they may read it otherwise.
    readings: OnceCell<Vec<Message<'a>>>,
}

/// What a fact costs beside others, so that rules ask for the cheapest first: some are there, some are read from the header section, some take the message
/// apart, some read its text.
pub(super) fn cost(variable: &str, field: &str) -> u32 {
    match (variable, field) {
        ("urls", _) | ("message", "text") => 64,
        ("parts", _) => 32,
        _ if is_behind_header(variable, field) => 16,
        ("message", _) => 4,
        _ => 1,
    }
}

/// Whether the message must be taken apart for it.
fn is_behind_header(variable: &str, field: &str) -> bool {
    match variable {
        "parts" | "urls" => true,
        "message" => matches!(field, "ambiguous" | "text" | "has_html"),
        _ => false,
    }
}

impl<'a> Facts<'a> {
    /// Nothing is worked out yet.
    pub(super) fn new(subject: Subject<'a>, names: &'a FactNames, config: &'a PolicyConfig) -> Self {
        let whole = names.iter().any(|(variable, field)| is_behind_header(variable, field));
        let fields = fields::split(subject.message);
        let reader = Reader { subject, config, fields, whole, readings: OnceCell::new() };
        let found = names.iter().map(|_| OnceCell::new()).collect();
        Self { reader, names, found, section: OnceCell::new() }
    }

    /// These, whatever the message says.
    #[cfg(test)]
    pub(super) fn given(
        subject: Subject<'a>,
        names: &'a FactNames,
        values: Vec<Value>,
        config: &'a PolicyConfig,
    ) -> Self {
        let found = values.into_iter().map(OnceCell::from).collect();
        Self { found, ..Self::new(subject, names, config) }
    }

    /// Names of what was worked out.
    #[cfg(test)]
    pub(super) fn worked_out(&self) -> Vec<&'a (String, String)> {
        let pairs = self.names.iter().zip(&self.found);
        pairs.filter(|(_, found)| found.get().is_some()).map(|(name, _)| name).collect()
    }

    /// The fact at a place of the names; `None`: there is none.
    pub(super) fn get(&self, at: usize) -> Option<&Value> {
        let (variable, field) = self.names.get(at)?;
        Some(self.found.get(at)?.get_or_init(|| self.reader.fact(variable, field)))
    }

    /// All of them as the library wants them: variables, some with fields. The score is not among them: it changes from rule to rule.
    pub(super) fn variables(&self) -> HashMap<String, Value> {
        let mut objects: HashMap<&str, HashMap<Key, Value>> = HashMap::new();
        let mut variables = HashMap::new();
        for (at, (variable, field)) in self.names.iter().enumerate() {
            if variable == "score" {
                continue;
            }
            let Some(value) = self.get(at).cloned() else { continue };
            if field.is_empty() {
                variables.insert(variable.clone(), value);
            } else {
                objects.entry(variable).or_default().insert(Key::from(field.clone()), value);
            }
        }
        let object = |fields| Value::Map(Map { map: Arc::new(fields) });
        variables.extend(objects.into_iter().map(|(name, fields)| (name.to_owned(), object(fields))));
        variables
    }

    /// The value of the first field of a name.
    pub(super) fn first_field(&self, name: &str) -> Option<String> {
        self.reader.fields.iter().find(|field| field.is(name.as_bytes())).map(decoded)
    }

    /// The header section, for the library's functions that look into it.
    pub(super) fn section(&self) -> &Arc<HeaderSection> {
        self.section.get_or_init(|| Arc::new(HeaderSection::of(&self.reader.fields)))
    }
}

impl<'a> Reader<'a> {
    fn fact(&self, variable: &str, field: &str) -> Value {
        match variable {
            "auth" => self.auth(field),
            "connection" => self.connection(field),
            "envelope" => self.envelope(field),
            "message" => self.message(field),
            "parts" => parts::values(self.readings(), self.config),
            "scan" => self.scan(field),
            "urls" => urls::values(self.readings(), self.config),
            // The score changes from rule to rule: who asks for it has it.
            _ => Value::Null,
        }
    }

    fn readings(&self) -> &[Message<'a>] {
        self.readings.get_or_init(|| {
            let (parser, message) = (MessageParser::default(), self.subject.message);
            if !self.whole {
                return parser.parse_headers(message).into_iter().collect();
            }
            let otherwise = walk::otherwise(message, &self.fields);
            let other = otherwise.and_then(|other| parser.parse(&other).map(Message::into_owned));
            parser.parse(message).into_iter().chain(other).collect()
        })
    }

    fn auth(&self, field: &str) -> Value {
        let found = self.subject.authentication;
        let passed = || found.dkim.iter().filter(|one| one.result == Word::Pass);
        match field {
            "arc" => found.arc.result.as_str().into(),
            "dkim" => {
                let any = passed().next().or_else(|| found.dkim.first());
                any.map_or(Word::None, |one| one.result).as_str().into()
            }
            "dkim_domains" => passed().map(|one| one.domain.clone()).collect::<Vec<_>>().into(),
            "dmarc" => found.dmarc.result.as_str().into(),
            "dmarc_policy" => found.dmarc.policy.as_str().into(),
            "from_fault" => found.author.fault.map(|fault| fault.to_string()).unwrap_or_default().into(),
            "spf" => found.spf.result.as_str().into(),
            _ => found.spf.domain.as_str().into(),
        }
    }

    fn connection(&self, field: &str) -> Value {
        let (origin, peer) = (&self.subject.envelope.origin, self.subject.peer);
        match field {
            "account" => origin.authenticated.as_ref().map(ToString::to_string).unwrap_or_default().into(),
            "address" => origin.peer.map(|peer| peer.to_string()).unwrap_or_default().into(),
            "authenticated" => Value::Bool(is_authenticated(self.subject.envelope)),
            "client_certificate" => Value::Bool(peer.client_certificate),
            "helo" => origin.helo.as_str().into(),
            "hostname" => peer.hostname.as_str().into(),
            "listener" => self.subject.listener.into(),
            "lists" => peer.lists.clone().into(),
            _ => Value::Bool(origin.tls),
        }
    }

    fn envelope(&self, field: &str) -> Value {
        let envelope = self.subject.envelope;
        let recipients = || envelope.recipients.iter().take(self.config.addresses_max);
        let sender = envelope.reverse_path.address();
        match field {
            "recipient_count" => Value::Int(i64::try_from(envelope.recipients.len()).unwrap_or(i64::MAX)),
            "recipient_domains" => {
                let mut domains: Vec<String> =
                    recipients().map(|one| one.address.domain().to_string()).collect();
                domains.sort();
                domains.dedup();
                domains.into()
            }
            "recipients" => recipients().map(|one| one.address.to_string()).collect::<Vec<_>>().into(),
            "sender" => sender.map(ToString::to_string).unwrap_or_default().into(),
            _ => sender.map(|sender| sender.domain().to_string()).unwrap_or_default().into(),
        }
    }

    fn scan(&self, field: &str) -> Value {
        let scan = self.subject.scan;
        match field {
            "spam" => Value::Bool(scan.spam),
            "spam_score" => Value::Float(scan.spam_score),
            "symbols" => scan.symbols.clone().into(),
            "virus" => Value::Bool(scan.virus),
            _ => scan.virus_name.as_str().into(),
        }
    }

    fn message(&self, field: &str) -> Value {
        let has = |name: &str| self.fields.iter().any(|field| field.is(name.as_bytes()));
        let first = |name: &str| {
            let found = self.fields.iter().find(|field| field.is(name.as_bytes()));
            found.map(Field::unfolded).unwrap_or_default()
        };
        let parsed = || self.readings().first();
        let max = self.config.addresses_max;
        let author = || mailboxes::first(parsed().and_then(Message::from));
        let reply_to = || mailboxes::first(parsed().and_then(Message::reply_to));
        let subject = || visible(parsed().and_then(Message::subject).unwrap_or_default());
        match field {
            "ambiguous" => Value::Bool(walk::is_ambiguous(self.readings())),
            "auto_submitted" => {
                let value = first("auto-submitted").to_lowercase();
                Value::Bool(!value.is_empty() && value != "no")
            }
            "bulk" => {
                let precedence = first("precedence").to_lowercase();
                let says = ["bulk", "list", "junk"].contains(&precedence.as_str());
                Value::Bool(says || has("list-id") || has("list-unsubscribe"))
            }
            "cc" => mailboxes::values(parsed().and_then(Message::cc), max),
            "charset_mix" => Value::Bool(mixes_scripts(&author().name) || mixes_scripts(&subject())),
            "from" => mailboxes::values(parsed().and_then(Message::from), max),
            "from_address" => author().address.into(),
            "from_domain" => author().domain.into(),
            "from_name" => author().name.into(),
            "has_html" => Value::Bool(
                walk::parts(self.readings()).any(|place| matches!(place.part.body, PartType::Html(_))),
            ),
            "list_unsubscribe" => Value::Bool(has("list-unsubscribe")),
            "message_id" => first("message-id").into(),
            "received_count" => {
                let count = self.fields.iter().filter(|field| field.is(b"received")).count();
                Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
            }
            "reply_to_address" => reply_to().address.into(),
            "reply_to_domain" => reply_to().domain.into(),
            "size" => Value::Int(i64::try_from(self.subject.message.len()).unwrap_or(i64::MAX)),
            "subject" => subject().into(),
            "text" => text(self.readings(), self.config.text_max.as_usize()).into(),
            _ => mailboxes::values(parsed().and_then(Message::to), max),
        }
    }
}

/// Something with fields.
fn object<const COUNT: usize>(fields: &[Key; COUNT], values: [Value; COUNT]) -> Value {
    Value::Map(Map { map: Arc::new(fields.iter().cloned().zip(values).collect()) })
}

pub(super) fn is_authenticated(envelope: &Envelope) -> bool {
    envelope.origin.authenticated.is_some() || envelope.origin.entrance == Entrance::Submission
}

/// A field's value with its encoded words decoded (RFC 2047).
pub(super) fn decoded(field: &Field<'_>) -> String {
    let unfolded = field.unfolded();
    if !unfolded.contains("=?") {
        return unfolded;
    }
    let line = format!("{unfolded}\r\n");
    let parsed = mail_parser::parsers::MessageStream::new(line.as_bytes()).parse_unstructured();
    parsed.as_text().map_or(unfolded.clone(), str::to_owned)
}

/// The text of all text parts, HTML without its tags, without letters that nobody sees, cut at a letter's boundary.
fn text<'m>(readings: &'m [Message<'m>], max: usize) -> String {
    let mut text = String::new();
    for place in walk::parts(readings) {
        match readable::of(place) {
            Some(Readable::Text(body)) => text.push_str(&visible(cut(&body, max))),
            Some(Readable::Page(body)) => {
                text.push_str(&visible(&html::read(cut(&body, max.saturating_mul(4)), 0).text));
            }
            None => continue,
        }
        text.push('\n');
        if text.len() > max {
            break;
        }
    }
    cut(&text, max).to_owned()
}

/// At most `max` octets, no half letter.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Whether a word has Latin letters beside Greek or Cyrillic ones.
fn mixes_scripts(text: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic()).any(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c));
        let other = word.chars().any(|c| ('\u{370}'..='\u{52f}').contains(&c));
        latin && other
    })
}
