//! The protocols by hand, for what no polite client sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::node::PATIENCE;

/// A connection that reads lines.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(tcp) }
    }

    /// Sends bytes as they are; a peer that hung up is no fault here.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// One line without its end; empty when the peer hung up.
    pub(crate) fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.reader.read_until(b'\n', &mut bytes);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// One SMTP reply: its last line. Empty when the peer hung up.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends a line and reads the SMTP reply.
    pub(crate) fn smtp(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// Sends `tag command` and reads up to its tagged answer; gives everything, literals inside.
    pub(crate) fn imap(&mut self, command: &str) -> String {
        self.send(format!("x {command}\r\n"));
        self.imap_answer()
    }

    /// Reads up to the tagged answer.
    pub(crate) fn imap_answer(&mut self) -> String {
        let mut all = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return all;
            }
            all.push_str(&line);
            all.push('\n');
            if let Some(octets) = line
                .strip_suffix('}')
                .and_then(|l| l.rsplit_once('{'))
                .and_then(|(_, n)| n.parse::<usize>().ok())
            {
                let mut literal = vec![0; octets];
                self.reader.read_exact(&mut literal).unwrap();
                all.push_str(&String::from_utf8_lossy(&literal));
            }
            if line.starts_with("x ") {
                return all;
            }
        }
    }

    /// Everything until the peer hangs up.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// An SMTP session that has said EHLO.
pub(crate) fn smtp(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address);
    let greeting = wire.reply();
    assert!(greeting.starts_with("220 "), "{greeting}");
    let hello = wire.smtp("EHLO client.example");
    assert!(hello.starts_with("250 "), "{hello}");
    wire
}

/// Sends one message; gives the answer to its end.
pub(crate) fn send_message(wire: &mut Wire, from: &str, to: &[&str], content: &[u8]) -> String {
    let answer = wire.smtp(&format!("MAIL FROM:<{from}>"));
    if !answer.starts_with("250") {
        return answer;
    }
    for recipient in to {
        let answer = wire.smtp(&format!("RCPT TO:<{recipient}>"));
        if !answer.starts_with("250") {
            return answer;
        }
    }
    let answer = wire.smtp("DATA");
    if !answer.starts_with("354") {
        return answer;
    }
    wire.send(content);
    wire.send(b"\r\n.\r\n");
    wire.reply()
}

/// An IMAP session that is logged in.
pub(crate) fn imap(address: SocketAddr, login: &str, password: &str) -> Wire {
    let mut wire = Wire::connect(address);
    assert!(wire.line().starts_with("* OK"));
    let answer = wire.imap(&format!("LOGIN {login} \"{password}\""));
    assert!(answer.contains("x OK"), "{answer}");
    wire
}

/// The content of every message of a mailbox, oldest first.
pub(crate) fn imap_fetch_all(address: SocketAddr, login: &str, password: &str, mailbox: &str) -> Vec<String> {
    let mut wire = imap(address, login, password);
    let selected = wire.imap(&format!("EXAMINE \"{mailbox}\""));
    assert!(selected.contains("x OK"), "{selected}");
    if selected.contains("* 0 EXISTS") {
        return Vec::new();
    }
    wire.send("x FETCH 1:* BODY.PEEK[]\r\n");
    let mut messages = Vec::new();
    loop {
        let line = wire.line();
        if let Some(octets) =
            line.strip_suffix('}').and_then(|l| l.rsplit_once('{')).and_then(|(_, n)| n.parse::<usize>().ok())
        {
            let mut literal = vec![0; octets];
            wire.reader.read_exact(&mut literal).unwrap();
            messages.push(String::from_utf8_lossy(&literal).into_owned());
        }
        if line.is_empty() || line.starts_with("x ") {
            assert!(line.starts_with("x OK"), "{line}");
            return messages;
        }
    }
}
