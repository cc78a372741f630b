//! The maildrop's lock (RFC 1939 §4): one POP3 session of an account at a time.
//!
//! It lives in this process. A lock in the store would be left behind by every killed node and shut people out; and what it
//! would guard needs no guard, see the crate of the session.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use envelope::AccountId;

/// The accounts with a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Locks {
    held: Arc<Mutex<HashSet<AccountId>>>,
}

/// A session's hold on its account; released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    account: AccountId,
    held: Arc<Mutex<HashSet<AccountId>>>,
}

impl Locks {
    /// The lock, unless another session has it.
    pub(super) fn take(&self, account: &AccountId) -> Option<Lock> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(account.clone()).then(|| Lock { account: account.clone(), held: Arc::clone(&self.held) })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let locks = Locks::default();
        let (alice, bob) = ("alice@example.test".parse().unwrap(), "bob@example.test".parse().unwrap());
        let first = locks.take(&alice);
        assert!(first.is_some() && locks.take(&alice).is_none() && locks.take(&bob).is_some());
        drop(first);
        assert!(locks.take(&alice).is_some());
    }
}
