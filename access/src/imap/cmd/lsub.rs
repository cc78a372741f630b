//! LSUB (RFC 3501 §6.3.9): subscribed names. A name that `%` cuts short is shown as `\Noselect` when something below it is subscribed.

use std::collections::BTreeSet;

use imap_proto::List;
use imap_proto::response::data::{self, ListLine};

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::list::{DELIMITER, Patterns};

pub(crate) async fn run(session: &mut Session, args: List) -> Answer {
    let mail = session.state.person()?.mail.clone();
    let patterns = Patterns::new(&args)?;
    let names = session.server.deps.work(move || {
        let subscribed = mail.list()?.into_iter().filter(|info| info.subscribed).map(|info| info.name);
        Ok(matching(&patterns, subscribed.map(|name| name.as_str().to_owned()).collect()))
    });
    for (name, is_subscribed) in names.await? {
        let line = ListLine {
            attributes: if is_subscribed { &[] } else { &["\\Noselect"] },
            delimiter: Some(DELIMITER),
            name: &name,
            subscribed_below: false,
            utf8: false,
        };
        data::lsub(&line, &mut session.connection.out);
        session.connection.flush_if_full().await?;
    }
    Ok(Reply::ok("LSUB completed"))
}

/// Names that match, and whether they are subscribed themselves.
fn matching(patterns: &Patterns, subscribed: BTreeSet<String>) -> Vec<(String, bool)> {
    let mut parents = BTreeSet::new();
    for name in &subscribed {
        if !patterns.match_any(name) {
            for (at, _) in name.match_indices(DELIMITER) {
                let parent = name.get(..at).unwrap_or_default();
                if !subscribed.contains(parent) && patterns.match_any(parent) {
                    parents.insert(parent.to_owned());
                }
            }
        }
    }
    let own = subscribed.into_iter().filter(|name| patterns.match_any(name)).map(|name| (name, true));
    own.chain(parents.into_iter().map(|name| (name, false))).collect()
}
