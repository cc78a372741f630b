//! Failed logins in the shared state: the ledger that the directory asks, and what operators see of it.
//!
//! ```text
//! login:failures:account:<address>   a counter that begins anew after `forget_after`, and beside it a value: how many without a pause
//! login:failures:network:<address>
//! login:blocked:…                    a value that ends with the delay
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use directory::{FailedBy, FailureLedger, Unavailable, network};
use envelope::Address;
use filters::reputation::{Row, Rows, word};
use shared_state::{CounterKey, Entry, Guarded, Held, KeyPrefix, SharedState, Value};
use units::Network;

const ROOM: &str = "login";
const FAILURES: &str = "failures";
const BLOCKED: &str = "blocked";

/// The ledger.
pub(crate) struct Failures {
    state: Arc<Guarded>,
}

impl Failures {
    pub(crate) const fn new(state: Arc<Guarded>) -> Self {
        Self { state }
    }

    /// Delays and failures, at most `limit`.
    pub(crate) async fn rows(&self, limit: usize) -> anyhow::Result<Rows> {
        let mut rows = Rows { rows: Vec::new(), whole: true };
        for what in [BLOCKED, FAILURES] {
            // A failure has a counter and a value.
            let most = limit.saturating_mul(2);
            let listing = self.state.list(&KeyPrefix::new(ROOM, what, "")?, most).await?;
            rows.whole &= listing.whole;
            rows.rows.extend(listing.entries.into_iter().filter_map(row));
        }
        rows.whole &= rows.rows.len() <= limit;
        rows.rows.truncate(limit);
        Ok(rows)
    }

    /// What is counted for an address's network.
    pub(crate) async fn about(&self, address: IpAddr) -> anyhow::Result<Vec<Row>> {
        let whom = whom(FailedBy::Network(network(address)));
        let mut rows = Vec::new();
        for what in [BLOCKED, FAILURES] {
            let key = CounterKey::new(ROOM, what, &whom)?;
            let kept = self.state.kept(&key).await?;
            let entry =
                kept.map(|kept| Entry { key, held: Held::Value(kept.value), remaining: kept.remaining });
            rows.extend(entry.and_then(row));
        }
        Ok(rows)
    }

    /// Forgets a key of `rows`, or what is counted for an address, a network or a login. None: it is nothing of ours.
    pub(crate) async fn clear(&self, what: &str) -> anyhow::Result<Option<u64>> {
        let whom = match what.strip_prefix("login:") {
            Some(rest) => {
                let known = [FAILURES, BLOCKED]
                    .into_iter()
                    .find_map(|kind| rest.strip_prefix(kind)?.strip_prefix(':'));
                let Some(whom) = known else { return Ok(None) };
                whom.to_owned()
            }
            None => match (what.parse::<Network>(), what.parse::<Address>()) {
                (Ok(found), _) => whom(FailedBy::Network(network(found.address()))),
                (_, Ok(address)) => whom(FailedBy::Account(&address.canonical())),
                _ => return Ok(None),
            },
        };
        let mut gone = 0;
        for kind in [FAILURES, BLOCKED] {
            let Ok(key) = CounterKey::new(ROOM, kind, &whom) else { return Ok(None) };
            gone += u64::from(self.state.forget(&key).await?);
        }
        Ok(Some(gone))
    }
}

#[async_trait]
impl FailureLedger for Failures {
    /// The counter alone would forget after `forget_after` whatever comes; the value alone could lose what two nodes count at once.
    async fn failed(&self, by: FailedBy<'_>, forget_after: Duration) -> Result<u32, Unavailable> {
        let key = key(FAILURES, by)?;
        let sum = self.state.count(&key, forget_after, 1).await.map_err(away)?;
        let before = self.state.kept(&key).await.map_err(away)?;
        let before = before.and_then(|kept| kept.value.as_str().parse::<u32>().ok()).unwrap_or(0);
        let total = before.saturating_add(1).max(u32::try_from(sum).unwrap_or(u32::MAX));
        let value = Value::new(total.to_string()).map_err(away)?;
        self.state.keep(&key, &value, forget_after).await.map_err(away)?;
        Ok(total)
    }

    async fn block(&self, by: FailedBy<'_>, delay: Duration) -> Result<(), Unavailable> {
        let value = Value::new("not looked at").map_err(away)?;
        self.state.keep(&key(BLOCKED, by)?, &value, delay).await.map_err(away)
    }

    async fn is_blocked(&self, by: FailedBy<'_>) -> Result<bool, Unavailable> {
        Ok(self.state.kept(&key(BLOCKED, by)?).await.map_err(away)?.is_some())
    }

    /// Who succeeds was not blocked: there is only one thing to forget.
    async fn succeeded(&self, by: FailedBy<'_>) -> Result<(), Unavailable> {
        self.state.forget(&key(FAILURES, by)?).await.map(drop).map_err(away)
    }
}

fn key(what: &'static str, by: FailedBy<'_>) -> Result<CounterKey, Unavailable> {
    CounterKey::new(ROOM, what, &whom(by)).map_err(away)
}

fn whom(by: FailedBy<'_>) -> String {
    match by {
        FailedBy::Account(address) => format!("account:{}", word(&address.to_string())),
        FailedBy::Network(address) => format!("network:{address}"),
    }
}

fn away(error: impl std::fmt::Display) -> Unavailable {
    Unavailable(error.to_string())
}

fn row(entry: Entry) -> Option<Row> {
    let Held::Value(value) = &entry.held else { return None };
    let value = value.as_str();
    let value = if value.parse::<u32>().is_ok() { format!("{value} failures") } else { value.to_owned() };
    Some(Row { key: entry.key.to_string(), value, ends_in: Some(entry.remaining.as_secs()) })
}

#[cfg(test)]
mod tests {
    use shared_state::memory::MemoryState;

    use super::*;

    #[tokio::test]
    async fn failures_are_counted_for_all_nodes_and_cleared() {
        let state = MemoryState::new(&shared_state::Config::default());
        let guarded = |state| Arc::new(Guarded::new(Arc::new(state), Duration::from_secs(1)));
        let node = |state| Failures::new(guarded(state));
        let (first, second) = (node(state.clone()), node(state));
        let address: Address = "a@x.test".parse().unwrap();
        let hour = Duration::from_secs(3600);
        for (by, what) in [
            (FailedBy::Account(&address), "A@x.test"),
            (FailedBy::Network("192.0.2.1".parse().unwrap()), "192.0.2.1"),
            (FailedBy::Network("2001:db8:0:1::".parse().unwrap()), "2001:db8:0:1::77"),
        ] {
            assert_eq!(first.failed(by, hour).await.unwrap(), 1);
            assert_eq!(second.failed(by, hour).await.unwrap(), 2);
            first.block(by, hour).await.unwrap();
            assert!(second.is_blocked(by).await.unwrap());
            let rows = second.rows(10).await.unwrap();
            let values: Vec<&str> = rows.rows.iter().map(|row| row.value.as_str()).collect();
            assert_eq!((values, rows.whole), (vec!["not looked at", "2 failures"], true));
            assert!(!second.rows(1).await.unwrap().whole);
            assert_eq!(second.clear(what).await.unwrap(), Some(2));
            assert!(!first.is_blocked(by).await.unwrap());
            first.failed(by, hour).await.unwrap();
            let key = first.rows(10).await.unwrap().rows.remove(0).key;
            assert_eq!(first.clear(&key).await.unwrap(), Some(1));
            first.failed(by, hour).await.unwrap();
            first.succeeded(by).await.unwrap();
            assert_eq!(first.failed(by, hour).await.unwrap(), 1);
            first.succeeded(by).await.unwrap();
        }
        for odd in ["", "login:", "login:other:x", "login:failures:a b", "reputation:rate:x"] {
            assert_eq!(first.clear(odd).await.unwrap(), None, "{odd}");
        }
    }

    /// The counter's window ends, the value goes on: what failed all the time is not forgotten.
    #[tokio::test]
    async fn a_guesser_who_never_pauses_is_not_forgotten() {
        let node = Failures::new(Guarded::alone());
        let by = FailedBy::Network("192.0.2.1".parse().unwrap());
        for count in 1..=20 {
            assert_eq!(node.failed(by, Duration::from_millis(200)).await.unwrap(), count);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
