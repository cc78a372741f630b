//! Changes to the directory: what `sluice domain|account|alias` do. Synchronous: it serves a command line.
//!
//! Every change is one immediate transaction, synced before the call returns. Running nodes see it within
//! `cache.change_check`.

mod account;
mod alias;
mod bulk;
mod domain;

use envelope::{Address, Domain};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use sasl::password::Cost;

pub use account::{AccountChange, AccountInfo};
pub use alias::{AliasChange, AliasInfo};
pub use bulk::{Added, NewAccount};
pub use domain::{DomainChange, DomainInfo};

use crate::lookup::LookupError;
use crate::{AdminError, Config, OpenError, Use, schema};

/// The directory's file, opened for changes. Several may be open at once, in several processes.
pub struct Admin {
    connection: Connection,
    cost: Cost,
    scram_iterations: u32,
}

impl Admin {
    /// Opens the file; makes it when it is missing.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Ok(Self {
            connection: schema::open_writer(config)?,
            cost: config.password_cost.into(),
            scram_iterations: config.scram_iterations,
        })
    }

    fn change(&mut self) -> Result<Transaction<'_>, AdminError> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(AdminError::sqlite("begin a change"))
    }
}

fn commit(transaction: Transaction<'_>) -> Result<(), AdminError> {
    transaction.commit().map_err(AdminError::sqlite("keep a change"))
}

fn exists(connection: &Connection, sql: &str, key: &str) -> Result<bool, AdminError> {
    let exists = connection.prepare_cached(sql).and_then(|mut statement| statement.exists([key]));
    exists.map_err(AdminError::sqlite("look something up"))
}

fn has_account(connection: &Connection, address: &Address) -> Result<bool, AdminError> {
    exists(connection, "SELECT 1 FROM account WHERE address = ?1", &address.to_string())
}

fn has_alias(connection: &Connection, address: &Address) -> Result<bool, AdminError> {
    exists(connection, "SELECT 1 FROM alias WHERE address = ?1", &address.to_string())
}

fn need_domain(connection: &Connection, domain: &Domain) -> Result<(), AdminError> {
    if exists(connection, "SELECT 1 FROM domain WHERE name = ?1", domain.as_str())? {
        Ok(())
    } else {
        Err(AdminError::UnknownDomain(domain.clone()))
    }
}

fn need_free(connection: &Connection, address: &Address) -> Result<(), AdminError> {
    let taken = |by| Err(AdminError::AddressTaken { address: address.clone(), by });
    if has_account(connection, address)? {
        return taken(Use::Account);
    }
    if has_alias(connection, address)? {
        return taken(Use::Alias);
    }
    Ok(())
}

/// Refuses when something still leads to `address` (canonical).
fn need_unused(connection: &Connection, address: &Address) -> Result<(), AdminError> {
    let name = address.to_string();
    let find = |sql: &str| -> Result<Option<String>, AdminError> {
        let found = connection.query_row(sql, [&name], |row| row.get::<_, String>(0)).optional();
        found.map_err(AdminError::sqlite("look something up"))
    };
    let used = |by| Err(AdminError::AddressUsed { address: address.clone(), by });
    if let Some(alias) = find("SELECT alias FROM alias_target WHERE canonical = ?1 LIMIT 1")? {
        return used(Use::TargetOf(stored_address(&alias)?));
    }
    if let Some(list) = find("SELECT address FROM alias WHERE owner = ?1 LIMIT 1")? {
        return used(Use::OwnerOf(stored_address(&list)?));
    }
    if let Some(domain) = find("SELECT name FROM domain WHERE catch_all = ?1 LIMIT 1")? {
        return used(Use::CatchAllOf(stored_domain(&domain)?));
    }
    if let Some(domain) = find("SELECT name FROM domain WHERE postmaster = ?1 LIMIT 1")? {
        return used(Use::PostmasterOf(stored_domain(&domain)?));
    }
    Ok(())
}

fn stored_address(text: &str) -> Result<Address, AdminError> {
    text.parse().map_err(|_| damaged("an address"))
}

fn stored_domain(text: &str) -> Result<Domain, AdminError> {
    text.parse().map_err(|_| damaged("a domain"))
}

/// A count or a time, which is never negative.
fn number(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0))
}

/// A limit, if there is one.
fn limit(row: &Row<'_>, column: usize) -> Result<Option<u64>, rusqlite::Error> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|limit| u64::try_from(limit).unwrap_or(0)))
}

fn stored_limit(limit: Option<u64>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// A row that this program can't have written.
fn damaged(what: &'static str) -> AdminError {
    AdminError::Sqlite {
        step: "read a damaged row",
        source: rusqlite::Error::InvalidColumnName(what.to_owned()),
    }
}

impl From<LookupError> for AdminError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Sqlite(source) => Self::Sqlite { step: "look something up", source },
            LookupError::Damaged(_) => damaged("an address"),
            LookupError::Key => damaged("a key"),
        }
    }
}

#[cfg(test)]
mod tests;
