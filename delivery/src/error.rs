//! Why the role does not start.

/// Why the role does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A key that shall sign can't be used.
    #[error("mail to other systems can't be signed")]
    Key(#[source] crate::KeyError),
    /// A metric has its name already.
    #[error("failed to register the metrics of delivery")]
    Metrics(#[source] prometheus::Error),
}
