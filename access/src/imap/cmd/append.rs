//! APPEND (RFC 3501 §6.3.11) with APPENDUID (RFC 4315 §3). Answered when the message is on disk.

use std::time::SystemTime;

use envelope::{Timestamp, Usage};
use imap_proto::Append;

use super::super::answer::Answer;
use super::super::flags;
use super::super::reply::Reply;
use super::super::session::Session;
use super::copy::no_target;
use super::select::existing;

pub(crate) async fn run(session: &mut Session, args: Append) -> Answer {
    let person = session.state.person()?;
    let (mail, account) = (person.mail.clone(), person.account().clone());
    if args.message.is_empty() {
        return Err(Reply::no("The message is empty").with_code("CANNOT").into());
    }
    let name = existing(&args.mailbox).map_err(|error| no_target(error.into()))?;
    let flags = flags::from_wire(&args.flags)?;
    let internal_date = match args.date_time {
        Some(date) => {
            let seconds = u64::try_from(date.unix_seconds()).unwrap_or(0);
            Timestamp::from_unix_milliseconds(seconds.saturating_mul(1000))
        }
        None => SystemTime::now().into(),
    };
    let quota = session.server.deps.quota(&account).await;
    let appended = session.server.deps.work(move || {
        let mailbox = mail.mailbox(&name)?;
        let content = with_line_ends(args.message);
        mail.admit(&quota, Usage { octets: content.len() as u64, messages: 1 })?;
        let uid = mailbox.append(&content, &flags, internal_date)?;
        Ok((mailbox.view()?.uid_validity, uid))
    });
    let (uid_validity, uid) = appended.await.map_err(no_target)?;
    Ok(Reply::ok("APPEND completed").with_code(format!("APPENDUID {} {}", uid_validity.0, uid.0)))
}

/// Quirk `append-bare-lf`: a message whose lines end in LF alone gets CRLF, which is what every reader is shown.
fn with_line_ends(message: Vec<u8>) -> Vec<u8> {
    let bare = |at: usize| at == 0 || message.get(at - 1) != Some(&b'\r');
    let bare_count = memchr::memchr_iter(b'\n', &message).filter(|at| bare(*at)).count();
    if bare_count == 0 {
        return message;
    }
    let mut result = Vec::with_capacity(message.len() + bare_count);
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', &message).filter(|at| bare(*at)) {
        result.extend_from_slice(message.get(from..at).unwrap_or_default());
        result.extend_from_slice(b"\r\n");
        from = at + 1;
    }
    result.extend_from_slice(message.get(from..).unwrap_or_default());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_line_feeds_get_company() {
        for (message, expected) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\n", "a\r\nb\r\n"),
            ("\n\n", "\r\n\r\n"),
            ("a\r\nb\nc", "a\r\nb\r\nc"),
            ("\r\n\n", "\r\n\r\n"),
            ("a\rb", "a\rb"),
            ("", ""),
        ] {
            assert_eq!(with_line_ends(message.as_bytes().to_vec()), expected.as_bytes(), "{message:?}");
        }
    }
}
