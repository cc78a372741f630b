//! What a milter changes in a message.

use crate::options::Actions;
use crate::reply::ReplyError;
use crate::text;

/// One change, valid: it can be written into a message or an envelope as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    /// A field behind the last one.
    AddHeader {
        /// Its name.
        name: String,
        /// All behind the colon, CRLF where it is folded.
        value: String,
    },
    /// A field at a place.
    InsertHeader {
        /// 0: before all, the server's own trace field too; 1: behind that.
        index: u32,
        /// Its name.
        name: String,
        /// All behind the colon, CRLF where it is folded.
        value: String,
    },
    /// The `index`-th field of a name gets another value, or goes when it is empty.
    ChangeHeader {
        /// From 1. Quirk `change-index-zero`: 0 means 1, as Sendmail takes it.
        index: u32,
        /// Its name.
        name: String,
        /// All behind the colon, CRLF where it is folded; empty: it is removed.
        value: String,
    },
    /// A piece of a new body; the first replaces what there was.
    ReplaceBody(Vec<u8>),
    /// Another sender.
    ChangeFrom {
        /// Without angle brackets; empty for the null sender.
        address: String,
        /// ESMTP parameters.
        parameters: Option<String>,
    },
    /// One more recipient.
    AddRecipient {
        /// Without angle brackets.
        address: String,
        /// ESMTP parameters.
        parameters: Option<String>,
    },
    /// A recipient less.
    RemoveRecipient(String),
    /// The message is kept back.
    Quarantine(String),
}

impl Modification {
    /// Reads the packet of a modification; `None` when the code is of none.
    ///
    /// ```abnf
    /// add-header    = "h" name value
    /// insert-header = "i" index name value     ; index: uint32
    /// change-header = "m" index name value
    /// replace-body  = "b" *OCTET
    /// change-from   = "e" text [ text ]        ; address, ESMTP parameters
    /// add-rcpt      = "+" text    add-rcpt-par = "2" text [ text ]    remove-rcpt = "-" text
    /// quarantine    = "q" text
    /// name          = 1*( %d33-57 / %d59-126 ) %x00    ; RFC 5322 §2.2
    /// value         = *( %x01-09 / %x0B-0C / %x0E-FF / [ CR ] LF WSP ) %x00
    /// ```
    pub(crate) fn parse(code: u8, mut data: &[u8]) -> Option<Result<Self, ReplyError>> {
        let wrong = ReplyError::Syntax(code);
        Some(match code {
            b'h' => field(data, wrong).map(|(name, value)| Self::AddHeader { name, value }),
            b'i' | b'm' => match text::number(&mut data) {
                None => Err(wrong),
                Some(index) if i32::try_from(index).is_err() => Err(wrong),
                Some(index) => field(data, wrong).map(|(name, value)| match code {
                    b'i' => Self::InsertHeader { index, name, value },
                    _ => Self::ChangeHeader { index: index.max(1), name, value },
                }),
            },
            b'b' => Ok(Self::ReplaceBody(data.to_vec())),
            b'e' => {
                address(data, wrong).map(|(address, parameters)| Self::ChangeFrom { address, parameters })
            }
            b'2' => {
                address(data, wrong).map(|(address, parameters)| Self::AddRecipient { address, parameters })
            }
            b'+' => recipient(data, wrong).map(|address| Self::AddRecipient { address, parameters: None }),
            b'-' => recipient(data, wrong).map(Self::RemoveRecipient),
            b'q' => text::only(data).map(|reason| Self::Quarantine(printable(reason))).ok_or(wrong),
            _ => return None,
        })
    }

    /// The letter on the wire.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::AddHeader { .. } => b'h',
            Self::InsertHeader { .. } => b'i',
            Self::ChangeHeader { .. } => b'm',
            Self::ReplaceBody(_) => b'b',
            Self::ChangeFrom { .. } => b'e',
            Self::AddRecipient { parameters: Some(_), .. } => b'2',
            Self::AddRecipient { parameters: None, .. } => b'+',
            Self::RemoveRecipient(_) => b'-',
            Self::Quarantine(_) => b'q',
        }
    }

    pub(crate) fn fill(&self, out: &mut Vec<u8>) {
        match self {
            Self::AddHeader { name, value } => {
                text::put(out, name.as_bytes());
                text::put(out, value.as_bytes());
            }
            Self::InsertHeader { index, name, value } | Self::ChangeHeader { index, name, value } => {
                out.extend_from_slice(&index.to_be_bytes());
                text::put(out, name.as_bytes());
                text::put(out, value.as_bytes());
            }
            Self::ReplaceBody(piece) => out.extend_from_slice(piece),
            Self::ChangeFrom { address, parameters } | Self::AddRecipient { address, parameters } => {
                text::put(out, format!("<{address}>").as_bytes());
                if let Some(parameters) = parameters {
                    text::put(out, parameters.as_bytes());
                }
            }
            Self::RemoveRecipient(address) => text::put(out, format!("<{address}>").as_bytes()),
            Self::Quarantine(reason) => text::put(out, reason.as_bytes()),
        }
    }

    /// What must have been negotiated.
    pub(crate) const fn needs(&self) -> Actions {
        match self {
            Self::AddHeader { .. } | Self::InsertHeader { .. } => Actions::ADD_HEADERS,
            Self::ChangeHeader { .. } => Actions::CHANGE_HEADERS,
            Self::ReplaceBody(_) => Actions::CHANGE_BODY,
            Self::ChangeFrom { .. } => Actions::CHANGE_FROM,
            Self::AddRecipient { parameters: Some(_), .. } => Actions::ADD_RECIPIENTS_WITH_PARAMETERS,
            Self::AddRecipient { parameters: None, .. } => Actions::ADD_RECIPIENTS,
            Self::RemoveRecipient(_) => Actions::REMOVE_RECIPIENTS,
            Self::Quarantine(_) => Actions::QUARANTINE,
        }
    }

    /// Puts the one space behind the colon that the milter left out because it was not negotiated.
    pub(crate) fn with_leading_space(mut self) -> Self {
        match &mut self {
            Self::AddHeader { value, .. } | Self::InsertHeader { value, .. } => value.insert(0, ' '),
            Self::ChangeHeader { value, .. } if !value.is_empty() => value.insert(0, ' '),
            _ => {}
        }
        self
    }
}

fn field(mut data: &[u8], wrong: ReplyError) -> Result<(String, String), ReplyError> {
    let name = text::take(&mut data).ok_or(wrong)?;
    let value = text::only(data).ok_or(wrong)?;
    let fine = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    match str::from_utf8(name) {
        Ok(name) if !name.is_empty() && name.bytes().all(|byte| fine(&byte)) => {
            Ok((name.to_owned(), folded(value)?))
        }
        _ => Err(ReplyError::FieldName),
    }
}

/// A value whose lines end in CRLF (quirk `milter-line-feeds`) and go on with white space, so that it can't begin another field or the body. What is not UTF-8 is
/// replaced (quirk `milter-value-utf8`).
fn folded(value: &[u8]) -> Result<String, ReplyError> {
    let value = String::from_utf8_lossy(value);
    let mut lines = value.split('\n');
    let mut folded = String::with_capacity(value.len() + 8);
    let mut line = lines.next().unwrap_or_default();
    for next in lines {
        folded.push_str(line.strip_suffix('\r').unwrap_or(line));
        if !next.starts_with([' ', '\t']) {
            return Err(ReplyError::FieldValue);
        }
        folded.push_str("\r\n");
        line = next;
    }
    folded.push_str(line);
    // Only the CRs of the line ends just written are left, or the value holds bare ones.
    let lone = folded.matches('\r').count() != folded.matches("\r\n").count();
    if lone { Err(ReplyError::FieldValue) } else { Ok(folded) }
}

fn recipient(data: &[u8], wrong: ReplyError) -> Result<String, ReplyError> {
    bare(text::only(data).ok_or(wrong)?)
}

fn address(mut data: &[u8], wrong: ReplyError) -> Result<(String, Option<String>), ReplyError> {
    let address = bare(text::take(&mut data).ok_or(wrong)?)?;
    let parameters = match data {
        [] => None,
        data => Some(printable(text::only(data).ok_or(wrong)?)),
    };
    Ok((address, parameters))
}

fn bare(address: &[u8]) -> Result<String, ReplyError> {
    let address = str::from_utf8(address).map_err(|_| ReplyError::Address)?;
    let bare = address.strip_prefix('<').and_then(|address| address.strip_suffix('>')).unwrap_or(address);
    if bare.contains(char::is_control) { Err(ReplyError::Address) } else { Ok(bare.to_owned()) }
}

fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
