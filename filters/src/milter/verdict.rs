//! What milters say, in the words of the gateway.

use bytes::Bytes;
use envelope::{Address, ReversePath};
use milter_proto::{Answer, Modification, ReplyCode};

use super::failure::Failure;
use crate::peer::reply_text;
use crate::verdict::{Change, Refusal};

/// What a milter that can't be asked means, where that is to refuse.
pub(super) fn unavailable() -> Refusal {
    Refusal::temporary((4, 7, 1), "a filter does not answer, try again later")
}

/// What an answer refuses, if it does.
pub(super) fn refusal(answer: &Answer) -> Option<Refusal> {
    match answer {
        Answer::Continue | Answer::Accept | Answer::Discard => None,
        Answer::Reject => Some(Refusal::permanent((5, 7, 1), "refused by a filter")),
        Answer::Tempfail => {
            Some(Refusal::temporary((4, 7, 1), "refused by a filter for now, try again later"))
        }
        Answer::Shutdown => {
            Some(Refusal { code: 421, enhanced: (4, 7, 0), text: "closing the connection".to_owned() })
        }
        Answer::Reply(reply) => Some(chosen(reply)),
    }
}

fn chosen(reply: &ReplyCode) -> Refusal {
    let class = if reply.code < 500 { 4 } else { 5 };
    let lines: Vec<&str> =
        reply.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let mut text = reply_text(&lines.join(" "));
    if text.is_empty() {
        "refused by a filter".clone_into(&mut text);
    }
    Refusal { code: reply.code, enhanced: reply.enhanced.unwrap_or((class, 7, 1)), text }
}

/// The changes of one milter.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) changes: Vec<Change>,
    /// Why it is to be kept back.
    pub(super) quarantine: Option<String>,
}

/// Where this server's own trace field would stand among the fields that milters count. They count it as Sendmail and Postfix do when they insert: a field at 0
/// goes before it, one at 1 behind it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TracePlace(usize);

impl TracePlace {
    fn insert(&mut self, index: usize) -> usize {
        if index > self.0 {
            return index - 1;
        }
        self.0 += 1;
        index
    }
}

impl Wanted {
    /// Translates what one milter wants.
    pub(super) fn from_modifications(
        modifications: Vec<Modification>,
        trace: &mut TracePlace,
    ) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        let mut body: Option<Vec<u8>> = None;
        for modification in modifications {
            let change = match modification {
                Modification::AddHeader { name, value } => Change::AddField { name, value: bare(value) },
                Modification::InsertHeader { index, name, value } => {
                    let index = trace.insert(usize::try_from(index).unwrap_or(usize::MAX));
                    Change::InsertField { index, name, value: bare(value) }
                }
                Modification::ChangeHeader { index, name, value } => {
                    let index = usize::try_from(index).unwrap_or(usize::MAX);
                    Change::ChangeField { name, index, value: (!value.is_empty()).then(|| bare(value)) }
                }
                Modification::ReplaceBody(piece) => {
                    body.get_or_insert_default().extend_from_slice(&piece);
                    continue;
                }
                Modification::ChangeFrom { address, .. } if address.is_empty() => {
                    Change::ChangeSender(ReversePath::Null)
                }
                Modification::ChangeFrom { address: text, .. } => {
                    Change::ChangeSender(ReversePath::Address(address(&text)?))
                }
                Modification::AddRecipient { address: text, .. } => Change::AddRecipient(address(&text)?),
                Modification::RemoveRecipient(text) => Change::RemoveRecipient(address(&text)?),
                Modification::Quarantine(why) => {
                    wanted.quarantine.get_or_insert(why);
                    continue;
                }
            };
            wanted.changes.push(change);
        }
        wanted.changes.extend(body.map(text).transpose()?.map(Change::ReplaceBody));
        Ok(wanted)
    }
}

fn address(text: &str) -> Result<Address, Failure> {
    text.parse().map_err(|_| Failure::Change("an address that is none"))
}

/// A field's value without the one space that stands behind the colon anyway (quirk `milter-no-space`: also where the milter has none).
fn bare(value: String) -> String {
    match value.strip_prefix(' ') {
        Some(rest) if !rest.starts_with([' ', '\t', '\r']) => rest.to_owned(),
        _ => value,
    }
}

/// A new body: lines that end in CRLF, as everything that comes in must have (RFC 5321 §2.3.8). Quirk `milter-last-line`: the last line gets its end if it has none.
fn text(mut body: Vec<u8>) -> Result<Bytes, Failure> {
    let mut rest = body.as_slice();
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
        rest = rest
            .get(at..)
            .and_then(|rest| rest.strip_prefix(b"\r\n"))
            .ok_or(Failure::Change("a body with a bare CR, LF or NUL"))?;
    }
    if !rest.is_empty() {
        body.extend_from_slice(b"\r\n");
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, enhanced: Option<(u8, u16, u16)>, lines: &[&str]) -> Answer {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Answer::Reply(ReplyCode { code, enhanced, lines })
    }

    fn check(answer: &Answer, expected: Option<(u16, (u8, u16, u16), &str)>) {
        let got = refusal(answer);
        let got = got.as_ref().map(|refusal| (refusal.code, refusal.enhanced, refusal.text.as_str()));
        assert_eq!(got, expected, "{answer:?}");
    }

    #[test]
    fn refusals() {
        check(&Answer::Continue, None);
        check(&Answer::Accept, None);
        check(&Answer::Discard, None);
        check(&Answer::Reject, Some((550, (5, 7, 1), "refused by a filter")));
        check(&Answer::Tempfail, Some((451, (4, 7, 1), "refused by a filter for now, try again later")));
        check(&Answer::Shutdown, Some((421, (4, 7, 0), "closing the connection")));
        check(&reply(554, Some((5, 6, 0)), &["a", " b ", ""]), Some((554, (5, 6, 0), "a b")));
        check(&reply(452, None, &[""]), Some((452, (4, 7, 1), "refused by a filter")));
        let long = refusal(&reply(550, None, &["ü".repeat(500).as_str()])).unwrap();
        assert_eq!(long.text, "?".repeat(400));
    }

    #[test]
    fn a_place_before_and_behind_our_trace_field() {
        let places = |wire: &[usize]| {
            let mut trace = TracePlace::default();
            wire.iter().map(|index| trace.insert(*index)).collect::<Vec<_>>()
        };
        assert_eq!(places(&[1]), [0]);
        assert_eq!(places(&[0]), [0]);
        assert_eq!(places(&[5]), [4]);
        // Inserted before the trace field, then behind what was inserted: A, B, trace.
        assert_eq!(places(&[0, 1]), [0, 1]);
        assert_eq!(places(&[1, 1, 2]), [0, 0, 1]);
    }

    #[test]
    fn bodies_in_pieces() {
        let body = |pieces: &[&[u8]]| {
            let pieces = pieces.iter().map(|piece| Modification::ReplaceBody(piece.to_vec())).collect();
            Wanted::from_modifications(pieces, &mut TracePlace::default()).map(|wanted| wanted.changes).ok()
        };
        let is = |text: &'static [u8]| Some(vec![Change::ReplaceBody(Bytes::from_static(text))]);
        assert_eq!(body(&[b"a\r", b"\nb"]), is(b"a\r\nb\r\n"));
        assert_eq!(body(&[b""]), is(b""));
        for bad in [&b"a\n"[..], b"a\rb", b"a\r", b"a\0b", b"\n", b"a\r\r\n"] {
            assert_eq!(body(&[bad]), None, "{bad:?}");
        }
    }

    #[test]
    fn the_space_behind_the_colon() {
        for (full, value) in
            [(" a", "a"), ("a", "a"), ("  a", "  a"), (" \ta", " \ta"), (" \r\n a", " \r\n a"), (" ", "")]
        {
            assert_eq!(bare(full.to_owned()), value);
        }
    }

    #[test]
    fn addresses_are_addresses() {
        let wanted =
            |modification| Wanted::from_modifications(vec![modification], &mut TracePlace::default());
        let add =
            |address: &str| Modification::AddRecipient { address: address.to_owned(), parameters: None };
        assert!(wanted(add("a@b.test")).is_ok());
        for bad in ["", "a", "a@", "a b@c.test", "a@b.test, c@d.test"] {
            assert!(wanted(add(bad)).is_err(), "{bad}");
        }
        let sender = |address: &str| {
            let wanted = wanted(Modification::ChangeFrom { address: address.to_owned(), parameters: None });
            wanted.ok().map(|wanted| wanted.changes)
        };
        assert_eq!(sender(""), Some(vec![Change::ChangeSender(ReversePath::Null)]));
        assert_eq!(sender("<>"), None);
    }
}
