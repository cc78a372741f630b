//! What a mail server tells of a connection and of one message on it, put together as the checks want it.
//!
//! ```text
//!  connect ──▶ Peer ── HELO, macros
//!                │
//!                └─ MAIL ──▶ Mail ── RCPT*, header field*, end of header, body* ──▶ judged
//! ```

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envelope::{Address, ReversePath};
use filters::Refusal;

use crate::share::Share;

/// Who is on the other side of the mail server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Peer {
    /// None for what was made on this machine.
    pub(crate) address: Option<SocketAddr>,
    /// Its name, where that leads back to it.
    pub(crate) hostname: Option<String>,
    pub(crate) helo: String,
    /// The listener's name (`{daemon_name}`).
    pub(crate) daemon: String,
    /// `{tls_version}`
    pub(crate) tls_version: Option<String>,
    /// `{cipher}`
    pub(crate) cipher: String,
    /// Whether it showed a certificate that verified.
    pub(crate) has_certificate: bool,
}

impl Peer {
    /// `resolved` is `{client_resolve}`, which Sendmail has; Postfix gives no name that does not lead back.
    pub(crate) fn new(name: &str, address: Option<SocketAddr>, resolved: Option<&str>) -> Self {
        let is_name = !name.is_empty() && !name.starts_with('[') && name != "unknown";
        let hostname = (is_name && resolved.is_none_or(|resolved| resolved == "OK")).then(|| name.to_owned());
        Self { address, hostname, ..Self::default() }
    }

    /// What was made here came from here.
    pub(crate) fn socket(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.socket().ip().to_canonical()
    }
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Mail {
    /// The mail server's name of it (`i`); it may come only at the end.
    pub(crate) queue_id: String,
    pub(crate) reverse_path: ReversePath,
    pub(crate) smtp_utf8: bool,
    /// Who logged in (`{auth_authen}`), and how (`{auth_type}`).
    pub(crate) login: Option<(String, String)>,
    /// As the mail server wrote them, and as they are.
    pub(crate) recipients: Vec<(String, Address)>,
    pub(crate) message: Vec<u8>,
    share: Share,
}

/// Limits of one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MailLimits {
    pub(crate) octets_max: usize,
    pub(crate) recipients_max: usize,
}

impl Mail {
    /// MAIL: the path and its parameters.
    pub(crate) fn begin(arguments: &[&CStr], domain: &str, share: Share) -> Result<Self, Refusal> {
        let mut arguments = arguments.iter().map(|text| text.to_string_lossy());
        let path = arguments.next().unwrap_or_default();
        let reverse_path = match bare(&path) {
            "" => ReversePath::Null,
            // RFC 3463 §3.2: bad sender's mailbox address syntax
            text => ReversePath::Address(address(text, domain).ok_or_else(|| Refusal {
                code: 553,
                enhanced: (5, 1, 7),
                text: "The sender's address can't be read".to_owned(),
            })?),
        };
        Ok(Self {
            queue_id: String::new(),
            reverse_path,
            smtp_utf8: arguments.any(|parameter| parameter.eq_ignore_ascii_case("SMTPUTF8")),
            login: None,
            recipients: Vec::new(),
            message: Vec::new(),
            share,
        })
    }

    /// RCPT: a refusal concerns this recipient.
    pub(crate) fn recipient(&mut self, path: &CStr, domain: &str, limits: MailLimits) -> Result<(), Refusal> {
        if self.recipients.len() >= limits.recipients_max {
            // RFC 5321 §4.5.3.1.10
            return Err(Refusal {
                code: 452,
                enhanced: (4, 5, 3),
                text: "Too many recipients of one message".to_owned(),
            });
        }
        let written = path.to_string_lossy().into_owned();
        let Some(address) = address(bare(&written), domain) else {
            return Err(Refusal {
                code: 553,
                enhanced: (5, 1, 3),
                text: "The recipient's address can't be read".to_owned(),
            });
        };
        self.recipients.push((written, address));
        Ok(())
    }

    /// A header field. Mail servers end its lines in LF alone; `has_space` says whether the value comes with what stands behind the colon.
    pub(crate) fn field(
        &mut self,
        name: &CStr,
        value: &CStr,
        has_space: bool,
        limits: MailLimits,
    ) -> Result<(), Refusal> {
        let (name, value) = (name.to_bytes(), value.to_bytes());
        let folds = value.iter().filter(|byte| **byte == b'\n').count();
        self.make_room(name.len() + value.len() + folds + 4, limits)?;
        self.message.extend_from_slice(name);
        self.message.push(b':');
        if !has_space && !value.starts_with(b"\n") {
            self.message.push(b' ');
        }
        let mut last = 0;
        for byte in value {
            if *byte == b'\n' && last != b'\r' {
                self.message.push(b'\r');
            }
            self.message.push(*byte);
            last = *byte;
        }
        self.message.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// The empty line.
    pub(crate) fn end_of_header(&mut self, limits: MailLimits) -> Result<(), Refusal> {
        self.body(b"\r\n", limits)
    }

    /// A piece of the text.
    pub(crate) fn body(&mut self, piece: &[u8], limits: MailLimits) -> Result<(), Refusal> {
        self.make_room(piece.len(), limits)?;
        self.message.extend_from_slice(piece);
        Ok(())
    }

    fn make_room(&mut self, more: usize, limits: MailLimits) -> Result<(), Refusal> {
        if self.message.len().saturating_add(more) > limits.octets_max {
            // RFC 3463 §3.4: message too big for system
            return Err(Refusal {
                code: 552,
                enhanced: (5, 3, 4),
                text: format!("The message is larger than {} octets", limits.octets_max),
            });
        }
        if !self.share.grow(more) {
            // RFC 3463 §3.4: system full
            return Err(Refusal::temporary(
                (4, 3, 1),
                "Too many messages are being checked, try again later",
            ));
        }
        Ok(())
    }
}

/// A path without its angle brackets and without a source route (RFC 5321 §4.1.1.3, appendix C).
fn bare(path: &str) -> &str {
    let inner = path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path).trim();
    match inner.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, mailbox)) => mailbox,
        None => inner,
    }
}

/// An address; one without a domain is of this machine (quirk `milter-bare-address`: `<postmaster>`, and what people here send by command).
pub(crate) fn address(text: &str, domain: &str) -> Option<Address> {
    text.parse().ok().or_else(|| format!("{text}@{domain}").parse().ok())
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;
    use crate::share::Supply;

    const LIMITS: MailLimits = MailLimits { octets_max: 100, recipients_max: 2 };

    fn c(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    fn mail(arguments: &[&str]) -> Result<Mail, Refusal> {
        let arguments: Vec<CString> = arguments.iter().map(|text| c(text)).collect();
        let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        Mail::begin(&arguments, "here.test", Supply::new(150).share())
    }

    #[test]
    fn senders() {
        let check = |path: &str, expected: Result<&str, u16>| {
            let got = mail(&[path]).map(|mail| mail.reverse_path.to_string()).map_err(|refusal| refusal.code);
            assert_eq!(got, expected.map(str::to_owned), "{path}");
        };
        check("<ann@a.test>", Ok("ann@a.test"));
        check("<>", Ok(""));
        check("ann@a.test", Ok("ann@a.test"));
        check("<@r.test,@s.test:ann@a.test>", Ok("ann@a.test"));
        check("<root>", Ok("root@here.test"));
        check("<\"a b\"@a.test>", Ok("\"a b\"@a.test"));
        check("<a b@a.test>", Err(553));
        check("<ann@a..test>", Err(553));
        assert!(mail(&["<ann@a.test>", "SIZE=3", "smtputf8"]).unwrap().smtp_utf8);
        assert!(!mail(&["<ann@a.test>", "SIZE=3"]).unwrap().smtp_utf8);
        assert_eq!(mail(&[]).unwrap().reverse_path, ReversePath::Null);
    }

    #[test]
    fn recipients_to_the_limit() {
        let mut mail = mail(&["<>"]).unwrap();
        let mut rcpt =
            |path: &str| mail.recipient(&c(path), "here.test", LIMITS).map_err(|refusal| refusal.code);
        assert_eq!(rcpt("<a b@a.test>"), Err(553));
        assert_eq!(rcpt("<postmaster>"), Ok(()));
        assert_eq!(rcpt("<Bob@B.test>"), Ok(()));
        assert_eq!(rcpt("<carl@b.test>"), Err(452));
        let written: Vec<&str> = mail.recipients.iter().map(|(written, _)| written.as_str()).collect();
        assert_eq!(written, ["<postmaster>", "<Bob@B.test>"]);
    }

    #[test]
    fn fields_as_they_were() {
        let check = |value: &str, has_space: bool, expected: &str| {
            let mut mail = mail(&["<>"]).unwrap();
            mail.field(&c("X"), &c(value), has_space, LIMITS).unwrap();
            assert_eq!(String::from_utf8(mail.message).unwrap(), expected, "{value:?}");
        };
        check(" a", true, "X: a\r\n");
        check("a", true, "X:a\r\n");
        check("a", false, "X: a\r\n");
        check("  a\n\tb", true, "X:  a\r\n\tb\r\n");
        check("\n a", true, "X:\r\n a\r\n");
        check("\n a", false, "X:\r\n a\r\n");
        check(" a\r\n b", true, "X: a\r\n b\r\n");
        check("", true, "X:\r\n");
    }

    #[test]
    fn octets_to_the_limit() {
        let check = |octets: usize, expected: Result<(), u16>| {
            let mut mail = mail(&["<>"]).unwrap();
            mail.field(&c("A"), &c(" b"), true, LIMITS).unwrap();
            mail.end_of_header(LIMITS).unwrap();
            let got = mail.body(&vec![b'x'; octets - 8], LIMITS).map_err(|refusal| refusal.code);
            assert_eq!(got, expected, "{octets}");
        };
        check(99, Ok(()));
        check(100, Ok(()));
        check(101, Err(552));
        let supply = Supply::new(150);
        let begin = || Mail::begin(&[], "here.test", supply.share()).unwrap();
        let (mut one, mut other) = (begin(), begin());
        one.body(&[b'x'; 100], LIMITS).unwrap();
        other.body(&[b'x'; 50], LIMITS).unwrap();
        assert_eq!(other.body(b"x", LIMITS).map_err(|refusal| refusal.code), Err(451));
        drop(one);
        other.body(b"x", LIMITS).unwrap();
    }

    /// Whatever a sender writes: lines end in CRLF, nothing but line ends is added, and no bound is crossed.
    #[test]
    fn hostile_fields() {
        let limits = MailLimits { octets_max: 4096, recipients_max: 2 };
        let mut random: u32 = 1;
        for round in 0..2000 {
            let supply = Supply::new(2048);
            let mut mail = Mail::begin(&[], "here.test", supply.share()).unwrap();
            let mut given = Vec::new();
            for _ in 0..8 {
                let value: Vec<u8> = (0..round % 400)
                    .map(|_| {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        *b"\r\n \ta:;\"<>@%\xff\xc3\x01x".get((random >> 24) as usize % 16).unwrap()
                    })
                    .collect();
                if mail.field(c"X", &CString::new(value.clone()).unwrap(), true, limits).is_ok() {
                    given.extend([b"X:", value.as_slice(), b"\n"].concat());
                }
            }
            assert!(mail.message.len() <= 2048);
            let bare = mail.message.windows(2).filter(|pair| pair[1] == b'\n' && pair[0] != b'\r').count();
            assert_eq!(bare, 0, "{round}");
            let without =
                |octets: &[u8]| octets.iter().filter(|byte| **byte != b'\r').copied().collect::<Vec<_>>();
            assert_eq!(without(&mail.message), without(&given), "{round}");
        }
    }

    #[test]
    fn names_that_lead_back() {
        let check = |name: &str, resolved: Option<&str>, expected: Option<&str>| {
            assert_eq!(Peer::new(name, None, resolved).hostname.as_deref(), expected, "{name} {resolved:?}");
        };
        check("mail.a.test", None, Some("mail.a.test"));
        check("mail.a.test", Some("OK"), Some("mail.a.test"));
        check("mail.a.test", Some("FORGED"), None);
        check("mail.a.test", Some("TEMP"), None);
        check("[192.0.2.1]", None, None);
        check("unknown", None, None);
        check("", None, None);
    }
}
