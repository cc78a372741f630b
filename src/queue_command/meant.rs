//! Which messages a command is about.

use clap::ValueEnum;
use queue::{Lane, ListFilter, QueuedState};
use units::Span;

use super::LaneName;

/// Every part that is given must fit.
#[derive(clap::Args, Clone)]
pub(crate) struct Meant {
    /// Only this lane.
    #[arg(long)]
    lane: Option<LaneName>,
    #[command(flatten)]
    described: Described,
}

/// Messages of whatever lane; every part that is given must fit.
#[derive(clap::Args, Clone)]
pub(crate) struct Described {
    /// Only messages that stand so.
    #[arg(long)]
    state: Option<StateName>,
    /// Only messages with a recipient that contains this text.
    #[arg(long, value_name = "TEXT")]
    recipient: Option<String>,
    /// Only messages with a recipient in exactly this domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only messages whose sender contains this text.
    #[arg(long, value_name = "TEXT")]
    sender: Option<String>,
    /// Only messages whose last error contains this text.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Only messages of which filters said something that contains this text, such as the name of a rule.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only messages accepted at least this long ago, such as 2h.
    #[arg(long, value_name = "AGE")]
    older_than: Option<Span>,
    /// Only messages accepted at most this long ago.
    #[arg(long, value_name = "AGE")]
    younger_than: Option<Span>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateName {
    Deferred,
    Held,
    Leased,
    Ready,
}

impl From<StateName> for QueuedState {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Deferred => Self::Deferred,
            StateName::Held => Self::Held,
            StateName::Leased => Self::Leased,
            StateName::Ready => Self::Ready,
        }
    }
}

impl Meant {
    pub(crate) fn filter(&self) -> ListFilter {
        self.described.within(self.lane.map(Lane::from))
    }
}

impl Described {
    /// Those of one lane, or of all.
    pub(crate) fn within(&self, lane: Option<Lane>) -> ListFilter {
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
        ListFilter {
            ids: Vec::new(),
            lane,
            state: self.state.map(QueuedState::from),
            recipient: lower(&self.recipient),
            domain: lower(&self.domain),
            sender: lower(&self.sender),
            error: lower(&self.error),
            reason: lower(&self.reason),
            older_than: self.older_than.map(Span::as_duration),
            younger_than: self.younger_than.map(Span::as_duration),
        }
    }
}
