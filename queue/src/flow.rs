//! Whose message it is, for taking turns.

use std::net::IpAddr;

use envelope::{AccountId, Envelope, ReversePath};

/// A sender as the queue tells them apart: 32 bits are enough, since two who share a number only share their turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flow(u32);

impl Flow {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        Self::from_parts(envelope.origin.authenticated.as_ref(), &envelope.reverse_path, envelope.origin.peer)
    }

    /// Who logged in; else the sender's address; a null sender is told by where it came from.
    pub(crate) fn from_parts(
        account: Option<&AccountId>,
        reverse_path: &ReversePath,
        peer: Option<IpAddr>,
    ) -> Self {
        let name = match (account, reverse_path) {
            (Some(account), _) => account.to_string(),
            (None, ReversePath::Address(address)) => address.canonical().to_string(),
            (None, ReversePath::Null) => peer.map(|peer| peer.to_string()).unwrap_or_default(),
        };
        Self(crc32c::crc32c(name.as_bytes()))
    }
}
