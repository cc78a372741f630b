//! The client's side, for load tests: replies out of a stream of bytes.

/// Longest status line in octets (RFC 2449 §4 allows 512).
const STATUS_OCTETS_MAX: usize = 4096;

/// The first line of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// `+ …`: the server waits for a SASL response.
    Challenge(Vec<u8>),
    /// `-ERR`, with what follows.
    Err(Vec<u8>),
    /// `+OK`, with what follows.
    Ok(Vec<u8>),
}

/// The server does not speak POP3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's reply is no POP3 reply")]
pub struct NotPop3;

/// Reads a status line from the beginning of `bytes`: the status and how many bytes it took, or nothing when more
/// bytes are needed.
pub fn status(bytes: &[u8]) -> Result<Option<(Status, usize)>, NotPop3> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() < STATUS_OCTETS_MAX { Ok(None) } else { Err(NotPop3) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(NotPop3)?;
    let text = |rest: &[u8]| rest.strip_prefix(b" ").unwrap_or(rest).to_vec();
    let status = match (line.strip_prefix(b"+OK"), line.strip_prefix(b"-ERR"), line.strip_prefix(b"+ ")) {
        (Some(rest), _, _) => Status::Ok(text(rest)),
        (_, Some(rest), _) => Status::Err(text(rest)),
        (_, _, Some(rest)) => Status::Challenge(rest.to_vec()),
        _ => return Err(NotPop3),
    };
    Ok(Some((status, end + 1)))
}

/// Decodes what follows the first line of a multi-line reply, in pieces of any length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unstuffer {
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    LineStart,
    Dot,
    DotCr,
    Line,
    Cr,
    End,
}

impl Unstuffer {
    /// At the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what `piece` holds to `out` and gives how many of its bytes belong to the reply. Fewer than all, or
    /// [`Self::is_complete`], means that it has ended.
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> usize {
        for (index, octet) in piece.iter().copied().enumerate() {
            self.place = match (self.place, octet) {
                (Place::End, _) => return index,
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    continue;
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    continue;
                }
                (Place::DotCr, b'\n') => {
                    self.place = Place::End;
                    continue;
                }
                (Place::DotCr, _) => {
                    // The dot was doubled for a line that begins with CR.
                    out.push(b'\r');
                    next(Place::Cr, octet)
                }
                (place, octet) => next(place, octet),
            };
            out.push(octet);
        }
        piece.len()
    }

    /// Whether the reply has ended.
    pub fn is_complete(&self) -> bool {
        self.place == Place::End
    }
}

/// Where the octet behind `place` leads inside of a line.
fn next(place: Place, octet: u8) -> Place {
    match (place, octet) {
        (_, b'\r') => Place::Cr,
        (Place::Cr, b'\n') => Place::LineStart,
        _ => Place::Line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert_eq!(status(b"+OK"), Ok(None));
        assert_eq!(status(b"+OK\r\n"), Ok(Some((Status::Ok(vec![]), 5))));
        assert_eq!(status(b"+OK 2 320\r\nrest"), Ok(Some((Status::Ok(b"2 320".to_vec()), 11))));
        assert_eq!(status(b"-ERR [AUTH] no\r\n"), Ok(Some((Status::Err(b"[AUTH] no".to_vec()), 16))));
        assert_eq!(status(b"+ \r\n"), Ok(Some((Status::Challenge(vec![]), 4))));
        assert_eq!(status(b"220 smtp\r\n"), Err(NotPop3));
        assert_eq!(status(&[b'+'; STATUS_OCTETS_MAX - 1]), Ok(None));
        assert_eq!(status(&[b'+'; STATUS_OCTETS_MAX]), Err(NotPop3));
    }

    #[test]
    fn bodies() {
        let wire = b"a\r\n..b\r\n.\rc\r\n\r\n.\r\n+OK next\r\n";
        for size in 1..=wire.len() {
            let (mut unstuffer, mut out, mut taken) = (Unstuffer::new(), Vec::new(), 0);
            for piece in wire.chunks(size) {
                taken += unstuffer.take(piece, &mut out);
            }
            assert!(unstuffer.is_complete());
            assert_eq!(String::from_utf8_lossy(&out), "a\r\n.b\r\n\rc\r\n\r\n");
            assert_eq!(&wire[taken..], b"+OK next\r\n");
        }
    }
}
