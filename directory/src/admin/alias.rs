//! Aliases: one address that stands for others.

use std::collections::BTreeSet;

use envelope::{Address, Domain, Timestamp};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    Admin, commit, has_account, has_alias, need_domain, need_free, need_unused, number, stored_address,
};
use crate::AdminError;
use crate::lookup::{alias_owner, alias_targets};

/// Most targets of one alias.
const TARGETS_MAX: usize = 1000;
/// Most aliases that are followed when looking for a loop.
const WALK_MAX: usize = 10_000;

/// An alias as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AliasInfo {
    /// Its address.
    pub address: Address,
    /// Where it leads, here or elsewhere.
    pub targets: Vec<Address>,
    /// Who answers for it: then it is a mailing list.
    pub owner: Option<Address>,
    /// When it was added, in milliseconds since 1970.
    pub created_at: Timestamp,
}

/// What shall change about an alias; `None` leaves a thing as it is, `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AliasChange {
    /// Where it leads.
    pub targets: Option<Vec<Address>>,
    /// Who answers for it, as a mailing list.
    pub owner: Option<Option<Address>>,
}

impl Admin {
    /// Adds an alias. Targets may be here or elsewhere, and need not exist yet; a loop is refused. With an owner, who has an address here, it is
    /// a mailing list.
    pub fn add_alias(
        &mut self,
        alias: &Address,
        targets: &[Address],
        owner: Option<&Address>,
    ) -> Result<(), AdminError> {
        let alias = alias.canonical();
        let transaction = self.change()?;
        need_domain(&transaction, alias.domain())?;
        need_free(&transaction, &alias)?;
        let sql = "INSERT INTO alias (address, domain, created_at)
                   VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
        transaction
            .execute(sql, params![alias.to_string(), alias.domain().as_str()])
            .map_err(AdminError::sqlite("add an alias"))?;
        put_targets(&transaction, &alias, targets)?;
        put_owner(&transaction, &alias, owner)?;
        commit(transaction)
    }

    /// The aliases of one domain or of all, by address.
    pub fn aliases(&self, domain: Option<&Domain>) -> Result<Vec<AliasInfo>, AdminError> {
        if let Some(domain) = domain {
            need_domain(&self.connection, domain)?;
        }
        let sql =
            "SELECT address, created_at FROM alias WHERE ?1 IS NULL OR domain = ?1 ORDER BY domain, address";
        let failed = AdminError::sqlite("list aliases");
        let snapshot = self.connection.unchecked_transaction().map_err(&failed)?;
        let mut statement = snapshot.prepare(sql).map_err(&failed)?;
        let mut rows = statement.query([domain.map(Domain::as_str)]).map_err(&failed)?;
        let mut aliases = Vec::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let address: String = row.get(0).map_err(&failed)?;
            aliases.push(AliasInfo {
                targets: alias_targets(&snapshot, &address)?,
                owner: alias_owner(&snapshot, &address)?,
                address: stored_address(&address)?,
                created_at: Timestamp::from_unix_milliseconds(number(row, 1).map_err(&failed)?),
            });
        }
        Ok(aliases)
    }

    /// Changes an alias.
    pub fn set_alias(&mut self, alias: &Address, change: &AliasChange) -> Result<(), AdminError> {
        let alias = alias.canonical();
        let transaction = self.change()?;
        need_alias(&transaction, &alias)?;
        if let Some(targets) = &change.targets {
            transaction
                .execute("DELETE FROM alias_target WHERE alias = ?1", [alias.to_string()])
                .map_err(AdminError::sqlite("change an alias"))?;
            put_targets(&transaction, &alias, targets)?;
        }
        if let Some(owner) = &change.owner {
            put_owner(&transaction, &alias, owner.as_ref())?;
        }
        commit(transaction)
    }

    /// Removes an alias to which no other alias, catch-all or postmaster leads.
    pub fn remove_alias(&mut self, alias: &Address) -> Result<(), AdminError> {
        let alias = alias.canonical();
        let transaction = self.change()?;
        need_alias(&transaction, &alias)?;
        need_unused(&transaction, &alias)?;
        transaction
            .execute("DELETE FROM alias WHERE address = ?1", [alias.to_string()])
            .map_err(AdminError::sqlite("remove an alias"))?;
        commit(transaction)
    }
}

fn need_alias(connection: &Connection, alias: &Address) -> Result<(), AdminError> {
    if has_alias(connection, alias)? { Ok(()) } else { Err(AdminError::UnknownAlias(alias.clone())) }
}

fn put_targets(connection: &Connection, alias: &Address, targets: &[Address]) -> Result<(), AdminError> {
    if targets.is_empty() {
        return Err(AdminError::NoTargets(alias.clone()));
    }
    if targets.len() > TARGETS_MAX {
        let (count, max) = (targets.len(), TARGETS_MAX);
        return Err(AdminError::TooManyTargets { alias: alias.clone(), count, max });
    }
    let mut seen = BTreeSet::new();
    let sql = "INSERT INTO alias_target (alias, position, target, canonical) VALUES (?1, ?2, ?3, ?4)";
    let failed = AdminError::sqlite("change an alias");
    for target in targets {
        let canonical = target.canonical();
        if leads_to(connection, &canonical, alias)? {
            return Err(AdminError::Loop { alias: alias.clone(), through: target.clone() });
        }
        // Naming a target twice means it once.
        let position = i64::try_from(seen.len()).unwrap_or(i64::MAX);
        if seen.insert(canonical.clone()) {
            let row = params![alias.to_string(), position, target.to_string(), canonical.to_string()];
            connection.execute(sql, row).map_err(&failed)?;
        }
    }
    Ok(())
}

fn put_owner(connection: &Connection, alias: &Address, owner: Option<&Address>) -> Result<(), AdminError> {
    let owner = owner.map(Address::canonical);
    if let Some(owner) = &owner {
        if !has_account(connection, owner)? && !has_alias(connection, owner)? {
            return Err(AdminError::UnknownOwner { list: alias.clone(), owner: owner.clone() });
        }
        if leads_to(connection, owner, alias)? {
            return Err(AdminError::Loop { alias: alias.clone(), through: owner.clone() });
        }
    }
    let row = params![alias.to_string(), owner.map(|owner| owner.to_string())];
    connection
        .execute("UPDATE alias SET owner = ?2 WHERE address = ?1", row)
        .map_err(AdminError::sqlite("change an alias"))?;
    Ok(())
}

/// Whether mail for `from`, or a report on it, comes to `goal` by way of aliases; both canonical.
fn leads_to(connection: &Connection, from: &Address, goal: &Address) -> Result<bool, AdminError> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.clone()];
    while let Some(address) = open.pop() {
        if address == *goal {
            return Ok(true);
        }
        if seen.len() < WALK_MAX && seen.insert(address.clone()) {
            let targets = alias_targets(connection, &address.to_string())?;
            open.extend(targets.iter().map(Address::canonical));
            open.extend(alias_owner(connection, &address.to_string())?);
        }
    }
    Ok(false)
}
