//! Which roles there are, and what each stands on.

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// IMAP, POP3 and webmail.
    Access,
    /// SMTP in.
    Gateway,
    /// Delivery.
    Worker,
}

impl Role {
    /// In the order in which a message meets them.
    pub(crate) const ALL: &'static [Self] = &[Self::Gateway, Self::Worker, Self::Access];

    /// The name of the role's process, lock and trail.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
        }
    }

    /// The standard port for metrics and health of a process with these roles: one of its own for each kind, so that they
    /// run beside each other on one machine.
    pub(crate) const fn health_port(roles: &[Self]) -> u16 {
        match roles {
            [Self::Gateway] => 9091,
            [Self::Worker] => 9092,
            [Self::Access] => 9093,
            _ => 9090,
        }
    }

    /// Least privilege: the gateway never opens the mail store.
    pub(crate) const fn needs_store(self) -> bool {
        matches!(self, Self::Access | Self::Worker)
    }

    /// Least privilege: access never opens the queue.
    pub(crate) const fn needs_queue(self) -> bool {
        matches!(self, Self::Gateway | Self::Worker)
    }
}
