//! Binding listeners.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::BindError;

/// Binds `address`, when there is one.
pub(crate) async fn listen(
    listener: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, BindError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| BindError::Listen { listener, address, source })
}

/// The names and addresses of those that are bound.
pub(crate) fn addresses<const N: usize>(
    listeners: [(&'static str, &Option<TcpListener>); N],
) -> Vec<(&'static str, SocketAddr)> {
    let bound = listeners.into_iter().filter_map(|(name, listener)| {
        listener.as_ref().and_then(|listener| listener.local_addr().ok()).map(|address| (name, address))
    });
    bound.collect()
}
