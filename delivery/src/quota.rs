//! Telling people that their mailbox fills up: a message in their inbox when a delivery takes them over a threshold.
//!
//! Its id is made from the account, the threshold and the day: two nodes that see the same delivery, or a delivery that is
//! repeated after a crash, write it once. No more than one a day for each threshold.

use envelope::{AccountId, MessageId, Quota, Timestamp, Usage};
use store::{Account, Delivery, Flags, MailboxName, StoreError};

use crate::report::{Fnv, date};

const DAY_MILLISECONDS: u64 = 24 * 60 * 60 * 1000;

/// A threshold that was crossed.
pub(crate) struct Warning<'a> {
    pub(crate) account: &'a AccountId,
    pub(crate) hostname: &'a str,
    pub(crate) quota: Quota,
    pub(crate) usage: Usage,
    pub(crate) percent: u64,
    pub(crate) now: Timestamp,
}

/// The highest of `thresholds` that lies between what was held before and what is held now.
pub(crate) fn crossed(thresholds: &[u16], quota: &Quota, before: Usage, after: Usage) -> Option<u64> {
    let (before, after) = (quota.percent(before), quota.percent(after));
    thresholds.iter().map(|threshold| u64::from(*threshold)).filter(|at| before < *at && *at <= after).max()
}

impl Warning<'_> {
    /// Puts the warning into the inbox, over the quota if need be.
    pub(crate) fn deliver(&self, mail: &Account) -> Result<(), StoreError> {
        let id = self.id();
        let content = self.text(id);
        let delivery = Delivery {
            message_id: id,
            content: content.as_bytes(),
            received_at: self.now,
            flags: Flags::default(),
        };
        mail.mailbox(&MailboxName::inbox())?.deliver(&delivery).map(drop)
    }

    fn id(&self) -> MessageId {
        let day = self.now.unix_milliseconds() / DAY_MILLISECONDS * DAY_MILLISECONDS;
        let mut hash = Fnv::new();
        hash.write(b"quota\n");
        hash.write(self.account.to_string().as_bytes());
        hash.write(&self.percent.to_be_bytes());
        MessageId::new(day, hash.random())
    }

    fn text(&self, id: MessageId) -> String {
        let Self { account, hostname, usage, percent, .. } = self;
        let line = |used: u64, limit: Option<u64>, what: &str| {
            limit.map(|limit| format!("    {used} of {limit} {what}\r\n")).unwrap_or_default()
        };
        format!(
            "Return-Path: <>\r\nFrom: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\nTo: <{account}>\r\n\
             Subject: Your mailbox is {percent} % full\r\nDate: {}\r\nMessage-ID: <{id}@{hostname}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n\
             Your mailbox {account} holds\r\n\r\n{}{}\r\n\
             When it is full, messages to you wait, and after some time their senders get them back.\r\n\
             Delete what you don't need, and empty the Trash.\r\n",
            date(self.now),
            line(usage.octets, self.quota.octets, "octets"),
            line(usage.messages, self.quota.messages, "messages"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_crossed_once() {
        let quota = Quota { octets: Some(1000), messages: None };
        let check = |before, after, expected| {
            let of = |octets| Usage { octets, messages: 1 };
            assert_eq!(crossed(&[80, 95], &quota, of(before), of(after)), expected, "{before} {after}");
        };
        check(0, 799, None);
        check(799, 800, Some(80));
        check(800, 949, None);
        check(700, 960, Some(95));
        check(960, 990, None);
        check(990, 0, None);
    }

    #[test]
    fn one_a_day_for_each_threshold() {
        let account: AccountId = "ann@example.test".parse().unwrap();
        let id = |percent, milliseconds| {
            let quota = Quota { octets: Some(1000), messages: Some(5) };
            let usage = Usage { octets: 810, messages: 4 };
            let now = Timestamp::from_unix_milliseconds(milliseconds);
            let warning = Warning { account: &account, hostname: "mx.test", quota, usage, percent, now };
            let text = warning.text(warning.id());
            assert!(text.contains("    810 of 1000 octets\r\n    4 of 5 messages\r\n"), "{text}");
            warning.id()
        };
        let noon = 1_700_000_000_000 / DAY_MILLISECONDS * DAY_MILLISECONDS + DAY_MILLISECONDS / 2;
        assert_eq!(id(80, noon), id(80, noon + 1000));
        assert_ne!(id(80, noon), id(95, noon));
        assert_ne!(id(80, noon), id(80, noon + DAY_MILLISECONDS));
    }
}
