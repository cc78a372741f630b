//! A milter that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use milter_proto::{Command, Options, Packet, Peer, Reply, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::milter::MilterConfig;
use crate::peer::BreakerConfig;
use units::Span;

/// What it does when it hears something.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// A packet: letter and data.
    Packet(Vec<u8>),
    /// Octets as they are.
    Raw(Vec<u8>),
    /// A packet, after this time.
    Late(Duration, Vec<u8>),
    /// It closes the connection.
    Close,
    /// It says the same for ever.
    Flood(Vec<u8>),
}

pub(crate) fn say(packet: &[u8]) -> Vec<Say> {
    vec![Say::Packet(packet.to_vec())]
}

pub(crate) fn says(packets: &[&[u8]]) -> Vec<Say> {
    packets.iter().map(|packet| Say::Packet(packet.to_vec())).collect()
}

pub(crate) struct Fake {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

/// What it is asked: the number of its connection, from 1, and the command as one line.
type Rule = dyn Fn(usize, &str) -> Vec<Say> + Send + Sync;

impl Fake {
    /// One that wants everything, may do everything, and answers by the rule; where the rule says nothing, nothing.
    pub(crate) async fn new(rule: impl Fn(usize, &str) -> Vec<Say> + Send + Sync + 'static) -> Self {
        Self::with(0x1ff, 0, rule).await
    }

    pub(crate) async fn with(
        actions: u32,
        steps: u32,
        rule: impl Fn(usize, &str) -> Vec<Say> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (rule, kept, counted): (Arc<Rule>, _, _) =
            (Arc::new(rule), Arc::clone(&log), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let offer = [6u32, actions, steps].iter().flat_map(|number| number.to_be_bytes()).collect();
                tokio::spawn(serve(stream, number, offer, Arc::clone(&rule), Arc::clone(&kept)));
            }
        });
        Self { port, log, connections }
    }

    /// Says "continue" to everything.
    pub(crate) async fn content() -> Self {
        Self::new(|_, _| say(b"c")).await
    }

    pub(crate) fn config(&self, name: &str) -> MilterConfig {
        config(name, self.port)
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// What it heard, letters only and without macros.
    pub(crate) fn letters(&self) -> String {
        self.heard()
            .iter()
            .filter(|line| !line.starts_with('D'))
            .filter_map(|line| line.chars().next())
            .collect()
    }

    /// Waits until it has heard so.
    pub(crate) async fn hears(&self, wanted: impl Fn(&[String]) -> bool) {
        let heard = async {
            while !wanted(&self.heard()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard)
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.heard()));
    }
}

/// Short deadlines; and no breaker, which has tests of its own.
pub(crate) fn config(name: &str, port: u16) -> MilterConfig {
    let mut config = MilterConfig::new(name, format!("127.0.0.1:{port}").parse().unwrap());
    config.connect_max = Span::secs(5);
    config.command_max = Span::secs(5);
    config.message_max = Span::secs(5);
    config.breaker = BreakerConfig { failures_before_open: 0, open_for: Span::secs(60) };
    config
}

async fn serve(
    mut stream: TcpStream,
    number: usize,
    offer: Vec<u8>,
    rule: Arc<Rule>,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut input = Vec::new();
    loop {
        while let Some((packet, taken)) = frame(&input, 1 << 20).unwrap() {
            let line = line(packet);
            input.drain(..taken);
            let says = if line.starts_with('O') {
                let mut says = rule(number, &line);
                if matches!(says.as_slice(), [Say::Packet(packet)] if packet == b"c") {
                    says = vec![Say::Packet([&b"O"[..], &offer].concat())];
                }
                says
            } else {
                log.lock().unwrap().push(line.clone());
                let silent = ['D', 'A', 'Q'].iter().any(|letter| line.starts_with(*letter));
                if silent { Vec::new() } else { rule(number, &line) }
            };
            for say in says {
                if let Say::Late(pause, _) = &say {
                    tokio::time::sleep(*pause).await;
                }
                let octets = match say {
                    Say::Packet(packet) | Say::Late(_, packet) => {
                        let mut wire = Vec::new();
                        wire.extend_from_slice(&u32::try_from(packet.len()).unwrap().to_be_bytes());
                        wire.extend_from_slice(&packet);
                        wire
                    }
                    Say::Raw(octets) => octets,
                    Say::Close => return,
                    Say::Flood(packet) => {
                        let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
                        let many = [&length[..], &packet].concat().repeat(1000);
                        while stream.write_all(&many).await.is_ok() {}
                        return;
                    }
                };
                if stream.write_all(&octets).await.is_err() {
                    return;
                }
            }
        }
        match stream.read_buf(&mut input).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
}

/// A command in one line: its letter, then what it says.
fn line(packet: Packet<'_>) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let words = |words: &[&[u8]]| words.iter().map(|word| text(word)).collect::<Vec<_>>().join(" ");
    match Command::parse(packet).unwrap() {
        Command::Connect { hostname, peer } => match peer {
            Peer::Inet(address) => format!("C {} {address}", text(hostname)),
            other => format!("C {} {other:?}", text(hostname)),
        },
        Command::Helo(name) => format!("H {}", text(name)),
        Command::Mail(parts) => format!("M {}", words(&parts)),
        Command::Rcpt(parts) => format!("R {}", words(&parts)),
        Command::Header(name, value) => format!("L {}:{}", text(name), text(value)),
        Command::Body(piece) => format!("B {}", text(piece)),
        Command::Macros(code, pairs) => {
            let pairs = pairs.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
            format!("D{} {}", char::from(code), pairs.collect::<Vec<_>>().join(" "))
        }
        Command::Negotiate(Options { version, .. }) => format!("O {version}"),
        other => char::from(other.code()).to_string(),
    }
}

/// A reply as a packet.
pub(crate) fn packet(reply: &Reply) -> Vec<u8> {
    let mut wire = Vec::new();
    reply.write(&mut wire);
    wire.split_off(4)
}
