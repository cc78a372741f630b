//! Removes segments of which nothing is needed, and what vanished writers left.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::consumer::Consumer;
use super::segment::{segment_name, sequences};
use crate::schedule::now;

/// One round. Errors are told and the round after this tries again.
pub(super) fn clean(consumer: &Consumer) {
    show(consumer);
    if let Err(error) = remove_spent(consumer).and_then(|()| remove_vanished(consumer)) {
        tracing::warn!(%error, "failed to clean up the queue, trying again");
    }
}

fn show(consumer: &Consumer) {
    let mut inner = consumer.lock();
    let stats = inner.state.schedule.stats(now());
    let cached = inner.state.cached_bytes;
    drop(inner);
    consumer.metrics.cached_bytes.set(i64::try_from(cached).unwrap_or(i64::MAX));
    consumer.metrics.show(&stats);
}

/// A segment is forgotten only when its removal is durable: if it came back after a power cut without
/// what was decided about its messages, they would be delivered again.
fn remove_spent(consumer: &Consumer) -> io::Result<()> {
    let spent = consumer.lock().state.spent();
    let mut directories = BTreeSet::new();
    for key in &spent {
        let directory = consumer.config.dir.join("log").join(&*key.writer);
        match consumer.files.remove(&directory.join(segment_name(key.seq, "seg"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => directories.insert(directory),
        };
    }
    for directory in &directories {
        consumer.files.sync_directory(directory)?;
    }
    let mut inner = consumer.lock();
    for key in &spent {
        inner.state.close_segment(key);
    }
    Ok(())
}

fn remove_vanished(consumer: &Consumer) -> io::Result<()> {
    let logs = consumer.config.dir.join("log");
    for writer in consumer.files.list(&logs)? {
        let idle = *writer != *consumer.writer && !consumer.lock().state.has_segments_of(&writer);
        let directory = logs.join(&writer);
        if !idle || !sequences(&*consumer.files, &directory, "seg")?.is_empty() {
            continue;
        }
        let lock = directory.join("lock");
        let Some(guard) = consumer.files.try_lock(&lock)? else { continue };
        if sequences(&*consumer.files, &directory, "seg")?.is_empty() {
            tracing::info!(writer, "removing what a writer left that is gone");
            remove_flat(consumer, &consumer.config.dir.join("spool").join(&writer), None)?;
            remove_flat(consumer, &directory, Some("lock"))?;
        }
        drop(guard);
    }
    Ok(())
}

/// Removes a directory without subdirectories, `last` at the end: whoever waits for that lock file
/// must find nothing else left.
fn remove_flat(consumer: &Consumer, directory: &Path, last: Option<&str>) -> io::Result<()> {
    for name in consumer.files.list(directory)?.iter().filter(|name| Some(name.as_str()) != last) {
        consumer.files.remove(&directory.join(name))?;
    }
    if let Some(last) = last {
        consumer.files.remove(&directory.join(last))?;
    }
    match consumer.files.remove_directory(directory) {
        // A writer of that name has started again in between.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
