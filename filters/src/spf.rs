//! SPF: whether a domain lets an address send for it (RFC 7208).
//!
//! ```text
//!  TXT ──▶ record: the whole of it is read before anything is asked ──▶ terms, macros
//!                                                                         │
//!  question ──▶ evaluation: term by term, with a budget ──▶ result        ▼
//!                    └──▶ names: what may be asked of the DNS ◀── expansion
//! ```
//! What it is not: it decides nothing about a message. It says what the domain says.
//!
//! # Failure behaviour
//! A DNS that fails, and a check that takes too long, are `temperror`; a record that breaks the rules or a limit is `permerror`. [`Problem`] says which.
//!
//! # Security
//! The attacker writes the record, the names in it, HELO and sender. Each of these has a bound: octets and terms of a record, terms that ask, terms that ask
//! for nothing, mail servers, names of an address, octets of an expansion, and the time of all of it. Includes are a list, not recursion.

mod evaluation;
mod fuzz;
mod limits;
mod macros;
mod names;
mod record;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use envelope::Address;
use tokio::time::{Instant, timeout};

use crate::dns::Dns;

use evaluation::Evaluation;

pub(crate) use evaluation::Problem;
pub use fuzz::fuzz_spf;
pub use limits::SpfLimits;

/// Who wants to send for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// The peer's address. An IPv4 address inside IPv6 counts as IPv4 (RFC 7208 §5).
    pub(crate) address: IpAddr,
    /// What the peer calls itself, whatever it says.
    pub(crate) helo: &'a str,
    /// The sender in the envelope; `None` is the null path, which makes the peer's own name the identity (RFC 7208 §2.4).
    pub(crate) sender: Option<&'a Address>,
    /// This host, for `%{r}`.
    pub(crate) receiver: &'a str,
    /// Seconds since 1970, for `%{t}`.
    pub(crate) now: u64,
    /// Whether anybody wants to know what the domain says to a fail (`exp=`): it costs a question.
    pub(crate) explain: bool,
}

/// What SPF says (RFC 7208 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpfResult {
    /// There is no domain to ask about, or no record.
    None,
    /// The domain says nothing about the address.
    Neutral,
    /// The address may send.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// Not known for now.
    TempError,
    /// The domain's records can't be made sense of.
    PermError,
}

impl SpfResult {
    /// As in `Authentication-Results` (RFC 8601 §2.7.2).
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SpfResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which name was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The domain of the sender.
    MailFrom,
    /// The peer's own name.
    Helo,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What SPF says.
    pub(crate) result: SpfResult,
    /// Which name was checked.
    pub(crate) identity: Identity,
    /// That name in lower case: letters, digits, `-`, `_` and dots. Empty where it is no name of a domain.
    pub(crate) domain: String,
    /// The term of the domain's record that decided, for people; printable ASCII. `None` where no term matched.
    pub(crate) mechanism: Option<String>,
    /// What the domain tells a refused sender: one line of printable ASCII, somebody else's words (RFC 7208 §6.2).
    pub(crate) explanation: Option<String>,
    /// Why the result is an error.
    pub(crate) problem: Option<Problem>,
    /// Terms that asked the DNS.
    pub(crate) lookups: u32,
}

/// Asks the DNS what the sender's domain says about the peer (`check_host()`, RFC 7208 §4).
pub(crate) async fn check(dns: &dyn Dns, question: &Question<'_>, limits: &SpfLimits) -> Outcome {
    let (identity, local_part, domain) = match question.sender {
        Some(sender) => (Identity::MailFrom, sender.local_part().as_str(), sender.domain().as_str()),
        None => (Identity::Helo, "", question.helo),
    };
    judge(dns, &Subject::new(question, local_part, domain), identity, limits).await
}

/// What a check is about, with the blanks filled in.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    address: IpAddr,
    helo: &'a str,
    local_part: &'a str,
    domain: &'a str,
    receiver: &'a str,
    now: u64,
    explain: bool,
}

impl<'a> Subject<'a> {
    fn new(question: &Question<'a>, local_part: &'a str, domain: &'a str) -> Self {
        Self {
            address: question.address.to_canonical(),
            helo: question.helo,
            // RFC 7208 §4.3: a sender without a local part is the postmaster.
            local_part: if local_part.is_empty() { "postmaster" } else { local_part },
            domain: domain.strip_suffix('.').unwrap_or(domain),
            receiver: if question.receiver.is_empty() { "unknown" } else { question.receiver },
            now: question.now,
            explain: question.explain,
        }
    }
}

async fn judge(dns: &dyn Dns, subject: &Subject<'_>, identity: Identity, limits: &SpfLimits) -> Outcome {
    let mut outcome = Outcome {
        result: SpfResult::None,
        identity,
        domain: String::new(),
        mechanism: None,
        explanation: None,
        problem: None,
        lookups: 0,
    };
    // RFC 7208 §4.3: a malformed name, or one of a single label, is nobody's domain.
    if !names::is_domain(subject.domain) {
        return outcome;
    }
    outcome.domain = subject.domain.to_ascii_lowercase();
    let (begun, time_max) = (Instant::now(), limits.time_max.as_duration());
    let mut evaluation = Evaluation::new(dns, limits, subject);
    let ended = timeout(time_max, evaluation.run()).await.unwrap_or(Err(Problem::Time));
    outcome.lookups = evaluation.lookups();
    match ended {
        Ok(None) => {}
        Ok(Some(ending)) => {
            outcome.result = ending.result;
            if let (SpfResult::Fail, Some(spec), true) = (ending.result, &ending.explanation, subject.explain)
            {
                // The result stands; a text that does not come in time is no text.
                let left = time_max.saturating_sub(begun.elapsed());
                let explained = timeout(left, evaluation.explain(spec, &ending.domain)).await;
                outcome.explanation = explained.ok().flatten();
            }
            outcome.mechanism = ending.term;
        }
        Err(problem) => {
            outcome.result = problem.result();
            outcome.problem = Some(problem);
        }
    }
    outcome
}
