//! ID (RFC 2971). The client's answer goes to the log, cut short; the server names itself without its version.

use imap_proto::response::data;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

/// How much of a client's name is logged.
const LOGGED_MAX: usize = 64;

pub(crate) fn run(session: &mut Session, fields: &[(String, Option<String>)]) -> Answer {
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let value = found.and_then(|(_, value)| value.as_deref()).unwrap_or("-");
        value.chars().filter(|character| !character.is_control()).take(LOGGED_MAX).collect::<String>()
    };
    tracing::debug!(name = %field("name"), version = %field("version"), "imap client named itself");
    data::id(&[("name", "Sluice")], &mut session.connection.out);
    Ok(Reply::ok("ID completed"))
}
