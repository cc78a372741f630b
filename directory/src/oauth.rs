//! Bearer tokens: JSON Web Tokens (RFC 7519) of one issuer, judged with its public keys (RFC 7517).

mod config;
mod keys;
#[cfg(test)]
pub(crate) mod signer;
mod token;

use std::sync::Arc;
use std::time::SystemTime;

pub use config::{OAuthConfig, TokenAlgorithm};
pub use keys::KeySource;

use crate::Unavailable;
use keys::Keys;
pub(crate) use token::TokenError;

/// Judges tokens.
pub(crate) struct OAuth {
    config: OAuthConfig,
    keys: Arc<Keys>,
}

impl OAuth {
    pub(crate) fn new(config: &OAuthConfig, source: Option<Arc<dyn KeySource>>) -> Self {
        Self { config: config.clone(), keys: Arc::new(Keys::new(config.clone(), source)) }
    }

    /// Whom a good token names, or why it is none.
    pub(crate) async fn judge(&self, token: &str) -> Result<Result<String, TokenError>, Unavailable> {
        // Before anything is looked at or fetched for it.
        if token.len() > self.config.token_size_max.as_usize() {
            return Ok(Err(TokenError::TooLong));
        }
        let keys = self.keys.current(false).await?;
        let judged = token::judge(token, &keys, &self.config, SystemTime::now());
        if judged != Err(TokenError::UnknownKey) {
            return Ok(judged);
        }
        let fresh = self.keys.current(true).await?;
        if Arc::ptr_eq(&keys, &fresh) {
            return Ok(judged);
        }
        Ok(token::judge(token, &fresh, &self.config, SystemTime::now()))
    }

    pub(crate) fn hint(&self) -> sasl::server::BearerHint {
        sasl::server::BearerHint {
            scope: self.config.scope.clone(),
            openid_configuration: self.config.openid_configuration.clone(),
        }
    }
}

/// Reads a JWK set, and a token against it: never panics, never accepts.
pub fn fuzz_tokens(data: &[u8]) {
    token::fuzz(data);
}
