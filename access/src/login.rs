//! Who is it: what all three protocols do with a name and a password, and with a login by SASL.

use std::net::IpAddr;

use directory::{Authentication, LoginOffer, Unavailable};
use envelope::{AccountId, Secret};
use runtime::{ServerTls, Stream};
use sasl::Mechanism;
use sasl::server::Channel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Deps;

/// On which connections without TLS a password is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PlaintextLogin {
    /// From this machine only.
    #[default]
    Loopback,
    /// On none.
    Never,
}

impl PlaintextLogin {
    /// Whether a connection from `peer` may log in.
    pub(crate) fn permits(self, peer: IpAddr, is_tls: bool) -> bool {
        is_tls || (self == Self::Loopback && peer.to_canonical().is_loopback())
    }
}

/// Why nobody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// Wrong name or password; nobody learns which.
    #[error("wrong name or password")]
    Refused,
    /// Too many failures: the password was not looked at.
    #[error("too many failed logins")]
    Throttled,
    /// The directory can't say.
    #[error("the directory is unavailable")]
    Unavailable,
}

/// Those of the `wanted` mechanisms that work on this connection as it is now.
pub(crate) fn login_offer(
    deps: &Deps,
    wanted: &[Mechanism],
    tls: Option<&ServerTls>,
    stream: Option<&Stream>,
) -> LoginOffer {
    let binding = tls.zip(stream).map(|(tls, stream)| tls.channel_binding(stream)).unwrap_or_default();
    let channel = Channel {
        tls_exporter: binding.exporter.map(Vec::from),
        tls_server_end_point: binding.server_end_point,
        plus_offered: false,
    };
    LoginOffer::new(wanted, deps.directory.as_ref(), channel)
}

/// Asks the directory. Every protocol answers [`LoginError::Refused`] and [`LoginError::Throttled`] alike.
pub(crate) async fn login(
    deps: &Deps,
    name: &str,
    password: &Secret<String>,
    peer: IpAddr,
) -> Result<AccountId, LoginError> {
    match deps.directory.authenticate(name, password, peer).await {
        Ok(Authentication::Accepted(account)) => Ok(account),
        Ok(Authentication::Refused) => Err(LoginError::Refused),
        Ok(Authentication::Throttled) => Err(LoginError::Throttled),
        Err(error) => Err(unavailable(&error)),
    }
}

/// The directory can't say.
pub(crate) fn unavailable(error: &Unavailable) -> LoginError {
    tracing::warn!(%error, "a login could not be checked");
    LoginError::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_logins_only_from_here() {
        for (policy, peer, is_tls, expected) in [
            (PlaintextLogin::Loopback, "127.0.0.1", false, true),
            (PlaintextLogin::Loopback, "::1", false, true),
            (PlaintextLogin::Loopback, "::ffff:127.0.0.1", false, true),
            (PlaintextLogin::Loopback, "192.0.2.1", false, false),
            (PlaintextLogin::Loopback, "192.0.2.1", true, true),
            (PlaintextLogin::Never, "127.0.0.1", false, false),
            (PlaintextLogin::Never, "127.0.0.1", true, true),
        ] {
            assert_eq!(policy.permits(peer.parse().unwrap(), is_tls), expected, "{policy:?} {peer} {is_tls}");
        }
    }
}
