//! Quotas on the command line, and in listings.

use std::str::FromStr;

use units::ByteSize;

/// `--quota` and `--quota-messages`.
#[derive(clap::Args)]
pub(crate) struct QuotaChange {
    /// How much mail an account may hold, such as 5GiB; `none` is without limit, `default` as the domain says.
    #[arg(long, value_name = "SIZE")]
    quota: Option<Limit<ByteSize>>,
    /// How many messages an account may hold; `none` and `default` likewise.
    #[arg(long, value_name = "COUNT")]
    quota_messages: Option<Limit<u64>>,
}

/// A limit as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit<T> {
    Default,
    None,
    At(T),
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::None),
            limit => limit.parse().map(Self::At).map_err(|error| format!("{error}; or `none`, or `default`")),
        }
    }
}

impl QuotaChange {
    /// As the directory keeps it: 0 is without limit.
    pub(crate) fn octets(&self) -> Option<Option<u64>> {
        self.quota.map(|limit| match limit {
            Limit::Default => None,
            Limit::None => Some(0),
            Limit::At(size) => Some(size.as_u64()),
        })
    }

    /// The same for messages.
    pub(crate) fn messages(&self) -> Option<Option<u64>> {
        self.quota_messages.map(|limit| match limit {
            Limit::Default => None,
            Limit::None => Some(0),
            Limit::At(count) => Some(count),
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.quota.is_none() && self.quota_messages.is_none()
    }
}

/// Both limits for a listing.
pub(crate) fn shown(octets: Option<u64>, messages: Option<u64>) -> String {
    let size =
        octets.map(|limit| if limit == 0 { "none".to_owned() } else { ByteSize::bytes(limit).to_string() });
    let count = messages.map(|limit| match limit {
        0 => "any number of messages".to_owned(),
        limit => format!("{limit} messages"),
    });
    match (size, count) {
        (None, None) => "-".to_owned(),
        (size, count) => size.into_iter().chain(count).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_shown() {
        let change = |quota: &str, messages: &str| QuotaChange {
            quota: Some(quota.parse().unwrap()),
            quota_messages: Some(messages.parse().unwrap()),
        };
        let both = |change: &QuotaChange| (change.octets(), change.messages());
        assert_eq!(both(&change("5GiB", "1000")), (Some(Some(5 << 30)), Some(Some(1000))));
        assert_eq!(both(&change("none", "none")), (Some(Some(0)), Some(Some(0))));
        assert_eq!(both(&change("default", "default")), (Some(None), Some(None)));
        assert!("much".parse::<Limit<ByteSize>>().unwrap_err().ends_with("or `none`, or `default`"));
        assert!("-1".parse::<Limit<u64>>().is_err());
        for (octets, messages, expected) in [
            (None, None, "-"),
            (Some(5 << 30), None, "5 GiB"),
            (Some(0), Some(10), "none, 10 messages"),
            (None, Some(0), "any number of messages"),
        ] {
            assert_eq!(shown(octets, messages), expected);
        }
    }
}
