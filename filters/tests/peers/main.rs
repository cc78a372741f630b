//! Milters and scanners, as Debian has them: rspamd, ClamAV and OpenDKIM, each in its own folder, without a network and without downloads; and sluice-milter.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test crate"
)]

mod clamav;
mod opendkim;
mod process;
mod rspamd;
mod sluice_milter;

use bytes::Bytes;
use filters::milter::{Connection, MilterConfig, MilterSession, Milters};
use filters::{Action, PeerAddress, Refusal, Verdict, apply};
use prometheus::Registry;

/// The test string of the antivirus industry, and rspamd's and SpamAssassin's: in two parts, so that this file is neither.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"];
const GTUBE: [&str; 2] = ["XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-", "ANTI-UBE-TEST-EMAIL*C.34X"];

fn message(text: &str) -> Bytes {
    let head = "From: Ann <ann@a.test>\r\nTo: bob@b.test\r\nSubject: a letter\r\n that goes on\r\n\
         Date: Mon, 30 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@a.test>\r\nX-Virus-Status: forged\r\n";
    format!("{head}\r\nHello Bob,\r\n\r\n{text}\r\n.\r\nAnn\r\n").into()
}

fn connection(peer: &str) -> Connection {
    Connection {
        peer: Some(peer.parse().unwrap()),
        hostname: Some("mail.a.test".to_owned()),
        daemon: "mx.b.test".to_owned(),
        our_name: "mx.b.test".to_owned(),
        listener: "mx".to_owned(),
        ..Connection::default()
    }
}

fn milters(configs: &[MilterConfig]) -> Milters {
    Milters::new(configs, &Registry::new()).unwrap()
}

fn config(name: &str, address: &PeerAddress) -> MilterConfig {
    MilterConfig::new(name, address.clone())
}

async fn hello(session: &mut MilterSession) {
    session.connect().await.unwrap();
    session.helo("mail.a.test").await.unwrap();
}

/// A message in a session that has begun.
async fn judge(session: &mut MilterSession, message: &Bytes) -> Result<Verdict, Refusal> {
    session
        .mail(&envelope::ReversePath::Address("ann@a.test".parse().unwrap()), &["SIZE=1000", "BODY=8BITMIME"])
        .await?;
    session.rcpt(&"bob@b.test".parse().unwrap(), &[]).await?;
    session.data().await?;
    Ok(session.message("01JTESTID", message).await)
}

/// The header section after the changes; the text must be as it was.
fn head(message: &Bytes, verdict: &Verdict) -> String {
    let changed = String::from_utf8(apply(message, &verdict.changes).to_vec()).unwrap();
    let (head, text) = changed.split_once("\r\n\r\n").unwrap();
    assert!(message.ends_with(text.as_bytes()), "{changed}");
    format!("{head}\r\n")
}

fn code(verdict: &Verdict) -> Option<u16> {
    match &verdict.action {
        Action::Refuse(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// All three in one session, one behind the other, message after message.
#[tokio::test]
async fn all_in_one_session() {
    let (rspamd, clamav, opendkim) =
        tokio::join!(rspamd::start(), clamav::start(), opendkim::start(opendkim::Over::Unix));
    let configs = [
        config("rspamd", &rspamd.milter),
        config("clamav", &clamav.milter),
        config("opendkim", &opendkim.milter),
    ];
    let milters = milters(&configs);
    let mut session = milters.session(&connection(opendkim::INSIDE));
    hello(&mut session).await;
    for _ in 0..3 {
        let ham = message("all is well");
        let verdict = judge(&mut session, &ham).await.unwrap();
        assert_eq!((&verdict.action, verdict.reasons.len()), (&Action::Accept, 0), "{verdict:?}");
        let head = head(&ham, &verdict);
        for field in ["X-Spamd-Bar: ", "X-Virus-Status: Clean\r\n", "DKIM-Signature: "] {
            assert!(head.contains(field), "{field}: {head}");
        }
        assert!(!head.contains("forged"), "{head}");
        // What the last one signed is what comes out.
        let changed = apply(&ham, &verdict.changes);
        assert_eq!(opendkim::verified(&opendkim, &changed).await, "pass");

        let spam = judge(&mut session, &message(&GTUBE.concat())).await.unwrap();
        assert_eq!(spam.reasons, ["milter rspamd: refused"]);
        let infected = judge(&mut session, &message(&EICAR.concat())).await.unwrap();
        assert_eq!(infected.reasons, ["milter clamav: refused"]);
        // A message that does not come to its end.
        session.mail(&envelope::ReversePath::Null, &[]).await.unwrap();
        session.rcpt(&"bob@b.test".parse().unwrap(), &[]).await.unwrap();
        session.abort().await;
    }
}
