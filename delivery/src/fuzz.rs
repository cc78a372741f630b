//! What must hold for any message whatever.

use envelope::{Address, Entrance, Envelope, MessageId, Origin, ReversePath, Timestamp};

use crate::content::{field, filed, header_end, was_delivered_to};
use crate::outcome::{Failed, Failure};
use crate::report::{Kind, Report, Told};

/// Octets of the header that the report may carry.
const HEADER_MAX: usize = 512;

/// Files the message and reports on it: the fields are ours and there once, the text is untouched, the report is 7-bit.
pub fn fuzz_message(body: &[u8]) {
    let Ok(address) = "b@example.test".parse::<Address>() else { return };
    let content = filed(&ReversePath::Null, Some(&address), body);
    assert!(
        content.starts_with(b"Return-Path: <>\r\nDelivered-To: b@example.test\r\n"),
        "our fields come first"
    );
    let text = body.get(header_end(body)..).unwrap_or_default();
    assert!(content.ends_with(text), "the text stays as it was");
    assert!(was_delivered_to(&address, &content), "our own mark is seen");
    assert_eq!(field("return-path", &content), Some(&b"<>"[..]), "the first is ours");
    let again = filed(&ReversePath::Null, Some(&address), &content);
    let marks = b"Delivered-To: b@example.test\r\n".len();
    assert_eq!(again.len(), content.len() + marks, "every Return-Path was removed");

    let (_, report) = report(&address, body);
    assert!(report.is_ascii(), "the report is 7-bit");
    assert!(report.split(|byte| *byte == b'\n').all(|line| line.len() <= 1000), "no line is too long");
    let bare = report.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.ends_with(b"\r"));
    assert_eq!(bare.count(), 0, "every line ends with CR LF");
}

fn report(address: &Address, body: &[u8]) -> (Envelope, bytes::Bytes) {
    let original = Envelope {
        id: MessageId::new(1, [7; 10]),
        received_at: Timestamp::from_unix_milliseconds(1),
        reverse_path: ReversePath::Address(address.clone()),
        recipients: vec![address.clone().into()],
        origin: Origin {
            entrance: Entrance::Mx,
            peer: None,
            helo: String::new(),
            authenticated: None,
            tls: false,
        },
        size: body.len() as u64,
        smtp_utf8: false,
        priority: envelope::Priority::Interactive,
        envelope_id: None,
        returned: Some(envelope::Return::Full),
        require_tls: false,
        list: None,
        filtered: None,
    };
    let failed = [Failed { recipient: address.clone().into(), failure: Failure::UNKNOWN }];
    let report = Report {
        original: &original,
        sender: address,
        body,
        kind: Kind::Failure,
        told: &failed.each_ref().map(Told::failed),
        hostname: "mx.example.test",
        now: Timestamp::from_unix_milliseconds(2),
        header_max: HEADER_MAX,
        body_max: 2 * HEADER_MAX,
        retry_until: Timestamp::from_unix_milliseconds(3),
    };
    report.message()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn holds_for_octets(body: Vec<u8>) {
            fuzz_message(&body);
        }

        #[test]
        fn holds_for_headers(body in "((Return-Path|return-path |Delivered-To|X|Message-ID)?:?[ \\t<>@.a-zé\\r]{0,9}(\r\n|\n)?( |\t)?){0,12}") {
            fuzz_message(body.as_bytes());
        }
    }

    #[test]
    fn holds_for_what_was_found() {
        for body in [
            "",
            "\n",
            "\r\n",
            ":",
            "Return-Path:",
            "Return-Path:\n x\n\n",
            " Return-Path: x\r\n",
            "a\rb: c\r\n\r\n",
        ] {
            fuzz_message(body.as_bytes());
        }
    }
}
