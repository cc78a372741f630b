//! Domains.

use envelope::{Address, Domain, Timestamp};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Admin, commit, exists, limit, need_domain, number, stored_address, stored_domain, stored_limit};
use crate::AdminError;

/// A domain as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainInfo {
    /// Its name.
    pub domain: Domain,
    /// Who gets mail for addresses that nobody has.
    pub catch_all: Option<Address>,
    /// Who gets mail for `postmaster` and `abuse` when nobody has these addresses.
    pub postmaster: Option<Address>,
    /// Octets that each of its accounts may hold, unless the account says otherwise; 0 and none are without limit.
    pub quota_octets: Option<u64>,
    /// Messages that each of its accounts may hold, in the same way.
    pub quota_messages: Option<u64>,
    /// How many accounts it has.
    pub accounts: u64,
    /// How many aliases it has.
    pub aliases: u64,
    /// When it was added, in milliseconds since 1970.
    pub created_at: Timestamp,
}

/// What shall change about a domain; `None` leaves a thing as it is, `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainChange {
    /// Who gets mail for addresses that nobody has.
    pub catch_all: Option<Option<Address>>,
    /// Who gets mail for `postmaster` and `abuse` when nobody has these addresses.
    pub postmaster: Option<Option<Address>>,
    /// Octets that each of its accounts may hold.
    pub quota_octets: Option<Option<u64>>,
    /// Messages that each of its accounts may hold.
    pub quota_messages: Option<Option<u64>>,
}

impl Admin {
    /// Adds a domain.
    pub fn add_domain(&mut self, domain: &Domain, change: &DomainChange) -> Result<(), AdminError> {
        if domain.is_literal() {
            return Err(AdminError::Literal(domain.clone()));
        }
        let transaction = self.change()?;
        if exists(&transaction, "SELECT 1 FROM domain WHERE name = ?1", domain.as_str())? {
            return Err(AdminError::DomainExists(domain.clone()));
        }
        let sql =
            "INSERT INTO domain (name, created_at) VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
        transaction.execute(sql, [domain.as_str()]).map_err(AdminError::sqlite("add a domain"))?;
        apply(&transaction, domain, change)?;
        commit(transaction)
    }

    /// Every domain, by name.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, AdminError> {
        let sql = "SELECT name, catch_all, postmaster, created_at,
                     (SELECT count(*) FROM account WHERE domain = name),
                     (SELECT count(*) FROM alias WHERE domain = name), quota_octets, quota_messages
                   FROM domain ORDER BY name";
        let failed = AdminError::sqlite("list domains");
        let mut statement = self.connection.prepare(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut domains = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let text = |column| row.get::<_, Option<String>>(column).map_err(&failed);
            let number = |column| number(row, column).map_err(&failed);
            domains.push(DomainInfo {
                domain: stored_domain(&text(0)?.unwrap_or_default())?,
                catch_all: text(1)?.as_deref().map(stored_address).transpose()?,
                postmaster: text(2)?.as_deref().map(stored_address).transpose()?,
                created_at: Timestamp::from_unix_milliseconds(number(3)?),
                accounts: number(4)?,
                aliases: number(5)?,
                quota_octets: limit(row, 6).map_err(&failed)?,
                quota_messages: limit(row, 7).map_err(&failed)?,
            });
        }
        Ok(domains)
    }

    /// Makes the first account of a domain its postmaster, when it has none: mail to these names must reach somebody
    /// (RFC 5321 §4.5.1). Gives whether it was so.
    pub fn make_postmaster_if_first(&mut self, account: &Address) -> Result<bool, AdminError> {
        let account = account.canonical();
        let sql = "UPDATE domain SET postmaster = ?2 WHERE name = ?1 AND postmaster IS NULL
                   AND (SELECT count(*) FROM (SELECT 1 FROM account WHERE domain = ?1 LIMIT 2)) = 1";
        let parameters = params![account.domain().as_str(), account.to_string()];
        let changed =
            self.connection.execute(sql, parameters).map_err(AdminError::sqlite("change a domain"))?;
        Ok(changed > 0)
    }

    /// Changes a domain.
    pub fn set_domain(&mut self, domain: &Domain, change: &DomainChange) -> Result<(), AdminError> {
        let transaction = self.change()?;
        need_domain(&transaction, domain)?;
        apply(&transaction, domain, change)?;
        commit(transaction)
    }

    /// Removes a domain. One with accounts or aliases goes only with them, when `with_addresses` says so; their mail
    /// stays in the store.
    pub fn remove_domain(&mut self, domain: &Domain, with_addresses: bool) -> Result<(), AdminError> {
        let failed = AdminError::sqlite("remove a domain");
        let transaction = self.change()?;
        need_domain(&transaction, domain)?;
        let name = domain.as_str();
        let count = |sql: &str| transaction.query_row(sql, [name], |row| number(row, 0)).map_err(&failed);
        let accounts = count("SELECT count(*) FROM account WHERE domain = ?1")?;
        let aliases = count("SELECT count(*) FROM alias WHERE domain = ?1")?;
        if accounts + aliases > 0 && !with_addresses {
            return Err(AdminError::DomainNotEmpty { domain: domain.clone(), accounts, aliases });
        }
        for sql in [
            "DELETE FROM account WHERE domain = ?1",
            "DELETE FROM alias WHERE domain = ?1",
            "DELETE FROM domain WHERE name = ?1",
        ] {
            transaction.execute(sql, [name]).map_err(&failed)?;
        }
        commit(transaction)
    }
}

fn apply(connection: &Connection, domain: &Domain, change: &DomainChange) -> Result<(), AdminError> {
    let failed = AdminError::sqlite("change a domain");
    let text = |address: &Option<Address>| address.as_ref().map(|address| address.canonical().to_string());
    if let Some(catch_all) = &change.catch_all {
        let sql = "UPDATE domain SET catch_all = ?2 WHERE name = ?1";
        connection.execute(sql, params![domain.as_str(), text(catch_all)]).map_err(&failed)?;
    }
    if let Some(postmaster) = &change.postmaster {
        let sql = "UPDATE domain SET postmaster = ?2 WHERE name = ?1";
        connection.execute(sql, params![domain.as_str(), text(postmaster)]).map_err(&failed)?;
    }
    for (column, limit) in [("quota_octets", change.quota_octets), ("quota_messages", change.quota_messages)]
    {
        if let Some(limit) = limit {
            let sql = format!("UPDATE domain SET {column} = ?2 WHERE name = ?1");
            connection.execute(&sql, params![domain.as_str(), stored_limit(limit)]).map_err(&failed)?;
        }
    }
    Ok(())
}
