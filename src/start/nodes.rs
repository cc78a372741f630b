//! Joins this process's store with what other nodes tell.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use envelope::Secret;
use runtime::{BlockingPool, Drain};
use shared_state::memory::MemoryState;
use shared_state::redis::RedisState;
use shared_state::{Backend, Change, Event, Guarded, SharedState as _};
use store::{MailboxName, Store};
use tokio::sync::{Semaphore, mpsc};
use tracing::debug;

use crate::settings::Settings;

/// Mailboxes that are looked at at once after they were told of.
const TOGETHER: usize = 64;

/// The shared state of this process.
pub(crate) struct Shared {
    /// Counters and small values: in Redis for all nodes, else for this process alone. One notices for all that there is no answer.
    pub(crate) state: Arc<Guarded>,
    /// Whether it carries signals between nodes. Where nobody else is told, other nodes look for themselves, and so does this one.
    pub(crate) has_signals: bool,
}

/// Opens the shared state, and lets it hear of the store's changes.
pub(crate) fn open(
    settings: &Settings,
    store: Option<&Store>,
    registry: &prometheus::Registry,
) -> anyhow::Result<Shared> {
    let guarded =
        |state| Arc::new(Guarded::new(state, settings.filters.reputation.state_retry_after.as_duration()));
    if settings.shared_state.backend == Backend::Memory {
        let state = guarded(Arc::new(MemoryState::new(&settings.shared_state)));
        return Ok(Shared { state, has_signals: false });
    }
    let path = settings.shared_state.redis.password_file.clone();
    let password = Box::new(move || password(&path));
    let state = guarded(Arc::new(RedisState::open(&settings.shared_state, password, registry)?));
    if let Some(store) = store {
        let told = Arc::clone(&state);
        store.on_change(move |account, mailbox| {
            told.signal(Change { account: account.clone(), mailbox: mailbox.as_str().to_owned() });
        });
    }
    Ok(Shared { state, has_signals: true })
}

fn password(path: &Path) -> Result<Option<Secret<String>>, String> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("failed to read the password of Redis from `{}`: {error}", path.display())
    })?;
    Ok(Some(Secret::new(text.lines().next().unwrap_or_default().to_owned())))
}

/// Shows what other nodes changed, until the drain begins.
pub(crate) async fn follow(
    mut events: mpsc::Receiver<Event>,
    store: Store,
    blocking: BlockingPool,
    drain: Drain,
) {
    let places = Arc::new(Semaphore::new(TOGETHER));
    loop {
        let first = tokio::select! {
            () = drain.requested() => return,
            event = events.recv() => event,
        };
        let Some(first) = first else { return };
        let mut changed = HashSet::new();
        let mut event = Some(first);
        while let Some(now) = event {
            match now {
                Event::Attached => store.attach(true),
                Event::Gap => store.attach(false),
                Event::Changed(change) => {
                    changed.insert(change);
                }
            }
            event = if changed.len() < TOGETHER { events.try_recv().ok() } else { None };
        }
        for change in changed {
            let Ok(mailbox) = MailboxName::parse(&change.mailbox) else { continue };
            // One that hangs, on a mount that is away, holds up none of the others.
            let place = tokio::select! {
                () = drain.requested() => return,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let (store, blocking) = (store.clone(), blocking.clone());
            tokio::spawn(async move {
                let look = blocking.run(move || store.notice(&change.account, &mailbox)).await;
                if let Ok(Err(error)) = look {
                    debug!(%error, "a mailbox that another node changed can't be looked at now");
                }
                drop(place);
            });
        }
    }
}
