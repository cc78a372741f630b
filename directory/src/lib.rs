//! Who has mail here: domains, accounts, aliases.
//!
//! [`Directory`] is what gateways, workers and access nodes ask. "Can't say" ([`Unavailable`]) is never
//! "unknown": a directory that is down gives 451, never 550. [`SqliteDirectory`] answers from one SQLite file on a local
//! disk, [`Admin`] changes that file, also from another process while nodes run.
//!
//! ```text
//! domain        name, catch_all, postmaster
//!   account     address, password (argon2id or none), scram (SCRAM-SHA-256 or none), display_name, login_allowed
//!   alias       address → alias_target (one or more, here or elsewhere); owner: it is a mailing list
//!
//! resolve: account | alias → the same without +tag → postmaster@ and abuse@ → the domain's catch-all → unknown
//! ```
//!
//! Addresses are kept in canonical form (lower case), targets as they were written. An address is an account or an
//! alias, never both.
//!
//! What it is not: it knows nothing of sessions, messages or mailboxes.
//!
//! Failure behaviour: a file that is locked, damaged, replaced or gone gives [`Unavailable`]. While it is so, what was
//! known before is still answered for a bounded time, but only what says yes: a cached "unknown" or "not ours" is not.
//! Wrong passwords and unknown users cost the same work and get the same answer.

mod admin;
mod cache;
mod config;
mod dialogue;
mod error;
mod failures;
mod lookup;
mod metrics;
mod oauth;
mod schema;
mod sqlite;
mod srs;
mod throttle;

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use envelope::{AccountId, Address, Domain, Quota, Secret};
use sasl::ScramSecret;
use sasl::server::{BearerHint, BearerToken, ScramProof};
use sha2::{Digest as _, Sha256};

pub use admin::{
    AccountChange, AccountInfo, Added, Admin, AliasChange, AliasInfo, DomainChange, DomainInfo, NewAccount,
};
pub use config::{CacheConfig, Config, PasswordCost, ThrottleConfig};
pub use dialogue::{LoginDialogue, LoginOffer, LoginTerms, LoginTurn};
pub use error::{AdminError, OpenError, Use};
pub use failures::{FailedBy, FailureLedger};
pub use oauth::{KeySource, OAuthConfig, TokenAlgorithm, fuzz_tokens};
pub use sqlite::SqliteDirectory;
pub use srs::{Srs, SrsConfig, SrsError, WithSrs};
pub use throttle::network;

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
    /// A mailing list: mail for it goes on to its members, under a sender who answers for the list (RFC 5321 §3.9.2).
    List {
        /// Its own address, without a tag.
        address: Address,
        /// Who hears of mail that can't be delivered.
        owner: Address,
        /// To whom it goes, here or elsewhere.
        members: Vec<Address>,
        /// What stands before the tag in addresses here, if they may have one: the owner's address can name a member behind it.
        separator: Option<char>,
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

/// The answer to who begins a login by SCRAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScramAnswer {
    /// The account's secret; for a name that nobody has, one that can't be told from it and that no password fits.
    Secret(ScramSecret),
    /// Too many failures from this address or for this account: not looked at.
    Throttled,
}

/// How people can log in, beside with their password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginMethods {
    /// There are SCRAM secrets.
    pub scram: bool,
    /// Bearer tokens are judged; and what a client is told whose token was refused.
    pub bearer: Option<BearerHint>,
}

/// What an account's logins rest on: another one after every change of the password, and after the account was made anew.
/// Tells nothing of the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LoginStamp([u8; 32]);

impl LoginStamp {
    /// Of a stored password hash (a PHC string with its salt).
    pub fn of(stored: &str) -> Self {
        Self(Sha256::digest(stored.as_bytes()).into())
    }
}

impl fmt::Debug for LoginStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginStamp")
    }
}

/// What the roles ask.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// What `address` stands for: an exact mailbox or alias first, then without the tag, then the domain's catch-all.
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable>;

    /// Who gets mail for `<Postmaster>` without a domain when nobody was named for it (RFC 5321 §4.5.1): the postmaster of the
    /// domain that was added first among those that have one.
    async fn postmaster(&self) -> Result<Option<Address>, Unavailable>;

    /// Whether `domain` is ours.
    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable>;

    /// The sender under which mail from `sender` goes on to another system; none: it stays as it is.
    async fn forwarded(&self, sender: &Address) -> Result<Option<Address>, Unavailable> {
        let _ = sender;
        Ok(None)
    }

    /// Checks a login. `login` is what the person typed: a full address. `peer` counts for throttling.
    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable>;

    /// Which ways to log in there are beside [`Self::authenticate`].
    fn login_methods(&self) -> LoginMethods {
        LoginMethods::default()
    }

    /// The SCRAM secret of a login, or one that no password fits; under the throttles of [`Self::authenticate`].
    async fn scram_secret(&self, login: &str, peer: IpAddr) -> Result<ScramAnswer, Unavailable> {
        let _ = (login, peer);
        Err(Unavailable("no SCRAM secrets are kept here".to_owned()))
    }

    /// Judges the proof of a login by SCRAM against what is kept now. A wrong one counts as a failure, as a wrong password does.
    async fn authenticate_scram(
        &self,
        proof: &ScramProof,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        let _ = (proof, peer);
        Err(Unavailable("no SCRAM secrets are kept here".to_owned()))
    }

    /// Judges a bearer token. A wrong one counts as a failure of `peer`.
    async fn authenticate_bearer(
        &self,
        token: &BearerToken,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        let _ = (token, peer);
        Err(Unavailable("no bearer tokens are judged here".to_owned()))
    }

    /// What `account` may hold: its own limits, or its domain's. Without limit when nobody has it.
    async fn quota(&self, account: &AccountId) -> Result<Quota, Unavailable>;

    /// What `account`'s logins rest on now; none when nobody has it, it has no password, or it may not log in. A session
    /// that outlives its login asks now and then whether this is still what it was.
    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable>;

    /// Whether `account` may send with `sender` as its reverse path or From: its own address, an alias that leads to it, or a list that
    /// it owns.
    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Unavailable>;
}
