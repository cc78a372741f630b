//! Status responses and continuation requests (RFC 3501 §7.1, §7.5).

use std::io::Write as _;

use super::word;
use crate::Tag;

/// What a status response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Done, or a remark.
    Ok,
    /// Refused or failed.
    No,
    /// Not understood, or not allowed now.
    Bad,
    /// The greeting of a connection that is logged in already. Untagged only.
    PreAuth,
    /// The connection closes. Untagged only.
    Bye,
}

impl Condition {
    /// As it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }
}

/// A response code: what a program needs to know beside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code<'a> {
    /// `ALERT`: show the text to the person.
    Alert,
    /// `ALREADYEXISTS` (RFC 5530)
    AlreadyExists,
    /// `APPENDUID` (RFC 4315 §3)
    AppendUid {
        /// The target's UIDVALIDITY.
        uid_validity: u32,
        /// The new message's UID.
        uid: u32,
    },
    /// `AUTHENTICATIONFAILED` (RFC 5530)
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED` (RFC 5530)
    AuthorizationFailed,
    /// `BADCHARSET` with the charsets that are known.
    BadCharset,
    /// `CANNOT` (RFC 5530): can never work.
    Cannot,
    /// `CAPABILITY`
    Capability(&'a [&'a str]),
    /// `CLIENTBUG` (RFC 5530)
    ClientBug,
    /// `CLOSED` (RFC 7162 §3.2.11): what follows is about the mailbox now selected.
    Closed,
    /// `CONTACTADMIN` (RFC 5530)
    ContactAdmin,
    /// `COPYUID` (RFC 4315 §3): both lists in the same order.
    CopyUid {
        /// The target's UIDVALIDITY.
        uid_validity: u32,
        /// Source and target UID of each message.
        uids: &'a [(u32, u32)],
    },
    /// `EXPUNGEISSUED` (RFC 5530)
    ExpungeIssued,
    /// `HASCHILDREN` (RFC 9051 §7.1)
    HasChildren,
    /// `HIGHESTMODSEQ` (RFC 7162 §3.1.2)
    HighestModSeq(u64),
    /// `INUSE` (RFC 5530): try again.
    InUse,
    /// `LIMIT` (RFC 5530)
    Limit,
    /// `MODIFIED` (RFC 7162 §3.1.3): what UNCHANGEDSINCE left alone.
    Modified(&'a [u32]),
    /// `NOMODSEQ` (RFC 7162 §3.1.2)
    NoModSeq,
    /// `NONEXISTENT` (RFC 5530)
    NonExistent,
    /// `NOPERM` (RFC 5530)
    NoPermission,
    /// `NOTSAVED` (RFC 9051 §7.1)
    NotSaved,
    /// `OVERQUOTA` (RFC 5530)
    OverQuota,
    /// `PARSE`: a message could not be parsed.
    Parse,
    /// `PERMANENTFLAGS`: flags that can be kept; `\*` among them says that new keywords may be made.
    PermanentFlags(&'a [&'a str]),
    /// `PRIVACYREQUIRED` (RFC 5530)
    PrivacyRequired,
    /// `READ-ONLY`
    ReadOnly,
    /// `READ-WRITE`
    ReadWrite,
    /// `SERVERBUG` (RFC 5530)
    ServerBug,
    /// `TOOBIG` (RFC 4469 §4)
    TooBig,
    /// `TRYCREATE`: the target could be made.
    TryCreate,
    /// `UIDNEXT`
    UidNext(u32),
    /// `UIDNOTSTICKY` (RFC 4315 §3)
    UidNotSticky,
    /// `UIDVALIDITY`
    UidValidity(u32),
    /// `UNAVAILABLE` (RFC 5530): a part of the server is down; try again.
    Unavailable,
    /// `UNKNOWN-CTE` (RFC 3516 §4.3)
    UnknownCte,
    /// `USEATTR` (RFC 6154 §3): a special use that can't be given.
    UseAttribute,
    /// `UNSEEN`: the first message without `\Seen`.
    Unseen(u32),
}

impl Code<'_> {
    /// ```abnf
    /// resp-text-code = "ALERT" / "BADCHARSET" [SP "(" astring *(SP astring) ")"] / capability-data / "PARSE" /
    ///                  "PERMANENTFLAGS" SP "(" [flag-perm *(SP flag-perm)] ")" / …      ; RFC 3501 §9
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        let numbered = |name: &str, number: u64, out: &mut Vec<u8>| {
            let _ = write!(out, "{name} {number}");
        };
        match self {
            Self::AppendUid { uid_validity, uid } => {
                let _ = write!(out, "APPENDUID {uid_validity} {uid}");
            }
            Self::CopyUid { uid_validity, uids } => {
                let _ = write!(out, "COPYUID {uid_validity} ");
                word::set(uids.iter().map(|(source, _)| *source), out);
                out.push(b' ');
                word::set(uids.iter().map(|(_, target)| *target), out);
            }
            Self::Capability(names) => {
                out.extend_from_slice(b"CAPABILITY");
                for name in *names {
                    out.push(b' ');
                    out.extend_from_slice(name.as_bytes());
                }
            }
            Self::PermanentFlags(flags) => {
                out.extend_from_slice(b"PERMANENTFLAGS ");
                word::list(flags.iter().copied(), out);
            }
            Self::Modified(numbers) => {
                out.extend_from_slice(b"MODIFIED ");
                word::set(numbers.iter().copied(), out);
            }
            Self::HighestModSeq(value) => numbered("HIGHESTMODSEQ", *value, out),
            Self::UidNext(uid) => numbered("UIDNEXT", (*uid).into(), out),
            Self::UidValidity(value) => numbered("UIDVALIDITY", (*value).into(), out),
            Self::Unseen(number) => numbered("UNSEEN", (*number).into(), out),
            other => out.extend_from_slice(other.word().as_bytes()),
        }
    }

    /// Codes that are one word.
    const fn word(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::BadCharset => "BADCHARSET (US-ASCII UTF-8)",
            Self::Cannot => "CANNOT",
            Self::ClientBug => "CLIENTBUG",
            Self::Closed => "CLOSED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::NoModSeq => "NOMODSEQ",
            Self::NonExistent => "NONEXISTENT",
            Self::NoPermission => "NOPERM",
            Self::NotSaved => "NOTSAVED",
            Self::OverQuota => "OVERQUOTA",
            Self::Parse => "PARSE",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::UidNotSticky => "UIDNOTSTICKY",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::UseAttribute => "USEATTR",
            // The codes with a value are written above.
            _ => "ALERT",
        }
    }
}

/// ```abnf
/// response-tagged = tag SP resp-cond-state CRLF
/// resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text
/// resp-text       = ["[" resp-text-code "]" SP] text
/// ```
///
/// Untagged without a tag.
pub fn write(
    tag: Option<&Tag>,
    condition: Condition,
    code: Option<&Code<'_>>,
    text: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(tag.map_or("*", Tag::as_str).as_bytes());
    out.push(b' ');
    out.extend_from_slice(condition.as_str().as_bytes());
    out.push(b' ');
    if let Some(code) = code {
        out.push(b'[');
        code.write(out);
        out.extend_from_slice(b"] ");
    }
    word::text(text, out);
    out.extend_from_slice(b"\r\n");
}

/// ```abnf
/// continue-req = "+" SP (resp-text / base64) CRLF
/// ```
pub fn continuation(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"+ ");
    if !text.is_empty() {
        word::text(text, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A continuation request with a SASL challenge, which is base64 on the wire.
pub fn challenge(challenge: &[u8], out: &mut Vec<u8>) {
    use base64::Engine as _;
    out.extend_from_slice(b"+ ");
    out.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(challenge).as_bytes());
    out.extend_from_slice(b"\r\n");
}
