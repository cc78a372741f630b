//! What is decided about mail on its way in: checks that end in one [`Verdict`].
//!
//! What it is not: it speaks no SMTP, stores nothing and delivers nothing. The gateway asks at each step of a session and does what the answer says.
//!
//! ```text
//!  session ──▶ reputation: block lists, greylisting, rates ──▶ milters
//!  message ──▶ authentication, scanners ──▶ milters ──▶ policy ──▶ Judged: an action, changes, reasons
//!                   └─▶ reports: counts for the domains that are named
//! ```
//!
//! Failure behaviour: each check that needs somebody else says in its configuration what it means when that one does not answer
//! ([`OnFailure`]); the default is a temporary refusal.

mod authentication;
mod chain;
mod changes;
mod config;
mod dns;
mod fields;
pub mod milter;
mod peer;
mod policy;
pub mod reports;
pub mod reputation;
pub mod scanner;
mod spf;
mod verdict;

pub use authentication::{
    ArcResult, Authentication, AuthenticationConfig, Authenticator, Author, AuthorFault, AuthorRule,
    DkimResult, DmarcAction, DmarcPolicy, DmarcResult, Origin, PublishedPolicy, ReportUri, SpfFinding, Word,
    is_forged, results_field,
};
pub use chain::{Client, Deps, FilterSession, Filters, Judged, OpenError, SoFar};
pub use changes::{apply, counted, fuzz_changes};
pub use config::Config;
pub use dns::{Asking, Dns, DnsConfig, DnsError, Resolver, ResolverError};
pub use peer::{BreakerConfig, PeerAddress, PeerAddressError};
pub use policy::{
    CaseOutcome, Decision, Direction, Effect, Fact, Fault, Fired, GivenAuthentication, GuardConfig, Headline,
    Mode, PeerFacts, Policy, PolicyConfig, PolicyError, PolicyOpenError, Reloaded, Rule, RuleSet, Said,
    ScanFacts, Situation, Step, Subject, action_name, crlf, explain, headline, judge, run_cases, vocabulary,
};
pub use reports::ReportsConfig;
pub use reputation::{Reputation, ReputationConfig};
pub use spf::{SpfLimits, fuzz_spf};
pub use verdict::{Action, Change, OnFailure, Refusal, Verdict};

/// Feeds arbitrary octets to the reader of From fields: without a fault there is exactly one domain.
pub fn fuzz_author(input: &[u8]) {
    authentication::fuzz_author(input);
}

/// Feeds arbitrary octets to the stricter reader of DKIM and ARC fields: what it takes keeps to the grammar.
pub fn fuzz_signature(input: &[u8]) {
    authentication::fuzz_signature(input);
}

/// Feeds arbitrary octets to the rules' view of a message.
pub fn fuzz_facts(input: &[u8]) {
    policy::fuzz_facts(input);
}
