//! Segments of which a write, a sync or the naming failed: what was refused stays refused, and the writer goes on when the
//! disk is well again.

use std::io;
use std::iter::once;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::record::{Batch, Kind, Payload, encode};
use super::super::scan::{Segment, open_all};
use super::super::segment::{LogWriter, START, SegmentHeader};
use super::super::state::{SegmentKey, State};
use crate::Lane;
use crate::files::sim::{Disk, Plan, SimFiles};
use crate::files::{FileHandle, Files, LockGuard};
use crate::suite::id;

const LOG: &str = "/queue/log/up";

/// A disk on which the names in a directory can't be synced for a while.
#[derive(Debug)]
struct Nameless {
    files: SimFiles,
    ill: Arc<AtomicBool>,
}

impl Files for Nameless {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.files.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.files.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.files.remove_directory(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.files.create_directory(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        if self.ill.load(Ordering::Relaxed) {
            return Err(io::Error::other("no names today"));
        }
        self.files.sync_directory(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.files.list(path)
    }
    fn size(&self, path: &Path) -> io::Result<u64> {
        self.files.size(path)
    }
    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.files.free_space(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<LockGuard>> {
        self.files.try_lock(path)
    }
    fn in_background(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.files.in_background(work)
    }
}

fn batch(number: u64) -> Batch {
    let mut batch = Batch::default();
    batch.extend(encode(Kind::Inline, Lane::Local, id(number), b"{}", Payload::Here(b"body")));
    batch
}

#[test]
fn a_writer_goes_on_however_often_naming_failed() {
    let ill = Arc::new(AtomicBool::new(false));
    let files = Nameless { files: Disk::new(7).process(Plan::Nothing), ill: Arc::clone(&ill) };
    let files: Arc<dyn Files> = Arc::new(files);
    files.create_directory(Path::new(LOG)).unwrap();
    let mut writer = LogWriter::open(Arc::clone(&files), LOG.into(), "seg", 1 << 16).unwrap();
    writer.begin(&mut once(batch(1)), 0).unwrap();
    writer.write(&mut batch(2)).unwrap();
    let good = writer.current().unwrap().1;
    ill.store(true, Ordering::Relaxed);
    for refused in 0..200 {
        assert!(writer.begin(&mut once(batch(100 + refused)), 0).is_err());
    }
    ill.store(false, Ordering::Relaxed);
    writer.begin(&mut once(batch(3)), 0).unwrap();
    // Whoever reads now takes what was confirmed and nothing else.
    let segments = open_all(&*files, Path::new(LOG)).unwrap();
    assert_eq!(segments.len(), 202);
    for (seq, _, cut) in segments {
        let expected = match seq {
            1 => Some(good.offset),
            202 => None,
            _ => Some(START),
        };
        assert_eq!(cut, expected, "{seq}");
    }
    // The next segment has nothing to say of these.
    writer.begin(&mut once(batch(4)), 0).unwrap();
    let header = writer.current().unwrap().0.header;
    assert!((1..204).all(|seq| header.cut_of(seq).is_none()), "{header:?}");
}

#[test]
fn a_header_says_what_counts_of_earlier_segments() {
    let header = SegmentHeader { salt: 1, seq: 9, cuts: vec![(5, 5000)], void_from: Some(6) };
    let said: Vec<_> = (4..11).map(|seq| header.cut_of(seq)).collect();
    assert_eq!(said, [None, Some(5000), Some(START), Some(START), Some(START), None, None]);
    // As it was written before there was `void_from`.
    let old: SegmentHeader = serde_json::from_str(r#"{"salt":1,"seq":9,"cuts":[[8,4096]]}"#).unwrap();
    assert_eq!((old.cut_of(8), old.cut_of(7)), (Some(START), None));
}

#[test]
fn a_segment_stays_while_another_is_there_that_it_cuts() {
    let files = Disk::new(7).process(Plan::Nothing);
    files.create_directory(Path::new("/queue")).unwrap();
    let key = |seq| SegmentKey { writer: "up".into(), seq };
    let mut state = State::new("/queue".into(), 0);
    for (seq, cuts) in [(1, vec![]), (2, vec![(1, 5000)]), (3, vec![])] {
        let handle = files.create(Path::new(&format!("/queue/{seq}"))).unwrap();
        let header = Arc::new(SegmentHeader { salt: 1, seq, cuts, void_from: Some(seq) });
        state.open_segment(&key(seq), Segment { handle, header });
    }
    state.segments.get_mut(&key(2)).unwrap().ended = true;
    state.segments.get_mut(&key(3)).unwrap().ended = true;
    // Nothing of 2 is needed, but without it all of 1 would count after the next start.
    assert_eq!(state.spent(), [key(3)]);
    state.segments.get_mut(&key(1)).unwrap().ended = true;
    assert_eq!(state.spent(), [key(1), key(3)], "one after the other: the removal of 1 is synced first");
    state.close_segment(&key(1));
    assert_eq!(state.spent(), [key(2), key(3)]);
}
