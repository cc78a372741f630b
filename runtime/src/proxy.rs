//! The PROXY protocol, versions 1 and 2: who a connection is from, when a load balancer stands in front.
//!
//! ```text
//!  v1  PROXY TCP4 192.0.2.1 198.51.100.1 56324 25 CRLF              at most 107 octets
//!  v2  | 0D0A0D0A000D0A515549540A | version 2, command | family | length | addresses, TLVs |
//! ```
//! Only connections from the networks that the configuration names must begin with it, and those must: without it the peer could name itself, or
//! the balancer would be taken for everybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1.
const TEXT_MAX: usize = 107;
/// The longest addresses and TLVs of version 2 that are read.
const BINARY_MAX: usize = 2048;

/// Reads the header, and not an octet more. `peer` is the balancer: it is the answer for its own health checks (LOCAL, UNKNOWN).
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    if first == SIGNATURE {
        return binary(stream, peer).await;
    }
    if !first.starts_with(b"PROXY ") {
        return Err(wrong("the connection does not begin with a PROXY header"));
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= TEXT_MAX {
            return Err(wrong("the PROXY header has no end"));
        }
        line.push(stream.read_u8().await?);
    }
    text(&line, peer)
}

fn text(line: &[u8], peer: SocketAddr) -> io::Result<SocketAddr> {
    let line = std::str::from_utf8(line).map_err(|_| wrong("the PROXY header is no text"))?;
    let words: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
    let address: Option<(IpAddr, &str)> = match *words {
        ["PROXY", "UNKNOWN", ..] => return Ok(peer),
        ["PROXY", "TCP4", source, _, port, _] => {
            source.parse::<Ipv4Addr>().ok().map(|source| (source.into(), port))
        }
        ["PROXY", "TCP6", source, _, port, _] => {
            source.parse::<Ipv6Addr>().ok().map(|source| (source.into(), port))
        }
        _ => None,
    };
    let client = address.and_then(|(source, port)| Some(SocketAddr::new(source, decimal(port)?)));
    client.ok_or_else(|| wrong("the PROXY header names no address"))
}

/// A port as the header writes it: digits, no sign, no zero in front.
fn decimal(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

async fn binary(stream: &mut (impl AsyncRead + Unpin), peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > BINARY_MAX {
        return Err(wrong("the PROXY header is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (command, family) {
        // LOCAL: the balancer speaks for itself.
        (0x20, _) => Ok(peer),
        (0x21, 0x11) => v4(&rest),
        (0x21, 0x21) => v6(&rest),
        // UNSPEC and what is not TCP: the real peer counts.
        (0x21, _) => Ok(peer),
        _ => Err(wrong("the PROXY header has another version or command")),
    }
}

fn v4(rest: &[u8]) -> io::Result<SocketAddr> {
    let short = || wrong("the PROXY header is too short");
    let (source, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (_, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let _: (&[u8; 2], _) = rest.split_first_chunk().ok_or_else(short)?;
    Ok(SocketAddr::new(Ipv4Addr::from(*source).into(), u16::from_be_bytes(*port)))
}

fn v6(rest: &[u8]) -> io::Result<SocketAddr> {
    let short = || wrong("the PROXY header is too short");
    let (source, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let (_, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let _: (&[u8; 2], _) = rest.split_first_chunk().ok_or_else(short)?;
    Ok(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes(*port)))
}

fn wrong(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Reads arbitrary octets as a header: one that is taken was taken whole, and nothing behind it.
pub(crate) fn fuzz(input: &[u8]) {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 5));
    let mut rest = input;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let answer = Box::pin(read(&mut rest, peer)).as_mut().poll(&mut context);
    let std::task::Poll::Ready(answer) = answer else { return };
    let taken = input.get(..input.len() - rest.len()).unwrap_or_default();
    if answer.is_ok() {
        let length = taken
            .get(14..16)
            .map_or(0, |length| length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)));
        let is_text = taken.starts_with(b"PROXY ") && taken.ends_with(b"\r\n") && taken.len() <= TEXT_MAX;
        let is_binary = taken.starts_with(&SIGNATURE) && taken.len() == 16 + length && length <= BINARY_MAX;
        assert!(is_text || is_binary, "a header is taken whole, and nothing behind it");
    }
    assert!(taken.len() <= 16 + BINARY_MAX, "no more is read than a header may have");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "127.0.0.1:5";

    async fn parse(mut octets: &[u8]) -> (Result<String, io::ErrorKind>, usize) {
        let client = read(&mut octets, PEER.parse().unwrap()).await;
        (client.map(|client| client.to_string()).map_err(|error| error.kind()), octets.len())
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn a_header_names_the_client_and_nothing_behind_it_is_read() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0, 25];
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0xdc, 4, 0, 25]].concat();
        for (header, client) in [
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\n".to_vec(), "192.0.2.1:56324"),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n".to_vec(), "[2001:db8::1]:56324"),
            (b"PROXY UNKNOWN\r\n".to_vec(), PEER),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), PEER),
            (v2(0x21, 0x11, &four), "192.0.2.1:56324"),
            (v2(0x21, 0x11, &[&four[..], b"TLVs"].concat()), "192.0.2.1:56324"),
            (v2(0x21, 0x21, &six), "[2001:db8::1]:56324"),
            (v2(0x20, 0, b""), PEER),
            (v2(0x21, 0, b""), PEER),
        ] {
            let octets = [&header[..], b"EHLO me\r\n"].concat();
            assert_eq!(parse(&octets).await, (Ok(client.to_owned()), 9), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        for octets in [
            &b"EHLO example.org\r\n"[..],
            b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 25\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 70000 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 +5 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 05 25\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 5\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 5 25 26\r\n",
            b"PROXY TCP4  192.0.2.1 198.51.100.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.1\r198.51.100.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.1\n198.51.100.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.\x001 198.51.100.1 5 25\r\n",
            b"PROXY TCP4 192.0.2.\xff 198.51.100.1 5 25\r\n",
            b"PROXY TCP6 ::ffff:1%eth0 ::1 5 25\r\n",
            b"proxy tcp4 192.0.2.1 198.51.100.1 5 25\r\n",
            b"PROXY TCP4 \r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 25\r\n",
            &long,
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 33]),
            &v2(0x21, 0x11, &[0; BINARY_MAX + 1]),
        ] {
            assert_eq!(parse(octets).await.0, Err(io::ErrorKind::InvalidData), "{octets:?}");
        }
        let whole = v2(0x21, 0x11, &[0; 12]);
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]).await.0, Err(io::ErrorKind::UnexpectedEof), "cut at {cut}");
        }
        assert!(parse(&v2(0x21, 0x11, &[0; BINARY_MAX])).await.0.is_ok());
        // The longest text, and one octet more.
        let text = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
        assert!(parse(&text(TEXT_MAX)).await.0.is_ok());
        assert_eq!(parse(&text(TEXT_MAX + 1)).await.0, Err(io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn attack_of_64_kib_and_of_wrong_tlvs() {
        // The length alone refuses it: nothing of it is read or kept.
        let large = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 65_535]].concat();
        assert_eq!(parse(&large).await, (Err(io::ErrorKind::InvalidData), 65_535));
        // TLVs say nothing to us: whatever they claim, the header ends where its own length says.
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0, 25];
        for tlvs in
            [&b"\x01\xff\xff"[..], b"\x01", b"\x20\x00\x05\xff\xff\xff\xff\xff", b"\0\0\0\0", b"EHLO x\r\n"]
        {
            let octets = [&v2(0x21, 0x11, &[&four[..], tlvs].concat())[..], b"EHLO me\r\n"].concat();
            assert_eq!(parse(&octets).await, (Ok("192.0.2.1:56324".to_owned()), 9), "{tlvs:?}");
        }
        // LOCAL with addresses is LOCAL all the same.
        assert_eq!(parse(&v2(0x20, 0x11, &four)).await.0, Ok(PEER.to_owned()));
    }

    #[test]
    fn arbitrary_octets_are_survived() {
        let four = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0, 25]);
        let text = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 25\r\nEHLO x\r\n".to_vec();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..5000 {
            for whole in [&four, &text] {
                let mut changed = whole.clone();
                for _ in 0..3 {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    let at = usize::try_from(seed >> 32).unwrap() % changed.len();
                    changed[at] = u8::try_from(seed & 0xff).unwrap();
                }
                fuzz(&changed);
            }
        }
    }
}
