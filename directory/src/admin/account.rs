//! Accounts.

use envelope::{Address, Domain, Secret, Timestamp};
use rusqlite::{Connection, params};
use sasl::ScramSecret;
use sasl::password::{Cost, PasswordHash, SALT_OCTETS};
use serde::Serialize;

use super::{
    Admin, commit, has_account, limit, need_domain, need_free, need_unused, number, stored_address,
    stored_limit,
};
use crate::AdminError;

/// Longest display name in characters.
const DISPLAY_NAME_MAX: usize = 200;

/// An account as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountInfo {
    /// Its address, which is also the login name.
    pub address: Address,
    /// What the webmail puts before the address in From.
    pub display_name: String,
    /// Whether it may log in; mail for it is taken either way.
    pub login_allowed: bool,
    /// Whether it has a password; without one it logs in with a bearer token only.
    pub has_password: bool,
    /// Octets that it may hold; 0 is without limit, none is as its domain says.
    pub quota_octets: Option<u64>,
    /// Messages that it may hold, in the same way.
    pub quota_messages: Option<u64>,
    /// When it was added, in milliseconds since 1970.
    pub created_at: Timestamp,
}

/// What shall change about an account; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The new password; `Some(None)` takes it away.
    pub password: Option<Option<Secret<String>>>,
    /// The new display name.
    pub display_name: Option<String>,
    /// Whether it may log in.
    pub login_allowed: Option<bool>,
    /// Octets that it may hold: 0 is without limit, `Some(None)` as its domain says.
    pub quota_octets: Option<Option<u64>>,
    /// Messages that it may hold, in the same way.
    pub quota_messages: Option<Option<u64>>,
}

impl Admin {
    /// Adds an account. Hashing the password takes a moment.
    pub fn add_account(&mut self, address: &Address, change: &AccountChange) -> Result<(), AdminError> {
        let address = address.canonical();
        let change = Prepared::new(change, self.cost, self.scram_iterations)?;
        let transaction = self.change()?;
        need_domain(&transaction, address.domain())?;
        need_free(&transaction, &address)?;
        let sql = "INSERT INTO account (address, domain, display_name, login_allowed, created_at)
                   VALUES (?1, ?2, '', 1, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
        transaction
            .execute(sql, params![address.to_string(), address.domain().as_str()])
            .map_err(AdminError::sqlite("add an account"))?;
        change.apply(&transaction, &address)?;
        commit(transaction)
    }

    /// The accounts of one domain or of all, by address.
    pub fn accounts(&self, domain: Option<&Domain>) -> Result<Vec<AccountInfo>, AdminError> {
        let sql = "SELECT address, display_name, login_allowed, password IS NOT NULL, created_at, quota_octets, quota_messages
                   FROM account WHERE ?1 IS NULL OR domain = ?1 ORDER BY domain, address";
        if let Some(domain) = domain {
            need_domain(&self.connection, domain)?;
        }
        let failed = AdminError::sqlite("list accounts");
        let mut statement = self.connection.prepare(sql).map_err(&failed)?;
        let mut rows = statement.query([domain.map(Domain::as_str)]).map_err(&failed)?;
        let mut accounts = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            accounts.push(AccountInfo {
                address: stored_address(&row.get::<_, String>(0).map_err(&failed)?)?,
                display_name: row.get(1).map_err(&failed)?,
                login_allowed: row.get(2).map_err(&failed)?,
                has_password: row.get(3).map_err(&failed)?,
                created_at: Timestamp::from_unix_milliseconds(number(row, 4).map_err(&failed)?),
                quota_octets: limit(row, 5).map_err(&failed)?,
                quota_messages: limit(row, 6).map_err(&failed)?,
            });
        }
        Ok(accounts)
    }

    /// Changes an account. A new password ends what nodes remember of the old one.
    pub fn set_account(&mut self, address: &Address, change: &AccountChange) -> Result<(), AdminError> {
        let address = address.canonical();
        let change = Prepared::new(change, self.cost, self.scram_iterations)?;
        let transaction = self.change()?;
        need_account(&transaction, &address)?;
        change.apply(&transaction, &address)?;
        commit(transaction)
    }

    /// Removes an account to which no alias, catch-all or postmaster leads; its mail stays in the store.
    pub fn remove_account(&mut self, address: &Address) -> Result<(), AdminError> {
        let address = address.canonical();
        let transaction = self.change()?;
        need_account(&transaction, &address)?;
        need_unused(&transaction, &address)?;
        transaction
            .execute("DELETE FROM account WHERE address = ?1", [address.to_string()])
            .map_err(AdminError::sqlite("remove an account"))?;
        commit(transaction)
    }
}

fn need_account(connection: &Connection, address: &Address) -> Result<(), AdminError> {
    if has_account(connection, address)? { Ok(()) } else { Err(AdminError::UnknownAccount(address.clone())) }
}

/// What is stored of a password.
pub(super) fn hashed(
    password: &Secret<String>,
    cost: Cost,
    scram_iterations: u32,
) -> Result<(PasswordHash, ScramSecret), AdminError> {
    let (mut salt, mut scram_salt) = ([0; SALT_OCTETS], [0; sasl::scram::SALT_OCTETS]);
    getrandom::fill(&mut salt).map_err(|_| AdminError::Random)?;
    getrandom::fill(&mut scram_salt).map_err(|_| AdminError::Random)?;
    let hash = PasswordHash::new(password, &salt, cost)?;
    Ok((hash, ScramSecret::new(password, &scram_salt, scram_iterations)))
}

pub(super) fn check_display_name(name: &str) -> Result<(), AdminError> {
    if name.chars().count() > DISPLAY_NAME_MAX || name.chars().any(char::is_control) {
        return Err(AdminError::DisplayName { max: DISPLAY_NAME_MAX });
    }
    Ok(())
}

/// A change whose password is hashed: done before the file is locked.
struct Prepared<'a> {
    password: Option<Option<(PasswordHash, ScramSecret)>>,
    display_name: Option<&'a str>,
    login_allowed: Option<bool>,
    quota_octets: Option<Option<u64>>,
    quota_messages: Option<Option<u64>>,
}

impl<'a> Prepared<'a> {
    fn new(change: &'a AccountChange, cost: Cost, scram_iterations: u32) -> Result<Self, AdminError> {
        let password = match &change.password {
            Some(Some(password)) => Some(Some(hashed(password, cost, scram_iterations)?)),
            Some(None) => Some(None),
            None => None,
        };
        let display_name = change.display_name.as_deref();
        display_name.map_or(Ok(()), check_display_name)?;
        Ok(Self {
            password,
            display_name,
            login_allowed: change.login_allowed,
            quota_octets: change.quota_octets,
            quota_messages: change.quota_messages,
        })
    }

    fn apply(&self, connection: &Connection, address: &Address) -> Result<(), AdminError> {
        let failed = AdminError::sqlite("change an account");
        let name = address.to_string();
        if let Some(password) = &self.password {
            let sql = "UPDATE account SET password = ?2, scram = ?3 WHERE address = ?1";
            let text = password.as_ref().map(|(hash, _)| hash.as_str());
            let scram = password.as_ref().map(|(_, secret)| secret.to_text());
            let scram = scram.as_ref().map(Secret::expose);
            connection.execute(sql, params![name, text, scram]).map_err(&failed)?;
        }
        if let Some(display_name) = self.display_name {
            let sql = "UPDATE account SET display_name = ?2 WHERE address = ?1";
            connection.execute(sql, params![name, display_name]).map_err(&failed)?;
        }
        if let Some(login_allowed) = self.login_allowed {
            let sql = "UPDATE account SET login_allowed = ?2 WHERE address = ?1";
            connection.execute(sql, params![name, login_allowed]).map_err(&failed)?;
        }
        for (column, limit) in [("quota_octets", self.quota_octets), ("quota_messages", self.quota_messages)]
        {
            if let Some(limit) = limit {
                let sql = format!("UPDATE account SET {column} = ?2 WHERE address = ?1");
                connection.execute(&sql, params![name, stored_limit(limit)]).map_err(&failed)?;
            }
        }
        Ok(())
    }
}
