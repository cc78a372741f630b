//! How much a milter may send.

/// Limits for one session with a milter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one packet: its code and its data.
    pub packet_max: usize,
    /// Modifications of one message; each piece of a new body counts.
    pub modifications_max: usize,
    /// Octets of all modifications of one message.
    pub modifications_octets_max: usize,
    /// Reports of progress for one command.
    pub progress_max: u32,
}
