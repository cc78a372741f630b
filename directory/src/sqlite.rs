//! The directory in one SQLite file.
//!
//! ```text
//! question → is the file unchanged (looked at every change_check)? → cached answer
//!                    │ changed, or too old                            │ file unavailable
//!                    └→ read pool → answer, remembered                └→ stale answer, if it says yes
//! ```

mod bearer;
mod freshness;
mod login;
mod pool;
mod scram;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use envelope::{AccountId, Address, Domain, Quota, Secret};
use rusqlite::Connection;
use sasl::server::{BearerToken, ScramProof};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::lookup::{self, AccountRecord, LookupError};
use crate::metrics::LoginResult;
use crate::metrics::{Metrics, Source};
use crate::oauth::{KeySource, OAuth};
use crate::throttle::network;
use crate::{
    Authentication, Config, Directory, FailureLedger, LoginMethods, LoginStamp, OpenError, Resolution,
    ScramAnswer, Unavailable, schema,
};
use freshness::{Freshness, Standing};
use login::Logins;
use pool::Pool;
use scram::Claimant;

/// Most addresses that [`Directory::may_send_as`] follows from one sender.
const WALK_MAX: usize = 100;

/// Answers from one SQLite file, on bounded blocking threads. Cheap to clone.
#[derive(Clone)]
pub struct SqliteDirectory {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    pool: Pool,
    freshness: Freshness,
    addresses: Cache<Address, Resolution>,
    domains: Cache<Domain, bool>,
    postmaster: Cache<(), Option<Address>>,
    records: Cache<Address, Option<AccountRecord>>,
    nobody: Cache<(), Secret<[u8; 32]>>,
    logins: Arc<Logins>,
    oauth: Option<OAuth>,
    metrics: Arc<Metrics>,
}

impl SqliteDirectory {
    /// Opens the file; makes it when it is missing, and brings its format up to date. Blocks: call it before serving.
    pub fn open(config: &Config, registry: &prometheus::Registry) -> Result<Self, OpenError> {
        Self::open_with_keys(config, registry, None)
    }

    /// The same, with somebody who fetches the keys for bearer tokens from `oauth.jwks_url`.
    pub fn open_with_keys(
        config: &Config,
        registry: &prometheus::Registry,
        keys: Option<Arc<dyn KeySource>>,
    ) -> Result<Self, OpenError> {
        drop(schema::open_writer(config)?);
        let config = Arc::new(config.clone());
        let metrics = Arc::new(Metrics::new(registry, &config)?);
        let pool = Pool::new(Arc::clone(&config));
        let seen = pool.open_now().map_err(|source| OpenError::Sqlite {
            step: "read",
            path: config.path.clone(),
            source,
        })?;
        let inner = Inner {
            freshness: Freshness::new(seen, Arc::clone(&metrics)),
            addresses: Cache::new(config.cache.entries_max),
            domains: Cache::new(config.cache.entries_max),
            postmaster: Cache::new(1),
            records: Cache::new(config.cache.entries_max),
            nobody: Cache::new(1),
            oauth: config.oauth.is_on().then(|| OAuth::new(&config.oauth, keys)),
            logins: Arc::new(Logins::new(&config, Arc::clone(&metrics))?),
            pool,
            metrics,
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Counts failed logins together with other nodes from now on. The first ledger stays.
    pub fn share_failures(&self, ledger: Arc<dyn FailureLedger>) {
        self.inner.logins.share(ledger);
    }
}

#[async_trait]
impl Directory for SqliteDirectory {
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable> {
        let separator = self.inner.config.separator();
        let yes = |answer: &Resolution| !matches!(answer, Resolution::NotLocal | Resolution::Unknown);
        let ask =
            move |connection: &Connection, address: &Address| lookup::resolve(connection, address, separator);
        let answer = self.inner.ask(&self.inner.addresses, address.canonical(), yes, ask).await;
        self.inner.metrics.entries("addresses", self.inner.addresses.len());
        answer
    }

    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        let ask = |connection: &Connection, (): &()| lookup::postmaster(connection);
        self.inner.ask(&self.inner.postmaster, (), Option::is_some, ask).await
    }

    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable> {
        self.inner.ask(&self.inner.domains, domain.clone(), |answer| *answer, lookup::is_local).await
    }

    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        let record = |account: Address| self.inner.account_record(account);
        self.inner.logins.check(login, password, peer, record).await
    }

    fn login_methods(&self) -> LoginMethods {
        LoginMethods { scram: true, bearer: self.inner.oauth.as_ref().map(OAuth::hint) }
    }

    async fn scram_secret(&self, login: &str, peer: IpAddr) -> Result<ScramAnswer, Unavailable> {
        if self.inner.logins.is_network_blocked(network(peer)).await {
            self.inner.metrics.login(LoginResult::ThrottledNetwork);
            return Ok(ScramAnswer::Throttled);
        }
        let claimant = self.inner.claimant(login, peer).await?;
        self.inner.logins.scram_secret(claimant).await
    }

    async fn authenticate_scram(
        &self,
        proof: &ScramProof,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        let logins = &self.inner.logins;
        if logins.is_network_blocked(network(peer)).await {
            logins.counted(LoginResult::ThrottledNetwork);
            return Ok(Authentication::Throttled);
        }
        let claimant = self.inner.claimant(proof.login(), peer).await;
        let judged = match claimant {
            Ok(claimant) => logins.judge_scram(proof, claimant).await,
            Err(unavailable) => Err(unavailable),
        };
        logins.counted(judged.as_ref().map_or(LoginResult::Unavailable, |(label, _)| *label));
        judged.map(|(_, answer)| answer)
    }

    async fn authenticate_bearer(
        &self,
        token: &BearerToken,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        self.inner.authenticate_bearer(token, peer).await
    }

    async fn quota(&self, account: &AccountId) -> Result<Quota, Unavailable> {
        let record = self.inner.account_record(account.address().canonical()).await?;
        Ok(record.map(|record| record.quota).unwrap_or_default())
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        let record = self.inner.account_record(account.address().canonical()).await?;
        let stored = record.filter(|record| record.login_allowed).and_then(|record| record.password);
        Ok(stored.map(|stored| LoginStamp::of(&stored)))
    }

    /// A group's members may send as the group, and who gets a domain's catch-all as any address that nobody has.
    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Unavailable> {
        let mut seen = BTreeSet::new();
        let mut open = vec![sender.canonical()];
        while let Some(address) = open.pop() {
            if seen.len() >= WALK_MAX || !seen.insert(address.clone()) {
                continue;
            }
            match self.resolve(&address).await? {
                Resolution::Mailbox { account: found, .. } if found == *account => return Ok(true),
                Resolution::Alias(targets) => {
                    open.extend(targets.iter().take(WALK_MAX).map(Address::canonical))
                }
                // Who answers for a list, not its members.
                Resolution::List { owner, .. } => open.push(owner.canonical()),
                _ => {}
            }
        }
        Ok(false)
    }
}

impl Inner {
    async fn account_record(&self, account: Address) -> Result<Option<AccountRecord>, Unavailable> {
        let yes = |answer: &Option<AccountRecord>| answer.is_some();
        let answer = self.ask(&self.records, account, yes, lookup::account_record).await;
        self.metrics.entries("logins", self.records.len());
        answer
    }

    /// Who wants to log in by SCRAM.
    async fn claimant<'a>(&self, login: &'a str, peer: IpAddr) -> Result<Claimant<'a>, Unavailable> {
        let nobody = |connection: &Connection, (): &()| lookup::nobody_key(connection);
        let nobody = self.ask(&self.nobody, (), |_| true, nobody).await?;
        let record = match login::canonical(login) {
            (Some(address), _) => self.account_record(address).await?,
            (None, _) => None,
        };
        Ok(Claimant { login, record, nobody, peer })
    }

    /// Answers from the cache, the file, or what was known before, in this order. `yes` tells the answers that may be
    /// given while the file is unavailable: a cached "no" would refuse mail for good that a later try could deliver.
    async fn ask<K, V>(
        &self,
        cache: &Cache<K, V>,
        key: K,
        yes: fn(&V) -> bool,
        ask: impl FnOnce(&Connection, &K) -> Result<V, LookupError> + Send + 'static,
    ) -> Result<V, Unavailable>
    where
        K: Hash + Eq + Clone + Send + 'static,
        V: Clone + Send + 'static,
    {
        let standing =
            self.freshness.standing(&self.pool, self.config.cache.change_check.as_duration()).await;
        let cached = cache.get(&key);
        if let Some(cached) = &cached
            && standing.is_available()
            && cached.generation == standing.generation
        {
            let ttl = if yes(&cached.value) { self.config.cache.ttl } else { self.config.cache.negative_ttl };
            if cached.stored_at.elapsed() < ttl.as_duration() {
                self.metrics.answered(Source::Cache);
                return Ok(cached.value.clone());
            }
        }
        let answer = match &standing.fault {
            None => self.read(key.clone(), ask).await,
            Some(fault) => Err(Unavailable(fault.clone())),
        };
        let fault = match answer {
            Ok(value) => {
                cache.put(key, value.clone(), standing.generation, Instant::now());
                self.metrics.answered(Source::File);
                return Ok(value);
            }
            Err(fault) => fault,
        };
        match cached {
            Some(cached) if yes(&cached.value) && self.is_bearable(&cached, &standing) => {
                self.metrics.answered(Source::Stale);
                Ok(cached.value)
            }
            _ => {
                self.metrics.answered(Source::Unavailable);
                Err(fault)
            }
        }
    }

    /// Whether a stale answer is not too old. One from the file's last known state was right until that was last seen.
    fn is_bearable<V>(&self, cached: &crate::cache::Cached<V>, standing: &Standing) -> bool {
        let right_until = if cached.generation == standing.generation {
            cached.stored_at.max(standing.good_at)
        } else {
            cached.stored_at
        };
        right_until.elapsed() < self.config.cache.stale_max.as_duration()
    }

    async fn read<K, V>(
        &self,
        key: K,
        ask: impl FnOnce(&Connection, &K) -> Result<V, LookupError> + Send + 'static,
    ) -> Result<V, Unavailable>
    where
        K: Send + 'static,
        V: Send + 'static,
    {
        let _timer = self.metrics.query_seconds.start_timer();
        let answer = self.pool.query(move |connection| ask(connection, &key)).await;
        answer.inspect_err(|fault| tracing::warn!(%fault, "the directory can't be read"))
    }
}

#[cfg(test)]
mod tests;
