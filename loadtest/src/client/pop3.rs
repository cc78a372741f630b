//! POP3: commands and their answers.

use envelope::Secret;
use pop3_proto::client::{Status, Unstuffer, status};

use crate::recorder::Failure;
use crate::wire::{Encryption, Target, Wire};

/// A session. `octets` counts what the server sent in listings and messages.
pub(crate) struct Pop3 {
    wire: Wire,
    buffer: Vec<u8>,
    pub(crate) octets: u64,
}

impl Pop3 {
    /// Connects, and encrypts where that is asked for.
    pub(crate) async fn connect(
        target: &Target,
        number: u64,
        encryption: Encryption,
    ) -> Result<Self, Failure> {
        let wire = Wire::connect(target, target.server(number)?, encryption).await?;
        let mut pop3 = Self { wire, buffer: Vec::new(), octets: 0 };
        pop3.status().await?;
        if encryption == Encryption::StartTls {
            pop3.command("STLS").await?;
            pop3.wire = pop3.wire.encrypt(target).await?;
            pop3.buffer.clear();
        }
        Ok(pop3)
    }

    pub(crate) async fn login(&mut self, login: &str, password: &Secret<String>) -> Result<(), Failure> {
        self.command(&format!("USER {login}")).await?;
        self.command(&format!("PASS {}", password.expose())).await?;
        Ok(())
    }

    /// Sends a command; gives what follows `+OK`.
    pub(crate) async fn command(&mut self, command: &str) -> Result<String, Failure> {
        self.wire.send(format!("{command}\r\n").as_bytes()).await?;
        self.status().await
    }

    /// The same with the lines behind it, unstuffed.
    pub(crate) async fn listing(&mut self, command: &str) -> Result<Vec<u8>, Failure> {
        self.command(command).await?;
        let (mut unstuffer, mut out) = (Unstuffer::new(), Vec::new());
        loop {
            let taken = unstuffer.take(&self.buffer, &mut out);
            self.octets += taken as u64;
            self.buffer.drain(..taken);
            if unstuffer.is_complete() {
                return Ok(out);
            }
            self.wire.read(&mut self.buffer).await?;
        }
    }

    async fn status(&mut self) -> Result<String, Failure> {
        loop {
            if let Some((status, taken)) = status(&self.buffer).map_err(Failure::new)? {
                self.buffer.drain(..taken);
                return match status {
                    Status::Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
                    Status::Err(text) => Err(Failure::new(format_args!("-ERR {}", code(&text)))),
                    Status::Challenge(_) => Err(Failure::new("the server waits for more")),
                };
            }
            self.wire.read(&mut self.buffer).await?;
        }
    }

    pub(crate) async fn quit(mut self) -> Result<(), Failure> {
        self.command("QUIT").await.map(|_| ())
    }
}

/// The code in brackets where there is one (RFC 2449 §8), else the text.
fn code(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let end = text.find(']').filter(|_| text.starts_with('['));
    end.and_then(|end| text.get(..=end)).unwrap_or(&text).to_owned()
}
