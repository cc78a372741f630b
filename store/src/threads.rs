//! Work on many mailboxes side by side, where each waits for a disk or a server.

use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// Does `work` with each item, on at most so many threads, this one among them; returns when all is done.
pub(crate) fn side_by_side<T: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) + Sync) {
    let threads = items.len().min(threads);
    let waiting = Mutex::new(items.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let all = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    scope(|scope| {
        // Without a thread more it takes longer.
        (1..threads).for_each(|_| drop(Builder::new().spawn_scoped(scope, all)));
        all();
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn each_is_done_once_and_several_at_a_time() {
        let (done, meeting) = (Mutex::new(Vec::new()), Barrier::new(3));
        side_by_side(3, (0..30).collect(), |number| {
            // All three threads come here, or nobody gets on.
            if number < 3 {
                meeting.wait();
            }
            done.lock().unwrap().push((number, std::thread::current().id()));
        });
        let done = done.into_inner().unwrap();
        let numbers: HashSet<i32> = done.iter().map(|(number, _)| *number).collect();
        assert_eq!((done.len(), numbers.len()), (30, 30));
        let one = Mutex::new(HashSet::new());
        side_by_side(0, vec![1, 2], |_| {
            one.lock().unwrap().insert(std::thread::current().id());
        });
        assert_eq!(one.into_inner().unwrap(), [std::thread::current().id()].into());
    }
}
