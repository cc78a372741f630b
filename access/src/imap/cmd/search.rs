//! SEARCH (RFC 3501 §6.4.4), ESEARCH (RFC 4731), `$` (RFC 5182).

use std::sync::Arc;
use std::time::SystemTime;

use envelope::Timestamp;
use imap_proto::response::data::{self, Esearch};
use imap_proto::response::word;
use imap_proto::{Numbering, Search, SearchKey, SearchReturn};
use store::{Entry, Fields, Mailbox, StoreError, Summary, Uid};

use super::super::answer::{Answer, Stop};
use super::super::reply::Reply;
use super::super::search::{Facts, Picture, Texts, fold, matches};
use super::super::selected::Selected;
use super::super::session::Session;

/// Messages looked at in one go on the store's threads.
const BATCH: usize = 512;

/// A message that is looked at.
#[derive(Clone)]
struct Candidate {
    sequence: u32,
    entry: Entry,
    recent: bool,
}

/// What the store's threads need for a batch.
#[derive(Clone)]
struct Work {
    mailbox: Arc<Mailbox>,
    key: Arc<SearchKey>,
    picture: Arc<Picture>,
    message_max: u64,
}

pub(crate) async fn run(session: &mut Session, args: Search) -> Answer {
    let selected = session.state.selected()?;
    let mut key = args.key;
    fold(&mut key);
    let work = Work {
        mailbox: Arc::clone(&selected.mailbox),
        key: Arc::new(key),
        picture: Arc::new(Picture {
            count: u32::try_from(selected.len()).unwrap_or(u32::MAX),
            largest_uid: selected.largest_uid(),
            saved: selected.saved().to_vec(),
            now: Timestamp::from(SystemTime::now()).unix_seconds(),
        }),
        message_max: session.server.config.search_message_max.as_u64(),
    };
    let found = find(session, &work).await;
    let selected = session.state.selected()?;
    let found = match found {
        Ok(found) => found,
        Err(stop) => {
            // RFC 5182 §2.1: a SAVE that fails leaves an empty result.
            if args.returns.is_some_and(|returns| returns.save) {
                selected.save(std::iter::empty());
            }
            return Err(stop);
        }
    };
    if let Some(returns) = args.returns
        && returns.save
    {
        save(selected, &found, returns);
    }
    let numbers = found.iter().map(|(sequence, uid)| match args.numbering {
        Numbering::Sequence => *sequence,
        Numbering::Uid => uid.0,
    });
    let numbers: Vec<u32> = numbers.collect();
    match args.returns {
        Some(returns) if returns.min || returns.max || returns.all || returns.count => {
            if let Some(tag) = &session.tag {
                let found = extended(args.numbering, returns, &numbers);
                data::esearch(tag, &found, &mut session.connection.out);
            }
        }
        // RFC 5182 §2.1: SAVE alone has no untagged answer.
        Some(_) => {}
        None => {
            session.connection.out.extend_from_slice(b"* SEARCH");
            for number in numbers {
                session.connection.out.push(b' ');
                word::number(number.into(), &mut session.connection.out);
                session.connection.flush_if_full().await?;
            }
            session.connection.out.extend_from_slice(b"\r\n");
        }
    }
    Ok(Reply::ok("SEARCH completed"))
}

/// Sequence numbers and UIDs of what matches.
async fn find(session: &mut Session, work: &Work) -> Result<Vec<(u32, Uid)>, Stop> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let batch = candidates(session.state.selected()?, from);
        from += BATCH;
        if batch.is_empty() {
            return Ok(found);
        }
        let work = work.clone();
        found.extend(session.server.deps.work(move || search_batch(&work, batch)).await?);
    }
}

fn candidates(selected: &Selected, from: usize) -> Vec<Candidate> {
    let numbered = selected.told().range(from..from + BATCH).zip(from + 1..);
    let candidates = numbered.map(|(entry, sequence)| Candidate {
        sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
        entry: Entry { flags: Arc::clone(selected.flags(entry)), ..*entry },
        recent: selected.is_recent(entry.uid),
    });
    candidates.collect()
}

/// Looks at a batch: index first, then fields of those left open, then texts.
fn search_batch(work: &Work, batch: Vec<Candidate>) -> Result<Vec<(u32, Uid)>, StoreError> {
    let decide = |candidate: &Candidate, fields: Option<&Fields<&[u8]>>, texts: Option<&Texts>| {
        let Candidate { sequence, entry, recent } = candidate;
        let (sequence, recent) = (*sequence, *recent);
        matches(&work.key, &Facts { picture: &work.picture, sequence, entry, recent, fields, texts })
    };
    let mut found = Vec::new();
    let mut is_open = |candidate: &Candidate, answer: Option<bool>| {
        if answer == Some(true) {
            found.push((candidate.sequence, candidate.entry.uid));
        }
        answer.is_none()
    };
    let mut open = batch;
    open.retain(|candidate| is_open(candidate, decide(candidate, None, None)));
    if !open.is_empty() {
        // Gone meanwhile: it is not shown, and matches nothing.
        let mut left = vec![false; open.len()];
        work.mailbox.fields(&uids(&open), |index, fields| {
            if let (Some(left), Some(candidate)) = (left.get_mut(index), open.get(index)) {
                *left = is_open(candidate, decide(candidate, Some(fields), None));
            }
        })?;
        let mut left = left.into_iter();
        open.retain(|_| left.next() == Some(true));
    }
    if !open.is_empty() {
        let mut summaries = work.mailbox.summaries(&uids(&open))?.into_iter().peekable();
        for candidate in &open {
            let summary = summaries.next_if(|(uid, _)| *uid == candidate.entry.uid);
            let Some((_, summary)) = summary else { continue };
            match texts(work, candidate, &summary) {
                Ok(texts) => {
                    let fields = summary.fields.borrowed();
                    is_open(candidate, decide(candidate, Some(&fields), Some(&texts)))
                }
                Err(StoreError::NoSuchMessage) => continue,
                Err(error) => return Err(error),
            };
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn uids(candidates: &[Candidate]) -> Vec<Uid> {
    candidates.iter().map(|candidate| candidate.entry.uid).collect()
}

fn texts(work: &Work, candidate: &Candidate, summary: &Arc<Summary>) -> Result<Texts, StoreError> {
    let uid = candidate.entry.uid;
    let content = if candidate.entry.size <= work.message_max {
        work.mailbox.content(uid)?
    } else {
        work.mailbox.content_range(uid, 0, work.message_max)?
    };
    Ok(Texts::new(content, Arc::clone(summary)))
}

/// RFC 5182 §2.4: with MIN or MAX alone, only those are saved.
fn save(selected: &mut Selected, found: &[(u32, Uid)], returns: SearchReturn) {
    let uids = found.iter().map(|(_, uid)| *uid);
    if returns.all || returns.count || !(returns.min || returns.max) {
        selected.save(uids);
        return;
    }
    let min = if returns.min { found.first() } else { None };
    let max = if returns.max { found.last() } else { None };
    let mut ends: Vec<Uid> = min.into_iter().chain(max).map(|(_, uid)| *uid).collect();
    ends.dedup();
    selected.save(ends.into_iter());
}

/// The facts that were asked for.
fn extended(numbering: Numbering, returns: SearchReturn, numbers: &[u32]) -> Esearch<'_> {
    Esearch {
        uid: numbering == Numbering::Uid,
        min: numbers.first().copied().filter(|_| returns.min),
        max: numbers.last().copied().filter(|_| returns.max),
        all: returns.all.then_some(numbers),
        count: returns.count.then(|| u32::try_from(numbers.len()).unwrap_or(u32::MAX)),
        mod_seq: None,
    }
}
