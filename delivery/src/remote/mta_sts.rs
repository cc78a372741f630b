//! MTA-STS (RFC 8461): a domain says over HTTPS that its servers speak TLS and which they are.
//!
//! ```text
//!  _mta-sts.<domain> TXT "v=STSv1; id=…" ──changed──→ GET https://mta-sts.<domain>/.well-known/mta-sts.txt ──→ kept for max_age
//!        └ the same id, or no answer ──→ the policy that is kept holds
//! ```
//! A policy that was once seen holds until it is over, whatever the DNS says meanwhile: who can suppress the record must not turn the encryption off. What
//! can't be fetched for the first time counts as no policy, as with a first visit on the web.
//!
//! The attacker is whoever owns the domain: the answer is read up to a bound, within a deadline, from public addresses only; redirects are not followed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::{ClientTls, TlsFault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::RemoteConfig;
use super::dns::{Dns, DnsError};
use super::route::is_public;

/// What an answer may have beside the policy.
const ANSWER_HEAD_MAX: usize = 8 * 1024;
/// The longest time that a policy is kept (RFC 8461 §3.2: about a year).
const AGE_MAX: Duration = Duration::from_secs(31_557_600);
/// Servers that one policy may name.
const PATTERNS_MAX: usize = 100;

/// What a domain asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    patterns: Vec<String>,
    age: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    /// Only reports are wanted.
    Testing,
    None,
}

impl Policy {
    /// ```abnf
    /// sts-policy-record = sts-policy-field *(sts-policy-term sts-policy-field) [sts-policy-term]   ; RFC 8461 §3.2
    /// ```
    /// Fields that nobody knows are left out, as are further fields of a kind that may occur once.
    fn parse(text: &str) -> Option<Self> {
        let (mut version, mut mode, mut age) = (None, None, None);
        let mut patterns = Vec::new();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.trim() {
                "version" => version = version.or(Some(value == "STSv1")),
                "mode" => {
                    mode = mode.or(match value {
                        "enforce" => Some(Mode::Enforce),
                        "testing" => Some(Mode::Testing),
                        "none" => Some(Mode::None),
                        _ => return None,
                    });
                }
                "max_age" => age = age.or(value.parse().ok()),
                "mx" if patterns.len() < PATTERNS_MAX => {
                    patterns.push(value.trim_end_matches('.').to_ascii_lowercase());
                }
                _ => {}
            }
        }
        let (mode, age) = (mode?, Duration::from_secs(age?).min(AGE_MAX));
        let usable = version == Some(true) && (mode == Mode::None || !patterns.is_empty());
        usable.then_some(Self { mode, patterns, age })
    }

    /// Its lines, for reports (RFC 8460 §4.4: `policy-string`).
    pub(super) fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let front = ["version: STSv1".to_owned(), format!("mode: {mode}")];
        let servers = self.patterns.iter().map(|pattern| format!("mx: {pattern}"));
        let age = format!("max_age: {}", self.age.as_secs());
        front.into_iter().chain([age]).chain(servers).collect()
    }

    /// The servers that it names.
    pub(super) fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether a server is one of those that the policy names: `*.` stands for one label (RFC 8461 §4.1).
    pub(super) fn names(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, behind)| behind == parent),
            None => *pattern == host,
        })
    }
}

/// The id of a record that announces a policy.
///
/// ```abnf
/// sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]   ; RFC 8461 §3.1
/// ```
fn announced(records: &[String]) -> Option<String> {
    let mut ours = records.iter().filter(|record| record.starts_with("v=STSv1"));
    let (record, more) = (ours.next()?, ours.next());
    if more.is_some() {
        // Several are as good as none.
        return None;
    }
    let mut fields = record.split(';').map(str::trim).skip(1);
    let id = fields.find_map(|field| field.strip_prefix("id="))?.trim();
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

#[derive(Debug, Clone)]
struct Kept {
    id: String,
    policy: Option<Policy>,
    until: Instant,
    look_again: Instant,
    /// Why it could not be fetched when that was tried last.
    fault: Option<Fault>,
}

/// What is wrong with a policy that is announced (RFC 8460 §4.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It can't be fetched.
    Fetch,
    /// It is none.
    Invalid,
    /// Its server has no good certificate.
    Certificate,
}

/// The policies that were seen.
pub(super) struct Policies {
    kept: Mutex<HashMap<String, Kept>>,
    most: usize,
}

/// The policy that a domain announces now, if it can be said.
async fn announced_id(config: &RemoteConfig, dns: &dyn Dns, domain: &str) -> Option<String> {
    let name = format!("_mta-sts.{domain}");
    match timeout(config.dns_max.as_duration(), dns.txt(&name)).await {
        Ok(Ok(found)) => announced(&found.records),
        Ok(Err(DnsError::NoName | DnsError::NoRecord | DnsError::Failed(_))) | Err(_) => None,
    }
}

impl Policies {
    pub(super) fn new(config: &RemoteConfig) -> Self {
        Self { kept: Mutex::default(), most: usize::try_from(config.policies_max).unwrap_or(usize::MAX) }
    }

    /// The policy that holds for a domain now.
    pub(super) async fn of(
        &self,
        config: &RemoteConfig,
        dns: &dyn Dns,
        tls: Option<&ClientTls>,
        domain: &str,
    ) -> Option<Policy> {
        let now = Instant::now();
        let (record_age, retry_after) =
            (config.policy_record_age.as_duration(), config.policy_retry_after.as_duration());
        let kept = self.kept().get(domain).filter(|kept| now < kept.until).cloned();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.look_again) {
            return kept.policy.clone();
        }
        let before = kept.as_ref().and_then(|kept| kept.policy.clone());
        let id = announced_id(config, dns, domain).await;
        let Some(id) = id else {
            // Not announced (any more): what is kept holds to its end.
            self.keep(
                domain,
                Kept {
                    id: kept.as_ref().map(|kept| kept.id.clone()).unwrap_or_default(),
                    until: kept.as_ref().map_or(now + record_age, |kept| kept.until),
                    policy: before.clone(),
                    look_again: now + record_age,
                    fault: None,
                },
            );
            return before;
        };
        // Fetched anew when half of its time is over (RFC 8461 §3.3): who can block it then has to do so for the other half.
        let fresh = |kept: &Kept| {
            kept.policy
                .as_ref()
                .is_some_and(|policy| kept.until.saturating_duration_since(now) > policy.age / 2)
        };
        let until = kept.as_ref().map(|kept| kept.until);
        if let Some(kept) = kept.filter(|kept| kept.id == id && fresh(kept)) {
            self.keep(domain, Kept { look_again: now + record_age, fault: None, ..kept });
            return before;
        }
        match fetch(config, dns, tls, domain).await {
            Ok(policy) => {
                let until = now + policy.age.max(record_age);
                self.keep(
                    domain,
                    Kept {
                        id,
                        policy: Some(policy.clone()),
                        until,
                        look_again: now + record_age,
                        fault: None,
                    },
                );
                Some(policy)
            }
            Err((fault, why)) => {
                tracing::info!(domain, why, "a policy of MTA-STS that is announced can't be fetched");
                self.keep(
                    domain,
                    Kept {
                        id: String::new(),
                        policy: before.clone(),
                        // What holds is not prolonged by it.
                        until: until.filter(|_| before.is_some()).unwrap_or(now + retry_after),
                        look_again: now + retry_after,
                        fault,
                    },
                );
                before
            }
        }
    }

    /// What was wrong when the policy that a domain announces was fetched last, as long as that is kept.
    pub(super) fn fault(&self, domain: &str) -> Option<Fault> {
        self.kept().get(domain).and_then(|kept| kept.fault)
    }

    /// As if it had been fetched.
    #[cfg(test)]
    pub(super) fn put(&self, domain: &str, text: &str) {
        let now = Instant::now();
        let policy = Policy::parse(text);
        self.keep(
            domain,
            Kept { id: String::new(), policy, until: now + AGE_MAX, look_again: now + AGE_MAX, fault: None },
        );
    }

    fn keep(&self, domain: &str, policy: Kept) {
        let mut kept = self.kept();
        if kept.len() >= self.most && !kept.contains_key(domain) {
            let now = Instant::now();
            kept.retain(|_, one| now < one.until && one.policy.is_some());
            if kept.len() >= self.most {
                return;
            }
        }
        kept.insert(domain.to_owned(), policy);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(
    config: &RemoteConfig,
    dns: &dyn Dns,
    tls: Option<&ClientTls>,
    domain: &str,
) -> Result<Policy, (Option<Fault>, String)> {
    // Without authorities of our own nothing can be said of theirs.
    let tls = tls.ok_or_else(|| (None, "no authority is trusted".to_owned()))?;
    let host = format!("mta-sts.{domain}");
    let patience = config.policy_max.as_duration();
    let unreached = |why: String| (Some(Fault::Fetch), why);
    let answer = timeout(patience, async {
        let addresses = dns.addresses(&host).await.map_err(|error| unreached(error.to_string()))?.records;
        let usable = |address: &IpAddr| config.allow_private || is_public(*address);
        let address = addresses.into_iter().find(usable);
        let address = address.ok_or_else(|| unreached("it has no public address".to_owned()))?;
        let most = config.policy_size_max.as_usize() + ANSWER_HEAD_MAX;
        let got = get(SocketAddr::new(address, config.policy_port), tls, &host, most).await;
        got.map_err(|error| match TlsFault::of(&error) {
            TlsFault::Handshake => unreached(error.to_string()),
            _ => (Some(Fault::Certificate), error.to_string()),
        })
    });
    let answer = answer.await.map_err(|_| unreached(format!("no answer within {}", config.policy_max)))??;
    let body = body(&answer).ok_or_else(|| unreached("the answer is no text of HTTP 200".to_owned()))?;
    Policy::parse(&body).ok_or_else(|| (Some(Fault::Invalid), "the answer is no policy".to_owned()))
}

/// One GET over HTTP/1.1; the answer up to `most` octets, or somewhat more.
async fn get(address: SocketAddr, tls: &ClientTls, host: &str, most: usize) -> std::io::Result<Vec<u8>> {
    let tcp = TcpStream::connect(address).await?;
    let mut stream = tls.connect(tcp, host).await?;
    let request = format!(
        "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Sluice\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while answer.len() < most {
        match stream.read_buf(&mut answer).await {
            Ok(0) => break,
            Ok(_) => {}
            // Many servers end without a word of TLS; the length says whether it was whole.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// The text of an answer with 200 and `text/plain`; others mean nothing (RFC 8461 §3.3: no redirects either).
fn body(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut status = lines.next()?.split(' ');
    if !status.next()?.starts_with("HTTP/1.") || status.next()? != "200" {
        return None;
    }
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let kind = field("content-type")?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        return None;
    }
    if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return unchunked(body);
    }
    match field("content-length") {
        // A text that was cut off is none.
        Some(length) => body.get(..length.parse().ok()?).map(ToOwned::to_owned),
        None => Some(body.to_owned()),
    }
}

/// RFC 9112 §7.1; only whole texts.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (size, behind) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(behind.get(..size)?);
        rest = behind.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests;
