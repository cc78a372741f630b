//! Evaluation: a record's terms one after another, until one decides (RFC 7208 §4.6, §5, §6).

use std::net::IpAddr;

use crate::dns::{Dns, DnsError};

use super::macros::{DomainSpec, MacroString, TooLong, Values};
use super::names::{Unaskable, askable, is_within};
use super::record::{Mechanism, Prefixes, Record, RecordFault, is_record};
use super::{SpfLimits, SpfResult, Subject};

/// Why there is no answer to the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// The DNS does not answer.
    #[error("the DNS says nothing about {0}")]
    Dns(String),
    /// It took too long.
    #[error("the check took too long")]
    Time,
    /// More terms that ask the DNS than there may be.
    #[error("more than {0} terms ask the DNS")]
    Lookups(u32),
    /// More terms that ask for nothing than there may be.
    #[error("more than {0} terms ask for what does not exist")]
    Voids(u32),
    /// More mail servers than there may be.
    #[error("more than {max} mail servers of {domain}")]
    MailServers {
        /// Whose.
        domain: String,
        /// How many there may be.
        max: u32,
    },
    /// More than one record.
    #[error("{0} has several records")]
    Several(String),
    /// `include` or `redirect` leads to a domain without a record.
    #[error("`{0}` leads to no record")]
    NoRecord(String),
    /// Macros that come to more than they may.
    #[error("macros come to more than {0} octets")]
    Expansion(usize),
    /// A record that breaks the grammar or its limits.
    #[error("the record of {domain} is wrong: {fault}")]
    Record {
        /// Whose.
        domain: String,
        /// What is wrong.
        fault: RecordFault,
    },
}

impl Problem {
    /// What the result is then.
    pub(super) const fn result(&self) -> SpfResult {
        match self {
            Self::Dns(_) | Self::Time => SpfResult::TempError,
            _ => SpfResult::PermError,
        }
    }
}

/// How an evaluation ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) result: SpfResult,
    /// The term of the first record, or of the one that it redirects to, that decided.
    pub(super) term: Option<String>,
    /// Where that record says that its explanation is.
    pub(super) explanation: Option<DomainSpec>,
    /// Whose record that is.
    pub(super) domain: String,
}

/// One check with its budget.
pub(super) struct Evaluation<'a> {
    dns: &'a dyn Dns,
    limits: &'a SpfLimits,
    subject: &'a Subject<'a>,
    lookups: u32,
    voids: u32,
    /// Whether the term at hand has asked for nothing already.
    term_is_void: bool,
    /// Names of the peer's address that lead back to it, once they were asked for.
    validated: Option<Vec<String>>,
    /// The result is known: what is asked now counts for nothing (RFC 7208 §4.6.4).
    ended: bool,
}

/// A record at work.
struct Frame {
    record: Record,
    domain: String,
    /// The directive that is next; one before it is the `include` that a frame above this one is about.
    next: usize,
}

enum Step {
    /// The term did not match.
    Next,
    /// The term is what another record says.
    Include(Frame),
    /// Another record counts instead.
    Redirect(Frame),
    /// The record is at its end: whether by a match.
    End(bool),
}

impl<'a> Evaluation<'a> {
    pub(super) const fn new(dns: &'a dyn Dns, limits: &'a SpfLimits, subject: &'a Subject<'a>) -> Self {
        Self {
            dns,
            limits,
            subject,
            lookups: 0,
            voids: 0,
            term_is_void: false,
            validated: None,
            ended: false,
        }
    }

    /// Terms that asked the DNS so far.
    pub(super) const fn lookups(&self) -> u32 {
        self.lookups
    }

    /// The result for the subject's domain; `None` without a record.
    pub(super) async fn run(&mut self) -> Result<Option<Ending>, Problem> {
        let Some(first) = self.frame(self.subject.domain.to_owned()).await? else { return Ok(None) };
        // Records that include each other, the innermost last. Each costs a look-up, so that there are never more than those allow.
        let (mut outer, mut frame) = (Vec::<Frame>::new(), first);
        loop {
            match self.step(&mut frame).await? {
                Step::Next => {}
                Step::Redirect(next) => frame = next,
                Step::Include(inner) => outer.push(std::mem::replace(&mut frame, inner)),
                Step::End(mut matched) => loop {
                    let result = if matched { frame.decided() } else { SpfResult::Neutral };
                    let Some(including) = outer.pop() else {
                        self.ended = true;
                        return Ok(Some(frame.ending(matched, result)));
                    };
                    frame = including;
                    // RFC 7208 §5.2: the including term matches when the included record says pass, and else the next one is looked at.
                    if result != SpfResult::Pass {
                        break;
                    }
                    matched = true;
                },
            }
        }
    }

    async fn step(&mut self, frame: &mut Frame) -> Result<Step, Problem> {
        self.term_is_void = false;
        let Some(directive) = frame.record.directives.get(frame.next) else {
            let Some(redirect) = &frame.record.redirect else { return Ok(Step::End(false)) };
            self.count()?;
            let target = self.name(redirect, &frame.domain).await?.ok();
            return self.follow(target, "redirect").await.map(Step::Redirect);
        };
        frame.next += 1;
        let matches = match &directive.mechanism {
            Mechanism::Include(spec) => {
                self.count()?;
                let target = match self.name(spec, &frame.domain).await? {
                    // RFC 8616 §4: such a term matches nobody.
                    Err(Unaskable::NotAscii) => return Ok(Step::Next),
                    target => target.ok(),
                };
                return self.follow(target, &directive.shown).await.map(Step::Include);
            }
            Mechanism::All => true,
            Mechanism::Ip(network) => network.contains(self.subject.address),
            asking => {
                self.count()?;
                self.asks(asking, &frame.domain).await?
            }
        };
        Ok(if matches { Step::End(true) } else { Step::Next })
    }

    /// The record that `include` and `redirect` lead to: there must be one (RFC 7208 §5.2, §6.1).
    async fn follow(&mut self, target: Option<String>, term: &str) -> Result<Frame, Problem> {
        let frame = match target {
            Some(target) => self.frame(target).await?,
            None => None,
        };
        frame.ok_or_else(|| Problem::NoRecord(term.to_owned()))
    }

    /// The record of a domain (RFC 7208 §4.4, §4.5).
    async fn frame(&self, domain: String) -> Result<Option<Frame>, Problem> {
        let texts = match self.dns.txt(&domain).await {
            Ok(texts) => texts,
            Err(error) if error.is_void() => return Ok(None),
            Err(_) => return Err(Problem::Dns(domain)),
        };
        let mut records = texts.iter().filter(|text| is_record(text));
        let (first, second) = (records.next(), records.next());
        if second.is_some() {
            return Err(Problem::Several(domain));
        }
        let Some(text) = first else { return Ok(None) };
        match Record::parse(text, self.limits) {
            Ok(record) => Ok(Some(Frame { record, domain, next: 0 })),
            Err(fault) => Err(Problem::Record { domain, fault }),
        }
    }

    /// Whether the peer is whom a mechanism that asks the DNS means. A name that can't exist means nobody (RFC 7208 §4.8).
    async fn asks(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Problem> {
        let spec = match mechanism {
            Mechanism::A(spec, _) | Mechanism::Mx(spec, _) | Mechanism::Ptr(spec) => spec.as_ref(),
            Mechanism::Exists(spec) => Some(spec),
            Mechanism::All | Mechanism::Include(_) | Mechanism::Ip(_) => None,
        };
        let target = match spec {
            None => domain.to_owned(),
            Some(spec) => match self.name(spec, domain).await? {
                Ok(target) => target,
                Err(_) => return Ok(false),
            },
        };
        match mechanism {
            Mechanism::A(_, prefixes) => self.has_address(&target, *prefixes).await,
            Mechanism::Mx(_, prefixes) => self.has_mail_server(&target, *prefixes).await,
            Mechanism::Ptr(_) => Ok(self.validated().await?.iter().any(|name| is_within(name, &target))),
            Mechanism::Exists(_) => {
                // RFC 7208 §5.7: an IPv4 address, whatever the peer's is.
                let asked = self.dns.a(&target).await;
                Ok(!self.answer(asked, &target)?.is_empty())
            }
            Mechanism::All | Mechanism::Include(_) | Mechanism::Ip(_) => Ok(false),
        }
    }

    /// `a` (RFC 7208 §5.3), and each host of `mx`.
    async fn has_address(&mut self, host: &str, prefixes: Prefixes) -> Result<bool, Problem> {
        let asked = addresses(self.dns, host, self.subject.address).await;
        let found = self.answer(asked, host)?;
        Ok(found.into_iter().any(|address| prefixes.covers(address, self.subject.address)))
    }

    /// `mx` (RFC 7208 §5.4).
    async fn has_mail_server(&mut self, domain: &str, prefixes: Prefixes) -> Result<bool, Problem> {
        let asked = self.dns.mx(domain).await;
        let hosts = self.answer(asked, domain)?;
        for (index, host) in hosts.iter().enumerate() {
            if index >= self.limits.names_max as usize {
                return Err(Problem::MailServers { domain: domain.to_owned(), max: self.limits.names_max });
            }
            // A null MX (RFC 7505) is no name.
            if let Ok(host) = askable(host)
                && self.has_address(&host, prefixes).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Names of the peer's address that have this address in turn (RFC 7208 §5.5); a DNS that fails has none. They are asked for once.
    async fn validated(&mut self) -> Result<&[String], Problem> {
        if self.validated.is_none() {
            let peer = self.subject.address;
            let names = match self.dns.ptr(peer).await {
                Ok(names) => names,
                Err(error) if error.is_void() => {
                    self.void()?;
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            let mut good = Vec::new();
            for name in names.iter().take(self.limits.names_max as usize) {
                let Ok(name) = askable(name) else { continue };
                let found = addresses(self.dns, &name, peer).await.unwrap_or_default();
                if found.contains(&peer) {
                    good.push(name);
                }
            }
            self.validated = Some(good);
        }
        Ok(self.validated.as_deref().unwrap_or_default())
    }

    /// What a target stands for, or why it is no name.
    async fn name(&mut self, spec: &DomainSpec, domain: &str) -> Result<Result<String, Unaskable>, Problem> {
        let max = self.limits.expansion_max.as_usize();
        let text = self.expanded(spec.text(), domain, max).await?;
        Ok(askable(&text))
    }

    async fn expanded(&mut self, text: &MacroString, domain: &str, max: usize) -> Result<String, Problem> {
        let mut validated = "unknown".to_owned();
        if text.wants_validated() {
            if self.validated.is_none() {
                // RFC 7208 §4.6.4: the first use asks.
                self.count()?;
            }
            let names = self.validated().await?;
            // RFC 7208 §7.3: best the domain itself, then a name below it, then any.
            let best = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
            let best = best.or_else(|| names.iter().find(|name| is_within(name, domain)));
            validated = best.or(names.first()).cloned().unwrap_or(validated);
        }
        let values = Values {
            local_part: self.subject.local_part,
            sender_domain: self.subject.domain,
            domain,
            address: self.subject.address,
            validated: &validated,
            helo: self.subject.helo,
            receiver: self.subject.receiver,
            now: self.subject.now,
        };
        text.expand(&values, max).map_err(|TooLong| Problem::Expansion(max))
    }

    /// What the domain tells those whom it refuses (RFC 7208 §6.2). Whatever goes wrong: nothing.
    pub(super) async fn explain(&mut self, spec: &DomainSpec, domain: &str) -> Option<String> {
        let name = self.name(spec, domain).await.ok()?.ok()?;
        let texts = self.dns.txt(&name).await.ok()?;
        let [text] = texts.as_slice() else { return None };
        if text.len() > self.limits.record_max.as_usize() {
            return None;
        }
        let text = MacroString::parse_explanation(text).ok()?;
        let text = self.expanded(&text, domain, self.limits.explanation_max.as_usize()).await.ok()?;
        // What a peer calls itself, and a local part, may be anything.
        let plain = text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        (plain && !text.is_empty()).then_some(text)
    }

    /// One more term asks.
    fn count(&mut self) -> Result<(), Problem> {
        if self.ended {
            return Ok(());
        }
        if self.lookups >= self.limits.lookups_max {
            return Err(Problem::Lookups(self.limits.lookups_max));
        }
        self.lookups += 1;
        Ok(())
    }

    /// The term asks for nothing; however often it does, it is one (RFC 7208 §4.6.4: "the number of terms").
    fn void(&mut self) -> Result<(), Problem> {
        if self.ended || self.term_is_void {
            return Ok(());
        }
        self.term_is_void = true;
        self.voids += 1;
        if self.voids > self.limits.void_max { Err(Problem::Voids(self.limits.void_max)) } else { Ok(()) }
    }

    /// What the DNS has: nothing is an answer, no answer is a problem.
    fn answer<T>(&mut self, asked: Result<Vec<T>, DnsError>, name: &str) -> Result<Vec<T>, Problem> {
        match asked {
            Ok(found) => Ok(found),
            Err(error) if error.is_void() => self.void().map(|()| Vec::new()),
            Err(_) => Err(Problem::Dns(name.to_owned())),
        }
    }
}

impl Frame {
    /// What the last directive says of those whom it means.
    fn decided(&self) -> SpfResult {
        let last = self.next.checked_sub(1).and_then(|last| self.record.directives.get(last));
        last.map_or(SpfResult::Neutral, |directive| directive.qualifier.result())
    }

    fn ending(self, matched: bool, result: SpfResult) -> Ending {
        let Record { mut directives, explanation, .. } = self.record;
        let last = self.next.checked_sub(1).filter(|last| matched && *last < directives.len());
        let term = last.map(|last| directives.swap_remove(last).shown);
        Ending { result, term, explanation, domain: self.domain }
    }
}

/// The addresses of a host that are of the peer's kind.
async fn addresses(dns: &dyn Dns, host: &str, peer: IpAddr) -> Result<Vec<IpAddr>, DnsError> {
    Ok(match peer {
        IpAddr::V4(_) => dns.a(host).await?.into_iter().map(IpAddr::V4).collect(),
        IpAddr::V6(_) => dns.aaaa(host).await?.into_iter().map(IpAddr::V6).collect(),
    })
}
