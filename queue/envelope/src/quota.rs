//! How much mail an account has and may have.

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Octets of all messages as IMAP counts them, with CRLF line ends.
    pub octets: u64,
    /// Messages in all mailboxes.
    pub messages: u64,
}

/// What an account may hold; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of all messages together.
    pub octets: Option<u64>,
    /// Messages in all mailboxes together.
    pub messages: Option<u64>,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            octets: self.octets.saturating_add(other.octets),
            messages: self.messages.saturating_add(other.messages),
        }
    }
}

impl Quota {
    /// Whether there is any limit.
    pub const fn is_limited(&self) -> bool {
        self.octets.is_some() || self.messages.is_some()
    }

    /// Whether `usage` is within every limit.
    pub fn allows(&self, usage: Usage) -> bool {
        self.octets.is_none_or(|limit| usage.octets <= limit)
            && self.messages.is_none_or(|limit| usage.messages <= limit)
    }

    /// How full the fuller of the two is, in percent, rounded down.
    pub fn percent(&self, usage: Usage) -> u64 {
        let percent = |used: u64, limit: Option<u64>| {
            Some((u128::from(used) * 100).checked_div(u128::from(limit?)).unwrap_or(100))
        };
        let fuller = percent(usage.octets, self.octets).max(percent(usage.messages, self.messages));
        u64::try_from(fuller.unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_at_their_edges() {
        let quota = Quota { octets: Some(100), messages: Some(2) };
        let of = |octets, messages| Usage { octets, messages };
        for (usage, allowed, percent) in [
            (of(0, 0), true, 0),
            (of(99, 1), true, 99),
            (of(100, 2), true, 100),
            (of(101, 2), false, 101),
            (of(100, 3), false, 150),
        ] {
            assert_eq!(quota.allows(usage), allowed, "{usage:?}");
            assert_eq!(quota.percent(usage), percent, "{usage:?}");
        }
        assert_eq!(quota.percent(of(u64::MAX, u64::MAX)), u64::MAX);
        assert!(Quota::default().allows(of(u64::MAX, u64::MAX)) && !Quota::default().is_limited());
        assert_eq!(Quota { octets: Some(0), messages: None }.percent(of(0, 0)), 100);
        assert_eq!(of(u64::MAX, 1).plus(of(1, 1)), of(u64::MAX, 2));
    }
}
