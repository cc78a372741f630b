//! Orders of operators, from any process of the machine to the one that works the queue.
//!
//! ```text
//!  <dir>/orders/<id>.order   wait for the consumer: filter, order, until when somebody waits for the answer
//!              /<id>.taken   the consumer is at it
//!              /<id>.done    what came of it; whoever asked removes it
//! ```
//! Every file gets its name by a rename, so that nobody reads half of one. An order is carried out as decisions are made about leased
//! messages: each message is taken first, so that no worker has it meanwhile, and the order's decisions are in the consumer's log before the
//! answer. A crash half-way leaves some messages changed and the others not; the same order given again does the rest.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use envelope::{MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::consumer::Consumer;
use super::inspect;
use super::scan::Segment;
use super::settle::Settling;
use super::state::{Decision, Place, Waiting};
use crate::files::Files;
use crate::order::{Change, Standing};
use crate::schedule::{Slot, now};
use crate::{ListFilter, Listed, Order, Ordered, QueueError, QueuedState};

/// The consumer looks for orders once in so many of its poll intervals: a person waits, not a message.
const LOOK_EVERY: u32 = 5;
/// Messages that are looked at, taken and settled together.
const TOGETHER: usize = 1000;
/// An order is a filter and a word; ids are most of it.
const ORDER_SIZE_MAX: u64 = 1 << 20;
/// Answers that nobody has fetched are removed after this time.
const ANSWER_KEPT: Duration = Duration::from_secs(3600);

/// What is in an order's file.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    filter: ListFilter,
    order: Order,
    /// Whoever asked has given up then.
    until: Timestamp,
}

/// What is in an answer's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done(Ordered),
    Failed(String),
}

/// Where an order waits, for the process that gives it.
#[derive(Debug)]
pub(super) struct Pending {
    files: Arc<dyn Files>,
    directory: PathBuf,
    id: MessageId,
}

impl Pending {
    /// Writes the order down. Blocks.
    pub(super) fn ask(
        files: &Arc<dyn Files>,
        queue: &Path,
        id: MessageId,
        filter: &ListFilter,
        order: Order,
        wait: Duration,
    ) -> io::Result<Self> {
        let waiting = Self { files: Arc::clone(files), directory: directory(queue), id };
        files.create_directory(&waiting.directory)?;
        let asked = Asked { filter: filter.clone(), order, until: now().plus(wait) };
        let octets = serde_json::to_vec(&asked).map_err(io::Error::other)?;
        put(&**files, &waiting.path("order"), &octets)?;
        Ok(waiting)
    }

    /// The answer, once it is there. Blocks.
    pub(super) fn answer(&self) -> io::Result<Option<Result<Ordered, String>>> {
        let path = self.path("done");
        let octets = match read(&*self.files, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        self.files.remove(&path)?;
        Ok(Some(match serde_json::from_slice(&octets).map_err(io::Error::other)? {
            Answer::Done(ordered) => Ok(ordered),
            Answer::Failed(error) => Err(error),
        }))
    }

    /// Takes the order back; says no when the consumer has begun with it. Blocks.
    pub(super) fn take_back(&self) -> io::Result<bool> {
        match self.files.remove(&self.path("order")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.id))
    }
}

/// Carries out the orders of other processes until the queue closes.
pub(super) fn serve(consumer: &Arc<Consumer>) {
    let directory = directory(&consumer.config.dir);
    while !consumer.is_closing() {
        if consumer.lock().complete
            && let Err(error) = serve_all(consumer, &directory)
        {
            tracing::warn!(%error, path = %directory.display(), "failed to look for operators' orders, trying again");
        }
        consumer.pause(consumer.config.poll_interval.as_duration().saturating_mul(LOOK_EVERY));
    }
}

fn serve_all(consumer: &Arc<Consumer>, directory: &Path) -> io::Result<()> {
    let files = &*consumer.files;
    for name in files.list(directory)? {
        let path = directory.join(&name);
        let Some((id, extension)) = name.split_once('.') else { continue };
        match extension {
            "order" => serve_one(consumer, &path)?,
            // An earlier consumer ended in the middle: what it did is durable, and whoever asked is told to ask again.
            "taken" => {
                answer(files, &path, &Answer::Failed("the process that was at it has ended".to_owned()))?
            }
            "done" if is_old(id) => files.remove(&path)?,
            _ => {}
        }
    }
    Ok(())
}

fn serve_one(consumer: &Arc<Consumer>, path: &Path) -> io::Result<()> {
    let files = &*consumer.files;
    let taken = path.with_extension("taken");
    match files.rename(path, &taken) {
        // Taken back.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    let asked = read(files, &taken)
        .and_then(|octets| serde_json::from_slice::<Asked>(&octets).map_err(io::Error::other));
    let done = match asked {
        Ok(asked) if asked.until < now() => return files.remove(&taken),
        Ok(asked) => match carry_out(consumer, &asked.filter, asked.order) {
            Ok(ordered) => Answer::Done(ordered),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Err(error) => Answer::Failed(format!("the order can't be read: {error}")),
    };
    answer(files, &taken, &done)
}

fn answer(files: &dyn Files, taken: &Path, answer: &Answer) -> io::Result<()> {
    let octets = serde_json::to_vec(answer).map_err(io::Error::other)?;
    put(files, &taken.with_extension("done"), &octets)?;
    files.remove(taken)
}

/// Changes every message that fits and that no worker has. Blocks; for the process that works the queue.
pub(super) fn carry_out(
    consumer: &Arc<Consumer>,
    filter: &ListFilter,
    order: Order,
) -> Result<Ordered, QueueError> {
    let _one_at_a_time = consumer.ordering();
    let ids: Vec<MessageId> = if filter.ids.is_empty() {
        consumer.lock().state.schedule.by_age(filter.lane).map(|(id, _)| id).collect()
    } else {
        filter.ids.clone()
    };
    let mut ordered = Ordered::default();
    for ids in ids.chunks(TOGETHER) {
        let located: Vec<_> = {
            let inner = consumer.lock();
            let slots = ids.iter().filter_map(|id| Some((*id, inner.state.schedule.slot(*id)?)));
            slots.map(|(id, slot)| inner.state.located(id, slot)).collect()
        };
        let wanted =
            located.into_iter().filter_map(|located| look(located, filter, order, &mut ordered)).collect();
        settle(consumer, wanted, filter, order, &mut ordered)?;
    }
    Ok(ordered)
}

/// A message that the order changes.
struct Wanted {
    message: Listed,
    slot: Slot<Place>,
    change: Change,
}

fn look(
    (id, segment, slot): (MessageId, Option<Segment>, Slot<Place>),
    filter: &ListFilter,
    order: Order,
    ordered: &mut Ordered,
) -> Option<Wanted> {
    let now = now();
    let message = match inspect::listed(segment.as_ref(), id, &slot, now) {
        Ok(message) => message,
        Err(error) => {
            tracing::warn!(%id, %error, "a queued message can't be read, no order is carried out about it");
            ordered.failed += 1;
            return None;
        }
    };
    if !filter.fits(&message, now) {
        return None;
    }
    let change = order.change(filter, &message, now)?;
    if message.state == QueuedState::Leased {
        ordered.busy += 1;
        return None;
    }
    Some(Wanted { message, slot, change })
}

fn settle(
    consumer: &Arc<Consumer>,
    wanted: Vec<Wanted>,
    filter: &ListFilter,
    order: Order,
    ordered: &mut Ordered,
) -> Result<(), QueueError> {
    let mut answers = Vec::with_capacity(wanted.len());
    for Wanted { message, slot, change } in wanted {
        let id = message.envelope.id;
        if !take(consumer, id, &slot) {
            ordered.busy += 1;
            continue;
        }
        let sender = consumer.lock().settle.clone();
        let (sent, answered) = oneshot::channel();
        let settling =
            Settling { id, lane: message.lane, decision: decision(change, &message, slot), answer: sent };
        if sender.is_none_or(|sender| sender.blocking_send(settling).is_err()) {
            consumer.lock().state.schedule.put_back(id);
            return Err(QueueError::Closing);
        }
        answers.push((message, answered));
    }
    for (message, answered) in answers {
        match answered.blocking_recv() {
            Ok(Ok(())) => {
                order.tell(filter, &message);
                ordered.count(message.envelope.id);
            }
            Ok(Err(_)) | Err(_) => ordered.failed += 1,
        }
    }
    Ok(())
}

/// Takes the message, unless something has happened to it since it was looked at.
fn take(consumer: &Consumer, id: MessageId, seen: &Slot<Place>) -> bool {
    let mut inner = consumer.lock();
    let same = inner.state.schedule.slot(id).is_some_and(|slot| slot.is_as(seen));
    same && inner.state.schedule.take_this(id)
}

fn decision(change: Change, message: &Listed, slot: Slot<Place>) -> Decision {
    let Change::Stays(Standing { lane, due, held, recipients }) = change else { return Decision::Done };
    // The log of the publisher has them all: they are written down only when they are others.
    let unchanged = recipients.len() == message.envelope.recipients.len();
    let recipients = if unchanged { slot.payload.recipients().map(<[_]>::to_vec) } else { Some(recipients) };
    let error = slot.payload.last_error().to_owned();
    Decision::Waiting(Waiting { lane, due, attempts: slot.attempts, recipients, error, held })
}

fn directory(queue: &Path) -> PathBuf {
    queue.join("orders")
}

fn is_old(id: &str) -> bool {
    let made = id.parse::<MessageId>().map(|id| Timestamp::from_unix_milliseconds(id.unix_milliseconds()));
    made.is_ok_and(|made| now().since(made) > ANSWER_KEPT)
}

/// A file that is there whole or not at all.
fn put(files: &dyn Files, path: &Path, octets: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    match files.remove(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = files.create(&draft)?;
    file.write_at(octets, 0)?;
    file.sync()?;
    files.rename(&draft, path)
}

fn read(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let size = files.size(path)?;
    if size > ORDER_SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than an order can be"));
    }
    let mut octets = vec![0; usize::try_from(size).unwrap_or_default()];
    let length = files.open(path)?.read_at(&mut octets, 0)?;
    octets.truncate(length);
    Ok(octets)
}
