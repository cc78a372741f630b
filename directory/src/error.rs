//! What can go wrong with the file and with changes to it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use envelope::{Address, Domain};
use sasl::password::PasswordError;

/// The file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the file can't be made.
    #[error("failed to create the directory's file `{}`", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Two metrics have one name.
    #[error("failed to register the directory's metrics")]
    Metrics(#[from] prometheus::Error),
    /// The file is a newer program's.
    #[error("`{}` has format {found}, this program knows formats up to {known}: use a newer program", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The file is a database of something else.
    #[error("`{}` is a database, but not a directory of Sluice", path.display())]
    NotOurs {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("failed to get random bytes")]
    Random,
    /// SQLite can't open, read or bring up to date the file.
    #[error("failed to {step} `{}`", path.display())]
    Sqlite {
        /// What was tried.
        step: &'static str,
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

/// What an address is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// An account has it.
    Account,
    /// An alias has it.
    Alias,
    /// It is a target of this alias.
    TargetOf(Address),
    /// It answers for this mailing list.
    OwnerOf(Address),
    /// It gets this domain's mail for unknown addresses.
    CatchAllOf(Domain),
    /// It gets this domain's postmaster mail.
    PostmasterOf(Domain),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("an account"),
            Self::Alias => f.write_str("an alias"),
            Self::TargetOf(alias) => write!(f, "a target of the alias {alias}"),
            Self::OwnerOf(list) => write!(f, "the owner of the list {list}"),
            Self::CatchAllOf(domain) => write!(f, "the catch-all of {domain}"),
            Self::PostmasterOf(domain) => write!(f, "the postmaster of {domain}"),
        }
    }
}

/// A change was not made. Written for the person who asked for it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address has a meaning already.
    #[error("{address} is already {by}")]
    AddressTaken {
        /// Which address.
        address: Address,
        /// Its meaning.
        by: Use,
    },
    /// Removing it would leave something that leads nowhere.
    #[error("{address} is still {by}: change that first")]
    AddressUsed {
        /// Which address.
        address: Address,
        /// For what.
        by: Use,
    },
    /// The domain is there.
    #[error("domain {0} is already known")]
    DomainExists(Domain),
    /// The domain has accounts or aliases.
    #[error(
        "domain {domain} still has {accounts} accounts and {aliases} aliases: remove them first, or say that they shall go too"
    )]
    DomainNotEmpty {
        /// Which domain.
        domain: Domain,
        /// How many accounts.
        accounts: u64,
        /// How many aliases.
        aliases: u64,
    },
    /// A domain in brackets can't be ours by name.
    #[error("{0} is an address literal, not a domain name")]
    Literal(Domain),
    /// Mail to the alias would go round.
    #[error("the alias {alias} would lead back to itself through {through}")]
    Loop {
        /// The alias.
        alias: Address,
        /// Its target that leads back.
        through: Address,
    },
    /// Nobody would hear of what the list can't deliver.
    #[error("the owner {owner} of the list {list} is neither an account nor an alias here")]
    UnknownOwner {
        /// The list.
        list: Address,
        /// Who is not known.
        owner: Address,
    },
    /// An alias needs somewhere to go.
    #[error("the alias {0} needs at least one target")]
    NoTargets(Address),
    /// The password can't be used.
    #[error("the password can't be used")]
    Password(#[from] PasswordError),
    /// The system has no randomness to give.
    #[error("failed to get random bytes for the salt")]
    Random,
    /// A display name is too long or holds control characters.
    #[error("the display name must be at most {max} characters without control characters")]
    DisplayName {
        /// The limit.
        max: usize,
    },
    /// SQLite can't do it.
    #[error("failed to {step} in the directory")]
    Sqlite {
        /// What was tried.
        step: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// More targets than an alias may have.
    #[error("an alias has at most {max} targets, {alias} would have {count}")]
    TooManyTargets {
        /// The alias.
        alias: Address,
        /// How many it would have.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Nobody has this account.
    #[error("account {0} is not known: add it with `sluice account add {0}`")]
    UnknownAccount(Address),
    /// There is no such alias.
    #[error("alias {0} is not known: add it with `sluice alias add {0} TARGET`")]
    UnknownAlias(Address),
    /// The domain is not ours.
    #[error("domain {0} is not known: add it with `sluice domain add {0}`")]
    UnknownDomain(Domain),
}

impl AdminError {
    /// For `map_err`: names the step that failed.
    pub(crate) fn sqlite(step: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { step, source }
    }
}
