//! The keys for bearer tokens, from where their issuer publishes them: the directory wants them, the runtime can fetch.

use std::sync::Arc;

use anyhow::Context as _;
use directory::{KeySource, OAuthConfig};
use runtime::fetch::Fetch;

struct Published(Fetch);

#[async_trait::async_trait]
impl KeySource for Published {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.0.get().await.map_err(|error| error.to_string())
    }
}

/// Who fetches the keys; none where they are in a file, or no token is taken.
pub(super) fn source(config: &OAuthConfig) -> anyhow::Result<Option<Arc<dyn KeySource>>> {
    if !config.is_on() || config.jwks_url.is_empty() {
        return Ok(None);
    }
    let size_max = config.keys_size_max.as_usize();
    let fetch =
        Fetch::new(&config.jwks_url, &config.authorities, size_max, config.fetch_timeout.as_duration())
            .context("`directory.oauth.jwks_url` can't be used")?;
    Ok(Some(Arc::new(Published(fetch))))
}
