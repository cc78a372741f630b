//! The `Received` field (RFC 5321 §4.4).

use std::fmt::Write as _;
use std::net::IpAddr;

use envelope::{Domain, Entrance, Envelope, Timestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Octets that most of them take at most.
const FIELD_USUAL: usize = 320;

/// The field with its line ends, for the front of the message.
///
/// ```abnf
/// Time-stamp-line = "Received:" FWS Stamp CRLF
/// Stamp           = From-domain By-domain Opt-info [CFWS] ";" FWS date-time
/// From-domain     = "from" FWS Domain FWS "(" address-literal ")"
/// By-domain       = CFWS "by" FWS Domain
/// Opt-info        = [With] [ID] [For]
/// ```
///
/// The recipient is named only when there is one: a list would tell each of the others (RFC 5321 §7.2).
pub(super) fn field(envelope: &Envelope, hostname: &Domain, extended: bool) -> Vec<u8> {
    let origin = &envelope.origin;
    let peer = origin.peer.map(literal).unwrap_or_default();
    let with = protocol(envelope, extended);
    let mut text = String::with_capacity(FIELD_USUAL);
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "Received: from {} ({peer})\r\n\tby {hostname} with {with} id {}",
        origin.helo, envelope.id
    );
    if let [only] = envelope.recipients.as_slice() {
        let _ = write!(text, "\r\n\tfor <{}>", only.address);
    }
    let _ = write!(text, ";\r\n\t{}\r\n", date(envelope.received_at));
    text.into_bytes()
}

/// The transmission type (RFC 3848; RFC 6531 §4.3 for UTF8SMTP and UTF8LMTP).
fn protocol(envelope: &Envelope, extended: bool) -> String {
    if !extended {
        return "SMTP".to_owned();
    }
    let is_lmtp = envelope.origin.entrance == Entrance::Lmtp;
    let base = match (is_lmtp, envelope.smtp_utf8) {
        (true, true) => "UTF8LMTP",
        (true, false) => "LMTP",
        (false, true) => "UTF8SMTP",
        (false, false) => "ESMTP",
    };
    let secure = if envelope.origin.tls { "S" } else { "" };
    let authenticated = if envelope.origin.authenticated.is_some() { "A" } else { "" };
    format!("{base}{secure}{authenticated}")
}

fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// A date as in RFC 5322 §3.3, in UTC.
pub(super) fn date(moment: Timestamp) -> String {
    let seconds = i64::try_from(moment.unix_seconds()).unwrap_or_default();
    let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(&Rfc2822).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use envelope::{Origin, ReversePath};

    use super::*;

    fn envelope(recipients: &[&str]) -> Envelope {
        Envelope {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            received_at: Timestamp::from_unix_milliseconds(1_469_922_850_259),
            reverse_path: ReversePath::Null,
            recipients: recipients.iter().map(|r| r.parse::<envelope::Address>().unwrap().into()).collect(),
            origin: Origin {
                entrance: Entrance::Mx,
                peer: Some("192.0.2.1".parse().unwrap()),
                helo: "client.test".to_owned(),
                authenticated: None,
                tls: true,
            },
            size: 0,
            smtp_utf8: false,
            priority: envelope::Priority::Interactive,
            envelope_id: None,
            returned: None,
            require_tls: false,
            list: None,
            filtered: None,
        }
    }

    #[test]
    fn known_answers() {
        let hostname: Domain = "mx.test".parse().unwrap();
        let text = |envelope: &Envelope| String::from_utf8(field(envelope, &hostname, true)).unwrap();
        assert_eq!(
            text(&envelope(&["a@b.test"])),
            "Received: from client.test ([192.0.2.1])\r\n\tby mx.test with ESMTPS id 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\n\
             \tfor <a@b.test>;\r\n\tSat, 30 Jul 2016 23:54:10 +0000\r\n"
        );
        let mut two = envelope(&["a@b.test", "c@b.test"]);
        two.origin.peer = Some("2001:db8::1".parse().unwrap());
        assert_eq!(
            text(&two),
            "Received: from client.test ([IPv6:2001:db8::1])\r\n\
             \tby mx.test with ESMTPS id 01ARZ3NDEKTSV4RRFFQ69G5FAV;\r\n\tSat, 30 Jul 2016 23:54:10 +0000\r\n"
        );
    }

    #[test]
    fn transmission_types() {
        let check = |utf8: bool, tls: bool, auth: bool, extended: bool, expected: &str| {
            let mut envelope = envelope(&["a@b.test"]);
            envelope.smtp_utf8 = utf8;
            envelope.origin.tls = tls;
            envelope.origin.authenticated = auth.then(|| "a@b.test".parse().unwrap());
            assert_eq!(protocol(&envelope, extended), expected);
        };
        check(false, false, false, false, "SMTP");
        check(false, false, false, true, "ESMTP");
        check(false, true, false, true, "ESMTPS");
        check(false, false, true, true, "ESMTPA");
        check(false, true, true, true, "ESMTPSA");
        check(true, false, false, true, "UTF8SMTP");
        check(true, true, true, true, "UTF8SMTPSA");
        let lmtp = |utf8: bool, tls: bool| {
            let mut envelope = envelope(&["a@b.test"]);
            envelope.origin.entrance = Entrance::Lmtp;
            (envelope.smtp_utf8, envelope.origin.tls) = (utf8, tls);
            protocol(&envelope, true)
        };
        assert_eq!([lmtp(false, false), lmtp(false, true), lmtp(true, true)], ["LMTP", "LMTPS", "UTF8LMTPS"]);
    }
}
