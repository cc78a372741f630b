//! From recipients to mailboxes.
//!
//! Every address is followed once: a mailbox that two recipients lead to gets one copy. An address among its own
//! ancestors is a loop.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use directory::{Directory, Resolution};
use envelope::{AccountId, Address, Entrance, Envelope, Notify, Recipient, ReversePath};
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

/// A recipient whose mailbox another one leads to as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    pub(crate) recipient: Recipient,
    /// The mailbox, when it is one.
    pub(crate) account: Option<AccountId>,
}

/// Where everything leads.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    pub(crate) targets: Vec<Target>,
    pub(crate) failed: Vec<Failed>,
    pub(crate) deferred: Vec<Deferred>,
    /// Served together with another recipient.
    pub(crate) merged: Vec<Merged>,
    /// At another mail system.
    pub(crate) elsewhere: Vec<Recipient>,
    /// Addresses with several behind them, whose sender wants to know that it was followed.
    pub(crate) expanded: Vec<Recipient>,
    /// Mailing lists, whose members get it under another sender.
    pub(crate) lists: Vec<List>,
    /// Aliases followed.
    pub(crate) aliases: u64,
}

/// A recipient that is a mailing list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) recipient: Recipient,
    /// The list's own address, whatever tag the recipient has.
    pub(crate) address: Address,
    pub(crate) owner: Address,
    pub(crate) members: Vec<Recipient>,
    /// Where the owner's address can name a member: what stands before the name.
    pub(crate) separator: Option<char>,
}

/// Follows every recipient of the envelope.
pub(crate) async fn expand(directory: &dyn Directory, config: &Config, envelope: &Envelope) -> Expansion {
    let mut walk = Walk {
        config,
        envelope,
        pending: envelope.recipients.iter().cloned().collect(),
        seen: HashMap::new(),
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
    /// With the mailbox that was found, if one was.
    seen: HashMap<Address, Option<AccountId>>,
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
        if let Some(account) = self.seen.get(&address) {
            return self.expansion.merged.push(Merged { recipient, account: account.clone() });
        }
        self.seen.insert(address.clone(), None);
        let wait = self.config.directory_max.as_duration();
        let resolution = match tokio::time::timeout(wait, directory.resolve(&recipient.address)).await {
            Ok(Ok(resolution)) => resolution,
            Ok(Err(unavailable)) => return self.defer(recipient, unavailable.to_string()),
            Err(_) => return self.defer(recipient, "the directory did not answer in time".to_owned()),
        };
        match resolution {
            Resolution::Alias(addresses) => self.follow(&recipient, addresses),
            // A report on what a member wrote is nothing for all of them.
            Resolution::List { owner, .. } if self.envelope.reverse_path == ReversePath::Null => {
                self.follow(&recipient, vec![owner]);
            }
            Resolution::List { address, owner, members, separator } => {
                let members = members.into_iter().map(Recipient::from).collect();
                self.distribute(List { recipient, address, owner, members, separator });
            }
            Resolution::Mailbox { account, tag } => {
                self.seen.insert(address, Some(account.clone()));
                if self.accounts.insert(account.clone()) {
                    self.expansion.targets.push(Target { recipient, account, tag });
                } else {
                    self.expansion.merged.push(Merged { recipient, account: Some(account) });
                }
            }
            Resolution::NotLocal if self.may_leave(&recipient) => self.expansion.elsewhere.push(recipient),
            Resolution::NotLocal => self.fail(recipient, Failure::NO_ROUTE),
            Resolution::Unknown => self.fail(recipient, Failure::UNKNOWN),
        }
    }

    /// Strangers' mail leaves only where somebody here has an address lead away: what was accepted for one of our domains that is ours no
    /// more makes no open relay.
    fn may_leave(&self, recipient: &Recipient) -> bool {
        let origin = &self.envelope.origin;
        origin.authenticated.is_some()
            || origin.entrance == Entrance::Internal
            || self.envelope.list.is_some()
            || !recipient.expanded_from.is_empty()
    }

    /// A list is where the sender's message ends: of what comes then its owner hears (RFC 5321 §3.9.2, RFC 3461 §5.2.7.2).
    /// Who comes by here again is found out by the list's mark in the header.
    fn distribute(&mut self, list: List) {
        if self.expansion.lists.iter().any(|other| other.address == list.address) {
            return self.expansion.merged.push(Merged { recipient: list.recipient, account: None });
        }
        if !self.counted(list.members.len()) {
            return self.fail(list.recipient, Failure::EXPANSION);
        }
        self.expansion.lists.push(list);
    }

    /// Counts an alias; says whether its addresses are no more than may be.
    fn counted(&mut self, addresses: usize) -> bool {
        self.expansion.aliases += 1;
        self.addresses = self.addresses.saturating_add(addresses);
        let addresses_max = usize::try_from(self.config.expansion_addresses_max).unwrap_or(usize::MAX);
        (1..=addresses_max).contains(&self.addresses) && addresses > 0
    }

    fn follow(&mut self, recipient: &Recipient, addresses: Vec<Address>) {
        if !self.counted(addresses.len()) {
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
        let mut notify = recipient.notify;
        if addresses.len() > 1 && recipient.wants_success() {
            // RFC 3461 §5.2.7.3: the sender hears that the address was followed, and nothing of success behind it.
            self.expansion.expanded.push(recipient.clone());
            notify = notify.map(|notify| Notify { success: false, ..notify });
        }
        let next = addresses.into_iter().map(|address| Recipient {
            expanded_from: expanded_from.clone(),
            notify,
            original: recipient.original.clone(),
            delay_reported: recipient.delay_reported,
            ..address.into()
        });
        self.pending.extend(next);
    }

    fn fail(&mut self, recipient: Recipient, failure: Failure) {
        self.expansion.failed.push(Failed { recipient, failure });
    }

    fn defer(&mut self, recipient: Recipient, reason: String) {
        self.expansion.deferred.push(Deferred { recipient, after: Duration::ZERO, reason, said: None });
    }
}

#[cfg(test)]
mod tests;
