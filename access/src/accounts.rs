//! How many connections, or uploads, each account has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use envelope::AccountId;

/// Counts by account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    counts: Arc<Mutex<HashMap<AccountId, usize>>>,
    limit: usize,
}

/// One place; given back when it is dropped.
pub(crate) struct AccountPlace {
    account: AccountId,
    counts: Arc<Mutex<HashMap<AccountId, usize>>>,
}

impl Accounts {
    pub(crate) fn new(limit: usize) -> Self {
        Self { counts: Arc::default(), limit }
    }

    /// Takes a place; none when the account has as many as it may.
    pub(crate) fn enter(&self, account: &AccountId) -> Option<AccountPlace> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(account.clone()).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(AccountPlace { account: account.clone(), counts: Arc::clone(&self.counts) })
    }
}

impl AccountPlace {
    /// Whose.
    pub(crate) const fn account(&self) -> &AccountId {
        &self.account
    }
}

impl Drop for AccountPlace {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let accounts = Accounts::new(2);
        let (a, b): (AccountId, AccountId) = ("a@x.test".parse().unwrap(), "b@x.test".parse().unwrap());
        let first = accounts.enter(&a).unwrap();
        let second = accounts.enter(&a).unwrap();
        assert!(accounts.enter(&a).is_none());
        assert!(accounts.enter(&b).is_some());
        drop(first);
        let third = accounts.enter(&a).unwrap();
        assert!(accounts.enter(&a).is_none());
        drop((second, third));
        assert!(accounts.counts.lock().unwrap().is_empty());
    }
}
