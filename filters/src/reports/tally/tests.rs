use std::time::Duration;

use serde_json::{Value, json};
use units::{ByteSize, Span};

use super::*;
use crate::reports::Counts;

const NOON: u64 = 1_764_417_600;

fn config() -> ReportsConfig {
    ReportsConfig {
        organization: "Ours".to_owned(),
        contact: "r@ours.test".to_owned(),
        ..ReportsConfig::default()
    }
}

fn tally(folder: &Path, config: ReportsConfig) -> Arc<Tally> {
    Tally::new(ReportKind::Dmarc, folder.join("reports"), config, &Registry::new()).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn counted(folder: &Path, seconds: u64) -> Vec<(Value, u64)> {
    let path = ReportKind::Dmarc.counts_path(&folder.join("reports"), Day::of(seconds));
    let mut counts = Counts::default();
    counts.add_file(&path, 1 << 20).unwrap();
    assert_eq!(counts.unreadable(), 0);
    counts.rows()
}

fn dropped(tally: &Tally, reason: &str) -> u64 {
    tally.metrics.dropped.with_label_values(&[reason]).get()
}

#[test]
fn what_is_counted_is_in_the_file_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let first = tally(folder.path(), config());
    let row = |n: u32| json!({ "n": n });
    first.flush(at(NOON));
    assert!(!folder.path().join("reports").exists(), "nothing was counted yet");
    (0..3).for_each(|_| first.count("a.test", &row(1), NOON));
    assert_eq!(counted(folder.path(), NOON), []);
    first.flush(at(NOON));
    first.count("a.test", &row(1), NOON + 1);
    first.count("a.test", &row(2), NOON + 1);
    first.flush(at(NOON + 60));
    first.flush(at(NOON + 120));
    assert_eq!(counted(folder.path(), NOON), [(row(1), 4), (row(2), 1)]);
    // A crash in the middle of a line, and a process that goes on.
    let path = ReportKind::Dmarc.counts_path(&folder.path().join("reports"), Day::of(NOON));
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"n\":2,\"cou").unwrap();
    let second = tally(folder.path(), config());
    second.count("a.test", &row(2), NOON + 2);
    second.flush(at(NOON + 180));
    let mut counts = Counts::default();
    counts.add_file(&path, 1 << 20).unwrap();
    assert_eq!((counts.rows::<Value>(), counts.unreadable()), (vec![(row(1), 4), (row(2), 2)], 1));
}

#[test]
fn a_day_has_its_own_file_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let tally = tally(folder.path(), ReportsConfig { keep: Span::hours(48), ..config() });
    let day = 86_400;
    for later in 0..5 {
        tally.count("a.test", &json!({ "later": later }), NOON + later * day);
        tally.flush(at(NOON + later * day));
        assert_eq!(counted(folder.path(), NOON + later * day), [(json!({ "later": later }), 1)]);
    }
    let days = ReportKind::Dmarc.days(&folder.path().join("reports")).unwrap();
    assert_eq!(days, [2, 3, 4].map(|later| Day::of(NOON + later * day)));
    assert_eq!(ReportKind::Tls.days(&folder.path().join("reports")).unwrap(), []);

    tally.count("a.test", &json!({ "last": 1 }), NOON + 4 * day);
    tally.count("a.test", &json!({ "first": 1 }), NOON + 5 * day);
    tally.flush(at(NOON + 5 * day));
    assert!(counted(folder.path(), NOON + 4 * day).contains(&(json!({ "last": 1 }), 1)));
    assert_eq!(counted(folder.path(), NOON + 5 * day), [(json!({ "first": 1 }), 1)]);
}

#[test]
fn rows_and_octets_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let tally = tally(folder.path(), ReportsConfig { rows_max: 4, domain_rows_max: 2, ..config() });
    for n in 0..3 {
        tally.count("a.test", &json!({ "a": n }), NOON);
    }
    assert_eq!((dropped(&tally, "domain-full"), dropped(&tally, "full")), (1, 0));
    tally.count("a.test", &json!({ "a": 0 }), NOON);
    for n in 0..3 {
        tally.count(&format!("b{n}.test"), &json!({ "b": n }), NOON);
    }
    assert_eq!((dropped(&tally, "domain-full"), dropped(&tally, "full")), (1, 1));
    assert_eq!(tally.metrics.rows.get(), 4);
    tally.flush(at(NOON));
    assert_eq!(counted(folder.path(), NOON).iter().map(|(_, count)| count).sum::<u64>(), 5);

    let folder = tempfile::tempdir().unwrap();
    let small = ReportsConfig { octets_max: ByteSize::bytes(120), ..config() };
    let tally = self::tally(folder.path(), small);
    tally.count("a.test", &json!({ "text": "x".repeat(100) }), NOON);
    tally.count("a.test", &json!({ "text": "x".repeat(120) }), NOON);
    assert_eq!(dropped(&tally, "full"), 1, "in memory");
    tally.flush(at(NOON));
    assert_eq!(dropped(&tally, "file-full"), 1, "the line is longer than the row");
    let path = ReportKind::Dmarc.counts_path(&folder.path().join("reports"), Day::of(NOON));
    assert!(std::fs::metadata(&path).unwrap().len() <= 120);
    // Each process begins with a line of its own, until there is no room for that either; it is read as it is.
    for expected in [0, 0, 1, 1, 1] {
        let next = self::tally(folder.path(), ReportsConfig { octets_max: ByteSize::bytes(120), ..config() });
        next.count("a.test", &json!({ "a": 1 }), NOON);
        next.flush(at(NOON));
        assert_eq!(dropped(&next, "file-full"), expected);
        assert!(std::fs::metadata(&path).unwrap().len() <= 120);
    }
    assert_eq!(counted(folder.path(), NOON), [(json!({ "a": 1 }), 2)]);
}

#[test]
fn what_the_disk_does_not_take_waits() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder should be.
    std::fs::write(folder.path().join("reports"), "").unwrap();
    let tally = tally(folder.path(), config());
    tally.count("a.test", &json!({ "a": 1 }), NOON);
    tally.flush(at(NOON));
    std::fs::remove_file(folder.path().join("reports")).unwrap();
    tally.count("a.test", &json!({ "a": 1 }), NOON);
    tally.flush(at(NOON));
    assert_eq!(counted(folder.path(), NOON), [(json!({ "a": 1 }), 2)]);
    // It breaks while the file is open: the next one begins anew, and nothing counts twice.
    let path = ReportKind::Dmarc.counts_path(&folder.path().join("reports"), Day::of(NOON));
    tally.writing.lock().unwrap().as_mut().unwrap().file = File::open(&path).unwrap();
    tally.count("a.test", &json!({ "a": 1 }), NOON);
    tally.flush(at(NOON));
    assert_eq!(counted(folder.path(), NOON), [(json!({ "a": 1 }), 2)]);
    tally.flush(at(NOON));
    assert_eq!(counted(folder.path(), NOON), [(json!({ "a": 1 }), 3)]);
}
