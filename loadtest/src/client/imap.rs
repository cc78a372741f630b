//! IMAP: commands and their answers.

use envelope::Secret;
use imap_proto::FrameLimits;
use imap_proto::client::{Response, ResponseEvent, ResponseFramer, ResponseKind};
use imap_proto::response::status::Condition;

use crate::recorder::Failure;
use crate::wire::{Encryption, Target, Wire};

/// What one answer may be: any message that a server keeps.
const LIMITS: FrameLimits = FrameLimits {
    line_max: 16 << 20,
    literal_max: 1 << 30,
    message_max: 1 << 30,
    non_sync_literal_max: u64::MAX,
    literals_max: 1 << 20,
    command_max: 2 << 30,
    discard_max: 0,
    lone_line_feed: false,
};

/// A session. `octets` counts what the server sent.
pub(crate) struct Imap {
    wire: Wire,
    framer: ResponseFramer,
    buffer: Vec<u8>,
    used: usize,
    pub(crate) octets: u64,
}

/// What SELECT and EXAMINE said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) exists: u32,
    pub(crate) uid_next: u32,
    pub(crate) mod_seq: u64,
}

impl Imap {
    /// Connects and logs in.
    pub(crate) async fn open(
        target: &Target,
        number: u64,
        encryption: Encryption,
        login: &str,
        password: &Secret<String>,
    ) -> Result<Self, Failure> {
        let mut imap = Self::connect(target, number, encryption).await?;
        imap.login(login, password).await?;
        Ok(imap)
    }

    /// Connects, and encrypts where that is asked for.
    pub(crate) async fn connect(
        target: &Target,
        number: u64,
        encryption: Encryption,
    ) -> Result<Self, Failure> {
        let wire = Wire::connect(target, target.server(number)?, encryption).await?;
        let mut imap = Self { wire, framer: ResponseFramer::new(), buffer: Vec::new(), used: 0, octets: 0 };
        let greeting = imap.response().await?;
        if greeting.condition() != Some(Condition::Ok) {
            return Err(Failure::new(String::from_utf8_lossy(greeting.text())));
        }
        if encryption == Encryption::StartTls {
            imap.command("STARTTLS", |_| ()).await?;
            imap.wire = imap.wire.encrypt(target).await?;
            imap.buffer.clear();
            imap.used = 0;
        }
        Ok(imap)
    }

    pub(crate) async fn login(&mut self, login: &str, password: &Secret<String>) -> Result<(), Failure> {
        self.command(&format!("LOGIN {} {}", quoted(login), quoted(password.expose())), |_| ()).await
    }

    /// Sends a command and shows every untagged answer to `each`. The failure is the server's text: its code, where it has one.
    pub(crate) async fn command(
        &mut self,
        command: &str,
        mut each: impl FnMut(&Response),
    ) -> Result<(), Failure> {
        self.wire.send(format!("a {command}\r\n").as_bytes()).await?;
        self.finish(&mut each).await
    }

    /// Until the tagged answer.
    async fn finish(&mut self, each: &mut impl FnMut(&Response)) -> Result<(), Failure> {
        loop {
            let response = self.response().await?;
            match response.kind() {
                ResponseKind::Tagged { condition: Condition::Ok, .. } => return Ok(()),
                ResponseKind::Tagged { condition, text, .. } => {
                    let said =
                        response.code().map_or_else(|| text.to_vec(), |code| [b"[", code, b"]"].concat());
                    return Err(Failure::new(format_args!(
                        "{} {}",
                        condition.as_str(),
                        String::from_utf8_lossy(&said)
                    )));
                }
                ResponseKind::Untagged(_) => each(&response),
                ResponseKind::Continuation(_) => return Err(Failure::new("the server waits for more")),
                ResponseKind::Unknown => return Err(Failure::new("no IMAP answer")),
            }
        }
    }

    pub(crate) async fn select(&mut self, mailbox: &str, read_only: bool) -> Result<Selected, Failure> {
        let mut selected = Selected::default();
        let word = if read_only { "EXAMINE" } else { "SELECT" };
        self.command(&format!("{word} {}", quoted(mailbox)), |response| {
            if let Some((number, b"EXISTS")) = response.numbered() {
                selected.exists = number;
            }
            if let Some(code) = response.code() {
                let number = |name: &[u8]| {
                    code.strip_prefix(name)
                        .and_then(|rest| std::str::from_utf8(rest).ok()?.parse::<u64>().ok())
                };
                if let Some(next) = number(b"UIDNEXT ") {
                    selected.uid_next = u32::try_from(next).unwrap_or(u32::MAX);
                }
                if let Some(value) = number(b"HIGHESTMODSEQ ") {
                    selected.mod_seq = value;
                }
            }
        })
        .await?;
        Ok(selected)
    }

    /// APPEND with a literal that waits for the server.
    pub(crate) async fn append(&mut self, mailbox: &str, message: &[u8]) -> Result<(), Failure> {
        self.wire
            .send(format!("a APPEND {} (\\Seen) {{{}}}\r\n", quoted(mailbox), message.len()).as_bytes())
            .await?;
        let go = self.response().await?;
        if !matches!(go.kind(), ResponseKind::Continuation(_)) {
            return Err(Failure::new(String::from_utf8_lossy(go.text())));
        }
        self.wire.send(message).await?;
        self.wire.send(b"\r\n").await?;
        self.finish(&mut |_| ()).await
    }

    /// Begins to wait for news.
    pub(crate) async fn idle(&mut self) -> Result<(), Failure> {
        self.wire.send(b"a IDLE\r\n").await?;
        loop {
            let response = self.response().await?;
            match response.kind() {
                ResponseKind::Continuation(_) => return Ok(()),
                ResponseKind::Untagged(_) => {}
                _ => return Err(Failure::new(String::from_utf8_lossy(response.text()))),
            }
        }
    }

    /// News within this time; nothing when there are none.
    pub(crate) async fn news(&mut self, patience: std::time::Duration) -> Result<Option<Response>, Failure> {
        loop {
            if let Some(response) = self.buffered()? {
                return Ok(Some(response));
            }
            self.compact();
            if !self.wire.read_for(&mut self.buffer, patience).await? {
                return Ok(None);
            }
        }
    }

    /// Ends the waiting.
    pub(crate) async fn done(&mut self, mut each: impl FnMut(&Response)) -> Result<(), Failure> {
        self.wire.send(b"DONE\r\n").await?;
        self.finish(&mut each).await
    }

    pub(crate) async fn logout(mut self) {
        // The server may be gone already; nothing depends on the answer.
        let _ = self.command("LOGOUT", |_| ()).await;
    }

    async fn response(&mut self) -> Result<Response, Failure> {
        loop {
            if let Some(response) = self.buffered()? {
                return Ok(response);
            }
            self.compact();
            self.wire.read(&mut self.buffer).await?;
        }
    }

    fn buffered(&mut self) -> Result<Option<Response>, Failure> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let (taken, event) = self.framer.push(rest, &LIMITS);
        self.used += taken;
        self.octets += taken as u64;
        match event {
            ResponseEvent::Incomplete => Ok(None),
            ResponseEvent::Response(response) => Ok(Some(response)),
            ResponseEvent::Broken(error) => Err(Failure::new(error)),
        }
    }

    /// Everything that was read has been taken.
    fn compact(&mut self) {
        self.buffer.drain(..self.used.min(self.buffer.len()));
        self.used = 0;
    }
}

/// RFC 9051 §4.3, with what must be escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
