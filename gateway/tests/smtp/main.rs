//! The role over TCP, as its peers see it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its support code too"
)]

mod binary;
mod chunking;
mod corpus;
mod drain;
mod envelopes;
mod faults;
mod filters;
mod limits;
mod lmtp;
mod node;
mod postmaster;
mod proxy;
mod queues;
mod relay;
mod slow;
mod smuggling;
mod submission;
mod tls;
mod transcripts;
