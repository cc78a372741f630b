//! LIST (RFC 3501 §6.3.8), extended (RFC 5258), with STATUS (RFC 5819) and SPECIAL-USE (RFC 6154).

use imap_proto::response::data::{self, ListLine};
use imap_proto::{List, ListPattern, ListReturn};
use store::{MailboxInfo, SpecialUse};

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::status;

/// What separates the levels of a name.
pub(super) const DELIMITER: char = '/';

/// Octets of all patterns of a command. The work of matching grows with it times the length of all names.
const PATTERNS_MAX: usize = 2048;

/// The patterns of a command under their reference.
pub(super) struct Patterns(Vec<ListPattern>);

impl Patterns {
    /// RFC 3501 §6.3.8: the reference stands before the pattern as text.
    pub(super) fn new(args: &List) -> Result<Self, Reply> {
        let length: usize =
            args.patterns.iter().map(|pattern| pattern.as_str().len() + args.reference.len()).sum();
        if length > PATTERNS_MAX {
            return Err(Reply::no("The patterns are too long").with_code("LIMIT"));
        }
        Ok(Self(args.patterns.iter().map(|pattern| pattern.under(&args.reference)).collect()))
    }

    /// Whether one of them matches.
    pub(super) fn match_any(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name, DELIMITER))
    }
}

/// A mailbox to show.
struct Shown {
    info: MailboxInfo,
    matches: bool,
    /// RFC 5258 §4: CHILDINFO.
    subscribed_below: bool,
}

pub(crate) async fn run(session: &mut Session, args: List) -> Answer {
    let mail = session.state.person()?.mail.clone();
    if !args.extended && args.patterns.iter().all(|pattern| pattern.as_str().is_empty()) {
        session.connection.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
        return Ok(Reply::ok("LIST completed"));
    }
    let patterns = Patterns::new(&args)?;
    let mut returns = args.returns.clone();
    // RFC 5258 §3.1: selecting by subscription implies showing it.
    returns.subscribed |= args.selection.subscribed;
    let source = mail.clone();
    let shown = session.server.deps.work(move || Ok(select(source.list()?, &args, &patterns))).await?;
    let age = session.server.config.poll_interval.as_duration();
    for shown in shown {
        encode(&shown, &returns, &mut session.connection.out);
        if !returns.status.is_empty() && shown.info.exists && shown.matches {
            // RFC 5819 §2: a STATUS that can't be told is left out.
            if let Ok(status) = status::status(&session.server.deps, &mail, &shown.info.name, age).await {
                status::encode(&shown.info.name, &status, &returns.status, &mut session.connection.out);
            }
        }
        session.connection.flush_if_full().await?;
    }
    Ok(Reply::ok("LIST completed"))
}

/// What to show, in the store's order.
fn select(mailboxes: Vec<MailboxInfo>, args: &List, patterns: &Patterns) -> Vec<Shown> {
    let chosen = |info: &MailboxInfo| {
        (!args.selection.subscribed || info.subscribed)
            && (!args.selection.special_use || info.special_use.is_some())
            && (args.selection.subscribed || info.exists || info.has_children)
    };
    let mut below: Vec<String> = Vec::new();
    if args.selection.recursive_match {
        for info in mailboxes.iter().filter(|info| chosen(info) && !patterns.match_any(info.name.as_str())) {
            let name = info.name.as_str();
            below.extend(
                name.match_indices(DELIMITER).filter_map(|(at, _)| name.get(..at)).map(str::to_owned),
            );
        }
        below.sort_unstable();
        below.dedup();
    }
    let shown = mailboxes.into_iter().filter_map(|info| {
        let matches = chosen(&info);
        let subscribed_below = below.binary_search_by(|name| name.as_str().cmp(info.name.as_str())).is_ok();
        let wanted = (matches || subscribed_below) && patterns.match_any(info.name.as_str());
        wanted.then_some(Shown { info, matches, subscribed_below })
    });
    shown.collect()
}

fn encode(shown: &Shown, returns: &ListReturn, out: &mut Vec<u8>) {
    let info = &shown.info;
    let special_use = info.special_use.map(|special_use| match special_use {
        SpecialUse::Archive => "\\Archive",
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
    });
    // RFC 3348: \HasNoChildren is told unasked; RFC 5258 §3: \NonExistent stands for \Noselect too, which older clients know.
    let children = if info.has_children { "\\HasChildren" } else { "\\HasNoChildren" };
    let attributes = [
        (!info.exists).then_some("\\NonExistent"),
        (!info.exists).then_some("\\Noselect"),
        Some(children),
        special_use,
        (returns.subscribed && info.subscribed).then_some("\\Subscribed"),
    ];
    let attributes: Vec<&str> = attributes.into_iter().flatten().collect();
    let line = ListLine {
        attributes: &attributes,
        delimiter: Some(DELIMITER),
        name: info.name.as_str(),
        subscribed_below: shown.subscribed_below,
        utf8: false,
    };
    data::list(&line, out);
}
