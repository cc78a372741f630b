//! Other nodes that use the same mail: what they are told, and whether they tell.
//!
//! Nothing here is needed for anything to be right. A change is found by looking at the disk; that it is told saves looks and time.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use envelope::AccountId;

use crate::MailboxName;
use crate::layout::account_of;

type Hook = Box<dyn Fn(&AccountId, &MailboxName) + Send + Sync>;

/// What is known of other nodes.
pub(crate) struct Nodes {
    hook: OnceLock<Hook>,
    /// Since when all of them tell; none: they don't.
    attached: Mutex<Option<Instant>>,
    poll_interval: Duration,
}

impl Nodes {
    pub(crate) const fn new(poll_interval: Duration) -> Self {
        Self { hook: OnceLock::new(), attached: Mutex::new(None), poll_interval }
    }

    pub(crate) fn set_hook(&self, hook: Hook) {
        let _ = self.hook.set(hook);
    }

    /// This process has made a change durable.
    pub(crate) fn changed(&self, account: &Path, mailbox: &MailboxName) {
        if let Some(hook) = self.hook.get()
            && let Some(account) = account_of(account)
        {
            hook(&account, mailbox);
        }
    }

    pub(crate) fn attach(&self, attached: bool) {
        let mut since = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        *since = attached.then(|| since.unwrap_or_else(Instant::now));
    }

    /// Whether a change by another node since that look would have been told.
    pub(crate) fn tell_of_changes_since(&self, looked: Option<Instant>) -> bool {
        let since = *self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        match (since, looked) {
            (Some(since), Some(looked)) => looked >= since && looked.elapsed() < self.poll_interval,
            _ => false,
        }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("attached", &self.attached).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::account_directory;

    #[test]
    fn a_directory_tells_its_account() {
        for account in [
            "alice@example.test",
            ".hidden@example.test",
            "b%c@example.test",
            "weiß@example.test",
            "a/b@x.test",
        ] {
            let Ok(account) = account.parse::<AccountId>() else { continue };
            assert_eq!(account_of(&account_directory(Path::new("/mail"), &account)), Some(account));
        }
        let long: AccountId = format!("{}@example.test", "ä".repeat(30)).parse().unwrap();
        let told = account_of(&account_directory(Path::new("/mail"), &long));
        assert!(told.is_none_or(|told| told == long));
        for name in ["", "sluice.adopting.x", "%", "%zz@x.test", "A%41@x.test"] {
            assert_eq!(account_of(&Path::new("/mail").join(name)), None, "{name}");
        }
    }

    #[test]
    fn only_what_was_looked_at_since_the_nodes_tell_is_known() {
        let nodes = Nodes::new(Duration::from_secs(3600));
        let before = Instant::now();
        assert!(!nodes.tell_of_changes_since(Some(before)));
        nodes.attach(true);
        let after = Instant::now();
        assert!(!nodes.tell_of_changes_since(None) && nodes.tell_of_changes_since(Some(after)));
        assert!(before == after || !nodes.tell_of_changes_since(Some(before)));
        nodes.attach(true);
        assert!(nodes.tell_of_changes_since(Some(after)), "being told so again changes nothing");
        nodes.attach(false);
        nodes.attach(true);
        assert!(!nodes.tell_of_changes_since(Some(after)) || Instant::now() == after);
        assert!(!Nodes::new(Duration::ZERO).tell_of_changes_since(Some(after)));
    }
}
