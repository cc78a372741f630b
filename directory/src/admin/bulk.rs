//! Many accounts at once: for a move from another system, and for load tests.

use envelope::{Address, Domain, Secret};
use rusqlite::{Connection, params};

use super::account::hashed;
use super::{Admin, commit};
use crate::AdminError;

/// Accounts of one transaction.
const TOGETHER: usize = 20_000;

/// One of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Its address.
    pub address: Address,
    /// The name that the webmail puts before the address.
    pub display_name: String,
}

/// What became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    /// Accounts that are new.
    pub accounts: u64,
    /// Domains that are new.
    pub domains: u64,
    /// Addresses that an account or an alias had already: they are left as they were.
    pub known: u64,
}

impl Admin {
    /// Adds many accounts, and the domains that they need. All get the same password, which is hashed once, or none.
    ///
    /// Every so many are one transaction: what was added before a failure stays, and the same call again goes on. Calls `progress` after each transaction.
    pub fn add_many(
        &mut self,
        accounts: impl Iterator<Item = NewAccount>,
        password: Option<&Secret<String>>,
        mut progress: impl FnMut(Added),
    ) -> Result<Added, AdminError> {
        let stored =
            password.map(|password| hashed(password, self.cost, self.scram_iterations)).transpose()?;
        let stored = stored.as_ref().map(|(hash, scram)| (hash.as_str(), scram.to_text()));
        let stored = stored.as_ref().map(|(hash, scram)| (*hash, scram.expose().as_str()));
        let mut added = Added::default();
        let mut accounts = accounts.peekable();
        while accounts.peek().is_some() {
            let transaction = self.change()?;
            for account in accounts.by_ref().take(TOGETHER) {
                add(&transaction, &account, stored, &mut added)?;
            }
            commit(transaction)?;
            progress(added);
        }
        Ok(added)
    }
}

fn add(
    connection: &Connection,
    account: &NewAccount,
    stored: Option<(&str, &str)>,
    added: &mut Added,
) -> Result<(), AdminError> {
    super::account::check_display_name(&account.display_name)?;
    let address = account.address.canonical();
    let (name, domain) = (address.to_string(), Domain::as_str(address.domain()));
    let insert = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        let inserted = connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values));
        inserted.map_err(AdminError::sqlite("add many accounts"))
    };
    added.domains += insert(
        "INSERT OR IGNORE INTO domain (name, created_at) VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
        params![domain],
    )? as u64;
    let new = insert(
        "INSERT OR IGNORE INTO account (address, domain, display_name, login_allowed, created_at, password, scram)
         SELECT ?1, ?2, ?3, 1, CAST(unixepoch('subsec') * 1000 AS INTEGER), ?4, ?5
         WHERE NOT EXISTS (SELECT 1 FROM alias WHERE address = ?1)",
        params![name, domain, account.display_name, stored.map(|(hash, _)| hash), stored.map(|(_, scram)| scram)],
    )? as u64;
    added.accounts += new;
    added.known += 1 - new;
    Ok(())
}
