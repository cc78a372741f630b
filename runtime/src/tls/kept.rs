//! The certificates of a running process: read at the start, read again when their files change.
//!
//! ```text
//! SIGHUP, reload_interval ──→ look at every file ──changed──→ read ──good──→ shown from the next handshake on
//!                                                                  └─bad───→ warn, count, keep what was there
//! ```
//! Sessions under way never notice: what they negotiated stays. Session tickets stay those of their listener.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use time::OffsetDateTime;
use tracing::{info, warn};

use super::acme::Acme;
use super::files::{self, Pair, Stamp};
use super::peer::ClientAuthorities;
use super::shown::Current;
use super::{ClientTls, ServerTls, TlsConfig, TlsError};
use crate::Drain;
use crate::signals::Hangup;

/// How reading the files again went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// Something new is shown or trusted.
    Changed,
    /// At least one file that changed can't be used; what was there before stays.
    Failed,
    /// Everything is as it was.
    Unchanged,
}

impl Reloaded {
    const ALL: [Self; 3] = [Self::Changed, Self::Failed, Self::Unchanged];

    const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The certificates of a process. Cheap to clone.
#[derive(Clone)]
pub struct Certificates {
    kept: Arc<Kept>,
}

struct Kept {
    config: TlsConfig,
    current: Arc<Current>,
    files: Mutex<Files>,
    clients: Option<Arc<ClientAuthorities>>,
    reloads: IntCounterVec,
    acme: Option<Acme>,
}

struct Files {
    pairs: Vec<Pair>,
    authorities: Option<Stamp>,
}

impl Certificates {
    /// Reads every file that `config` names; what can't be used is an error. `directory` is for what is made here: a self-signed
    /// certificate for `names`, and what comes over ACME. Blocks.
    pub fn open(
        config: &TlsConfig,
        directory: &Path,
        names: &[&str],
        registry: &Registry,
    ) -> Result<Self, TlsError> {
        super::install_crypto_provider();
        if !files::is_named(config) {
            files::make_self_signed(directory, names)?;
        }
        let now = OffsetDateTime::now_utc();
        let mut pairs = files::pairs(config, directory);
        for pair in &mut pairs {
            pair.look(true, now).map_err(|error| error.of_pair(&pair.certificate_file, &pair.key_file))?;
            if pair.certificate.as_ref().is_some_and(|certificate| certificate.facts.is_expired(now)) {
                warn!(file = %pair.certificate_file.display(), "the certificate has expired");
            }
        }
        let file = &config.client_authorities_file;
        let authorities = Stamp::of(file);
        let clients = if file.as_os_str().is_empty() {
            None
        } else {
            let chain_size_max = config.client_chain_size_max.as_usize();
            let clients = ClientAuthorities::new(&files::read(file)?, chain_size_max)?;
            clients.register(registry)?;
            Some(Arc::new(clients))
        };
        let shown = files::shown(&pairs).ok_or(TlsError::NoDefault)?;
        let current = Arc::new(Current::new(shown));
        let files = Mutex::new(Files { pairs, authorities });
        let acme = config.acme.is_on().then(|| Acme::new(&config.acme, directory, registry)).transpose()?;
        let reloads = reloads(registry)?;
        let expiry = Expiry::new(Arc::clone(&current)).map_err(TlsError::Metrics)?;
        registry.register(Box::new(expiry)).map_err(TlsError::Metrics)?;
        let kept = Kept { config: config.clone(), current, files, clients, reloads, acme };
        Ok(Self { kept: Arc::new(kept) })
    }

    /// The server's side, which always shows what is current.
    pub fn server(&self) -> Result<ServerTls, TlsError> {
        let handshake_max = self.kept.config.handshake_max.as_duration();
        ServerTls::showing(Arc::clone(&self.kept.current), self.kept.clients.clone(), handshake_max)
    }

    /// The client's side for services inside: it trusts the certificates that are current, and the authorities in their chains.
    pub fn client(&self) -> ClientTls {
        ClientTls::trusting_ours(Arc::clone(&self.kept.current))
    }

    /// Looks at the files; with `forced`, reads them even if they seem unchanged. Blocks.
    pub fn reload(&self, forced: bool) -> Reloaded {
        let mut files = self.kept.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now = OffsetDateTime::now_utc();
        let mut outcome = Reloaded::Unchanged;
        for pair in &mut files.pairs {
            let file = pair.certificate_file.display().to_string();
            match pair.look(forced, now) {
                Ok(false) => {}
                Ok(true) => {
                    let until = pair.certificate.as_ref().map(|one| one.facts.not_after);
                    info!(file, not_after = until.map(tracing::field::display), "a new certificate is shown");
                    outcome = if outcome == Reloaded::Failed { outcome } else { Reloaded::Changed };
                }
                Err(error) => {
                    warn!(file, error = %sentence(&error), "a changed certificate can't be used, the old one stays");
                    outcome = Reloaded::Failed;
                }
            }
        }
        if let Some(shown) = files::shown(&files.pairs).filter(|_| outcome != Reloaded::Unchanged) {
            self.kept.current.replace(shown);
        }
        match self.reload_authorities(&mut files.authorities, forced) {
            Ok(false) => {}
            Ok(true) if outcome == Reloaded::Failed => {}
            Ok(true) => outcome = Reloaded::Changed,
            Err(error) => {
                warn!(error = %sentence(&error), "the changed authorities of clients can't be used, the old ones stay");
                outcome = Reloaded::Failed;
            }
        }
        drop(files);
        if forced || outcome != Reloaded::Unchanged {
            self.kept.reloads.with_label_values(&[outcome.name()]).inc();
        }
        outcome
    }

    fn reload_authorities(&self, seen: &mut Option<Stamp>, forced: bool) -> Result<bool, TlsError> {
        let Some(clients) = &self.kept.clients else { return Ok(false) };
        let stamp = Stamp::of(&self.kept.config.client_authorities_file);
        let changed = stamp != *seen;
        if !changed && !forced {
            return Ok(false);
        }
        // As with certificates: what could not be read is looked for again.
        *seen = None;
        let authorities = files::read(&self.kept.config.client_authorities_file)?;
        *seen = stamp;
        clients.replace(&authorities)?;
        Ok(changed)
    }

    /// Reads again what changes and gets certificates over ACME, until the drain begins.
    pub async fn run(self, hangup: Hangup, drain: Drain) {
        let reloading = self.clone().follow(hangup, drain.clone());
        match &self.kept.acme {
            Some(acme) => {
                let again = self.clone();
                let looked = move || {
                    let again = again.clone();
                    async move {
                        again.look(false).await;
                    }
                };
                tokio::join!(
                    reloading,
                    acme.run(self.kept.config.reload_interval.as_duration(), looked, drain)
                );
            }
            None => reloading.await,
        }
    }

    async fn follow(self, mut hangup: Hangup, drain: Drain) {
        let mut interval = tokio::time::interval(self.kept.config.reload_interval.as_duration());
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let forced = tokio::select! {
                () = drain.requested() => return,
                () = hangup.next() => true,
                _ = interval.tick() => false,
            };
            let outcome = self.look(forced).await;
            if forced {
                if let Some(acme) = &self.kept.acme {
                    acme.wake();
                }
                info!(outcome = outcome.name(), "told to read the certificates again (SIGHUP)");
            }
        }
    }

    #[cfg(test)]
    pub(super) fn acme(&self) -> Option<&Acme> {
        self.kept.acme.as_ref()
    }

    /// The same as [`Self::reload`], on a thread that may wait for a disk.
    async fn look(&self, forced: bool) -> Reloaded {
        let again = self.clone();
        // A panic is counted and logged where it happened.
        tokio::task::spawn_blocking(move || again.reload(forced)).await.unwrap_or(Reloaded::Failed)
    }
}

/// An error and its causes in one line.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn reloads(registry: &Registry) -> Result<IntCounterVec, TlsError> {
    let reloads = IntCounterVec::new(
        Opts::new(
            "sluice_runtime_tls_reloads_total",
            "How often certificates were read again because they changed or somebody asked for it, by outcome.",
        ),
        &["outcome"],
    )
    .map_err(TlsError::Metrics)?;
    for outcome in Reloaded::ALL {
        reloads.with_label_values(&[outcome.name()]);
    }
    registry.register(Box::new(reloads.clone())).map_err(TlsError::Metrics)?;
    Ok(reloads)
}

/// How long the first certificate that expires is still good; computed when asked.
struct Expiry {
    gauge: IntGauge,
    current: Arc<Current>,
}

impl Expiry {
    fn new(current: Arc<Current>) -> Result<Self, prometheus::Error> {
        let gauge = IntGauge::new(
            "sluice_runtime_tls_certificate_expiry_seconds",
            "Seconds until the first of the certificates in use expires; below 0, one has.",
        )?;
        Ok(Self { gauge, current })
    }
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let left = self.current.shown().expires_first() - OffsetDateTime::now_utc();
        self.gauge.set(left.whole_seconds());
        self.gauge.collect()
    }
}
