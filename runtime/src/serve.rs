//! The accept loop: bounded, drainable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument as _, debug, info_span, warn};
use units::Network;

use crate::Drain;

/// How long to wait after a failed accept (out of file descriptors) before the next.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long a connection over the limit may take to read why it is refused.
const REFUSAL_MAX: Duration = Duration::from_secs(10);
/// How many connections over the total are told so at once; more wait in the system's backlog until one of those is gone.
const REFUSALS_MAX: usize = 64;
/// How long a load balancer may take to say for whom it connects.
const PROXY_HEADER_MAX: Duration = Duration::from_secs(10);
/// How long a connection is silent before the system asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(120);

/// How many connections a listener serves at once.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one IPv4 address or one IPv6 /64 network.
    pub per_address: usize,
    /// Addresses of proxies, which speak for many: `per_address` is not for them.
    pub proxies: Vec<IpAddr>,
    /// Networks of load balancers whose connections begin with a PROXY header; the address in it is the peer.
    pub proxy_protocol_from: Vec<Network>,
    /// What becomes of a connection beyond `total`. None: it waits in the system's backlog. Otherwise it is told, and so many
    /// places of the total are kept for networks that have no connection yet, so that a few can't take them all.
    pub reserve: Option<usize>,
}

impl ConnectionLimits {
    /// Whether a peer that has `count` connections may have one more beside the `open` ones of everybody.
    fn admit(&self, peer: IpAddr, count: usize, open: usize) -> Result<(), Overload> {
        let is_proxy = self.proxies.contains(&peer.to_canonical());
        if count >= self.per_address && !is_proxy {
            return Err(Overload::Network);
        }
        let Some(reserve) = self.reserve else { return Ok(()) };
        let kept = if count == 0 || is_proxy { 0 } else { reserve };
        if open >= self.total.saturating_sub(kept) { Err(Overload::Total) } else { Ok(()) }
    }
}

/// Which limit a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// Its network has too many.
    Network,
    /// The listener has too many, or keeps the rest for others.
    Total,
}

/// The connections that are served.
#[derive(Debug, Default)]
struct Counts {
    open: usize,
    networks: HashMap<IpAddr, usize>,
}

/// A connection's place in the counts; given back when dropped.
pub struct Admission {
    network: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.open -= 1;
        if let Some(count) = counts.networks.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.networks.remove(&self.network);
            }
        }
    }
}

/// A new connection, or one over a limit that deserves one line of refusal.
pub enum Accepted {
    /// Serve it; keep the admission until it ends.
    Connection(TcpStream, SocketAddr, Admission),
    /// Over a limit: say so in the protocol's terms and close.
    Refused(TcpStream, SocketAddr, Overload),
}

/// Accepts until the drain begins. A slot is taken before the accept, so that no accepted connection waits for one.
/// `serve` runs as a task of its own which the drain waits for.
pub async fn serve<F, Fut>(listener: TcpListener, limits: ConnectionLimits, drain: Drain, serve: F)
where
    F: Fn(Accepted) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let refusals = if limits.reserve.is_some() { REFUSALS_MAX } else { 0 };
    let places = limits.total.saturating_add(refusals).min(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(places));
    let door = Arc::new(Door { limits, counts: Arc::default(), serve });
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
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER));
        // The slot is held to the task's end, refusals and headers included.
        let door = Arc::clone(&door);
        drain.spawn(holding(slot, async move { door.enter(tcp, peer).await }));
    }
}

/// What every connection of a listener passes.
struct Door<F> {
    limits: ConnectionLimits,
    counts: Arc<Mutex<Counts>>,
    serve: F,
}

impl<F, Fut> Door<F>
where
    F: Fn(Accepted) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    async fn enter(&self, mut tcp: TcpStream, peer: SocketAddr) {
        let mut client = peer;
        if self.limits.proxy_protocol_from.iter().any(|network| network.contains(peer.ip())) {
            // Boxed, as what follows: a connection's task holds room for no more than what it is at.
            let header = Box::pin(crate::proxy::read(&mut tcp, peer));
            let named = tokio::time::timeout(PROXY_HEADER_MAX, header).await;
            match named.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                Ok(named) => client = named,
                // A balancer that only looks whether the port is open says nothing.
                Err(error) => {
                    return debug!(%peer, %error, "a load balancer did not say for whom it connects");
                }
            }
        }
        let span = info_span!("conn", peer = %client);
        match admit(&self.counts, &self.limits, client.ip()) {
            Ok(admission) => {
                Box::pin((self.serve)(Accepted::Connection(tcp, client, admission))).instrument(span).await;
            }
            Err(overload) => {
                let refusal =
                    Box::pin((self.serve)(Accepted::Refused(tcp, client, overload))).instrument(span);
                drop(tokio::time::timeout(REFUSAL_MAX, refusal).await);
            }
        }
    }
}

async fn holding(slot: OwnedSemaphorePermit, task: impl Future<Output = ()>) {
    task.await;
    drop(slot);
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
    counts: &Arc<Mutex<Counts>>,
    limits: &ConnectionLimits,
    peer: IpAddr,
) -> Result<Admission, Overload> {
    let network = network(peer);
    let mut table = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = table.networks.get(&network).copied().unwrap_or(0);
    limits.admit(peer, count, table.open)?;
    table.networks.insert(network, count + 1);
    table.open += 1;
    drop(table);
    Ok(Admission { network, counts: Arc::clone(counts) })
}

/// What one customer of an access provider holds: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    Network::new(address, 64).address()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn limits(total: usize, per_address: usize) -> ConnectionLimits {
        ConnectionLimits {
            total,
            per_address,
            proxies: Vec::new(),
            proxy_protocol_from: Vec::new(),
            reserve: None,
        }
    }

    /// Serves an echo of one octet, "no" to those over the limit.
    async fn start(limits: ConnectionLimits) -> (SocketAddr, Drain, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let accepting = serve(listener, limits, drain.clone(), async |accepted| match accepted {
            Accepted::Connection(mut tcp, _, _admission) => {
                let mut octet = [0];
                while tcp.read_exact(&mut octet).await.is_ok() && tcp.write_all(&octet).await.is_ok() {}
            }
            Accepted::Refused(mut tcp, _, Overload::Network) => {
                tcp.write_all(b"no").await.unwrap_or_default()
            }
            Accepted::Refused(mut tcp, _, Overload::Total) => {
                tcp.write_all(b"full").await.unwrap_or_default()
            }
        });
        let accepting = tokio::spawn(accepting);
        (address, drain, accepting)
    }

    async fn talks(tcp: &mut TcpStream) -> bool {
        let mut octet = [0];
        tcp.write_all(b"x").await.unwrap();
        tcp.read_exact(&mut octet).await.unwrap();
        octet == *b"x"
    }

    #[tokio::test]
    async fn a_drain_lets_the_open_connection_finish() {
        let (address, drain, accepting) = start(limits(10, 10)).await;
        let mut tcp = TcpStream::connect(address).await.unwrap();
        assert!(talks(&mut tcp).await);
        drain.begin();
        accepting.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
        assert_eq!((drain.open(), drain.finish(Duration::from_millis(1)).await), (1, 1));
        assert!(talks(&mut tcp).await);
        drop(tcp);
        assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
    }

    #[tokio::test]
    async fn an_address_has_its_limit_and_gets_places_back() {
        let (address, drain, _accepting) = start(limits(10, 2)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(talks(&mut first).await && talks(&mut second).await);
        let mut third = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        third.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "no");
        drop(first);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while drain.open() > 1 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        assert!(talks(&mut TcpStream::connect(address).await.unwrap()).await);
    }

    #[tokio::test]
    async fn a_proxy_speaks_for_many() {
        let proxies = vec!["127.0.0.1".parse().unwrap()];
        let (address, _drain, _accepting) = start(ConnectionLimits { proxies, ..limits(10, 1) }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(talks(&mut first).await && talks(&mut second).await);
    }

    #[tokio::test]
    async fn behind_a_balancer_the_client_in_the_header_counts() {
        let proxy_protocol_from = vec!["127.0.0.1".parse().unwrap()];
        let limits = ConnectionLimits { proxy_protocol_from, ..limits(10, 1) };
        let (address, _drain, _accepting) = start(limits).await;
        let mut first = from(address, "192.0.2.1").await;
        let mut other = from(address, "192.0.2.2").await;
        assert!(talks(&mut first).await && talks(&mut other).await);
        assert_eq!(
            answer(from(address, "192.0.2.1").await).await,
            "no",
            "one of this client is served already"
        );
        // Who does not say for whom is not served.
        let mut mute = TcpStream::connect(address).await.unwrap();
        mute.write_all(b"EHLO example.org\r\n").await.unwrap();
        let mut octets = Vec::new();
        let _ = mute.read_to_end(&mut octets).await;
        assert_eq!(octets, b"");
    }

    /// Comes through a balancer.
    async fn from(address: SocketAddr, client: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let header = format!("PROXY TCP4 {client} 198.51.100.1 56324 25\r\n");
        tcp.write_all(header.as_bytes()).await.unwrap();
        tcp
    }

    async fn answer(mut tcp: TcpStream) -> String {
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn over_the_total_others_are_told_and_the_last_places_are_for_new_networks() {
        let proxy_protocol_from = vec!["127.0.0.0/8".parse().unwrap()];
        let limits = ConnectionLimits { proxy_protocol_from, reserve: Some(2), ..limits(4, 3) };
        let (address, drain, _accepting) = start(limits).await;
        let mut greedy = from(address, "192.0.2.1").await;
        let mut again = from(address, "192.0.2.1").await;
        assert!(talks(&mut greedy).await && talks(&mut again).await);
        assert_eq!(answer(from(address, "192.0.2.1").await).await, "full", "the rest is for others");
        let mut second = from(address, "192.0.2.2").await;
        let mut third = from(address, "192.0.2.3").await;
        assert!(talks(&mut second).await && talks(&mut third).await);
        assert_eq!(answer(from(address, "192.0.2.4").await).await, "full");
        drop(third);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while drain.open() > 3 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        assert!(talks(&mut from(address, "192.0.2.4").await).await, "a place came back");
        assert!(talks(&mut greedy).await, "who is served goes on");
    }

    #[tokio::test]
    async fn who_is_no_balancer_can_not_name_another() {
        let proxy_protocol_from = vec!["192.0.2.0/24".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let (address, _drain, _accepting) =
            start(ConnectionLimits { proxy_protocol_from, ..limits(10, 1) }).await;
        let mut first = from(address, "192.0.2.1").await;
        let mut octets = [0; 5];
        first.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"PROXY", "the header is what any client's first octets are");
        let other = TcpStream::connect(address).await.unwrap();
        assert_eq!(answer(other).await, "no", "it counts under its own address");
    }

    #[test]
    fn places() {
        let limits = ConnectionLimits {
            proxies: vec!["192.0.2.9".parse().unwrap()],
            reserve: Some(3),
            ..limits(10, 4)
        };
        for (peer, count, open, expected) in [
            ("192.0.2.1", 0, 9, Ok(())),
            ("192.0.2.1", 0, 10, Err(Overload::Total)),
            ("192.0.2.1", 1, 6, Ok(())),
            ("192.0.2.1", 1, 7, Err(Overload::Total)),
            ("192.0.2.1", 3, 6, Ok(())),
            ("192.0.2.1", 4, 4, Err(Overload::Network)),
            ("192.0.2.9", 9, 9, Ok(())),
            ("192.0.2.9", 9, 10, Err(Overload::Total)),
        ] {
            assert_eq!(limits.admit(peer.parse().unwrap(), count, open), expected, "{peer} {count} {open}");
        }
    }

    #[tokio::test]
    async fn the_total_makes_others_wait_not_fail() {
        let (address, _drain, _accepting) = start(limits(1, 5)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(talks(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        drop(first);
        assert!(talks(&mut second).await);
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_an_ipv6_64() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap());
        }
    }
}
