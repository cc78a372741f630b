//! SMTP: a session of any number of messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{Address, Secret};
use smtp_proto::{Reply, ReplyReader};

use crate::recorder::Failure;
use crate::wire::{Encryption, Target, Wire};

/// With what a session logs in.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The account.
    pub(crate) name: String,
    /// Its password.
    pub(crate) password: Secret<String>,
}

/// A session that has said EHLO.
pub(crate) struct Smtp {
    wire: Wire,
    replies: ReplyReader,
    /// Whether commands may go together (RFC 2920).
    pub(crate) pipelining: bool,
}

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail<'a> {
    pub(crate) from: &'a Address,
    pub(crate) to: &'a [Address],
    /// With CRLF line ends and nothing that must be stuffed, without its end.
    pub(crate) text: &'a [u8],
    /// Whether MAIL, RCPT and DATA go together where the server takes that.
    pub(crate) pipelined: bool,
}

impl Smtp {
    /// Connects, greets, encrypts and logs in.
    pub(crate) async fn open(
        target: &Target,
        number: u64,
        encryption: Encryption,
        login: Option<&Login>,
    ) -> Result<Self, Failure> {
        let wire = Wire::connect(target, target.server(number)?, encryption).await?;
        let mut smtp = Self { wire, replies: ReplyReader::default(), pipelining: false };
        smtp.expect(220).await?;
        smtp.hello().await?;
        if encryption == Encryption::StartTls {
            smtp.command("STARTTLS\r\n", 220).await?;
            smtp.wire = smtp.wire.encrypt(target).await?;
            smtp.replies.clear();
            smtp.hello().await?;
        }
        if let Some(login) = login {
            let response = STANDARD.encode(format!("\0{}\0{}", login.name, login.password.expose()));
            smtp.command(&format!("AUTH PLAIN {response}\r\n"), 235).await?;
        }
        Ok(smtp)
    }

    async fn hello(&mut self) -> Result<(), Failure> {
        let reply = self.command("EHLO load.example\r\n", 250).await?;
        self.pipelining = reply.lines.iter().any(|line| line.eq_ignore_ascii_case("PIPELINING"));
        Ok(())
    }

    /// Sends a line, and has the reply when it is of this code.
    pub(crate) async fn command(&mut self, line: &str, code: u16) -> Result<Reply, Failure> {
        self.wire.send(line.as_bytes()).await?;
        self.expect(code).await
    }

    /// Sends octets as they are.
    pub(crate) async fn send(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.wire.send(octets).await
    }

    pub(crate) async fn expect(&mut self, code: u16) -> Result<Reply, Failure> {
        let reply = self.reply().await?;
        if reply.code == code { Ok(reply) } else { Err(refused(&reply)) }
    }

    pub(crate) async fn reply(&mut self) -> Result<Reply, Failure> {
        loop {
            if let Some(reply) = self.replies.reply().map_err(|_| Failure::new("no SMTP reply"))? {
                return Ok(reply);
            }
            self.wire.read(self.replies.buffer()).await?;
        }
    }

    /// One transaction; the inner answer is the server's: the last reply, or why it refused. The session goes on after either.
    pub(crate) async fn transact(&mut self, mail: Mail<'_>) -> Result<Result<Reply, Reply>, Failure> {
        let mut commands = vec![format!("MAIL FROM:<{}>\r\n", mail.from)];
        commands.extend(mail.to.iter().map(|address| format!("RCPT TO:<{address}>\r\n")));
        let refused = if mail.pipelined && self.pipelining {
            self.together(&commands).await?
        } else {
            self.one_by_one(&commands).await?
        };
        if let Some(reply) = refused {
            // After 421 the server closes the connection (RFC 5321 §3.8): the refusal is its last word.
            if reply.code != 421 {
                self.command("RSET\r\n", 250).await?;
            }
            return Ok(Err(reply));
        }
        self.wire.send(mail.text).await?;
        self.wire.send(b".\r\n").await?;
        let reply = self.reply().await?;
        Ok(if reply.code == 250 { Ok(reply) } else { Err(reply) })
    }

    /// Gives the first refusal; without one DATA has been answered with 354.
    async fn one_by_one(&mut self, commands: &[String]) -> Result<Option<Reply>, Failure> {
        for command in commands {
            self.wire.send(command.as_bytes()).await?;
            let reply = self.reply().await?;
            if reply.code != 250 {
                return Ok(Some(reply));
            }
        }
        self.wire.send(b"DATA\r\n").await?;
        let reply = self.reply().await?;
        Ok(if reply.code == 354 { None } else { Some(reply) })
    }

    /// The same in one packet. A server that says 354 to a message of which a recipient was refused is given an empty one (RFC 2920 §3.1).
    async fn together(&mut self, commands: &[String]) -> Result<Option<Reply>, Failure> {
        let packet = commands.concat() + "DATA\r\n";
        self.wire.send(packet.as_bytes()).await?;
        let mut refused = None;
        for _ in commands {
            let reply = self.reply().await?;
            if reply.code != 250 {
                refused.get_or_insert(reply);
            }
        }
        let data = self.reply().await?;
        if data.code != 354 {
            return Ok(Some(refused.unwrap_or(data)));
        }
        if refused.is_some() {
            self.wire.send(b".\r\n").await?;
            self.reply().await?;
        }
        Ok(refused)
    }

    pub(crate) async fn quit(mut self) {
        // The server may be gone already; nothing depends on the answer.
        let _ = self.command("QUIT\r\n", 221).await;
    }
}

/// What a reply counts as: its codes, without the text, in which servers put names and numbers.
pub(crate) fn refused(reply: &Reply) -> Failure {
    match reply.enhanced {
        Some(enhanced) => Failure::new(format_args!("{} {enhanced}", reply.code)),
        None => Failure::new(reply.code),
    }
}
