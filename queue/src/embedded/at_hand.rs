//! Which messages workers have, written down for whoever works the queue after a crash: a message that ends the process each time must
//! not be tried for ever.
//!
//! ```text
//!  consumer/at-hand    entries of 32 octets: | crc | ends | with a worker | 0 | id |
//! ```
//! Nothing is synced: what the process wrote outlives its own end, and a power cut is not the message's fault. A file that can't be
//! written or read costs only the count.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use envelope::MessageId;

use crate::files::{FileHandle, Files};

const ENTRY: usize = 32;
const NAME: &str = "at-hand";
const DRAFT: &str = "at-hand.new";
/// More than workers ever have at once.
const ENTRIES_MAX: usize = 1 << 16;

/// The file, while this process works the queue.
#[derive(Debug, Default)]
pub(super) struct AtHand {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    handle: Option<Arc<dyn FileHandle>>,
    known: HashMap<MessageId, Entry>,
    free: Vec<u32>,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    place: u32,
    /// How often the process has ended while a worker had the message.
    ends: u32,
}

impl AtHand {
    /// Begins the file anew with what is known of messages that a process had when it ended.
    pub(super) fn begin(&self, files: &dyn Files, directory: &Path, ends: &HashMap<MessageId, u32>) {
        let mut inner = self.lock();
        *inner = Inner::default();
        for (id, ends) in ends {
            let place = inner.next;
            inner.next += 1;
            inner.known.insert(*id, Entry { place, ends: *ends });
        }
        let octets: Vec<u8> = {
            let mut entries: Vec<_> = inner.known.iter().collect();
            entries.sort_unstable_by_key(|(_, entry)| entry.place);
            entries.iter().flat_map(|(id, entry)| encode(**id, entry.ends, false)).collect()
        };
        match make(files, directory, &octets) {
            Ok(handle) => inner.handle = Some(handle),
            Err(error) => {
                tracing::warn!(%error, dir = %directory.display(), "failed to make the file of messages at hand: ends of the process are not counted");
            }
        }
    }

    /// A worker gets it.
    pub(super) fn given(&self, id: MessageId) {
        let mut inner = self.lock();
        let entry = match inner.known.get(&id) {
            Some(entry) => *entry,
            None => {
                let place = inner.free.pop().unwrap_or(inner.next);
                inner.next = inner.next.max(place + 1);
                let entry = Entry { place, ends: 0 };
                inner.known.insert(id, entry);
                entry
            }
        };
        inner.write(entry.place, &encode(id, entry.ends, true));
    }

    /// A worker has given it back.
    pub(super) fn given_back(&self, id: MessageId) {
        let mut inner = self.lock();
        let Some(entry) = inner.known.get(&id).copied() else { return };
        if entry.ends > 0 {
            return inner.write(entry.place, &encode(id, entry.ends, false));
        }
        inner.known.remove(&id);
        inner.clear(&mut [entry.place]);
    }

    /// The decisions about these are durable.
    pub(super) fn settled(&self, ids: impl Iterator<Item = MessageId>) {
        let mut inner = self.lock();
        let mut places: Vec<u32> =
            ids.filter_map(|id| inner.known.remove(&id)).map(|entry| entry.place).collect();
        inner.clear(&mut places);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Empties these places; those side by side at once.
    fn clear(&mut self, places: &mut [u32]) {
        places.sort_unstable();
        for run in places.chunk_by(|one, next| one + 1 == *next) {
            if let Some(first) = run.first() {
                self.write(*first, &vec![0; run.len() * ENTRY]);
            }
        }
        self.free.extend_from_slice(places);
    }

    fn write(&mut self, place: u32, octets: &[u8]) {
        let offset = u64::from(place) * ENTRY as u64;
        if let Some(Err(error)) = self.handle.as_ref().map(|handle| handle.write_at(octets, offset)) {
            tracing::warn!(%error, "failed to write down which messages are at hand: ends of the process are no longer counted");
            self.handle = None;
        }
    }
}

/// How often the process has ended while a worker had each of these, this time included.
pub(super) fn ends(files: &dyn Files, directory: &Path) -> HashMap<MessageId, u32> {
    match read(files, directory) {
        Ok(octets) => octets.as_chunks::<ENTRY>().0.iter().filter_map(decode).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
        Err(error) => {
            tracing::warn!(%error, dir = %directory.display(), "failed to read which messages were at hand");
            HashMap::new()
        }
    }
}

fn read(files: &dyn Files, directory: &Path) -> io::Result<Vec<u8>> {
    let path = directory.join(NAME);
    let size = usize::try_from(files.size(&path)?).unwrap_or(usize::MAX).min(ENTRIES_MAX * ENTRY);
    let mut octets = vec![0; size];
    let count = files.open(&path)?.read_at(&mut octets, 0)?;
    octets.truncate(count);
    Ok(octets)
}

fn make(files: &dyn Files, directory: &Path, octets: &[u8]) -> io::Result<Arc<dyn FileHandle>> {
    let draft = directory.join(DRAFT);
    match files.remove(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let handle = files.create(&draft)?;
    handle.write_at(octets, 0)?;
    files.rename(&draft, &directory.join(NAME))?;
    Ok(handle)
}

fn encode(id: MessageId, ends: u32, with_a_worker: bool) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let (crc, rest) = entry.split_at_mut(4);
    let fields = [ends, u32::from(with_a_worker), 0].into_iter().flat_map(u32::to_le_bytes);
    rest.iter_mut().zip(fields.chain(id.to_bytes())).for_each(|(octet, value)| *octet = value);
    crc.copy_from_slice(&crc32c::crc32c(rest).to_le_bytes());
    entry
}

fn decode(entry: &[u8; ENTRY]) -> Option<(MessageId, u32)> {
    let (crc, rest) = entry.split_first_chunk::<4>()?;
    let (ends, fields) = rest.split_first_chunk::<4>()?;
    let (with_a_worker, fields) = fields.split_first_chunk::<4>()?;
    let id = fields.get(4..)?.try_into().ok()?;
    let ends = u32::from_le_bytes(*ends).saturating_add(u32::from_le_bytes(*with_a_worker).min(1));
    (u32::from_le_bytes(*crc) == crc32c::crc32c(rest) && ends > 0).then(|| (MessageId::from_bytes(id), ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sim::{Disk, Plan};

    fn place() -> (impl Files, &'static Path) {
        let files = Disk::new(1).process(Plan::Nothing);
        let directory = Path::new("/queue/consumer");
        files.create_directory(directory).unwrap();
        (files, directory)
    }

    fn id(number: u8) -> MessageId {
        MessageId::from_bytes([number; 16])
    }

    #[test]
    fn counts_only_what_was_with_a_worker_at_the_end() {
        let (files, directory) = place();
        let mut known = ends(&files, directory);
        assert!(known.is_empty());
        for round in 1..=3 {
            let at_hand = AtHand::default();
            at_hand.begin(&files, directory, &known);
            for number in 1..=4 {
                at_hand.given(id(number));
            }
            at_hand.settled([id(1)].into_iter());
            at_hand.given_back(id(2));
            // Takes the place of one that is gone.
            at_hand.given(id(10 + round));
            known = ends(&files, directory);
            assert_eq!((known.get(&id(1)), known.get(&id(2))), (None, None));
            assert_eq!(
                (known.get(&id(3)), known.get(&id(4))),
                (Some(&u32::from(round)), Some(&u32::from(round)))
            );
            assert_eq!(known.get(&id(10 + round)), Some(&1));
        }
        // One that ended a process and is given back for now keeps its count.
        let at_hand = AtHand::default();
        at_hand.begin(&files, directory, &known);
        at_hand.given(id(3));
        at_hand.given_back(id(3));
        assert_eq!(ends(&files, directory).get(&id(3)), Some(&3));
        at_hand.settled([id(3)].into_iter());
        assert_eq!(ends(&files, directory).get(&id(3)), None);
    }

    #[test]
    fn several_that_are_settled_leave_the_others() {
        let (files, directory) = place();
        let at_hand = AtHand::default();
        at_hand.begin(&files, directory, &HashMap::new());
        (1..=9).for_each(|number| at_hand.given(id(number)));
        // Two runs and one by itself, in no order; one that was never given.
        at_hand.settled([7, 2, 1, 9, 3, 40, 6].into_iter().map(id));
        let mut left: Vec<_> = ends(&files, directory).into_keys().collect();
        left.sort_unstable();
        assert_eq!(left, [4, 5, 8].map(id));
        // Places are given again, each to one.
        (11..=18).for_each(|number| at_hand.given(id(number)));
        assert_eq!(ends(&files, directory).len(), 3 + 8);
        assert_eq!(files.size(&directory.join(NAME)).unwrap(), 11 * ENTRY as u64);
    }

    #[test]
    fn what_is_damaged_counts_for_nothing() {
        let mut entry = encode(MessageId::from_bytes([7; 16]), 2, true);
        assert_eq!(decode(&entry), Some((MessageId::from_bytes([7; 16]), 3)));
        entry[20] ^= 1;
        assert_eq!(decode(&entry), None);
        assert_eq!(decode(&[0; ENTRY]), None);
    }
}
