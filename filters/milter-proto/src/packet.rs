//! Packets: length, code, data.

/// Octets of data that libmilter takes in one packet.
pub const DATA_MAX: usize = 65_535;
/// Octets of a body in one packet.
pub const BODY_CHUNK_MAX: usize = 65_535;

/// Octets of the length.
const PREFIX: usize = 4;

/// One packet, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is.
    pub code: u8,
    /// What belongs to it.
    pub data: &'a [u8],
}

/// Why octets are no packet. What follows can't be read: nobody knows where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length of nothing, which leaves no room for a code.
    #[error("a packet without a code")]
    Empty,
    /// A length over the limit. Nothing of it is waited for.
    #[error("a packet of {announced} octets, where {max} are allowed")]
    TooLong {
        /// What the peer announced.
        announced: u32,
        /// The limit.
        max: usize,
    },
}

/// Takes a packet from the start of `buffer`: the packet and how many octets it took. `Ok(None)` asks for more octets.
pub fn frame(buffer: &[u8], packet_max: usize) -> Result<Option<(Packet<'_>, usize)>, FrameError> {
    let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX>() else { return Ok(None) };
    let announced = u32::from_be_bytes(*prefix);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > packet_max {
        return Err(FrameError::TooLong { announced, max: packet_max });
    }
    let Some((code, data)) = rest.get(..length).and_then(<[u8]>::split_first) else { return Ok(None) };
    Ok(Some((Packet { code: *code, data }, PREFIX + length)))
}

/// Appends a packet whose data `fill` appends.
pub(crate) fn write(out: &mut Vec<u8>, code: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    out.push(code);
    fill(out);
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    if let Some(prefix) = out.get_mut(start..start + PREFIX) {
        prefix.copy_from_slice(&length.to_be_bytes());
    }
}

pub(crate) fn fuzz(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((packet, taken))) = frame(rest, 1024) {
        let mut again = Vec::new();
        write(&mut again, packet.code, |out| out.extend_from_slice(packet.data));
        assert_eq!(Some(again.as_slice()), rest.get(..taken), "a packet is written as it was read");
        rest = rest.get(taken..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (u8, &'a [u8], usize);

    fn check(wire: &[u8], expected: Result<Option<Parts<'_>>, FrameError>) {
        let got = frame(wire, 10).map(|found| found.map(|(packet, taken)| (packet.code, packet.data, taken)));
        assert_eq!(got, expected, "{wire:?}");
    }

    #[test]
    fn frames() {
        check(b"", Ok(None));
        check(b"\0\0\0", Ok(None));
        check(b"\0\0\0\x01", Ok(None));
        check(b"\0\0\0\x01c", Ok(Some((b'c', b"", 5))));
        check(b"\0\0\0\x03hab\0\0", Ok(Some((b'h', b"ab", 7))));
        check(b"\0\0\0\0", Err(FrameError::Empty));
        check(b"\0\0\0\x09x12345678", Ok(Some((b'x', b"12345678", 13))));
        check(b"\0\0\0\x0ax123456789", Ok(Some((b'x', b"123456789", 14))));
        check(b"\0\0\0\x0b", Err(FrameError::TooLong { announced: 11, max: 10 }));
        check(b"\xff\xff\xff\xff", Err(FrameError::TooLong { announced: u32::MAX, max: 10 }));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(input: Vec<u8>) {
            fuzz(&input);
        }

        #[test]
        fn pieces_are_waited_for(data: Vec<u8>, cut in 0usize..300) {
            let mut wire = Vec::new();
            write(&mut wire, b'b', |out| out.extend_from_slice(&data));
            let cut = cut.min(wire.len());
            let found = frame(&wire[..cut], 4096).unwrap();
            proptest::prop_assert_eq!(found.is_some(), cut == wire.len());
        }
    }
}
