//! Senders of mail that goes on to another system (SRS, the Sender Rewriting Scheme).
//!
//! ```text
//!  ann@a.test        ──forwarded──→ SRS0=<hash>=<day>=a.test=ann@<domain>                    its reports come back here, and go on to ann
//!  SRS0=…@b.test     ──forwarded──→ SRS1=<hash>=b.test==…@<domain>                           to whom has forwarded it first
//! ```
//! The next system checks the sender's domain (SPF, RFC 7208): that of a stranger does not list us. There is no RFC of SRS; this is the form that other systems write, so that they
//! shorten what we wrote as we shorten what they wrote. The hash has more octets than theirs, and letters of one case: some systems change it.
//!
//! The attacker is a stranger who makes up such an address, to have us send mail to whomever it names: without the secret it has no hash that fits, and
//! what was overheard ends with `age_max`. Unlike theirs our hash covers the day.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use envelope::{AccountId, Address, Domain, LocalPart, Quota, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sasl::server::{BearerToken, ScramProof};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use units::Span;

use crate::{Authentication, Directory, LoginMethods, LoginStamp, Resolution, ScramAnswer, Unavailable};

/// RFC 4648 §6, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters of a hash: 40 bits.
const HASH_LENGTH: usize = 8;
/// Days are counted in a ring of two letters.
const DAYS: u64 = 1024;
const DAY: u64 = 24 * 60 * 60;

/// How the sender of forwarded mail is rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SrsConfig {
    /// The domain of the addresses that are made, whose MX is this installation; empty: senders stay as they are.
    pub domain: String,
    /// A file with a secret on its first line, the same on every node; 16 characters or more.
    pub secret_file: PathBuf,
    /// How long a report finds its way back.
    pub age_max: Span,
}

impl Default for SrsConfig {
    fn default() -> Self {
        Self { domain: String::new(), secret_file: PathBuf::new(), age_max: Span::hours(21 * 24) }
    }
}

impl SrsConfig {
    /// What is wrong: key path and problem.
    pub(crate) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if self.domain.is_empty() {
            return faults;
        }
        let mut fault = |key: &str, problem: &str| faults.push((format!("srs.{key}"), problem.to_owned()));
        if self.domain.parse::<Domain>().map_or(true, |domain| domain.is_literal()) {
            fault("domain", "no domain");
        }
        if self.secret_file.as_os_str().is_empty() {
            fault("secret_file", "needed with `domain`");
        }
        if self.age_max < Span::hours(24) || self.age_max > Span::hours(24 * 1000) {
            fault("age_max", "from a day to 1000 days");
        }
        faults
    }
}

/// Makes such addresses and reads them.
pub struct Srs {
    domain: Domain,
    secret: Secret<String>,
    age_max: Duration,
}

/// Why there is no rewriting.
#[derive(Debug, thiserror::Error)]
pub enum SrsError {
    /// The secret is too short to be one.
    #[error("the secret of SRS has fewer than 16 characters")]
    Short,
    /// The domain is none.
    #[error("the domain of SRS is no domain")]
    Domain,
}

impl Srs {
    /// None where the configuration wants none.
    pub fn new(config: &SrsConfig, secret: Secret<String>) -> Result<Self, SrsError> {
        let domain = config.domain.parse().map_err(|_| SrsError::Domain)?;
        if secret.expose().chars().count() < 16 {
            return Err(SrsError::Short);
        }
        Ok(Self { domain, secret, age_max: config.age_max.as_duration() })
    }

    /// The sender under which mail from `sender` goes on; none when it would be longer than an address may be (RFC 5321 §4.5.3.1.1).
    fn rewrite(&self, sender: &Address, now: SystemTime) -> Option<Address> {
        let local = sender.local_part().as_str();
        let text = match tagged(local) {
            Some(("srs0", rest)) => {
                let rest = format!("{}={rest}", sender.domain());
                // `==`: what follows is the other system's.
                let rest = rest.replacen('=', "==", 1);
                format!("SRS1={}={rest}", self.hash(&rest))
            }
            // Shortened: the first one stays, the last one is we.
            Some((_, rest)) => {
                let (_, rest) = rest.split_once('=')?;
                format!("SRS1={}={rest}", self.hash(rest))
            }
            None => {
                let rest = format!("{}={}={local}", day(now), sender.domain());
                format!("SRS0={}={rest}", self.hash(&rest))
            }
        };
        let local = LocalPart::from_unquoted(&text).ok()?;
        Some(Address::new(local, self.domain.clone()))
    }

    /// Whom an address of ours stands for; none when it is none, is over, or was made by somebody else.
    fn reverse(&self, address: &Address, now: SystemTime) -> Option<Address> {
        let (kind, rest) = tagged(address.local_part().as_str())?;
        let (hash, rest) = rest.split_once('=')?;
        if !same(hash.to_ascii_lowercase().as_bytes(), self.hash(rest).as_bytes()) {
            return None;
        }
        if kind == "srs1" {
            let (domain, rest) = rest.split_once("==")?;
            let local = LocalPart::from_unquoted(&format!("SRS0={rest}")).ok()?;
            return Some(Address::new(local, domain.parse().ok()?));
        }
        let (made, rest) = rest.split_once('=')?;
        let age = (DAYS + days(now) - undo(made)?) % DAYS;
        if age > self.age_max.as_secs() / DAY {
            return None;
        }
        let (domain, local) = rest.split_once('=')?;
        Some(Address::new(LocalPart::from_unquoted(local).ok()?, domain.parse().ok()?))
    }

    /// Over the letters in lower case: some systems change the case on the way.
    fn hash(&self, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes()) else {
            // A key of any length is one.
            return String::new();
        };
        mac.update(text.to_lowercase().as_bytes());
        let octets = mac.finalize().into_bytes();
        let bits = octets.iter().take(5).fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
        letters(bits, HASH_LENGTH)
    }
}

/// `srs0` or `srs1`, and what follows the separator, which may be one of three.
fn tagged(local: &str) -> Option<(&'static str, &str)> {
    let (tag, rest) = local.split_at_checked(4)?;
    let rest = rest.strip_prefix(['=', '+', '-'])?;
    let tags = ["srs0", "srs1"];
    tags.into_iter().find(|known| known.eq_ignore_ascii_case(tag)).map(|tag| (tag, rest))
}

/// In constant time: how much of it fits is nobody's business.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && !one.is_empty()
        && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn days(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()) / DAY % DAYS
}

fn day(now: SystemTime) -> String {
    letters(days(now), 2)
}

fn undo(text: &str) -> Option<u64> {
    if text.len() != 2 {
        return None;
    }
    text.bytes().try_fold(0u64, |bits, letter| {
        let value = ALPHABET.iter().position(|known| *known == letter.to_ascii_lowercase())?;
        Some(bits << 5 | value as u64)
    })
}

/// The last `count` groups of five bits.
fn letters(bits: u64, count: usize) -> String {
    let group = |index: usize| ALPHABET.get((bits >> (5 * index) & 31) as usize).copied().unwrap_or(b'a');
    (0..count).rev().map(|index| char::from(group(index))).collect()
}

/// A directory that knows the addresses that [`Srs`] made.
pub struct WithSrs<D> {
    directory: D,
    srs: Srs,
}

impl<D> WithSrs<D> {
    /// `directory` with them.
    pub const fn new(directory: D, srs: Srs) -> Self {
        Self { directory, srs }
    }
}

#[async_trait]
impl<D: Directory> Directory for WithSrs<D> {
    async fn resolve(&self, address: &Address) -> Result<Resolution, Unavailable> {
        if *address.domain() == self.srs.domain {
            if let Some(original) = self.srs.reverse(address, SystemTime::now()) {
                return Ok(Resolution::Alias(vec![original]));
            }
            return match self.directory.resolve(address).await? {
                Resolution::NotLocal => Ok(Resolution::Unknown),
                found => Ok(found),
            };
        }
        self.directory.resolve(address).await
    }

    async fn forwarded(&self, sender: &Address) -> Result<Option<Address>, Unavailable> {
        if *sender.domain() == self.srs.domain || self.directory.is_local(sender.domain()).await? {
            return Ok(None);
        }
        Ok(self.srs.rewrite(sender, SystemTime::now()))
    }

    async fn is_local(&self, domain: &Domain) -> Result<bool, Unavailable> {
        Ok(*domain == self.srs.domain || self.directory.is_local(domain).await?)
    }

    async fn postmaster(&self) -> Result<Option<Address>, Unavailable> {
        self.directory.postmaster().await
    }

    async fn authenticate(
        &self,
        login: &str,
        password: &Secret<String>,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        self.directory.authenticate(login, password, peer).await
    }

    fn login_methods(&self) -> LoginMethods {
        self.directory.login_methods()
    }

    async fn scram_secret(&self, login: &str, peer: IpAddr) -> Result<ScramAnswer, Unavailable> {
        self.directory.scram_secret(login, peer).await
    }

    async fn authenticate_scram(
        &self,
        proof: &ScramProof,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        self.directory.authenticate_scram(proof, peer).await
    }

    async fn authenticate_bearer(
        &self,
        token: &BearerToken,
        peer: IpAddr,
    ) -> Result<Authentication, Unavailable> {
        self.directory.authenticate_bearer(token, peer).await
    }

    async fn quota(&self, account: &AccountId) -> Result<Quota, Unavailable> {
        self.directory.quota(account).await
    }

    async fn login_stamp(&self, account: &AccountId) -> Result<Option<LoginStamp>, Unavailable> {
        self.directory.login_stamp(account).await
    }

    async fn may_send_as(&self, account: &AccountId, sender: &Address) -> Result<bool, Unavailable> {
        self.directory.may_send_as(account, sender).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srs(secret: &str) -> Srs {
        let config = SrsConfig { domain: "us.test".to_owned(), ..SrsConfig::default() };
        Srs::new(&config, Secret::new(secret.to_owned())).unwrap()
    }

    fn at(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY + 7)
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn reports_find_their_way_back_for_a_time() {
        let srs = srs("a secret of some length");
        for sender in ["ann@a.test", "Ann.B+tag@sub.a.test", "a=b@a.test", "\"a b\"@a.test"] {
            // Over the end of the ring of days too.
            for made in [20_000, 20_479, 20_480] {
                let rewritten = srs.rewrite(&address(sender), at(made)).unwrap();
                assert_eq!(rewritten.domain().as_str(), "us.test");
                let back = |days| srs.reverse(&rewritten, at(made + days)).map(|back| back.to_string());
                for (days, found) in [(0, true), (21, true), (22, false), (500, false)] {
                    assert_eq!(back(days).as_deref(), found.then_some(sender), "{rewritten} {days}");
                }
                // Systems that change the case break nothing but the case.
                let lower = address(&rewritten.to_string().to_lowercase());
                let back = srs.reverse(&lower, at(made)).unwrap();
                assert_eq!(back.canonical(), address(sender).canonical());
            }
        }
    }

    #[test]
    fn what_others_forwarded_goes_back_to_whom_forwarded_first() {
        let (one, two) = (srs("a secret of some length"), srs("another secret, as long"));
        let first = address("SRS0=HHHH=TT=a.test=ann@b.test");
        let second = one.rewrite(&first, at(1)).unwrap();
        assert!(second.to_string().starts_with("SRS1="), "{second}");
        assert_eq!(one.reverse(&second, at(2)), Some(first.clone()));
        // A third one leaves out the second.
        let third = two.rewrite(&second, at(1)).unwrap();
        assert_eq!(third.local_part().as_str().len(), second.local_part().as_str().len());
        assert_eq!(two.reverse(&third, at(1)), Some(first));
    }

    #[test]
    fn nobody_else_makes_such_addresses() {
        let srs = srs("a secret of some length");
        let good = srs.rewrite(&address("ann@a.test"), at(100)).unwrap().to_string();
        assert!(srs.reverse(&address(&good), at(100)).is_some());
        let (head, tail) = good.split_at(14);
        for forged in [
            good.replace("=ann@", "=eve@"),
            good.replace("=a.test=", "=b.test="),
            format!("{head}zz{}", &tail[2..]),
            "SRS0==aa=a.test=ann@us.test".to_owned(),
            "SRS0=aaaaaaaa=aa=a.test=ann@us.test".to_owned(),
            "SRS1=aaaaaaaa=b.test==aa@us.test".to_owned(),
            "SRS0@us.test".to_owned(),
            "SRS0=@us.test".to_owned(),
            "ann@us.test".to_owned(),
        ] {
            assert_eq!(srs.reverse(&address(&forged), at(100)), None, "{forged}");
        }
        assert!(self::srs("another secret, as long").reverse(&address(&good), at(100)).is_none());
    }

    #[test]
    fn what_would_be_too_long_stays_as_it_is() {
        let srs = srs("a secret of some length");
        let sender = |length: usize| address(&format!("{}@a.test", "x".repeat(length)));
        // SRS0=<8>=<2>=a.test=
        assert_eq!(srs.rewrite(&sender(40), at(1)).unwrap().local_part().as_str().len(), 64);
        assert_eq!(srs.rewrite(&sender(41), at(1)), None);
        assert!(
            Srs::new(
                &SrsConfig { domain: "us.test".to_owned(), ..SrsConfig::default() },
                Secret::new("short".to_owned())
            )
            .is_err()
        );
    }
}
