//! Keys against messages.
