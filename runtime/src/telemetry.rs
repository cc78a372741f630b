//! Logs: lines on standard error for people and collectors, and the trail of messages.
//!
//! Both are written by threads of their own behind bounded channels, so that a terminal that is not read or a slow disk
//! never stops a session. A line that finds its channel full is dropped and counted in
//! `sluice_runtime_log_lines_dropped_total`.

mod config;
mod sink;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus::{IntCounterVec, Opts, Registry};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

pub use config::{LogConfig, LogFormat};
use sink::SinkGuard;
pub(crate) use sink::{Output, Sink};

use crate::trail::{TrailFile, TrailLayer};

/// Lines that may wait for the writer.
const LINES_WAITING_MAX: usize = 16_384;
/// How old a line of the trail may get before it is written.
const TRAIL_FLUSH: Duration = Duration::from_millis(200);
/// How old a line of the log may get before it is written.
const LOG_FLUSH: Duration = Duration::from_millis(20);

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// It was started before in this process.
    #[error("telemetry is started already")]
    AlreadyStarted,
    /// The level is none.
    #[error("`{0}` is not a level: write error, warn, info, debug or trace, or add target=level pairs")]
    Level(String),
    /// A metric has its name already.
    #[error("failed to register the metrics of the log")]
    Metrics(#[source] prometheus::Error),
    /// A writer's thread could not be made.
    #[error("failed to start a writer of the log")]
    Thread(#[source] io::Error),
    /// The trail's directory can't be made.
    #[error("failed to make the directory `{path}` for the trail")]
    Trail {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes what is owed when dropped: keep it until the process ends.
#[must_use = "dropping the guard ends the log"]
pub struct Guard {
    _log: SinkGuard,
    _trail: SinkGuard,
}

/// Starts the log of this process. `process` names it in the trail's files: `gateway`, `worker`, `access` or `up`.
/// `trail` is the directory that every process of this node writes its trail into.
pub fn init(
    config: &LogConfig,
    process: &str,
    trail: &Path,
    registry: &Registry,
) -> Result<Guard, TelemetryError> {
    let dropped = IntCounterVec::new(
        Opts::new(
            "sluice_runtime_log_lines_dropped_total",
            "Lines not written because the writer was behind.",
        ),
        &["log"],
    )
    .map_err(TelemetryError::Metrics)?;
    registry.register(Box::new(dropped.clone())).map_err(TelemetryError::Metrics)?;
    let level = targets(&config.level)?;
    let trail_failed = |source| TelemetryError::Trail { path: trail.to_owned(), source };
    let file = TrailFile::open(trail, process, config.trail_days).map_err(trail_failed)?;
    let (trail_sink, trail_guard) =
        Sink::start("trail", file, LINES_WAITING_MAX, TRAIL_FLUSH, dropped.with_label_values(&["trail"]))
            .map_err(TelemetryError::Thread)?;
    let (log_sink, log_guard) =
        Sink::start("log", io::stderr(), LINES_WAITING_MAX, LOG_FLUSH, dropped.with_label_values(&["log"]))
            .map_err(TelemetryError::Thread)?;
    let subscriber = tracing_subscriber::registry()
        .with(TrailLayer::new(trail_sink).with_filter(trail_filter()))
        .with(lines(config.format, log_sink).with_filter(level));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadyStarted)?;
    Ok(Guard { _log: log_guard, _trail: trail_guard })
}

/// What the trail takes, whatever the level of the log.
pub(crate) fn trail_filter() -> Targets {
    Targets::new().with_target(crate::trail::TARGET, LevelFilter::INFO)
}

fn targets(level: &str) -> Result<Targets, TelemetryError> {
    let wrong = || TelemetryError::Level(level.to_owned());
    // A word alone would be taken for a target at the level of trace.
    let mut words = level.split(',').filter(|word| !word.contains('='));
    if !words.all(|word| word.parse::<LevelFilter>().is_ok()) {
        return Err(wrong());
    }
    level.parse().map_err(|_| wrong())
}

fn lines<S>(format: LogFormat, sink: Sink) -> Box<dyn tracing_subscriber::Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(sink);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_levels() {
        for (level, right) in
            [("info", true), ("warn,sluice::message=off", true), ("loud", false), ("info,x=loud", false)]
        {
            assert_eq!(targets(level).is_ok(), right, "{level}");
            let config = LogConfig { level: level.to_owned(), ..LogConfig::default() };
            assert_eq!(config.faults().is_empty(), right, "{level}");
        }
    }

    #[test]
    fn starts_once_and_writes_the_trail_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let trail = directory.path().join("trail");
        let registry = Registry::new();
        let guard = init(&LogConfig::default(), "gateway", &trail, &registry).unwrap();
        tracing::info!(target: "sluice::message", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", event = "accepted", "kept");
        tracing::info!("not a message");
        drop(guard);
        let found = crate::trail::find(&trail, "01arz3ndektsv4rrffq69g5fav").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].event, "accepted");
        assert!(matches!(
            init(&LogConfig::default(), "gateway", &trail, &Registry::new()),
            Err(TelemetryError::AlreadyStarted)
        ));
    }
}
