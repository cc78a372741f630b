//! From recipients to mailboxes.
//!
//! Every address is followed once: a mailbox that two recipients lead to gets one copy. An address among its own
//! ancestors is a loop.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use directory::{Directory, Resolution};
use envelope::{AccountId, Address, Envelope, Recipient};
use tracing::info;

use crate::config::Config;
use crate::outcome::{Deferred, Failed, Failure};

/// Addresses of an expansion that the trail names.
const LOGGED_MAX: usize = 20;

/// A mailbox that gets the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) recipient: Recipient,
    pub(crate) account: AccountId,
    pub(crate) tag: Option<String>,
}

/// Where everything leads.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    pub(crate) targets: Vec<Target>,
    pub(crate) failed: Vec<Failed>,
    pub(crate) deferred: Vec<Deferred>,
    /// Served together with another recipient.
    pub(crate) merged: Vec<Recipient>,
    /// Aliases followed.
    pub(crate) aliases: u64,
}

/// Follows every recipient of the envelope.
pub(crate) async fn expand(directory: &dyn Directory, config: &Config, envelope: &Envelope) -> Expansion {
    let mut walk = Walk {
        config,
        envelope,
        pending: envelope.recipients.iter().cloned().collect(),
        seen: HashSet::new(),
        accounts: HashSet::new(),
        addresses: 0,
        expansion: Expansion::default(),
    };
    while let Some(recipient) = walk.pending.pop_front() {
        walk.step(directory, recipient).await;
    }
    walk.expansion
}

struct Walk<'a> {
    config: &'a Config,
    envelope: &'a Envelope,
    pending: VecDeque<Recipient>,
    seen: HashSet<Address>,
    accounts: HashSet<AccountId>,
    addresses: usize,
    expansion: Expansion,
}

impl Walk<'_> {
    async fn step(&mut self, directory: &dyn Directory, recipient: Recipient) {
        let address = recipient.address.canonical();
        let depth = recipient.expanded_from.len();
        let is_loop = recipient.expanded_from.iter().any(|ancestor| ancestor.canonical() == address);
        if is_loop || depth > usize::from(self.config.expansion_depth_max) {
            return self.fail(recipient, Failure::LOOP);
        }
        if !self.seen.insert(address) {
            return self.expansion.merged.push(recipient);
        }
        let wait = self.config.directory_max.as_duration();
        let resolution = match tokio::time::timeout(wait, directory.resolve(&recipient.address)).await {
            Ok(Ok(resolution)) => resolution,
            Ok(Err(unavailable)) => return self.defer(recipient, unavailable.to_string()),
            Err(_) => return self.defer(recipient, "the directory did not answer in time".to_owned()),
        };
        match resolution {
            Resolution::Alias(addresses) => self.follow(&recipient, addresses),
            Resolution::Mailbox { account, tag } => {
                if self.accounts.insert(account.clone()) {
                    self.expansion.targets.push(Target { recipient, account, tag });
                } else {
                    self.expansion.merged.push(recipient);
                }
            }
            Resolution::NotLocal => self.fail(recipient, Failure::NO_ROUTE),
            Resolution::Unknown => self.fail(recipient, Failure::UNKNOWN),
        }
    }

    fn follow(&mut self, recipient: &Recipient, addresses: Vec<Address>) {
        self.expansion.aliases += 1;
        self.addresses = self.addresses.saturating_add(addresses.len());
        let addresses_max = usize::try_from(self.config.expansion_addresses_max).unwrap_or(usize::MAX);
        if addresses.is_empty() || self.addresses > addresses_max {
            return self.fail(recipient.clone(), Failure::EXPANSION);
        }
        let named: Vec<String> = addresses.iter().take(LOGGED_MAX).map(ToString::to_string).collect();
        info!(
            target: "sluice::message",
            id = %self.envelope.id,
            event = "expanded",
            recipient = %recipient.address,
            count = addresses.len(),
            into = named.join(" "),
            "an alias leads to other addresses"
        );
        let mut expanded_from = recipient.expanded_from.clone();
        expanded_from.push(recipient.address.clone());
        let next =
            addresses.into_iter().map(|address| Recipient { address, expanded_from: expanded_from.clone() });
        self.pending.extend(next);
    }

    fn fail(&mut self, recipient: Recipient, failure: Failure) {
        self.expansion.failed.push(Failed { recipient, failure });
    }

    fn defer(&mut self, recipient: Recipient, reason: String) {
        self.expansion.deferred.push(Deferred { recipient, after: Duration::ZERO, reason });
    }
}

#[cfg(test)]
mod tests;
