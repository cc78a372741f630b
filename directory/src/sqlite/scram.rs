//! Logins by SCRAM: the secret is given out, the proof is judged; and secrets are made where they are missing.
//!
//! ```text
//! network throttled? → throttled                               (both times)
//! account throttled, and not proven from this network lately? → throttled   (both times)
//! first:  the account's secret, or one that no password fits
//! then:   the proof against what is kept now → accepted | refused, counted
//! ```
//!
//! An exchange that is broken off before its proof is not counted: nothing was learnt from it but a salt.

use std::net::IpAddr;
use std::sync::Arc;

use envelope::{AccountId, Address, Secret};
use sasl::ScramSecret;
use sasl::scram::SALT_OCTETS;
use sasl::server::ScramProof;
use tokio::time::Instant;

use super::login::{Fingerprint, Logins, canonical};
use crate::lookup::AccountRecord;
use crate::metrics::LoginResult;
use crate::throttle::network;
use crate::{Authentication, ScramAnswer, Unavailable, schema};

/// Of whom a secret or a judgement is wanted, with what the directory has of them.
pub(super) struct Claimant<'a> {
    pub(super) login: &'a str,
    pub(super) record: Option<AccountRecord>,
    /// With which the secrets of those are made who have none.
    pub(super) nobody: Secret<[u8; 32]>,
    pub(super) peer: IpAddr,
}

/// The same, found.
struct Kept {
    account: Fingerprint,
    network: IpAddr,
    /// None: nobody has this name, or may not log in, or has no secret.
    secret: Option<ScramSecret>,
    nobody: ScramSecret,
    /// The key of the short cut, as it is for passwords.
    proven: Fingerprint,
    /// The login, when it can be an address.
    address: Option<Address>,
}

impl Logins {
    /// The secret with which this login is proven.
    pub(super) async fn scram_secret(&self, claimant: Claimant<'_>) -> Result<ScramAnswer, Unavailable> {
        let kept = self.kept(claimant)?;
        if self.is_shut_out(&kept).await {
            self.metrics.login(LoginResult::ThrottledAccount);
            return Ok(ScramAnswer::Throttled);
        }
        Ok(ScramAnswer::Secret(kept.secret.unwrap_or(kept.nobody)))
    }

    /// Whether the proof is right. Counts it.
    pub(super) async fn judge_scram(
        &self,
        proof: &ScramProof,
        claimant: Claimant<'_>,
    ) -> Result<(LoginResult, Authentication), Unavailable> {
        let kept = self.kept(claimant)?;
        // One after the other: as many as come at once must not slip past the throttle together.
        let _one = self.proofs.lock().await;
        if self.is_shut_out(&kept).await {
            return Ok((LoginResult::ThrottledAccount, Authentication::Throttled));
        }
        let judged = self.judge_one(proof, &kept);
        self.tell(kept.address.as_ref(), kept.network, judged.0 == LoginResult::Accepted).await;
        Ok(judged)
    }

    fn judge_one(&self, proof: &ScramProof, kept: &Kept) -> (LoginResult, Authentication) {
        let now = Instant::now();
        let is_right = proof.is_right(kept.secret.as_ref().unwrap_or(&kept.nobody));
        match (&kept.address, &kept.secret) {
            (Some(address), Some(secret)) if is_right => {
                self.accounts.succeeded(&kept.account);
                self.verified.put(kept.proven, self.of_secret(secret), 0, now);
                (LoginResult::Accepted, Authentication::Accepted(AccountId::new(address)))
            }
            _ => {
                self.accounts.failed(&kept.account, now);
                self.networks.failed(&kept.network, now);
                (LoginResult::Refused, Authentication::Refused)
            }
        }
    }

    fn kept(&self, claimant: Claimant<'_>) -> Result<Kept, Unavailable> {
        let (address, name) = canonical(claimant.login);
        let damaged = |_| Unavailable("a stored SCRAM secret is damaged".to_owned());
        let stored = claimant.record.filter(|record| record.login_allowed).and_then(|record| record.scram);
        let secret = stored.map(|text| text.expose().parse()).transpose().map_err(damaged)?;
        let network = network(claimant.peer);
        Ok(Kept {
            account: self.account_key(&name),
            proven: self.fingerprint(&[b"scram", name.as_bytes(), network.to_string().as_bytes()]),
            network,
            secret,
            // Made in any case: the time must not tell who has one.
            nobody: ScramSecret::of_nobody(claimant.nobody.expose(), &name, self.config.scram_iterations),
            address,
        })
    }

    /// Whether no proof is looked at. Failures from elsewhere don't shut out who was here a short time ago; the network's throttle
    /// holds for them all the same.
    async fn is_shut_out(&self, kept: &Kept) -> bool {
        self.is_account_blocked(&kept.account, kept.address.as_ref()).await && !self.was_here(kept)
    }

    fn was_here(&self, kept: &Kept) -> bool {
        let ttl = self.config.cache.login_ttl.as_duration();
        let proven = self.verified.get(&kept.proven).filter(|proven| proven.stored_at.elapsed() < ttl);
        let is_here =
            |secret: &ScramSecret| proven.is_some_and(|proven| proven.value == self.of_secret(secret));
        kept.secret.as_ref().is_some_and(is_here)
    }

    fn of_secret(&self, secret: &ScramSecret) -> Fingerprint {
        self.fingerprint(&[b"secret", secret.to_text().expose().as_bytes()])
    }

    /// Makes the SCRAM secret of an account whose password was just verified, where there is none or one of another count. On a thread
    /// of its own, one at a time: while one is made others go without until their next login.
    pub(super) fn fill_scram(self: &Arc<Self>, account: &Address, stored: &str, password: &Secret<String>) {
        let Ok(place) = Arc::clone(&self.filling).try_acquire_owned() else { return };
        let (this, account) = (Arc::clone(self), account.clone());
        let (stored, password) = (stored.to_owned(), password.clone());
        drop(tokio::task::spawn_blocking(move || {
            let mut salt = [0; SALT_OCTETS];
            if getrandom::fill(&mut salt).is_ok() {
                let secret = ScramSecret::new(&password, &salt, this.config.scram_iterations);
                if let Err(error) = schema::keep_scram(&this.config, &account, &stored, &secret) {
                    tracing::warn!(%account, %error, "a SCRAM secret could not be kept");
                }
            }
            drop(place);
        }));
    }
}
