//! A written message becomes octets.

use std::borrow::Cow;

use mail_builder::MessageBuilder;
use mail_builder::headers::Header as _;
use mail_builder::headers::address::{Address as Words, EmailAddress};
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::message_id::MessageId;
use mail_builder::mime::{BodyPart, MimePart};

use super::address::{People, Person};
use super::session::random_name;
use super::text;

/// What somebody wrote.
pub(super) struct Outgoing {
    pub(super) from: Person,
    pub(super) to: People,
    pub(super) cc: People,
    pub(super) bcc: People,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) in_reply_to: Vec<String>,
    pub(super) references: Vec<String>,
    pub(super) files: Vec<File>,
}

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) content: Vec<u8>,
}

/// How long a References field grows: the first message and the latest (RFC 5322 §3.6.4 asks for all; others cut as well).
const REFERENCES_MAX: usize = 30;

impl Outgoing {
    /// The message for the wire, CRLF line ends, no Bcc field.
    pub(super) fn build(&self) -> Option<Vec<u8>> {
        let id = format!("{}@{}", random_name()?.get(..26)?, self.from.address.domain());
        let mut builder =
            MessageBuilder::new().from(word(&self.from)).subject(one_line(&self.subject)).message_id(id);
        if !self.to.is_empty() {
            builder = builder.to(words(&self.to));
        }
        if !self.cc.is_empty() {
            builder = builder.cc(words(&self.cc));
        }
        if !self.in_reply_to.is_empty() {
            builder = builder.in_reply_to(identifiers(&self.in_reply_to));
        }
        if !self.references.is_empty() {
            builder = builder.references(identifiers(&self.references));
        }
        let kind = ContentType::new("text/plain").attribute("charset", "utf-8").attribute("format", "flowed");
        let body = MimePart::new(kind, BodyPart::Text(Cow::Owned(text::flow(&self.text))));
        let body = if self.files.is_empty() {
            body
        } else {
            let mut parts = vec![body];
            parts.extend(self.files.iter().map(file_part));
            MimePart::new("multipart/mixed", parts)
        };
        builder.body(body).write_to_vec().ok()
    }

    /// The message for the sender's own folders: with the Bcc field.
    pub(super) fn with_bcc(&self, wire: &[u8]) -> Vec<u8> {
        if self.bcc.is_empty() {
            return wire.to_vec();
        }
        let mut copy = b"Bcc: ".to_vec();
        words(&self.bcc).write_header(&mut copy, "Bcc: ".len());
        copy.extend_from_slice(wire);
        copy
    }
}

/// The thread of an answer: the chain of the message answered, and that message (RFC 5322 §3.6.4).
pub(super) fn thread(references: &[String], in_reply_to: &[String], message_id: Option<&str>) -> Vec<String> {
    let chain = if references.is_empty() { in_reply_to } else { references };
    let mut thread: Vec<String> =
        chain.iter().map(String::as_str).chain(message_id).map(str::to_owned).collect();
    if thread.len() > REFERENCES_MAX {
        let drop = thread.len() - REFERENCES_MAX;
        thread.drain(1..=drop);
    }
    thread
}

fn file_part(file: &File) -> MimePart<'_> {
    MimePart::new(
        ContentType::new(safe_media_type(&file.media_type)),
        BodyPart::Binary(Cow::Borrowed(&file.content)),
    )
    .attachment(file.name.as_str())
}

/// The browser's word for a file's type, when it is one; composite types stay octets, for their content is encoded.
fn safe_media_type(media_type: &str) -> String {
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |text: &str| {
        !text.is_empty()
            && text.len() < 100
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b))
    };
    match media_type.split_once('/') {
        Some((kind, subtype))
            if token(kind) && token(subtype) && !["message", "multipart"].contains(&kind) =>
        {
            media_type
        }
        _ => "application/octet-stream".to_owned(),
    }
}

/// What is no address becomes a group without members (RFC 5322 §3.4): a draft keeps it in its field, where every program
/// shows it, and nobody can get mail by it.
fn words(field: &People) -> Words<'_> {
    let group = |piece: &String| Words::new_group(Some(one_line(piece)), Vec::new());
    match (field.people.as_slice(), field.unread.as_slice()) {
        ([one], []) => word(one),
        (many, unread) => Words::new_list(many.iter().map(word).chain(unread.iter().map(group)).collect()),
    }
}

fn word(person: &Person) -> Words<'_> {
    Words::Address(EmailAddress {
        name: person.name.as_deref().map(|name| Cow::Owned(one_line(name))),
        email: Cow::Owned(person.address.to_string()),
    })
}

fn identifiers(ids: &[String]) -> MessageId<'_> {
    let clean =
        |id: &String| id.chars().filter(|c| c.is_ascii_graphic() && !"<>".contains(*c)).collect::<String>();
    MessageId::new_list(ids.iter().map(clean).filter(|id| !id.is_empty() && id.len() < 500))
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(1000)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::content;
    use super::*;

    fn outgoing() -> Outgoing {
        Outgoing {
            from: People::read("Zoë <zoe@x.test>").people.remove(0),
            to: People::read("\"B, Ann\" <ann@y.test>, c@y.test"),
            cc: People::read("d@y.test"),
            bcc: People::read("secret@y.test"),
            subject: "Grüße, and a subject that is so long that it must be folded over more than one line"
                .to_owned(),
            text: format!(
                "Hello\n\n{}\nFrom here\n> quoted\n.\n..\n-- \nZoë\n",
                "word ".repeat(40).trim_end()
            ),
            in_reply_to: vec!["1@y.test".to_owned()],
            references: vec!["0@y.test".to_owned(), "1@y.test".to_owned()],
            files: vec![
                File {
                    name: "Übersicht \"1\".pdf".into(),
                    media_type: "application/pdf".into(),
                    content: vec![0, 255, 13, 10],
                },
                File {
                    name: "a.eml".into(),
                    media_type: "message/rfc822".into(),
                    content: b"Subject: x\r\n\r\n".to_vec(),
                },
            ],
        }
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        let outgoing = outgoing();
        let wire = outgoing.build().unwrap();
        let letter = content::read(&wire, 100_000);
        assert_eq!(letter.subject, outgoing.subject);
        assert_eq!(letter.from[0].person().unwrap(), outgoing.from);
        assert_eq!(
            letter.to.iter().filter_map(content::Party::person).collect::<Vec<_>>(),
            outgoing.to.people
        );
        assert_eq!(letter.text.trim_end(), outgoing.text.trim_end());
        assert_eq!(
            (letter.in_reply_to, letter.references),
            (outgoing.in_reply_to.clone(), outgoing.references.clone())
        );
        for (file, written) in letter.attachments.iter().zip(&outgoing.files) {
            let (_, content) = content::part(&wire, file.part).unwrap();
            assert_eq!(content, written.content);
        }
        assert_eq!(letter.attachments[0].name, "Übersicht \"1\".pdf");
        assert_eq!(letter.attachments.len(), 2);
    }

    #[test]
    fn every_line_ends_with_crlf() {
        // A gateway that offers BDAT is given these octets as they are, and refuses a bare CR or LF.
        let mut outgoing = outgoing();
        let odd = "a\rb\nc\r\nd\r\r\n\n\re";
        odd.clone_into(&mut outgoing.text);
        outgoing.subject = odd.to_owned();
        for media_type in ["text/plain", "text/x-log", "message/rfc822"] {
            let content = b"one\ntwo\rthree\n".to_vec();
            outgoing.files.push(File { name: "x\n.txt".into(), media_type: media_type.into(), content });
        }
        let wire = outgoing.build().unwrap();
        let text = wire.escape_ascii().to_string();
        for (at, octet) in wire.iter().enumerate() {
            assert!(*octet != b'\n' || wire[at - 1] == b'\r', "{text}");
            assert!(*octet != b'\r' || wire.get(at + 1) == Some(&b'\n'), "{text}");
        }
    }

    #[test]
    fn the_wire_has_no_bcc_and_the_copy_has() {
        let outgoing = outgoing();
        let wire = outgoing.build().unwrap();
        assert!(!String::from_utf8_lossy(&wire).contains("secret@y.test"));
        assert_eq!(content::read(&outgoing.with_bcc(&wire), 1000).bcc[0].address, "secret@y.test");
        assert!(wire.windows(2).all(|pair| (pair[1] == b'\n') == (pair[0] == b'\r')), "CRLF only");
        assert!(wire.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
    }

    #[test]
    fn a_field_can_not_add_fields() {
        let mut outgoing = outgoing();
        outgoing.subject = "x\r\nBcc: evil@z.test\r\n\r\nbody".to_owned();
        outgoing.to.people[0].name = Some("a\r\nX-Evil: 1".to_owned());
        outgoing.references = vec!["a>\r\nX-Evil: 2".to_owned()];
        outgoing.files[0].name = "a\r\nX-Evil: 3".to_owned();
        outgoing.files[0].media_type = "text/html\r\nX-Evil: 4".to_owned();
        let wire = String::from_utf8(outgoing.build().unwrap()).unwrap();
        assert!(!wire.lines().any(|line| line.starts_with("X-Evil") || line.starts_with("Bcc")), "{wire}");
    }

    #[test]
    fn what_is_no_address_stays_in_its_field() {
        let mut outgoing = outgoing();
        outgoing.cc = People::read("bob, Ann <ann@, d@y.test, \"x\"y\r\nBcc: evil@z.test, Zoë");
        outgoing.bcc = People::read("just bob");
        let wire = outgoing.build().unwrap();
        let letter = content::read(&outgoing.with_bcc(&wire), 1000);
        let read = |parties: &[content::Party]| {
            let mut people = People::default();
            for party in parties {
                match party.person() {
                    Some(person) => people.people.push(person),
                    None => people.unread.push(party.label().to_owned()),
                }
            }
            people
        };
        assert_eq!(read(&letter.cc), outgoing.cc);
        assert_eq!(read(&letter.bcc), outgoing.bcc);
        assert!(!String::from_utf8_lossy(&wire).lines().any(|line| line.starts_with("Bcc")));
    }

    #[test]
    fn threads_stay_bounded() {
        let long: Vec<String> = (0..100).map(|n| format!("{n}@x")).collect();
        let thread = thread(&long, &[], Some("new@x"));
        assert_eq!(thread.len(), REFERENCES_MAX);
        assert_eq!((thread[0].as_str(), thread[1].as_str(), thread[29].as_str()), ("0@x", "72@x", "new@x"));
        assert_eq!(super::thread(&[], &["p@x".to_owned()], Some("q@x")), ["p@x", "q@x"]);
    }
}
