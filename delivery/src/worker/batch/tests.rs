//! Batches with mailboxes on a disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use store::{Config as StoreConfig, DirectoryItem, FileMeta, Free, Fs, FsFile, MailboxName, RealFs, Store};

use super::super::Lane;
use super::super::fakes::{address, id};
use super::super::tests::{Setup, config, recipients};
use crate::config::Config;

/// A disk on which every message for `poison` ends in a panic.
#[derive(Debug)]
struct Poisoned(RealFs);

impl Fs for Poisoned {
    fn is_network(&self, path: &Path) -> io::Result<bool> {
        self.0.is_network(path)
    }
    fn syncs_whole(&self, path: &Path) -> io::Result<bool> {
        self.0.syncs_whole(path)
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        assert!(!path.to_string_lossy().contains("poison@"), "on purpose");
        self.0.create_new(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.0.open_read(path)
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        self.0.open_write(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryItem>> {
        self.0.list(path)
    }
    fn meta(&self, path: &Path) -> io::Result<FileMeta> {
        self.0.meta(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.sync_dir(path)
    }
    fn free(&self, path: &Path) -> io::Result<Free> {
        self.0.free(path)
    }
}

fn count(setup: &Setup, name: &str) -> usize {
    let account = envelope::AccountId::new(&address(name));
    let inbox = setup.worker.deps.store.account(&account).unwrap().mailbox(&MailboxName::inbox()).unwrap();
    inbox.refresh().unwrap().len()
}

/// Batches and messages in them.
fn batches(setup: &Setup) -> (u64, f64) {
    let families = setup.worker.deps.registry.gather();
    let family = families.iter().find(|family| family.name() == "sluice_delivery_batch_messages").unwrap();
    let histogram = family.get_metric()[0].get_histogram();
    (histogram.get_sample_count(), histogram.get_sample_sum())
}

#[tokio::test]
async fn what_waits_goes_together_and_is_there_once() {
    let names = ["ann", "bob", "eve"];
    let entries = names.map(|name| (name, format!("={name}")));
    let entries: Vec<(&str, &str)> = entries.iter().map(|(name, to)| (*name, to.as_str())).collect();
    let setup =
        Setup::new(&entries, Config { concurrency: 30, batches_at_once: 1, batch_max: 8, ..config() });
    for number in 0..60 {
        setup.publish(number, "s@elsewhere.test", &[names[usize::from(number) % 3]]).await;
    }
    assert!(setup.settled().await.is_empty());
    for name in names {
        assert_eq!(count(&setup, name), 20, "{name}");
    }
    assert_eq!((setup.outcomes("delivered"), setup.count("sluice_delivery_duplicates_total", "")), (60, 0));
    let (batches, messages) = batches(&setup);
    assert!((8..60).contains(&batches) && messages == 60.0, "{messages} messages in {batches} batches");
}

#[tokio::test]
async fn a_mailbox_that_somebody_keeps_locked_holds_up_nobody_else() {
    // More messages for it than there are threads.
    let config = Config { concurrency: 9, batches_at_once: 1, alone_max: 3, ..config() };
    let setup = Setup::new(&[("ann", "=ann"), ("bob", "=bob")], config);
    assert_eq!((count(&setup, "ann"), count(&setup, "bob")), (0, 0));
    let locked = find(setup.root.path(), "ann@example.test").join("sluice.lock");
    let lock = std::fs::File::options().write(true).open(locked).unwrap();
    lock.lock().unwrap();
    for number in 0..8 {
        setup.publish(number, "s@elsewhere.test", &["ann"]).await;
    }
    let running = setup.start();
    setup.until(|listed| listed.iter().all(|listed| listed.state == queue::QueuedState::Leased)).await;
    // Their batch has given up by then, and they are tried alone.
    tokio::time::sleep(5 * StoreConfig::default().batch_lock_wait.as_duration()).await;
    setup.publish(8, "s@elsewhere.test", &["bob"]).await;
    let is_bobs = |listed: &queue::Listed| recipients(listed) == ["bob@example.test"];
    let waiting = setup.until(|listed| !listed.iter().any(is_bobs)).await;
    assert_eq!((waiting.len(), count(&setup, "bob")), (8, 1), "ann's mailbox is still locked");
    lock.unlock().unwrap();
    setup.until(<[queue::Listed]>::is_empty).await;
    setup.drain.begin();
    running.await.unwrap();
    assert_eq!(count(&setup, "ann"), 8);
}

fn find(directory: &Path, account: &str) -> std::path::PathBuf {
    let below = |path: std::path::PathBuf| {
        std::fs::read_dir(path).into_iter().flatten().map(|item| item.unwrap().path())
    };
    let accounts = below(directory.to_owned()).flat_map(below).flat_map(below);
    accounts.into_iter().find(|path| path.ends_with(account)).unwrap()
}

#[tokio::test]
async fn only_the_message_at_fault_pays_for_a_panic() {
    let config = Config { concurrency: 8, batches_at_once: 1, panics_before_dead: 2, ..config() };
    let mut setup = Setup::new(&[("ann", "=ann"), ("poison", "=poison")], config);
    // The account is there; from now on its messages are poison.
    count(&setup, "poison");
    let store = StoreConfig { root: setup.root.path().to_owned(), ..StoreConfig::default() };
    let store = Store::open(&store, Arc::new(Poisoned(RealFs)), &prometheus::Registry::new()).unwrap();
    setup.with_store(store);
    for number in 0..40 {
        let name = if number == 7 { "poison" } else { "ann" };
        setup.publish(number, "s@elsewhere.test", &[name]).await;
    }
    let listed = setup.settled().await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].lane, listed[0].envelope.id), (Lane::Dead, id(7)));
    assert_eq!(recipients(&listed[0]), ["poison@example.test"]);
    assert_eq!((count(&setup, "ann"), setup.outcomes("delivered")), (39, 39));
    assert_eq!(setup.count("sluice_delivery_panics_total", ""), 2);
    let (batches, messages) = batches(&setup);
    assert!(messages > batches as f64, "nothing went together");
}
