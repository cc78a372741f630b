//! `subscriptions`, in the format of Dovecot's version 2: a header, then a line for each mailbox with tabs between
//! levels, each level as in the directory's name. Version 1 (levels joined by dots) is read too.

use std::collections::BTreeSet;

use super::Account;
use crate::error::At as _;
use crate::fs::{self, Syncs};
use crate::{MailboxName, StoreError};

pub(crate) const FILE: &str = "subscriptions";
/// Courier's.
pub(crate) const COURIER_FILE: &str = "courierimapsubscribed";
const HEADER: &str = "V\t2";

impl Account {
    /// SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.6): the mailbox need not exist.
    ///
    /// # Errors
    /// When the file can't be written, or a limit of the configuration.
    pub fn set_subscribed(&self, name: &MailboxName, subscribed: bool) -> Result<(), StoreError> {
        let _locked = self.lock()?;
        let mut names = self.subscriptions()?;
        let changed = if subscribed { names.insert(name.clone()) } else { names.remove(name) };
        if !changed {
            return Ok(());
        }
        if names.len() > self.shared.config.mailboxes_max as usize {
            return Err(StoreError::Limit("subscriptions of one account"));
        }
        self.write_subscriptions(&names, Syncs::Each)
    }

    pub(super) fn subscribe_all(&self, names: &[MailboxName], syncs: Syncs) -> Result<(), StoreError> {
        let mut all = self.subscriptions()?;
        all.extend(names.iter().cloned());
        self.write_subscriptions(&all, syncs)
    }

    pub(super) fn subscriptions(&self) -> Result<BTreeSet<MailboxName>, StoreError> {
        let path = self.path.join(FILE);
        let bytes = fs::read_optional(self.fs(), &path).at("read", &path)?.unwrap_or_default();
        Ok(parse(&String::from_utf8_lossy(&bytes)))
    }

    fn write_subscriptions(&self, names: &BTreeSet<MailboxName>, syncs: Syncs) -> Result<(), StoreError> {
        fs::replace_with(self.fs(), &self.path, (FILE, print(names).as_bytes()), syncs)
            .at("replace", &self.path.join(FILE))
    }
}

pub(crate) fn print(names: &BTreeSet<MailboxName>) -> String {
    let lines = names.iter().map(|name| name.encoded_levels().join("\t") + "\n");
    format!("{HEADER}\n\n{}", lines.collect::<String>())
}

pub(crate) fn parse(text: &str) -> BTreeSet<MailboxName> {
    let separator = if text.starts_with(HEADER) { '\t' } else { '.' };
    let lines = text.lines().filter(|line| !line.is_empty() && *line != HEADER);
    lines.filter_map(|line| MailboxName::from_encoded_levels(line.split(separator))).collect()
}

/// Courier's form: a line a mailbox, `INBOX.` in front of all others.
pub(crate) fn print_courier(names: &BTreeSet<MailboxName>) -> String {
    let line = |name: &MailboxName| match name.is_inbox() {
        true => "INBOX\n".to_owned(),
        false => format!("INBOX{}\n", name.directory()),
    };
    names.iter().map(line).collect()
}

/// The reverse.
pub(crate) fn parse_courier(text: &str) -> BTreeSet<MailboxName> {
    let name = |line: &str| match line.strip_prefix("INBOX")? {
        "" => Some(MailboxName::inbox()),
        directory => MailboxName::from_directory(directory),
    };
    text.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_the_second_is_written() {
        let names: BTreeSet<_> =
            ["INBOX", "Sent", "a/b.c/ü"].iter().map(|name| MailboxName::parse(name).unwrap()).collect();
        let text = print(&names);
        assert_eq!(text, "V\t2\n\nINBOX\nSent\na\tb%2ec\t&APw-\n");
        assert_eq!(parse(&text), names);
        assert_eq!(parse("INBOX\nSent\na.b%2ec.&APw-\n"), names);
        assert_eq!(print_courier(&names), "INBOX\nINBOX.Sent\nINBOX.a.b%2ec.&APw-\n");
        assert_eq!(parse_courier(&print_courier(&names)), names);
        assert_eq!(parse_courier("Shared.x\nINBOX..x\n\n"), BTreeSet::new());
    }
}
