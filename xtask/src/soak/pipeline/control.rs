//! The negative control: a server in front of the gateways that says 250 when it has read a message, and only then hands it on. With it the
//! checker must find loss, or it proves nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// How long one read may take, so that threads end.
const READ_MAX: Duration = Duration::from_secs(10);

/// The server that is too early. Ends when it is dropped.
pub(super) struct Early {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Early {
    pub(super) fn start(gateways: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (over, turn) = (Arc::clone(&ended), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (gateways, turn) = (gateways.clone(), Arc::clone(&turn));
                std::thread::spawn(move || {
                    // A session that breaks ends; that is all there is to it.
                    let _ = serve(stream, &gateways, &turn);
                });
            }
        });
        Ok(Self { address, ended })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, gateways: &[SocketAddr], turn: &AtomicUsize) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(READ_MAX))?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    output.write_all(b"220 early\r\n")?;
    let mut envelope = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "MAIL" | "RCPT" => envelope.push(line),
            "DATA" => {
                output.write_all(b"354 go on\r\n")?;
                let text = text(&mut input)?;
                // Here is the sin.
                output.write_all(b"250 2.0.0 queued as EARLY\r\n")?;
                let gateway = gateways.get(turn.fetch_add(1, Ordering::Relaxed) % gateways.len().max(1));
                let handed = hand_on(*gateway.context("a gateway")?, &std::mem::take(&mut envelope), &text);
                let _ = handed;
                continue;
            }
            "RSET" => envelope.clear(),
            "QUIT" => {
                output.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => {}
        }
        output.write_all(b"250 ok\r\n")?;
    }
}

/// Up to the line with the dot.
fn text(input: &mut impl std::io::BufRead) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n.\r\n") {
        ensure!(input.read_until(b'\n', &mut text)? > 0, "the text has no end");
    }
    Ok(text)
}

fn hand_on(gateway: SocketAddr, envelope: &[String], text: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&gateway, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(READ_MAX))?;
    let mut lines = vec!["EHLO early.example\r\n".to_owned()];
    lines.extend_from_slice(envelope);
    lines.push("DATA\r\n".to_owned());
    answer(&mut stream)?;
    for line in lines {
        stream.write_all(line.as_bytes())?;
        answer(&mut stream)?;
    }
    stream.write_all(text)?;
    answer(&mut stream)
}

/// Reads a reply to its last line.
fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut reply = Vec::new();
    let mut octet = [0];
    loop {
        stream.read_exact(&mut octet)?;
        reply.extend_from_slice(&octet);
        let last = reply.split(|octet| *octet == b'\n').rev().nth(1).and_then(|line| line.get(3)).copied();
        if reply.ends_with(b"\n") && last == Some(b' ') {
            return Ok(());
        }
    }
}
