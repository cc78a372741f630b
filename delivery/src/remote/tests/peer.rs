//! A mail server that does as it is told, and remembers what it was told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use runtime::{ServerTls, Stream};
use smtp_proto::{DataDecoder, DataLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub(super) struct Behaviour {
    /// Empty: it never greets.
    pub(super) greeting: &'static str,
    pub(super) extensions: Vec<&'static str>,
    /// With STARTTLS among the extensions and none here the handshake fails.
    pub(super) tls: Option<ServerTls>,
    /// An answer to a command other than the usual one.
    pub(super) refuse: fn(&str) -> Option<&'static str>,
    /// Closes after so many messages; 0: never.
    pub(super) hang_up_after: usize,
    /// Closes when it has the whole text, without an answer.
    pub(super) hang_up_in_text: bool,
    /// Sent with the 220 to STARTTLS.
    pub(super) injected: &'static str,
    /// The greeting never ends.
    pub(super) endless: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            greeting: "220 mx ESMTP",
            extensions: vec!["PIPELINING"],
            tls: None,
            refuse: |_| None,
            hang_up_after: 0,
            hang_up_in_text: false,
            injected: "",
            endless: false,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) messages: Vec<Vec<u8>>,
    /// What stood behind `MAIL FROM:`, without parameters.
    pub(super) senders: Vec<String>,
}

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Peer {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let told = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                told.lock().unwrap().connections += 1;
                tokio::spawn(serve(tcp, behaviour.clone(), Arc::clone(&told)));
            }
        });
        Self { address, seen }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

struct Line {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Line {
    async fn say(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn more(&mut self) -> Option<()> {
        (self.stream.read_buf(&mut self.buffer).await.ok()? > 0).then_some(())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            self.more().await?;
        }
    }

    async fn octets(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn text(&mut self) -> Option<Vec<u8>> {
        let mut decoder = DataDecoder::new(DataLimits { line_max: 4096, message_max: 1 << 20 });
        let mut text = Vec::new();
        loop {
            let progress = decoder.decode(&self.buffer, |slice| text.extend_from_slice(slice));
            self.buffer.drain(..progress.consumed);
            assert!(decoder.poison().is_none(), "{:?}", decoder.poison());
            if progress.finished {
                return Some(text);
            }
            self.more().await?;
        }
    }
}

async fn serve(tcp: TcpStream, behaviour: Behaviour, seen: Arc<Mutex<Seen>>) -> Option<()> {
    let mut line = Line { stream: Stream::Plain(tcp), buffer: Vec::new() };
    if behaviour.endless {
        while line.say("220-and so on").await.is_some() {}
        return None;
    }
    if !behaviour.greeting.is_empty() {
        line.say(behaviour.greeting).await?;
    }
    let mut messages = 0;
    loop {
        let command = line.line().await?;
        if let Some(refusal) = (behaviour.refuse)(&command) {
            line.say(refusal).await?;
            continue;
        }
        let mut words = command.split(' ');
        let verb = words.next().unwrap_or_default();
        let sender = words.next().and_then(|word| word.strip_prefix("FROM:"));
        seen.lock().unwrap().senders.extend(sender.map(str::to_owned));
        let text = match verb {
            "EHLO" => {
                let extensions = behaviour.extensions.iter();
                let offered: Vec<_> = extensions
                    .filter(|offer| !(line.stream.is_tls() && **offer == "STARTTLS"))
                    .copied()
                    .collect();
                let mut lines = vec!["mx.a.test"];
                lines.extend(offered);
                let last = lines.pop().unwrap();
                for text in lines {
                    line.say(&format!("250-{text}")).await?;
                }
                line.say(&format!("250 {last}")).await?;
                continue;
            }
            "STARTTLS" => {
                line.say(format!("220 go\r\n{}", behaviour.injected).trim_end()).await?;
                let tls = behaviour.tls.as_ref()?;
                let Stream::Plain(tcp) = line.stream else { return None };
                line = Line { stream: tls.upgrade(tcp).await.ok()?, buffer: Vec::new() };
                continue;
            }
            "DATA" => {
                line.say("354 go").await?;
                line.text().await?
            }
            "BDAT" => {
                let count = command.split(' ').nth(1)?.parse().ok()?;
                line.octets(count).await?
            }
            _ => {
                line.say("250 ok").await?;
                continue;
            }
        };
        if behaviour.hang_up_in_text {
            return None;
        }
        seen.lock().unwrap().messages.push(text);
        messages += 1;
        line.say("250 2.0.0 queued").await?;
        if messages == behaviour.hang_up_after {
            return None;
        }
    }
}
