//! Senders that every server on the internet meets all day.

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
        Err(failure) if failure.as_str().starts_with("421") => return Ok(()),
        Err(failure) => return Err(failure),
    };
    match kind {
        Kind::Harvest => {
            smtp.command("MAIL FROM:<harvest@elsewhere.example>\r\n", 250).await.map(|_| ())?;
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
            smtp.command("MAIL FROM:<relay@elsewhere.example>\r\n", 250).await.map(|_| ())?;
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
