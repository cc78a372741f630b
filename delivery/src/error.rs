//! Why the role does not start.

/// Why the role does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A metric has its name already.
    #[error("failed to register the metrics of delivery")]
    Metrics(#[source] prometheus::Error),
}
