//! Who has mail here: domains, accounts, aliases.
//!
//! [`Directory`] is what gateways, workers and access nodes ask. "Can't say" ([`Unavailable`]) is never
//! "unknown": a directory that is down gives 451, never 550.
//!
//! What it is not: it knows nothing of sessions, messages or mailboxes.

use std::net::IpAddr;

use async_trait::async_trait;
use envelope::{AccountId, Address, Domain, Secret};

/// The directory can't answer now. Never means that an address is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the directory is unavailable: {0}")]
pub struct Unavailable(pub String);

/// What an address stands for: one step, not followed further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Mail for it goes to these addresses instead, here or elsewhere.
    Alias(Vec<Address>),
    /// A mailbox here. `tag` is the part behind `+`, when the address had one and the account is known without it.
    Mailbox {
        /// Whose.
        account: AccountId,
        /// The part behind the separator.
        tag: Option<String>,
    },
    /// The domain is not ours.
    NotLocal,
    /// The domain is ours and nobody has this address.
    Unknown,
}

/// The answer to a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// The name and password are right.
    Accepted(AccountId),
    /// Wrong name or password, or not allowed: one answer for all, at one cost.
    Refused,
    /// Too many failures from this address or for this account: not looked at.
    Throttled,
}

/// What the roles ask.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// What `address` stands for: an exact mailbox or alias first, then without the tag, then the domain's catch-all.
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable>;

    /// Whether `domain` is ours.
    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable>;

    /// Checks a login. `login` is what the person typed: a full address. `peer` counts for throttling.
    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable>;

    /// Whether `account` may send with `sender` as its reverse path or From: its own address, or an alias that leads to it.
    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Unavailable>;
}
