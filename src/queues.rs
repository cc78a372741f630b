//! The queue that the configuration names.

use std::sync::Arc;

use anyhow::Context as _;
use envelope::Secret;
use queue::embedded::EmbeddedQueue;
use queue::rabbitmq::{Credentials, RabbitQueue};
use queue::spill::SpillQueue;
use queue::{Backend, Queue, RabbitConfig};

use crate::settings::Settings;

/// Whether a process goes on accepting while the broker is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutBroker {
    /// Into its own log: a gateway.
    Spill,
    /// It waits or fails: a worker, a command.
    Wait,
}

/// Opens it for a process of this name, of which there is one at a time.
pub(crate) async fn open(
    settings: &Settings,
    process: &str,
    without: WithoutBroker,
    registry: &prometheus::Registry,
) -> anyhow::Result<Arc<dyn Queue>> {
    match settings.queue.backend {
        Backend::Embedded => {
            let opened = EmbeddedQueue::open(&settings.queue, process, registry);
            Ok(Arc::new(opened.context("failed to open the queue")?))
        }
        Backend::Rabbitmq => {
            let credentials = credentials(&settings.queue.rabbitmq)?;
            let failed = "failed to open the queue on RabbitMQ";
            if without == WithoutBroker::Spill {
                let opened = SpillQueue::open(&settings.queue, &credentials, process, registry).await;
                return Ok(Arc::new(opened.context(failed)?));
            }
            let opened = RabbitQueue::open(&settings.queue, &credentials, registry).await;
            Ok(Arc::new(opened.context(failed)?))
        }
    }
}

fn credentials(config: &RabbitConfig) -> anyhow::Result<Credentials> {
    let password = if config.password_file.as_os_str().is_empty() {
        // The broker's own default, which it takes from its own machine only.
        "guest".to_owned()
    } else {
        let text = std::fs::read_to_string(&config.password_file).with_context(|| {
            format!("failed to read the broker's password from `{}`", config.password_file.display())
        })?;
        text.lines().next().unwrap_or_default().to_owned()
    };
    let roots = if config.tls_ca_file.as_os_str().is_empty() {
        None
    } else {
        let text = std::fs::read_to_string(&config.tls_ca_file).with_context(|| {
            format!("failed to read certificates from `{}`", config.tls_ca_file.display())
        })?;
        Some(text)
    };
    Ok(Credentials { password: Secret::new(password), roots })
}
