//! Deliveries that become durable together.
//!
//! ```text
//! on a file system of our own:  write all bodies ─► one sync ─► names and records under each mailbox's lock ─► one sync ─► answers
//! on a network file system:     each mailbox does that by itself, side by side with the others
//! ```
//! The sync is that of the whole volume where a batch has enough for it (`Config::shared_sync_min`). Messages of one mailbox
//! share its lock and its syncs everywhere. A crash in between leaves messages without an answer, which come again with
//! their ids: the store knows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::mailbox::{Arriving, Placed, Staged};
use crate::shared_body::SharedBody;
use crate::store::Shared;
use crate::summary::{self, Summary};
use crate::threads::side_by_side;
use crate::volume::{Volume, Writes};
use crate::{Delivered, Delivery, Mailbox, Store, StoreError};

/// A message and the mailboxes that get it.
#[derive(Debug)]
pub struct Filing<'a> {
    /// The message.
    pub delivery: Delivery<'a>,
    /// Where to; each once.
    pub mailboxes: Vec<Arc<Mailbox>>,
}

/// How long a batch waits for a mailbox that somebody else is writing to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// For `lock_wait_max`; then the message is written without the lock.
    Full,
    /// For `batch_lock_wait`; then the answer is `LockTimeout`, and the message is to be delivered again by itself.
    Little,
}

/// A message on its way into one mailbox.
struct Item<'a> {
    /// Which of the filings, and which of its mailboxes.
    of: (usize, usize),
    mailbox: &'a Arc<Mailbox>,
    delivery: &'a Delivery<'a>,
    summary: &'a Summary,
    /// Which of the common bodies.
    body: Option<usize>,
    /// Its file is not where the volume's are: it is synced by itself.
    apart: bool,
    /// It has the common body.
    linked: bool,
    step: Step,
}

enum Step {
    New,
    Staged(Staged),
    Placed(Placed),
    Answered(Result<Delivered, StoreError>),
}

/// A body for several mailboxes of one volume.
struct Body<'a> {
    filing: usize,
    volume: &'a Volume,
    file: SharedBody,
}

impl Body<'_> {
    fn is_for(&self, item: &Item<'_>) -> bool {
        item.body.is_some() && item.of.0 == self.filing && item.mailbox.volume().name == self.volume.name
    }
}

/// What a batch works with.
struct Batch<'a> {
    store: &'a Store,
    bodies: Vec<Body<'a>>,
    /// How long to wait for a mailbox, when others wait for it.
    wait: Option<Duration>,
}

impl Store {
    /// Delivers one message to several mailboxes; the answers are in their order, each as [`Mailbox::deliver`] gives it.
    pub fn deliver_to_all(
        &self,
        mailboxes: &[Arc<Mailbox>],
        delivery: Delivery<'_>,
    ) -> Vec<Result<Delivered, StoreError>> {
        let filing = Filing { delivery, mailboxes: mailboxes.to_vec() };
        self.deliver_batch(&[filing], Patience::Full).pop().unwrap_or_default()
    }

    /// Delivers several messages; the answers are in the order of the filings and of their mailboxes. When this returns,
    /// what was delivered is on disk.
    pub fn deliver_batch(
        &self,
        filings: &[Filing<'_>],
        patience: Patience,
    ) -> Vec<Vec<Result<Delivered, StoreError>>> {
        if let ([Filing { delivery, mailboxes }], Patience::Full) = (filings, patience)
            && let [mailbox] = mailboxes.as_slice()
        {
            return vec![vec![mailbox.deliver(delivery)]];
        }
        let shared = self.shared();
        let summaries: Vec<Summary> =
            filings.iter().map(|filing| summary::parse(filing.delivery.content)).collect();
        let wait = (patience == Patience::Little).then(|| shared.config.batch_lock_wait.as_duration());
        let mut batch = Batch { store: self, bodies: Vec::new(), wait };
        let mut items = Vec::new();
        let writes = batch.begin(filings);
        for (number, (filing, summary)) in filings.iter().zip(&summaries).enumerate() {
            batch.take(number, filing, summary, &mut items);
        }
        let answered =
            if shared.network { batch.run_side_by_side(items) } else { batch.run_together(items, &writes) };
        count_saved(&answered, shared);
        let mut answers: Vec<Vec<_>> = filings
            .iter()
            .map(|filing| filing.mailboxes.iter().map(|_| Err(StoreError::NoSuchMailbox)).collect())
            .collect();
        for Item { of: (filing, mailbox), step, .. } in answered {
            if let (Step::Answered(answer), Some(slot)) =
                (step, answers.get_mut(filing).and_then(|answers| answers.get_mut(mailbox)))
            {
                *slot = answer;
            }
        }
        answers
    }
}

impl<'a> Batch<'a> {
    /// For each volume that gets enough for a sync of the whole of it.
    fn begin(&self, filings: &[Filing<'_>]) -> Vec<Writes<'a>> {
        let shared = self.store.shared();
        let mut writes = Vec::new();
        for volume in shared.volumes.all().iter().filter(|volume| volume.syncs_whole && !shared.network) {
            let targets = filings.iter().flat_map(|filing| &filing.mailboxes);
            let count = targets.filter(|mailbox| mailbox.volume().name == volume.name).count();
            if count < shared.config.shared_sync_min as usize {
                continue;
            }
            match volume.begin(&*shared.fs) {
                Ok(begun) => writes.push(begun),
                Err(error) => warn!(%error, volume = volume.name, "no common sync, one for each file"),
            }
        }
        writes
    }

    /// Adds a message, with a common body on each volume where several mailboxes get it.
    fn take(
        &mut self,
        number: usize,
        filing: &'a Filing<'a>,
        summary: &'a Summary,
        items: &mut Vec<Item<'a>>,
    ) {
        let shared = self.store.shared();
        let first = self.bodies.len();
        for volume in shared.volumes.all() {
            let here = filing.mailboxes.iter().filter(|mailbox| mailbox.volume().name == volume.name);
            if here.count() < 2 {
                continue;
            }
            let room = shared.volumes.check_room(volume);
            match room.and_then(|()| SharedBody::write(shared, volume, &filing.delivery)) {
                Ok(file) => self.bodies.push(Body { filing: number, volume, file }),
                Err(error) => {
                    let id = filing.delivery.message_id;
                    warn!(%error, %id, "no common body, a copy for each mailbox");
                }
            }
        }
        for (place, mailbox) in filing.mailboxes.iter().enumerate() {
            let mut bodies = self.bodies.iter().enumerate().skip(first);
            let fits = |body: &Body<'_>| body.volume.name == mailbox.volume().name;
            let body = bodies.find(|(_, body)| fits(body)).map(|(index, _)| index);
            let of = (number, place);
            let delivery = &filing.delivery;
            let step = Step::New;
            items.push(Item { of, mailbox, delivery, summary, body, apart: false, linked: false, step });
        }
    }

    fn run_together(mut self, mut items: Vec<Item<'a>>, writes: &[Writes<'_>]) -> Vec<Item<'a>> {
        let of = |volume: &Volume| writes.iter().find(|writes| writes.volume.name == volume.name);
        for item in &mut items {
            item.stage(&self.bodies);
            let device = of(item.mailbox.volume()).map(|writes| writes.device);
            item.apart = matches!(&item.step, Step::Staged(staged) if Some(staged.device()) != device);
        }
        for volume in self.store.shared().volumes.all() {
            self.sync_contents(volume, of(volume), &mut items);
        }
        for group in by_mailbox(&mut items) {
            place(group, &self.bodies, self.wait);
        }
        for volume in self.store.shared().volumes.all() {
            self.settle(volume, of(volume), &mut items);
        }
        items
    }

    fn run_side_by_side(mut self, mut items: Vec<Item<'a>>) -> Vec<Item<'a>> {
        for body in &mut self.bodies {
            if let Err(error) = body.file.sync() {
                let theirs = |item: &&mut Item<'_>| body.is_for(item);
                fail(items.iter_mut().filter(theirs), &error);
            }
        }
        let threads = self.store.shared().config.batch_threads as usize;
        side_by_side(threads, by_mailbox(&mut items), |mut group| {
            for item in &mut group {
                item.stage(&self.bodies);
                item.sync();
            }
            let group = place(group, &self.bodies, self.wait);
            group.into_iter().for_each(Item::settle);
        });
        items
    }

    /// All contents on the volume, those of common bodies too.
    fn sync_contents(&mut self, volume: &Volume, writes: Option<&Writes<'_>>, items: &mut [Item<'a>]) {
        let items = items.iter_mut().filter(|item| item.mailbox.volume().name == volume.name);
        let mut items: Vec<_> = items.collect();
        let mut bodies: Vec<_> =
            self.bodies.iter_mut().filter(|body| body.volume.name == volume.name).collect();
        let files = bodies.len() + items.iter().filter(|item| item.is_unsynced() && !item.apart).count();
        let enough = files >= self.store.shared().config.shared_sync_min as usize;
        if let Some(writes) = writes.filter(|_| enough) {
            match writes.sync() {
                Err(error) => fail(items.iter_mut().map(|item| &mut **item), &error),
                Ok(()) => {
                    bodies.iter_mut().for_each(|body| body.file.note_synced());
                    items.iter_mut().filter(|item| !item.apart).for_each(|item| item.note_synced());
                }
            }
            return items.into_iter().for_each(Item::sync);
        }
        for body in bodies {
            if let Err(error) = body.file.sync() {
                let theirs = |item: &&mut &mut Item<'_>| body.is_for(item);
                fail(items.iter_mut().filter(theirs).map(|item| &mut **item), &error);
            }
        }
        items.into_iter().for_each(Item::sync);
    }

    /// Names and records on the volume; then every message has its answer.
    fn settle(&self, volume: &Volume, writes: Option<&Writes<'_>>, items: &mut [Item<'a>]) {
        let is_here = |item: &Item<'_>| item.mailbox.volume().name == volume.name;
        let is_placed = |item: &Item<'_>| matches!(item.step, Step::Placed(_)) && !item.apart;
        let placed = items.iter().filter(|item| is_here(item) && is_placed(item));
        let touched: BTreeMap<_, _> = placed.map(|item| (Arc::as_ptr(item.mailbox), item.mailbox)).collect();
        let enough = touched.len() >= self.store.shared().config.shared_sync_min as usize;
        if let Some(writes) = writes.filter(|_| enough) {
            let ends: Vec<_> = touched.values().map(|mailbox| (mailbox, mailbox.journal_end())).collect();
            if writes.sync().is_ok() {
                for (mailbox, end) in ends {
                    end.into_iter().for_each(|end| mailbox.note_synced(end));
                }
            }
        }
        items.iter_mut().filter(|item| is_here(item)).for_each(Item::settle);
    }
}

impl Item<'_> {
    fn stage(&mut self, bodies: &[Body<'_>]) {
        if !matches!(self.step, Step::New) {
            return;
        }
        let body = self.body.and_then(|body| bodies.get(body));
        let staged = match self.mailbox.admit(self.delivery.message_id) {
            Ok(Some(delivered)) => return self.step = Step::Answered(Ok(delivered)),
            Ok(None) => match body {
                Some(body) => Ok(self.mailbox.stage_shared(&body.file)),
                None => self.mailbox.stage_unsynced(self.delivery.content, self.delivery.received_at),
            },
            Err(error) => Err(error),
        };
        self.step = staged.map_or_else(|error| Step::Answered(Err(error)), Step::Staged);
    }

    const fn is_unsynced(&self) -> bool {
        matches!(&self.step, Step::Staged(staged) if staged.is_unsynced())
    }

    fn sync(&mut self) {
        if let Step::Staged(staged) = &mut self.step
            && let Err(error) = staged.sync()
        {
            self.step = Step::Answered(Err(error));
        }
    }

    fn note_synced(&mut self) {
        if let Step::Staged(staged) = &mut self.step {
            staged.note_synced();
        }
    }

    fn settle(&mut self) {
        self.step = match std::mem::replace(&mut self.step, Step::New) {
            Step::Placed(placed) => Step::Answered(self.mailbox.settle_placed(placed)),
            other => other,
        };
        if let Step::Answered(answer) = &self.step {
            self.mailbox.count_delivery(answer);
        }
    }

    /// The common body can't get another name there: a copy.
    fn copy(&self, wait: Option<Duration>) -> Result<Placed, StoreError> {
        let staged = self.mailbox.stage(self.delivery.content, self.delivery.received_at)?;
        let arriving = Arriving { delivery: self.delivery, summary: self.summary, staged };
        self.mailbox.place_all(vec![arriving], wait).pop().unwrap_or(Err(StoreError::Busy))
    }
}

/// Brings what is staged for one mailbox to its place.
fn place<'b, 'a>(
    mut group: Vec<&'b mut Item<'a>>,
    bodies: &[Body<'_>],
    wait: Option<Duration>,
) -> Vec<&'b mut Item<'a>> {
    let mut arriving = Vec::with_capacity(group.len());
    let mut positions = Vec::with_capacity(group.len());
    for (position, item) in group.iter_mut().enumerate() {
        match std::mem::replace(&mut item.step, Step::New) {
            Step::Staged(staged) => {
                arriving.push(Arriving { delivery: item.delivery, summary: item.summary, staged });
                positions.push(position);
            }
            other => item.step = other,
        }
    }
    let Some(mailbox) = group.first().map(|item| item.mailbox) else { return group };
    for (position, placed) in positions.into_iter().zip(mailbox.place_all(arriving, wait)) {
        let Some(item) = group.get_mut(position) else { continue };
        let shared = item.body.is_some_and(|body| body < bodies.len());
        let placed = match placed {
            // Too many links, or a file system without them.
            Err(error) if shared && error.is_link_refused() => {
                item.apart = true;
                item.copy(wait)
            }
            placed => {
                item.linked = shared && placed.as_ref().is_ok_and(Placed::is_new);
                placed
            }
        };
        item.step = placed.map_or_else(|error| Step::Answered(Err(error)), Step::Placed);
    }
    group
}

/// Of the mailboxes with one body, all but one cost no room.
fn count_saved(items: &[Item<'_>], shared: &Shared) {
    let mut linked: HashMap<usize, (u64, u64)> = HashMap::new();
    for item in items.iter().filter(|item| item.linked) {
        if let Some(body) = item.body {
            let (count, size) = linked.entry(body).or_default();
            (*count, *size) = (*count + 1, item.delivery.content.len() as u64);
        }
    }
    let saved = linked.values().map(|(count, size)| count.saturating_sub(1) * size).sum();
    shared.metrics.shared_body_bytes.inc_by(saved);
}

fn fail<'b, 'a: 'b>(items: impl IntoIterator<Item = &'b mut Item<'a>>, error: &StoreError) {
    for item in items {
        if !matches!(item.step, Step::Answered(_)) {
            item.step = Step::Answered(Err(error.clone()));
        }
    }
}

/// The items of each mailbox, in their order.
fn by_mailbox<'b, 'a>(items: &'b mut [Item<'a>]) -> Vec<Vec<&'b mut Item<'a>>> {
    let mut groups: Vec<Vec<&mut Item<'a>>> = Vec::new();
    let mut known = HashMap::new();
    for item in items {
        let group = *known.entry(Arc::as_ptr(item.mailbox)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.push(item);
        }
    }
    groups
}
