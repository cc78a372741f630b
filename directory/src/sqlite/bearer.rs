//! Logins by bearer token.
//!
//! Failures are counted for the network only: a token can't be guessed, and a client that goes on with one that has expired must not
//! shut out its owner's other clients.

use std::net::IpAddr;

use envelope::{AccountId, Address};
use sasl::server::BearerToken;
use tokio::time::Instant;

use super::Inner;
use crate::metrics::LoginResult;
use crate::oauth::{OAuth, TokenError};
use crate::throttle::network;
use crate::{Authentication, Unavailable};

impl Inner {
    pub(super) async fn authenticate_bearer(
        &self,
        token: &BearerToken,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        let answer = self.judge_bearer(token, peer).await;
        let label = match &answer {
            Ok(Authentication::Accepted(_)) => LoginResult::Accepted,
            Ok(Authentication::Refused) => LoginResult::Refused,
            Ok(Authentication::Throttled) => LoginResult::ThrottledNetwork,
            Err(_) => LoginResult::Unavailable,
        };
        self.metrics.login(label);
        answer
    }

    async fn judge_bearer(&self, token: &BearerToken, peer: IpAddr) -> Result<Authentication, Unavailable> {
        let network = network(peer);
        if self.logins.is_network_blocked(network).await {
            return Ok(Authentication::Throttled);
        }
        // A client that only wants to learn where tokens come from has not failed.
        let Some(oauth) = self.oauth.as_ref().filter(|_| !token.token.expose().is_empty()) else {
            return Ok(Authentication::Refused);
        };
        match self.account_of(oauth, token).await? {
            Ok(account) => Ok(Authentication::Accepted(account)),
            Err(reason) => {
                let login = token.login.as_deref().unwrap_or("-");
                tracing::info!(login = %login.escape_debug(), %reason, %peer, "a bearer token was refused");
                self.logins.networks.failed(&network, Instant::now());
                self.logins.tell(None, network, false).await;
                self.metrics.entries("throttled_networks", self.logins.networks.len());
                Ok(Authentication::Refused)
            }
        }
    }

    /// Whose the token is: an account that may log in, and the one that the client named.
    async fn account_of(
        &self,
        oauth: &OAuth,
        token: &BearerToken,
    ) -> Result<Result<AccountId, TokenError>, Unavailable> {
        let claimed = match oauth.judge(token.token.expose()).await? {
            Ok(claimed) => claimed,
            Err(error) => return Ok(Err(error)),
        };
        let canonical = |login: &str| login.parse::<Address>().ok().map(|address| address.canonical());
        let Some(address) = canonical(&claimed) else { return Ok(Err(TokenError::Login)) };
        if token.login.as_deref().is_some_and(|login| canonical(login).as_ref() != Some(&address)) {
            return Ok(Err(TokenError::Login));
        }
        let record = self.account_record(address.clone()).await?;
        if record.is_some_and(|record| record.login_allowed) {
            Ok(Ok(AccountId::new(&address)))
        } else {
            Ok(Err(TokenError::Login))
        }
    }
}
