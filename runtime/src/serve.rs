//! The accept loop: bounded, drainable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, info_span, warn};

use crate::Drain;

/// How long to wait after a failed accept (out of file descriptors) before the next.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// How many connections a listener serves at once.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one IPv4 address or one IPv6 /64 network.
    pub per_address: usize,
}

/// A place in the table of connections; the connection's end gives it back.
pub struct Admission {
    _slot: OwnedSemaphorePermit,
    network: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// A new connection, or one over a limit that deserves one line of refusal.
pub enum Accepted {
    /// Serve it; keep the admission until it ends.
    Connection(TcpStream, SocketAddr, Admission),
    /// Over the limit per address: say so in the protocol's terms and close.
    Refused(TcpStream, SocketAddr),
}

/// Accepts until the drain begins. A slot is taken before the accept, so that no accepted connection waits for one.
/// `serve` runs as a task of its own which the drain waits for.
pub async fn serve<F, Fut>(listener: TcpListener, limits: ConnectionLimits, drain: Drain, serve: F)
where
    F: Fn(Accepted) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.total));
    let counts = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let accepted = tokio::select! {
            () = drain.requested() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (tcp, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let accepted =
            admit(&counts, limits.per_address, network(peer.ip()), slot).map_or_else(|| None, Some);
        let accepted = match accepted {
            Some(admission) => Accepted::Connection(tcp, peer, admission),
            None => Accepted::Refused(tcp, peer),
        };
        drain.spawn(serve(accepted).instrument(info_span!("conn", %peer)));
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    Ok((tcp, peer, slot))
}

fn admit(
    counts: &Arc<Mutex<HashMap<IpAddr, usize>>>,
    limit: usize,
    network: IpAddr,
    slot: OwnedSemaphorePermit,
) -> Option<Admission> {
    let mut table = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = table.entry(network).or_insert(0);
    if *count >= limit {
        return None;
    }
    *count += 1;
    drop(table);
    Some(Admission { _slot: slot, network, counts: Arc::clone(counts) })
}

/// What one customer of an access provider holds: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}
