//! One recipient of a report.

use envelope::{Address, EnhancedCode, Recipient};

use crate::outcome::{Failed, RemoteReply};

/// What a report is about. One report is about one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Delay,
    Failure,
    Success,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Failure => "failure",
            Self::Success => "success",
        }
    }

    pub(super) const fn subject(self) -> &'static str {
        match self {
            Self::Delay => "Your message is delayed",
            Self::Failure => "Your message could not be delivered",
            Self::Success => "Your message was delivered",
        }
    }

    pub(super) const fn lead(self) -> &'static str {
        match self {
            Self::Delay => {
                "Your message could not be delivered to these addresses yet.\r\n\
                 Further tries will be made; you need not send it again:"
            }
            Self::Failure => "Your message could not be delivered to these addresses:",
            Self::Success => "You asked to be told when your message arrives. This became of it:",
        }
    }
}

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Delayed,
    Delivered,
    Expanded,
    Failed,
    Relayed,
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Expanded => "expanded",
            Self::Failed => "failed",
            Self::Relayed => "relayed",
        }
    }
}

/// What is told of one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Told<'a> {
    pub(crate) recipient: &'a Recipient,
    pub(super) action: Action,
    pub(super) code: EnhancedCode,
    pub(super) reason: &'a str,
    pub(super) remote: Option<&'a RemoteReply>,
}

impl<'a> Told<'a> {
    /// The last tries failed; nothing of what operators read about it is for senders.
    pub(crate) const fn delayed(recipient: &'a Recipient) -> Self {
        let reason = "It could not be delivered until now.";
        Self { recipient, action: Action::Delayed, code: EnhancedCode::new(4, 0, 0), reason, remote: None }
    }

    pub(crate) const fn delivered(recipient: &'a Recipient) -> Self {
        let reason = "It is in the mailbox.";
        Self { recipient, action: Action::Delivered, code: EnhancedCode::new(2, 0, 0), reason, remote: None }
    }

    /// An address with several behind it, of which nothing more is told (RFC 3461 §5.2.7.3).
    pub(crate) const fn expanded(recipient: &'a Recipient) -> Self {
        let reason = "It goes to the addresses behind this one; of them no more is told.";
        Self { recipient, action: Action::Expanded, code: EnhancedCode::new(2, 0, 0), reason, remote: None }
    }

    pub(crate) fn failed(failed: &'a Failed) -> Self {
        let Failed { recipient, failure } = failed;
        let (code, reason, remote) = (failure.code, failure.reason.as_ref(), failure.remote.as_ref());
        Self { recipient, action: Action::Failed, code, reason, remote }
    }

    /// Another mail system has it and tells no more (RFC 3461 §5.2.2 b).
    pub(crate) const fn relayed(recipient: &'a Recipient, remote: &'a RemoteReply) -> Self {
        let reason = "Another mail system took it, which does not tell when it arrives.";
        let (code, remote) = (EnhancedCode::new(2, 0, 0), Some(remote));
        Self { recipient, action: Action::Relayed, code, reason, remote }
    }

    /// The address as the sender used it.
    pub(super) fn address(&self) -> &'a Address {
        self.recipient.expanded_from.first().unwrap_or(&self.recipient.address)
    }
}
