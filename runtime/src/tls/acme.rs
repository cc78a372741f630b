//! Certificates over ACME (RFC 8555): ordered, proved, kept, renewed.
//!
//! ```text
//!  lock ──→ listen for challenges ──→ due? ──order──→ certificate.pem ──→ Certificates read it ──→ wait for 2/3 of its life
//!    ↑ somebody else has it: they order,              └ failed: warn, count, wait (retry_min, doubling, to retry_max)
//!    └ we show what they got
//! folder/            0700
//!   account.json     0600  the account with the authority and its key
//!   certificate.pem  0600  chain and key, replaced as one
//!   lock                   held by whoever orders
//! ```
//! Nothing here ever stands in the way of serving: without a certificate the self-signed one is shown, and an old one stays until a new
//! one is there.

mod answers;
mod config;
mod http;
mod order;

use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, Opts, Registry};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use self::answers::Answers;
use self::order::{OrderError, Ordering, blocking};
use super::certificate::Certificate;
use super::files::{failed, read};
use super::kept::sentence;
use super::{CertificateFacts, TlsError};
use crate::Drain;
use crate::pages::{self, PageLimits};

pub use config::{AcmeConfig, Challenge};

/// The longest sleep: clocks are set, and certificates exchanged by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Gets and renews a certificate.
pub(super) struct Acme {
    config: AcmeConfig,
    folder: PathBuf,
    certificate_file: Arc<Path>,
    answers: Arc<Answers>,
    orders: IntCounterVec,
    /// Somebody wants a failed order to be tried at once.
    wake: Notify,
    /// Where challenges are answered, when they are.
    listening: watch::Sender<Option<SocketAddr>>,
}

impl Acme {
    pub(super) fn new(config: &AcmeConfig, directory: &Path, registry: &Registry) -> Result<Self, TlsError> {
        let orders = IntCounterVec::new(
            Opts::new("sluice_runtime_tls_acme_orders_total", "Certificates ordered over ACME, by outcome."),
            &["outcome"],
        )
        .map_err(TlsError::Metrics)?;
        for outcome in ["issued", "failed"] {
            orders.with_label_values(&[outcome]);
        }
        registry.register(Box::new(orders.clone())).map_err(TlsError::Metrics)?;
        Ok(Self {
            config: config.clone(),
            folder: config.place(directory),
            certificate_file: config.certificate_file(directory).into(),
            answers: Arc::default(),
            orders,
            wake: Notify::new(),
            listening: watch::Sender::default(),
        })
    }

    /// Has an order that failed tried at once.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Orders what is due until the drain begins; calls `issued` when something new is there. Of several processes over one folder only
    /// one does this at a time; the others ask every `lock_interval` whether it is their turn.
    pub(super) async fn run<F, Fut>(&self, lock_interval: Duration, issued: F, drain: Drain)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        tokio::select! {
            () = drain.requested() => {}
            () = self.tend(lock_interval, issued) => {}
        }
        self.listening.send_replace(None);
    }

    async fn tend<F, Fut>(&self, lock_interval: Duration, issued: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let _lock = self.lock(lock_interval).await;
        let listener = self.listen(lock_interval).await;
        if let Ok(address) = listener.local_addr() {
            info!(%address, challenge = ?self.config.challenge, "challenges of the ACME server are answered here");
            self.listening.send_replace(Some(address));
        }
        tokio::join!(self.answer(listener), self.renew(issued));
    }

    /// Waits until nobody else orders over the folder.
    async fn lock(&self, interval: Duration) -> File {
        loop {
            let folder = self.folder.clone();
            match blocking(move || Ok(try_lock(&folder)?)).await {
                Ok(Some(lock)) => return lock,
                Ok(None) => debug!("another process orders the certificate"),
                Err(error) => warn!(error = %sentence(&error), "the folder for ACME can't be used"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Waits until the address for challenges is free.
    async fn listen(&self, interval: Duration) -> TcpListener {
        // The configuration was checked: there is an address.
        let address = self.config.listen().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(error) => warn!(%address, %error, "failed to listen for challenges of the ACME server"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    async fn answer(&self, listener: TcpListener) {
        let limits = PageLimits {
            connections_max: self.config.connections_max.into(),
            request_max: self.config.answer_max.as_duration(),
        };
        let answers = Arc::clone(&self.answers);
        match self.config.challenge {
            Challenge::Http01 => {
                pages::serve(listener, answers::pages(answers), limits, std::future::pending()).await;
            }
            Challenge::TlsAlpn01 => {
                let acceptor = answers::acceptor(answers);
                let shake = move |tcp: TcpStream| {
                    let acceptor = acceptor.clone();
                    async move {
                        if let Err(error) = acceptor.accept(tcp).await {
                            debug!(%error, "a handshake for tls-alpn-01 failed");
                        }
                    }
                };
                pages::each(listener, limits, std::future::pending(), shake).await;
            }
        }
    }

    async fn renew<F, Fut>(&self, issued: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut failures = 0;
        loop {
            let wait = self.due().await;
            if !wait.is_zero() {
                self.pause(wait.min(LOOK_AGAIN)).await;
                continue;
            }
            match self.order().await {
                Ok(()) => {
                    failures = 0;
                    self.orders.with_label_values(&["issued"]).inc();
                    info!(domains = ?self.config.domains, "a new certificate came over ACME");
                    issued().await;
                    // Whatever the certificate's dates say, an authority is not asked again at once.
                    tokio::time::sleep(self.config.retry_min.as_duration()).await;
                }
                Err(error) => {
                    failures += 1;
                    self.orders.with_label_values(&["failed"]).inc();
                    let wait = self.backoff(failures, random());
                    warn!(error = %sentence(&error), failures, next_in = ?wait, "no new certificate over ACME; the old one is shown");
                    self.pause(wait).await;
                }
            }
        }
    }

    fn ordering(&self) -> Ordering<'_> {
        Ordering {
            config: &self.config,
            folder: &self.folder,
            answers: &self.answers,
            certificate_file: &self.certificate_file,
        }
    }

    async fn order(&self) -> Result<(), OrderError> {
        let ordering = self.ordering();
        let text = Box::pin(ordering.certificate()).await?;
        order::keep(Arc::clone(&self.certificate_file), text).await
    }

    /// How long the certificate that is kept is good enough.
    async fn due(&self) -> Duration {
        let path = Arc::clone(&self.certificate_file);
        let kept = blocking(move || {
            let text = read(&path)?;
            Ok(Certificate::from_pem(&text, &text)?.facts)
        });
        match kept.await {
            Ok(facts) => due(&facts, &self.config.domains, OffsetDateTime::now_utc()),
            // A disk that does not answer is no reason to bother the authority.
            Err(OrderError::Tls(TlsError::File { source, .. })) if source.kind() != ErrorKind::NotFound => {
                warn!(error = %source, "the certificate that came over ACME can't be read");
                self.config.retry_min.as_duration()
            }
            Err(_) => Duration::ZERO,
        }
    }

    /// Waits, or until somebody wants it at once.
    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.wake.notified() => {}
        }
    }

    /// The wait after the `failures`-th failure in a row: it doubles, and is spread over its last quarter by `random`.
    fn backoff(&self, failures: u32, random: u8) -> Duration {
        let (least, most) = (self.config.retry_min.as_duration(), self.config.retry_max.as_duration());
        let doubled = least.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let wait = doubled.min(most);
        wait - wait / 4 * u32::from(random) / 256
    }
}

/// Nothing but spreading depends on it.
fn random() -> u8 {
    let mut octet = [0];
    let _ = getrandom::fill(&mut octet);
    let [octet] = octet;
    octet
}

/// How long from `now` a certificate need not be renewed: to two thirds of its life, and up to a thirtieth more, so that nodes which got theirs
/// together do not come back together. Nothing when it lacks one of the domains; one that is not wanted any more stays until it is renewed.
fn due(facts: &CertificateFacts, domains: &[String], now: OffsetDateTime) -> Duration {
    if !facts.covers(domains) {
        return Duration::ZERO;
    }
    let life = facts.not_after - facts.not_before;
    let spread = facts.fingerprint.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let renewal = facts.not_before + life * 2 / 3 + life / 30 * i32::from(spread.unwrap_or(0)) / 256;
    Duration::try_from(renewal - now).unwrap_or(Duration::ZERO)
}

/// Makes the folder and takes its lock; none when another process has it.
fn try_lock(folder: &Path) -> Result<Option<File>, TlsError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| failed("make", folder, source))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|source| failed("make", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
    }
}

#[cfg(test)]
mod tests;
