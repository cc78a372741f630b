//! Journal reports: a message with its whole envelope, for an archive.
//!
//! The report is a message of our own from the null sender: a part with the envelope, one field a line, and the message itself, as it came.

use std::time::SystemTime;

use bytes::Bytes;
use envelope::{Address, Domain, Entrance, Envelope, Origin, Priority, ReversePath, Timestamp};
use queue::Body;

use super::received;
use crate::session::shared::new_id;

/// Makes the report for `archive`.
pub(super) fn report(
    about: &Envelope,
    archive: &Address,
    message: &Bytes,
    hostname: &Domain,
) -> Result<(Envelope, Body), getrandom::Error> {
    let now = Timestamp::from(SystemTime::now());
    let id = new_id(now)?;
    let boundary = format!("=_journal_{id}");
    let recipients: String =
        about.recipients.iter().map(|one| format!("Recipient: {}\r\n", one.address)).collect();
    let peer = about.origin.peer.map(|peer| peer.to_string()).unwrap_or_default();
    let login = about
        .origin
        .authenticated
        .as_ref()
        .map(|account| format!("Login: {account}\r\n"))
        .unwrap_or_default();
    let reasons: String = about
        .filtered
        .iter()
        .flat_map(|filtered| &filtered.reasons)
        .map(|reason| format!("Filter: {}\r\n", plain(reason)))
        .collect();
    let front = format!(
        "From: journal@{hostname}\r\nTo: {archive}\r\nDate: {date}\r\nMessage-ID: <{id}@{hostname}>\r\n\
         Subject: Journal report of {about_id}\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Id: {about_id}\r\nReceived-At: {received}\r\nSender: {sender}\r\n{recipients}Peer: {peer}\r\nHelo: {helo}\r\n{login}{reasons}\r\n\
         --{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        date = received::date(now),
        about_id = about.id,
        received = received::date(about.received_at),
        sender = about.reverse_path,
        helo = plain(&about.origin.helo),
    );
    let mut octets = Vec::with_capacity(front.len() + message.len() + boundary.len() + 16);
    octets.extend_from_slice(front.as_bytes());
    octets.extend_from_slice(message);
    octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let envelope = Envelope {
        id,
        received_at: now,
        reverse_path: ReversePath::Null,
        recipients: vec![archive.clone().into()],
        origin: Origin {
            entrance: Entrance::Internal,
            peer: None,
            helo: hostname.to_string(),
            authenticated: None,
            tls: false,
        },
        size: octets.len() as u64,
        smtp_utf8: true,
        priority: Priority::Bulk,
        envelope_id: None,
        returned: None,
        require_tls: about.require_tls,
        list: None,
        filtered: None,
    };
    Ok((envelope, Body::from(octets)))
}

/// One line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_and_the_message_are_in_it() {
        let about = Envelope {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            received_at: Timestamp::from_unix_milliseconds(1_469_922_850_259),
            reverse_path: ReversePath::Address("a@b.test".parse().unwrap()),
            recipients: ["x@y.test", "hidden@y.test"]
                .map(|one| one.parse::<Address>().unwrap().into())
                .to_vec(),
            origin: Origin {
                entrance: Entrance::Mx,
                peer: Some("192.0.2.1".parse().unwrap()),
                helo: "evil\r\nX: y".to_owned(),
                authenticated: None,
                tls: false,
            },
            size: 0,
            smtp_utf8: false,
            priority: Priority::Interactive,
            envelope_id: None,
            returned: None,
            require_tls: false,
            list: None,
            filtered: None,
        };
        let message = Bytes::from_static(b"Subject: hi\r\n\r\nHello.\r\n");
        let archive = "archive@y.test".parse().unwrap();
        let (envelope, body) = report(&about, &archive, &message, &"mx.test".parse().unwrap()).unwrap();
        let Body::Memory(octets) = body else { panic!("small") };
        assert_eq!(envelope.recipients[0].address, archive);
        assert_eq!(envelope.reverse_path, ReversePath::Null);
        let parsed = mail_parser::MessageParser::default().parse(&octets[..]).unwrap();
        assert_eq!(parsed.parts.len(), 3, "a report has two parts");
        let text = parsed.body_text(0).unwrap();
        for line in
            ["Sender: a@b.test", "Recipient: x@y.test", "Recipient: hidden@y.test", "Helo: evil  X: y"]
        {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let mail_parser::PartType::Message(inner) = &parsed.parts[2].body else {
            panic!("the message is inside")
        };
        assert_eq!(inner.subject(), Some("hi"));
    }
}
