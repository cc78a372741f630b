//! Entries for a fuzzer.

use crate::client::{Unstuffer, status};
use crate::{Action, Command, Framer, Limits, Maildrop, Message, Offer, Session, Stuffer, TopCutter};

/// Reads a line: never panics, and the same line in lower case means the same command.
pub fn fuzz_command(data: &[u8]) {
    let one = Command::parse(data).map(|command| format!("{command:?}"));
    let keyword = data.iter().position(|octet| *octet == b' ').unwrap_or(data.len());
    let mut lower = data.to_vec();
    if let Some(keyword) = lower.get_mut(..keyword) {
        keyword.make_ascii_lowercase();
    }
    assert_eq!(one, Command::parse(&lower).map(|command| format!("{command:?}")));
}

/// Runs a session over a stream of bytes: messages are deleted only by QUIT, and only those that were marked.
pub fn fuzz_session(data: &[u8]) {
    let limits = Limits { line_octets_max: 64 };
    let offer =
        Offer { starttls: true, login: true, passwords: true, mechanisms: &["PLAIN", "SCRAM-SHA-256"] };
    let mut framer = Framer::new();
    let mut session = Session::new();
    let mut marked = 0;
    for chunk in data.chunks(7) {
        framer.push(chunk);
        while let Some(line) = framer.line(&limits) {
            let Ok(line) = line else { continue };
            assert!(line.len() < limits.line_octets_max);
            let (next, action) = session.step(&line, offer);
            if let Session::Transaction(maildrop) = &next {
                marked = maildrop.deleted().len();
            }
            session = next;
            match action {
                Action::Update { deleted } => {
                    assert_eq!(deleted.len(), marked);
                    assert_eq!(session, Session::Ended);
                    return;
                }
                Action::Close(_) => return,
                Action::StartTls(_) => framer.discard(),
                Action::Login { .. } | Action::SaslRespond(_) => {
                    assert_eq!(session, Session::Checking);
                    let messages = [1, 2, 3].map(|uid| Message { uid, size: 10 });
                    session = Session::opened(Maildrop::new(1, messages.to_vec())).0;
                }
                Action::SaslBegin { .. } => session = Session::challenged("").0,
                Action::List(_) | Action::Reply(_) | Action::Retrieve { .. } => {}
            }
        }
        assert!(framer.len() <= limits.line_octets_max + 7);
    }
}

/// A message sent and received in pieces is the same message, and the end is found exactly.
pub fn fuzz_stuffing(data: &[u8]) {
    let Some((size, message)) = data.split_first() else { return };
    // Bare LF is no line end for the receiver, and the store has none.
    let message: Vec<u8> = message.iter().map(|octet| if *octet == b'\n' { b'x' } else { *octet }).collect();
    let message = message.split(|octet| *octet == b'#').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let size = usize::from(*size).max(1);
    let (mut stuffer, mut wire) = (Stuffer::new(), Vec::new());
    for piece in message.chunks(size) {
        stuffer.write(piece, &mut wire);
    }
    stuffer.finish(&mut wire);
    let length = wire.len();
    wire.extend_from_slice(b"+OK next\r\n");
    let (mut unstuffer, mut got, mut taken) = (Unstuffer::new(), Vec::new(), 0);
    for piece in wire.chunks(size) {
        taken += unstuffer.take(piece, &mut got);
    }
    assert!(unstuffer.is_complete());
    assert_eq!(taken, length);
    assert_eq!(got.strip_prefix(&*message).map(|rest| rest == b"" || rest == b"\r\n"), Some(true));
    let mut cutter = TopCutter::new(u64::try_from(size).unwrap_or(1));
    assert!(cutter.take(&message) <= message.len());
}

/// Reads a server's reply.
pub fn fuzz_client(data: &[u8]) {
    if let Ok(Some((_, taken))) = status(data) {
        assert!(taken <= data.len());
    }
    let mut out = Vec::new();
    let taken = Unstuffer::new().take(data, &mut out);
    assert!(taken <= data.len() && out.len() <= taken);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: &str = "(USER a|PASS b|AUTH PLAIN|QUIT|STLS|CAPA|DELE [0-4]|RSET|RETR 1|TOP 1 1|UIDL|x{0,80}|[\\x00-\\x7f]{0,9})";

    proptest! {
        #[test]
        fn commands(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz_command(&data);
        }

        #[test]
        fn sessions(lines in proptest::collection::vec(WORDS, 0..30)) {
            fuzz_session(lines.join("\r\n").as_bytes());
        }

        #[test]
        fn stuffing(data in "[\\x01-\\x05][.#a\\r\\n]{0,60}") {
            fuzz_stuffing(data.as_bytes());
        }

        #[test]
        fn clients(data in "[+OK\\-ER .\\r\\n]{0,40}") {
            fuzz_client(data.as_bytes());
        }
    }
}
