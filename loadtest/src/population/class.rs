//! Kinds of accounts, and how they use mail.

use serde::Serialize;

/// A kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// People at work.
    Corporate,
    /// Paying people with a domain of their own.
    Personal,
    /// Everybody else.
    Free,
}

/// With what people read their mail. Each has a script of its own in the drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mailer {
    /// Apple Mail, on a telephone or a computer.
    AppleMail,
    /// mbsync, from cron.
    Mbsync,
    /// Outlook.
    Outlook,
    /// A client that polls POP3.
    Pop3,
    /// Thunderbird.
    Thunderbird,
    /// The webmail.
    Web,
}

/// How a class uses mail. Figures are of an ordinary working day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Habits {
    /// Part of all accounts.
    pub share: f64,
    /// Messages kept: half of the accounts have fewer, and how far they spread (the sigma of a log-normal distribution).
    pub messages: (f64, f64),
    /// Folders beside INBOX, in the same way.
    pub folders: (f64, f64),
    /// Octets of a message, in the same way.
    pub octets: (f64, f64),
    /// Part of the messages that have an attachment.
    pub attachments: f64,
    /// Messages that arrive in a day.
    pub received_a_day: f64,
    /// Messages that are sent in a day.
    pub sent_a_day: f64,
    /// With what it is read: part of the accounts, and visits in a day of each.
    pub mailers: &'static [(Mailer, f64, f64)],
    /// Connections that an account holds at the busiest time.
    pub connections: f64,
}

const CORPORATE: Habits = Habits {
    share: 0.10,
    messages: (6000.0, 1.2),
    folders: (24.0, 0.8),
    octets: (9_000.0, 1.4),
    attachments: 0.22,
    received_a_day: 60.0,
    sent_a_day: 18.0,
    mailers: &[
        (Mailer::Outlook, 0.75, 10.0),
        (Mailer::AppleMail, 0.60, 40.0),
        (Mailer::Thunderbird, 0.15, 8.0),
        (Mailer::Web, 0.30, 4.0),
    ],
    connections: 1.6,
};

const PERSONAL: Habits = Habits {
    share: 0.25,
    messages: (1800.0, 1.4),
    folders: (8.0, 0.8),
    octets: (10_000.0, 1.3),
    attachments: 0.12,
    received_a_day: 14.0,
    sent_a_day: 2.0,
    mailers: &[
        (Mailer::Thunderbird, 0.30, 4.0),
        (Mailer::AppleMail, 0.50, 24.0),
        (Mailer::Mbsync, 0.03, 96.0),
        (Mailer::Pop3, 0.05, 96.0),
        (Mailer::Web, 0.40, 2.0),
    ],
    connections: 0.5,
};

const FREE: Habits = Habits {
    share: 0.65,
    messages: (160.0, 1.6),
    folders: (4.0, 0.5),
    octets: (11_000.0, 1.2),
    attachments: 0.06,
    received_a_day: 4.0,
    sent_a_day: 0.3,
    mailers: &[(Mailer::Web, 0.35, 1.0), (Mailer::AppleMail, 0.25, 8.0), (Mailer::Pop3, 0.08, 96.0)],
    connections: 0.1,
};

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Corporate, Self::Personal, Self::Free];

    /// The class at a place between 0 and 1.
    pub(super) fn of(place: f64) -> Self {
        let corporate = CORPORATE.share;
        if place < corporate {
            Self::Corporate
        } else if place < corporate + PERSONAL.share {
            Self::Personal
        } else {
            Self::Free
        }
    }

    /// How it uses mail.
    pub const fn habits(self) -> &'static Habits {
        match self {
            Self::Corporate => &CORPORATE,
            Self::Personal => &PERSONAL,
            Self::Free => &FREE,
        }
    }

    /// Its name, as in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Corporate => "corporate",
            Self::Personal => "personal",
            Self::Free => "free",
        }
    }
}

impl Mailer {
    /// Its name, as in reports and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppleMail => "apple-mail",
            Self::Mbsync => "mbsync",
            Self::Outlook => "outlook",
            Self::Pop3 => "pop3",
            Self::Thunderbird => "thunderbird",
            Self::Web => "web",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_all_of_it() {
        let all: f64 = Class::ALL.iter().map(|class| class.habits().share).sum();
        assert!((all - 1.0).abs() < 1e-9, "{all}");
        assert_eq!(
            [0.0, 0.0999, 0.1, 0.3499, 0.35, 0.9999].map(Class::of),
            [Class::Corporate, Class::Corporate, Class::Personal, Class::Personal, Class::Free, Class::Free,]
        );
        for class in Class::ALL {
            assert!(
                class.habits().mailers.iter().all(|(_, part, _)| (0.0..=1.0).contains(part)),
                "{class:?}"
            );
        }
    }
}
