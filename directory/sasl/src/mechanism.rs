//! The mechanisms by their names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mechanism {
    /// RFC 4616: one response with name and password.
    #[serde(rename = "PLAIN")]
    Plain,
    /// The older form in two responses that Outlook still uses (draft-murchison-sasl-login).
    #[serde(rename = "LOGIN")]
    Login,
    /// RFC 7677: both sides prove that they know the password, and neither says it.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same, bound to the TLS connection below it (RFC 5802 §6): nobody can stand in between.
    #[serde(rename = "SCRAM-SHA-256-PLUS")]
    ScramSha256Plus,
    /// RFC 7628: a token that an authorization server gave.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
    /// The older form of the same, as the clients of Gmail and Outlook speak it.
    #[serde(rename = "XOAUTH2")]
    XOAuth2,
}

impl Mechanism {
    /// Every mechanism, in the order in which to announce them: what clients took before comes first, so that one which takes the first
    /// that it knows goes on as it did.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Login,
        Self::ScramSha256,
        Self::ScramSha256Plus,
        Self::OAuthBearer,
        Self::XOAuth2,
    ];

    /// Reads a mechanism's name; case does not matter (quirk `mechanism-case`: RFC 4422 §3.1 gives upper case).
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| name.eq_ignore_ascii_case(mechanism.name().as_bytes()))
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// Whether the password itself crosses the connection.
    pub const fn tells_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(mechanism.name().as_bytes()), Some(mechanism));
            assert_eq!(Mechanism::parse(mechanism.name().to_lowercase().as_bytes()), Some(mechanism));
        }
        for name in ["", "PLAI", "PLAINX", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256-", "PLAIN ", "*"] {
            assert_eq!(Mechanism::parse(name.as_bytes()), None, "{name:?}");
        }
    }
}
