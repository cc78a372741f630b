//! Reads what servers say of themselves, beside the load.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::http::Http;
use crate::report::{Scraped, Series};
use crate::wire::{Encryption, Target};

/// How long a page may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A page of metrics: `http://127.0.0.1:9090/metrics`, or the address alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    server: SocketAddr,
    path: String,
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https://") {
            bail!("`{text}`: metrics are read without TLS, over http://");
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (server, path) = rest
            .split_once('/')
            .map_or((rest, "/metrics".to_owned()), |(server, path)| (server, format!("/{path}")));
        let server =
            server.parse().with_context(|| format!("`{text}` is not like http://127.0.0.1:9090/metrics"))?;
        Ok(Self { server, path })
    }
}

/// Until the run is over.
pub(crate) async fn run(
    endpoints: Vec<Endpoint>,
    begun: Instant,
    interval: Duration,
    over: watch::Receiver<bool>,
) -> Vec<Series> {
    let mut reading = JoinSet::new();
    for endpoint in endpoints {
        reading.spawn(read(endpoint, begun, interval, over.clone()));
    }
    reading.join_all().await.into_iter().flatten().collect()
}

async fn read(
    endpoint: Endpoint,
    begun: Instant,
    interval: Duration,
    mut over: watch::Receiver<bool>,
) -> Vec<Series> {
    let target = Target::plain(endpoint.server, ANSWER_MAX);
    let mut scraped = Scraped::default();
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = over.wait_for(|over| *over) => break,
        }
        // A server that is being killed is missing for a while: that is what a chart with a gap says.
        if let Ok(page) = page(&target, &endpoint.path).await {
            scraped.take(begun.elapsed().as_secs_f64(), &page);
        }
    }
    scraped.into_series(&endpoint.server.to_string())
}

async fn page(target: &Target, path: &str) -> Result<String, crate::recorder::Failure> {
    let page = Http::open(target, 0, Encryption::None).await?.get(path).await?.ok()?;
    Ok(String::from_utf8_lossy(&page.text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let endpoint =
            |path: &str| Endpoint { server: SocketAddr::from(([127, 0, 0, 1], 9090)), path: path.to_owned() };
        for (text, path) in [
            ("http://127.0.0.1:9090/metrics", "/metrics"),
            ("127.0.0.1:9090", "/metrics"),
            ("http://127.0.0.1:9090/a/b", "/a/b"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap(), endpoint(path));
        }
        for text in ["https://127.0.0.1:9090/metrics", "localhost", "http://"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
