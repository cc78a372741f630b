//! Senders that every server on the internet meets all day.

use smtp_proto::Reply;

use crate::client::smtp::Smtp;
use crate::random::Random;
use crate::recorder::Failure;
use crate::wire::{Encryption, Target};

/// Guesses of one harvester. Servers make them wait longer and longer.
const GUESSES: u64 = 6;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looks for addresses, one after the other.
    Harvest,
    /// Wants to send elsewhere through this server.
    Relay,
    /// Hangs up in the middle of a message.
    HangUp,
    /// Says no SMTP.
    Nonsense,
}

impl Kind {
    pub(super) fn draw(random: &mut Random) -> Self {
        let kinds = [Self::Harvest, Self::Harvest, Self::Relay, Self::HangUp, Self::Nonsense];
        random.pick(&kinds).copied().unwrap_or(Self::Harvest)
    }
}

/// Fails when the server did what it must not do, or was not there. That it hangs up on such people is its right.
pub(super) async fn behave(
    kind: Kind,
    target: &Target,
    (turn, encryption): (u64, Encryption),
    domain: &str,
) -> Result<(), Failure> {
    let mut smtp = match Smtp::open(target, turn, encryption, None).await {
        Ok(smtp) => smtp,
        // Full for strangers, or tired of this one.
        Err(failure) if is_refusal(&failure) => return Ok(()),
        Err(failure) => return Err(failure),
    };
    match kind {
        Kind::Harvest => {
            if !accepted(smtp.command("MAIL FROM:<harvest@elsewhere.example>\r\n", 250).await)? {
                return Ok(());
            }
            for number in 0..GUESSES {
                smtp.send(format!("RCPT TO:<guess-{turn}-{number}@{domain}>\r\n").as_bytes()).await?;
                match smtp.reply().await {
                    Ok(reply) if reply.code == 250 => {
                        return Err(Failure::new("an unknown recipient was accepted"));
                    }
                    Ok(reply) if reply.code == 421 => return Ok(()),
                    Ok(_) => {}
                    Err(_) => return Ok(()),
                }
            }
        }
        Kind::Relay => {
            if !accepted(smtp.command("MAIL FROM:<relay@elsewhere.example>\r\n", 250).await)? {
                return Ok(());
            }
            smtp.send(b"RCPT TO:<victim@nowhere.example>\r\n").await?;
            if smtp.reply().await.is_ok_and(|reply| reply.code == 250) {
                return Err(Failure::new("an open relay"));
            }
        }
        Kind::HangUp => {
            smtp.send(
                format!("MAIL FROM:<gone@elsewhere.example>\r\nRCPT TO:<postmaster@{domain}>\r\nDATA\r\n")
                    .as_bytes(),
            )
            .await?;
            // Whatever the answers are, nobody reads them.
            smtp.send(b"Subject: half of a message\r\n\r\nand then").await?;
            return Ok(());
        }
        Kind::Nonsense => {
            for line in ["GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\r\n", "MAIL FROM:<<>>\r\n"] {
                smtp.send(line.as_bytes()).await?;
                match smtp.reply().await {
                    Ok(reply) if reply.code < 400 => return Err(Failure::new("nonsense was accepted")),
                    Ok(_) => {}
                    Err(_) => return Ok(()),
                }
            }
        }
    }
    smtp.quit().await;
    Ok(())
}

/// Whether a command was accepted; a refusal is what such a sender should get.
fn accepted(outcome: Result<Reply, Failure>) -> Result<bool, Failure> {
    match outcome {
        Ok(_) => Ok(true),
        Err(failure) if is_refusal(&failure) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Whether it is a reply of the server's, 4yz or 5yz (RFC 5321 §4.2.1), and no broken connection.
fn is_refusal(failure: &Failure) -> bool {
    let code = failure.as_str().split(' ').next().unwrap_or_default();
    code.len() == 3 && code.starts_with(['4', '5']) && code.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_answer() {
        for (text, refused) in [
            ("421", true),
            ("554 5.7.1", true),
            ("450 4.7.1", true),
            ("220", false),
            ("connection broken", false),
            ("no answer in time", false),
        ] {
            assert_eq!(is_refusal(&Failure::new(text)), refused, "{text}");
            assert_eq!(accepted(Err(Failure::new(text))).is_ok(), refused, "{text}");
        }
    }
}
