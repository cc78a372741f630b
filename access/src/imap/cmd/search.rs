//! SEARCH (RFC 3501 §6.4.4), ESEARCH (RFC 4731), `$` (RFC 5182).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use envelope::Timestamp;
use imap_proto::{Numbering, Search, SearchKey, SearchReturn};
use store::{Entry, Mailbox, StoreError, Summary, Uid};

use super::super::answer::{Answer, Stop};
use super::super::reply::Reply;
use super::super::search::{Facts, Picture, Texts, fold, matches};
use super::super::selected::Selected;
use super::super::session::Session;
use super::super::words;

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
    if let Some(returns) = args.returns {
        if returns.save {
            save(selected, &found, returns);
        }
    }
    let numbers = found.iter().map(|(sequence, uid)| match args.numbering {
        Numbering::Sequence => *sequence,
        Numbering::Uid => uid.0,
    });
    let numbers: Vec<u32> = numbers.collect();
    match args.returns {
        Some(returns) => {
            let tag = session.tag.clone();
            encode_extended(&tag, args.numbering, returns, &numbers, &mut session.connection.out);
        }
        None => {
            session.connection.out.extend_from_slice(b"* SEARCH");
            for number in numbers {
                session.connection.out.push(b' ');
                words::number(number.into(), &mut session.connection.out);
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
        found.extend(session.server.work(move || search_batch(&work, batch)).await?);
    }
}

fn candidates(selected: &Selected, from: usize) -> Vec<Candidate> {
    let numbered = selected.told().range(from..from + BATCH).zip(from + 1..);
    let candidates = numbered.map(|(entry, sequence)| Candidate {
        sequence: u32::try_from(sequence).unwrap_or(u32::MAX),
        entry: Entry { flags: Arc::clone(selected.flags(entry)), ..entry.clone() },
        recent: selected.is_recent(entry.uid),
    });
    candidates.collect()
}

/// Looks at a batch: index first, then summaries of those left open, then texts.
fn search_batch(work: &Work, batch: Vec<Candidate>) -> Result<Vec<(u32, Uid)>, StoreError> {
    let decide = |candidate: &Candidate, summary: Option<&Summary>, texts: Option<&Texts>| {
        let Candidate { sequence, entry, recent } = candidate;
        let (sequence, recent) = (*sequence, *recent);
        matches(&work.key, &Facts { picture: &work.picture, sequence, entry, recent, summary, texts })
    };
    let first: Vec<Option<bool>> = batch.iter().map(|candidate| decide(candidate, None, None)).collect();
    let open = batch.iter().zip(&first).filter(|(_, answer)| answer.is_none());
    let uids: Vec<Uid> = open.map(|(candidate, _)| candidate.entry.uid).collect();
    let summaries: HashMap<Uid, Arc<Summary>> =
        if uids.is_empty() { HashMap::new() } else { work.mailbox.summaries(&uids)?.into_iter().collect() };
    let mut found = Vec::new();
    for (candidate, first) in batch.iter().zip(first) {
        let answer = match (first, summaries.get(&candidate.entry.uid)) {
            (Some(answer), _) => answer,
            // Gone meanwhile: it matches nothing.
            (None, None) => false,
            (None, Some(summary)) => match decide(candidate, Some(summary), None) {
                Some(answer) => answer,
                None => match texts(work, candidate, summary) {
                    Ok(texts) => decide(candidate, Some(summary), Some(&texts)).unwrap_or(false),
                    Err(StoreError::NoSuchMessage) => false,
                    Err(error) => return Err(error),
                },
            },
        };
        if answer {
            found.push((candidate.sequence, candidate.entry.uid));
        }
    }
    Ok(found)
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

/// ```abnf
/// esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
/// ```
fn encode_extended(tag: &str, numbering: Numbering, returns: SearchReturn, numbers: &[u32], out: &mut Vec<u8>) {
    let only_save = returns.save && !(returns.min || returns.max || returns.all || returns.count);
    if only_save {
        // RFC 5182 §2.1: SAVE alone has no untagged answer.
        return;
    }
    out.extend_from_slice(b"* ESEARCH (TAG ");
    words::string(tag.as_bytes(), out);
    out.push(b')');
    if numbering == Numbering::Uid {
        out.extend_from_slice(b" UID");
    }
    for (wanted, name, number) in [(returns.min, " MIN ", numbers.first()), (returns.max, " MAX ", numbers.last())] {
        if let (true, Some(number)) = (wanted, number) {
            out.extend_from_slice(name.as_bytes());
            words::number((*number).into(), out);
        }
    }
    if returns.count {
        out.extend_from_slice(b" COUNT ");
        words::number(numbers.len() as u64, out);
    }
    if returns.all && !numbers.is_empty() {
        out.extend_from_slice(b" ALL ");
        words::uid_set(numbers.iter().copied(), out);
    }
    out.extend_from_slice(b"\r\n");
}
