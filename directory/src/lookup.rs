//! The questions in SQL. Each runs in one read transaction, so that it sees one state of the file.

use envelope::{AccountId, Address, AddressError, Domain, Quota, Secret};
use rusqlite::{Connection, OptionalExtension};

use crate::Resolution;

/// A question failed. Never means that an address is unknown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// SQLite can't read.
    #[error("failed to read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row holds something that is no address.
    #[error("a stored address is damaged: {0}")]
    Damaged(#[from] AddressError),
    /// The key with which the SCRAM secrets of unknown names are made has another length.
    #[error("a stored key is damaged")]
    Key,
}

/// Who may log in, with what, and how much they may keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountRecord {
    /// The PHC string; without one only a bearer token is taken.
    pub(crate) password: Option<String>,
    /// The SCRAM secret of the same password.
    pub(crate) scram: Option<Secret<String>>,
    /// Whether the account may log in at all.
    pub(crate) login_allowed: bool,
    /// What it may hold, its domain's default included.
    pub(crate) quota: Quota,
}

/// Whether `domain` is ours.
pub(crate) fn is_local(connection: &Connection, domain: &Domain) -> Result<bool, LookupError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM domain WHERE name = ?1")?;
    Ok(statement.exists([domain.as_str()])?)
}

/// What `account` needs to log in; nothing when nobody has it.
pub(crate) fn account_record(
    connection: &Connection,
    account: &Address,
) -> Result<Option<AccountRecord>, LookupError> {
    let sql = "SELECT password, login_allowed, coalesce(account.quota_octets, domain.quota_octets),
                 coalesce(account.quota_messages, domain.quota_messages), scram
               FROM account JOIN domain ON domain.name = account.domain WHERE address = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([account.to_string()], |row| {
        let limit = |column| {
            let limit = row.get::<_, Option<i64>>(column)?.and_then(|limit| u64::try_from(limit).ok());
            Ok::<_, rusqlite::Error>(limit.filter(|limit| *limit > 0))
        };
        let quota = Quota { octets: limit(2)?, messages: limit(3)? };
        let scram = row.get::<_, Option<String>>(4)?.map(Secret::new);
        Ok(AccountRecord { password: row.get(0)?, scram, login_allowed: row.get(1)?, quota })
    });
    Ok(row.optional()?)
}

/// The key with which the SCRAM secrets of those are made who have none: as old as the file, so that they stay as real ones do.
pub(crate) fn nobody_key(connection: &Connection) -> Result<Secret<[u8; 32]>, LookupError> {
    let sql = "SELECT value FROM secret WHERE name = 'scram-nobody'";
    let key: Vec<u8> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    key.try_into().map(Secret::new).map_err(|_| LookupError::Key)
}

/// What `address` (canonical) stands for: itself, then without its tag, then the domain's postmaster for the two names
/// that every domain must have, then the domain's catch-all.
pub(crate) fn resolve(
    connection: &Connection,
    address: &Address,
    separator: Option<char>,
) -> Result<Resolution, LookupError> {
    let transaction = connection.unchecked_transaction()?;
    let Some(defaults) = domain_defaults(&transaction, address.domain())? else {
        return Ok(Resolution::NotLocal);
    };
    if let Some(found) = exact(&transaction, address, None, separator)? {
        return Ok(found);
    }
    if let Some((user, tag)) = separator.and_then(|separator| address.split_tag(separator))
        && let Some(found) = exact(&transaction, &user, Some(tag), separator)?
    {
        return Ok(found);
    }
    // RFC 5321 §4.5.1 and RFC 2142 §5: mail to these names must reach somebody.
    let name = address.local_part().as_str();
    let postmaster = defaults.postmaster.filter(|_| name == "postmaster" || name == "abuse");
    for fallback in [postmaster, defaults.catch_all].into_iter().flatten() {
        let target: Address = fallback.parse()?;
        // A catch-all that is gone itself must not lead mail in a circle.
        if target.canonical() != *address {
            return Ok(Resolution::Alias(vec![target]));
        }
    }
    Ok(Resolution::Unknown)
}

/// The postmaster of the oldest domain that has one.
pub(crate) fn postmaster(connection: &Connection) -> Result<Option<Address>, LookupError> {
    let sql = "SELECT postmaster FROM domain WHERE postmaster IS NOT NULL ORDER BY created_at, name LIMIT 1";
    let found = connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, String>(0)).optional()?;
    Ok(found.map(|text| text.parse()).transpose()?)
}

struct DomainDefaults {
    catch_all: Option<String>,
    postmaster: Option<String>,
}

fn domain_defaults(connection: &Connection, domain: &Domain) -> Result<Option<DomainDefaults>, LookupError> {
    let mut statement =
        connection.prepare_cached("SELECT catch_all, postmaster FROM domain WHERE name = ?1")?;
    let row = statement.query_row([domain.as_str()], |row| {
        Ok(DomainDefaults { catch_all: row.get(0)?, postmaster: row.get(1)? })
    });
    Ok(row.optional()?)
}

/// The account or the alias of exactly this name.
fn exact(
    connection: &Connection,
    address: &Address,
    tag: Option<String>,
    separator: Option<char>,
) -> Result<Option<Resolution>, LookupError> {
    let name = address.to_string();
    if connection.prepare_cached("SELECT 1 FROM account WHERE address = ?1")?.exists([&name])? {
        return Ok(Some(Resolution::Mailbox { account: AccountId::new(address), tag }));
    }
    let targets = alias_targets(connection, &name)?;
    if targets.is_empty() {
        return Ok(None);
    }
    Ok(Some(match alias_owner(connection, &name)? {
        Some(owner) => {
            // What is behind the first one is the tag: in an owner's own name it would be cut there.
            let separator = separator.filter(|separator| !owner.local_part().as_str().contains(*separator));
            Resolution::List { address: address.clone(), owner, members: targets, separator }
        }
        None => Resolution::Alias(targets),
    }))
}

/// Who answers for the alias; none when it is no list.
pub(crate) fn alias_owner(connection: &Connection, alias: &str) -> Result<Option<Address>, LookupError> {
    let mut statement = connection.prepare_cached("SELECT owner FROM alias WHERE address = ?1")?;
    let owner = statement.query_row([alias], |row| row.get::<_, Option<String>>(0)).optional()?.flatten();
    Ok(owner.map(|owner| owner.parse()).transpose()?)
}

/// Where the alias leads, in order; empty when there is no such alias.
pub(crate) fn alias_targets(connection: &Connection, alias: &str) -> Result<Vec<Address>, LookupError> {
    let mut statement =
        connection.prepare_cached("SELECT target FROM alias_target WHERE alias = ?1 ORDER BY position")?;
    let rows = statement.query_map([alias], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(row?.parse()?)).collect()
}
