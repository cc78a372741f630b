//! `sluice mailbox check`.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use store::{Finding, Mailbox, MailboxName};

use crate::listing;

/// One difference, as it is printed.
#[derive(Serialize)]
struct Line {
    mailbox: String,
    difference: &'static str,
    uid: Option<u32>,
    file: String,
    detail: String,
}

impl Line {
    fn new(mailbox: &MailboxName, finding: Finding) -> Self {
        Self {
            mailbox: mailbox.to_string(),
            difference: finding.difference.name(),
            uid: finding.uid.map(|uid| uid.0),
            file: finding.file,
            detail: finding.detail,
        }
    }

    fn row(&self) -> Vec<String> {
        let uid = self.uid.map(|uid| uid.to_string()).unwrap_or_default();
        vec![self.mailbox.clone(), self.difference.to_owned(), uid, self.file.clone(), self.detail.clone()]
    }
}

pub(super) fn run(
    mailboxes: &[(MailboxName, Arc<Mailbox>)],
    contents: bool,
    json: bool,
) -> anyhow::Result<()> {
    let (mut lines, mut messages) = (Vec::new(), 0);
    for (name, mailbox) in mailboxes {
        let check = mailbox.check(contents).with_context(|| format!("failed to check {name}"))?;
        messages += check.messages;
        lines.extend(check.findings.into_iter().map(|finding| Line::new(name, finding)));
    }
    if json || !lines.is_empty() {
        listing::print(json, &lines, &["mailbox", "difference", "uid", "file", "detail"], Line::row)?;
    }
    match lines.len() {
        0 if json => Ok(()),
        0 => listing::write(format!("{} mailboxes, {messages} messages: no difference\n", mailboxes.len())),
        1 => bail!("1 difference; `sluice mailbox rebuild` lets the index follow the files"),
        count => bail!("{count} differences; `sluice mailbox rebuild` lets the index follow the files"),
    }
}
