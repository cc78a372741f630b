//! Checking passwords.
//!
//! ```text
//! network throttled? → throttled
//! record of the account (or none)
//! same password verified from this network a short time ago, and the stored hash still the same? → accepted
//! account throttled? → throttled
//! wait for a verifier, ask the last two again → verify (for nobody at the same cost) → accepted | refused, counted
//! ```
//!
//! The short cut comes before the account's throttle, so that an attacker who fails on purpose can't shut out the
//! owner; and it is bound to the network, so that it is no way around the throttle for anybody else. The attempts that
//! can slip past a throttle by coming at once are as many as there are verifiers.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use envelope::{AccountId, Address, Secret};
use sasl::ScramSecret;
use sasl::password::{Cost, PasswordHash, verify_nobody};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::cache::Cache;
use crate::failures::{FailedBy, FailureLedger, Together};
use crate::lookup::AccountRecord;
use crate::metrics::{LoginResult, Metrics};
use crate::throttle::{Throttle, network};
use crate::{Authentication, Config, OpenError, Unavailable};

/// SHA-256 over this process's secret and length-prefixed parts: no two different inputs meet, and nobody outside can
/// compute one. Passwords are only ever kept in this form, and only in memory.
pub(super) type Fingerprint = [u8; 32];

pub(super) struct Logins {
    secret: [u8; 32],
    cost: Cost,
    pub(super) config: Config,
    /// Account, network and password → stored hash, and account and network → SCRAM secret, as fingerprints.
    pub(super) verified: Cache<Fingerprint, Fingerprint>,
    pub(super) accounts: Throttle<Fingerprint>,
    pub(super) networks: Throttle<IpAddr>,
    /// What all nodes count; the two above stand in when it can't say.
    together: OnceLock<Together>,
    verifiers: Arc<Semaphore>,
    /// Held while a proof of SCRAM is judged and counted.
    pub(super) proofs: tokio::sync::Mutex<()>,
    /// The one place for making a missing SCRAM secret.
    pub(super) filling: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
}

/// One attempt, with what it is counted under.
struct Attempt {
    account: Fingerprint,
    /// The login, when it can be an address.
    address: Option<Address>,
    network: IpAddr,
    /// The key of the short cut and the stored hash, when there is one that may be used.
    stored: Option<(Fingerprint, String)>,
    /// Whose SCRAM secret is missing, or of another count than is wanted.
    scram_wanted: Option<Address>,
}

/// The address that a login name is, if it is one, and the name under which it is counted.
pub(super) fn canonical(login: &str) -> (Option<Address>, String) {
    let address = login.parse::<Address>().ok().map(|address| address.canonical());
    let name = address.as_ref().map_or_else(|| login.to_lowercase(), ToString::to_string);
    (address, name)
}

impl Logins {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| OpenError::Random)?;
        let throttle = &config.throttle;
        Ok(Self {
            secret,
            cost: config.password_cost.into(),
            verified: Cache::new(config.cache.entries_max),
            accounts: Throttle::new(throttle.account_failures_free, throttle.clone()),
            networks: Throttle::new(throttle.network_failures_free, throttle.clone()),
            together: OnceLock::new(),
            verifiers: Arc::new(Semaphore::new(config.verify_workers.max(1))),
            proofs: tokio::sync::Mutex::new(()),
            filling: Arc::new(Semaphore::new(1)),
            config: config.clone(),
            metrics,
        })
    }

    pub(super) fn share(&self, ledger: Arc<dyn FailureLedger>) {
        let _ = self.together.set(Together::new(ledger, self.config.throttle.clone()));
    }

    /// Checks a login; `record` fetches what the directory has for an account.
    pub(super) async fn check<F, Fut>(
        self: &Arc<Self>,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
        record: F,
    ) -> Result<Authentication, Unavailable>
    where
        F: FnOnce(Address) -> Fut,
        Fut: Future<Output = Result<Option<AccountRecord>, Unavailable>>,
    {
        let result = self.look(login, password, peer, record).await;
        let label = result.as_ref().map_or(LoginResult::Unavailable, |(label, _)| *label);
        self.counted(label);
        result.map(|(_, answer)| answer)
    }

    /// Says how a login ended, and how full the tables are.
    pub(super) fn counted(&self, label: LoginResult) {
        self.metrics.login(label);
        self.metrics.entries("verified", self.verified.len());
        self.metrics.entries("throttled_accounts", self.accounts.len());
        self.metrics.entries("throttled_networks", self.networks.len());
    }

    async fn look<F, Fut>(
        self: &Arc<Self>,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
        record: F,
    ) -> Result<(LoginResult, Authentication), Unavailable>
    where
        F: FnOnce(Address) -> Fut,
        Fut: Future<Output = Result<Option<AccountRecord>, Unavailable>>,
    {
        let network = network(peer);
        if self.is_network_blocked(network).await {
            return Ok((LoginResult::ThrottledNetwork, Authentication::Throttled));
        }
        let (address, name) = canonical(login);
        let record = match &address {
            Some(address) => record(address.clone()).await?,
            None => None,
        };
        let record = record.filter(|record| record.login_allowed);
        let scram = record.as_ref().and_then(|record| record.scram.as_ref());
        let scram = scram.and_then(|text| text.expose().parse::<ScramSecret>().ok());
        let scram_is_right = scram.is_some_and(|secret| secret.iterations() == self.config.scram_iterations);
        let stored = record.and_then(|record| record.password);
        let attempt = Attempt {
            account: self.account_key(&name),
            address: address.clone(),
            scram_wanted: address.clone().filter(|_| !scram_is_right),
            network,
            stored: stored.map(|hash| {
                let network = network.to_string();
                let parts =
                    [b"login".as_slice(), name.as_bytes(), network.as_bytes(), password.expose().as_bytes()];
                (self.fingerprint(&parts), hash)
            }),
        };
        let accepted = |label| {
            let account = address.as_ref().map(AccountId::new);
            account.map_or((LoginResult::Refused, Authentication::Refused), |id| {
                (label, Authentication::Accepted(id))
            })
        };
        if self.is_known(&attempt) {
            return Ok(accepted(LoginResult::AcceptedFromCache));
        }
        if self.is_account_blocked(&attempt.account, attempt.address.as_ref()).await {
            return Ok((LoginResult::ThrottledAccount, Authentication::Throttled));
        }
        let verifier = self.verifier().await?;
        // While this one waited, the same login may have been verified, or others may have failed.
        if self.is_known(&attempt) {
            return Ok(accepted(LoginResult::AcceptedFromCache));
        }
        if self.is_account_blocked(&attempt.account, attempt.address.as_ref()).await {
            return Ok((LoginResult::ThrottledAccount, Authentication::Throttled));
        }
        let is_right = self.verify(verifier, attempt, password).await?;
        Ok(if is_right {
            accepted(LoginResult::Accepted)
        } else {
            (LoginResult::Refused, Authentication::Refused)
        })
    }

    /// Verifies and counts in a task of its own: a client that hangs up meanwhile is counted all the same.
    async fn verify(
        self: &Arc<Self>,
        verifier: OwnedSemaphorePermit,
        attempt: Attempt,
        password: &Secret<String>,
    ) -> Result<bool, Unavailable> {
        let damaged = |_| Unavailable("a stored password hash is damaged".to_owned());
        let hash = attempt
            .stored
            .as_ref()
            .map(|(_, text)| PasswordHash::parse(text))
            .transpose()
            .map_err(damaged)?;
        let (this, password, kept_password) = (Arc::clone(self), password.clone(), password.clone());
        let work = move || {
            this.metrics.verifiers_used.inc();
            let timer = this.metrics.verify_seconds.start_timer();
            let is_right =
                hash.map_or_else(|| verify_nobody(&password, this.cost), |hash| hash.verify(&password));
            timer.observe_duration();
            this.count(&attempt, is_right);
            this.metrics.verifiers_used.dec();
            (attempt, is_right)
        };
        let failed = |_| Unavailable("a verification failed unexpectedly".to_owned());
        let (this, kept_password) = (Arc::clone(self), kept_password);
        let whole = async move {
            let (attempt, is_right) = tokio::task::spawn_blocking(work).await.map_err(failed)?;
            // While the verifier is held, so that no more can slip past than there are verifiers.
            this.tell(attempt.address.as_ref(), attempt.network, is_right).await;
            drop(verifier);
            if let (true, Some(account), Some((_, stored))) =
                (is_right, &attempt.scram_wanted, &attempt.stored)
            {
                this.fill_scram(account, stored, &kept_password);
            }
            Ok(is_right)
        };
        tokio::spawn(whole).await.map_err(failed)?
    }

    async fn verifier(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        let busy = || Unavailable("too many passwords are being verified".to_owned());
        let wait = Arc::clone(&self.verifiers).acquire_owned();
        let waited = tokio::time::timeout(self.config.verify_timeout.as_duration(), wait).await;
        waited.map_err(|_| busy())?.map_err(|_| busy())
    }

    fn is_known(&self, attempt: &Attempt) -> bool {
        let Some((key, hash)) = &attempt.stored else { return false };
        let ttl = self.config.cache.login_ttl.as_duration();
        let known = self.verified.get(key).filter(|known| known.stored_at.elapsed() < ttl);
        known.is_some_and(|known| known.value == self.fingerprint(&[b"hash", hash.as_bytes()]))
    }

    fn count(&self, attempt: &Attempt, is_right: bool) {
        let now = Instant::now();
        if !is_right {
            self.accounts.failed(&attempt.account, now);
            self.networks.failed(&attempt.network, now);
            return;
        }
        self.accounts.succeeded(&attempt.account);
        if let Some((key, hash)) = &attempt.stored {
            self.verified.put(*key, self.fingerprint(&[b"hash", hash.as_bytes()]), 0, now);
        }
    }

    /// This machine itself is never throttled as a network: a proxy in front would shut out everybody.
    pub(super) async fn is_network_blocked(&self, network: IpAddr) -> bool {
        if is_local(network) {
            return false;
        }
        let told = match self.together.get() {
            Some(together) => together.is_blocked(FailedBy::Network(network)).await,
            None => None,
        };
        told.unwrap_or_else(|| self.networks.is_blocked(&network, Instant::now()))
    }

    /// Whether attempts at an account are not looked at; `address` is its name, when it can be one.
    pub(super) async fn is_account_blocked(&self, account: &Fingerprint, address: Option<&Address>) -> bool {
        let told = match (self.together.get(), address) {
            (Some(together), Some(address)) => together.is_blocked(FailedBy::Account(address)).await,
            _ => None,
        };
        told.unwrap_or_else(|| self.accounts.is_blocked(account, Instant::now()))
    }

    /// Tells all nodes how an attempt went.
    pub(super) async fn tell(&self, address: Option<&Address>, network: IpAddr, is_right: bool) {
        let Some(together) = self.together.get() else { return };
        match address.map(FailedBy::Account) {
            Some(account) if is_right => together.succeeded(account).await,
            Some(account) => together.failed(account).await,
            None => {}
        }
        if !is_right && !is_local(network) {
            together.failed(FailedBy::Network(network)).await;
        }
    }

    /// Under which an account's failures are counted.
    pub(super) fn account_key(&self, name: &str) -> Fingerprint {
        self.fingerprint(&[b"account", name.as_bytes()])
    }

    pub(super) fn fingerprint(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

fn is_local(network: IpAddr) -> bool {
    network.is_loopback() || network == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
}
