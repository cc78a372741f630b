//! Counters and values: read, kept, forgotten, listed. Plain commands, several in one transaction where they belong together.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{Pipeline, RedisResult};
use tokio::time::{Instant, timeout};

use super::Shared;
use crate::value::{AGE_MAX, VALUE_MAX};
use crate::{Counted, CounterKey, Entry, Held, Kept, KeyPrefix, Listing, Unavailable, Value};

/// Keys that Redis looks at in one call of a list.
const SCAN_COUNT: usize = 1000;

/// Names of counters and of values have these in front.
const COUNT: &str = "count";
const VALUE: &str = "value";

/// Names that a list found, of counters and of values.
type Names = [(&'static str, BTreeSet<String>); 2];

/// As Redis takes it: at least one.
pub(super) fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.min(AGE_MAX).as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What PTTL says; a key without an end, which is not ours, ends now.
fn remaining(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

impl Shared {
    pub(super) fn counter(&self, key: &CounterKey) -> String {
        format!("{}.{COUNT}.{key}", self.config.redis.prefix)
    }

    fn value(&self, key: &CounterKey) -> String {
        format!("{}.{VALUE}.{key}", self.config.redis.prefix)
    }

    /// Asks, and once more when the connection turns out to be dead: a server that was started anew shows at the first call.
    pub(super) async fn ask<T, A>(&self, ask: impl Fn(ConnectionManager) -> A) -> Result<T, Unavailable>
    where
        A: Future<Output = RedisResult<T>>,
    {
        let settings = &self.config.redis;
        let answer = timeout(settings.call_max.as_duration(), async {
            match ask(self.manager()).await {
                Err(error) if error.is_connection_dropped() || error.is_io_error() => {
                    tokio::time::sleep(settings.reconnect_wait_min.as_duration()).await;
                    ask(self.manager()).await
                }
                answer => answer,
            }
        })
        .await;
        let failed = |why: String| {
            self.metrics.failed.inc();
            Unavailable(why)
        };
        answer.map_err(|_| failed("no answer in time".to_owned()))?.map_err(|error| failed(error.to_string()))
    }

    async fn run<T: redis::FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Unavailable> {
        self.ask(|mut manager| async move { pipeline.query_async(&mut manager).await }).await
    }

    pub(super) async fn counted(&self, key: &CounterKey) -> Result<Option<Counted>, Unavailable> {
        let name = self.counter(key);
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let (sum, left): (Option<u64>, i64) = self.run(&pipeline).await?;
        Ok(sum.map(|sum| Counted { sum, remaining: remaining(left) }))
    }

    pub(super) async fn keep(
        &self,
        key: &CounterKey,
        value: &Value,
        age: Duration,
    ) -> Result<(), Unavailable> {
        let mut pipeline = redis::pipe();
        let set = pipeline.cmd("SET").arg(self.value(key)).arg(value.as_str());
        set.arg("PX").arg(milliseconds(age)).ignore();
        self.run(&pipeline).await
    }

    pub(super) async fn kept(&self, key: &CounterKey) -> Result<Option<Kept>, Unavailable> {
        let name = self.value(key);
        let mut pipeline = redis::pipe();
        read_value(pipeline.atomic(), &name);
        let (text, left): (Vec<u8>, i64) = self.run(&pipeline).await?;
        Ok(value_of(text).map(|value| Kept { value, remaining: remaining(left) }))
    }

    pub(super) async fn forget(&self, key: &CounterKey) -> Result<bool, Unavailable> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg(self.counter(key)).arg(self.value(key));
        let (gone,): (u64,) = self.run(&pipeline).await?;
        Ok(gone > 0)
    }

    /// Goes through all keys, call by call, until there are enough or the time is over.
    pub(super) async fn list(&self, prefix: &KeyPrefix, limit: usize) -> Result<Listing, Unavailable> {
        let (began, list_max) = (Instant::now(), self.config.redis.list_max.as_duration());
        let until = began + list_max;
        // What was found must still be fetched.
        let (names, mut whole) = self.scan(prefix, limit, began + list_max / 2).await?;
        let mut entries = Vec::new();
        for (kind, names) in names {
            for keys in names.into_iter().collect::<Vec<_>>().chunks(SCAN_COUNT) {
                if Instant::now() >= until {
                    whole = false;
                    break;
                }
                let keys: Vec<CounterKey> = keys.iter().filter_map(|name| CounterKey::found(name)).collect();
                entries.extend(self.fetch(kind == VALUE, &keys).await?);
            }
        }
        entries.sort_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
        Ok(Listing { entries, whole })
    }

    /// Names that fit, of counters and of values, and whether these are all. SCAN may tell of a key twice.
    async fn scan(
        &self,
        prefix: &KeyPrefix,
        limit: usize,
        until: Instant,
    ) -> Result<(Names, bool), Unavailable> {
        // No part can hold a character that means something in a pattern.
        let pattern = format!("{}.*.{}*", self.config.redis.prefix, prefix.as_str());
        let begins = [COUNT, VALUE].map(|kind| format!("{}.{kind}.", self.config.redis.prefix));
        let mut found = [(COUNT, BTreeSet::new()), (VALUE, BTreeSet::new())];
        let mut count = 0;
        let mut cursor = 0_u64;
        loop {
            let mut pipeline = redis::pipe();
            let scan = pipeline.cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern);
            scan.arg("COUNT").arg(SCAN_COUNT);
            let ((next, names),): ((u64, Vec<Vec<u8>>),) = self.run(&pipeline).await?;
            for name in names {
                let Ok(name) = std::str::from_utf8(&name) else { continue };
                for (begin, (_, names)) in begins.iter().zip(&mut found) {
                    let key = name.strip_prefix(begin.as_str()).and_then(CounterKey::found);
                    let Some(key) = key.filter(|key| prefix.fits(key)) else { continue };
                    if names.contains(key.as_str()) {
                        continue;
                    }
                    if count < limit {
                        names.insert(key.as_str().to_owned());
                    }
                    count += 1;
                }
            }
            cursor = next;
            if cursor == 0 || count > limit || Instant::now() >= until {
                return Ok((found, cursor == 0 && count <= limit));
            }
        }
    }

    /// What stands under `keys`; those that ended meanwhile are left out.
    async fn fetch(&self, values: bool, keys: &[CounterKey]) -> Result<Vec<Entry>, Unavailable> {
        let mut pipeline = redis::pipe();
        for key in keys {
            if values {
                read_value(&mut pipeline, &self.value(key));
            } else {
                let name = self.counter(key);
                pipeline.cmd("GETRANGE").arg(&name).arg(0).arg(VALUE_MAX).cmd("PTTL").arg(&name);
            }
        }
        let answers: Vec<redis::Value> = self.run(&pipeline).await?;
        let mut entries = Vec::new();
        for (key, pair) in keys.iter().zip(answers.chunks_exact(2)) {
            let [held, left] = pair else { continue };
            let text = redis::from_redis_value_ref::<Vec<u8>>(held).unwrap_or_default();
            let left: i64 = redis::from_redis_value_ref(left).unwrap_or_default();
            let Some(value) = value_of(text) else { continue };
            let held =
                if values { Some(Held::Value(value)) } else { value.as_str().parse().ok().map(Held::Count) };
            entries.extend(held.map(|held| Entry { key: key.clone(), held, remaining: remaining(left) }));
        }
        Ok(entries)
    }
}

/// No more than a value may have, whatever is there: one octet more tells that it is none.
fn read_value(pipeline: &mut Pipeline, name: &str) {
    pipeline.cmd("GETRANGE").arg(name).arg(0).arg(VALUE_MAX).cmd("PTTL").arg(name);
}

fn value_of(text: Vec<u8>) -> Option<Value> {
    String::from_utf8(text).ok().and_then(|text| Value::new(text).ok())
}
