//! Records: what a domain says in its TXT record, read as a whole (RFC 7208 §4.6.1, §12).
//!
//! ```abnf
//! record           = version terms *SP
//! version          = "v=spf1"
//! terms            = *( 1*SP ( directive / modifier ) )
//! directive        = [ qualifier ] mechanism
//! qualifier        = "+" / "-" / "?" / "~"
//! mechanism        = ( all / include / a / mx / ptr / ip4 / ip6 / exists )
//! all              = "all"
//! include          = "include"  ":" domain-spec
//! a                = "a"      [ ":" domain-spec ] [ dual-cidr-length ]
//! mx               = "mx"     [ ":" domain-spec ] [ dual-cidr-length ]
//! ptr              = "ptr"    [ ":" domain-spec ]
//! ip4              = "ip4"      ":" ip4-network   [ ip4-cidr-length ]
//! ip6              = "ip6"      ":" ip6-network   [ ip6-cidr-length ]
//! exists           = "exists"   ":" domain-spec
//! modifier         = redirect / explanation / unknown-modifier
//! redirect         = "redirect" "=" domain-spec
//! explanation      = "exp" "=" domain-spec
//! unknown-modifier = name "=" macro-string
//! ip4-cidr-length  = "/" ("0" / %x31-39 0*1DIGIT)
//! ip6-cidr-length  = "/" ("0" / %x31-39 0*2DIGIT)
//! dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
//! name             = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::macros::{DomainSpec, MacroFault, MacroString};
use super::{SpfLimits, SpfResult};

const VERSION: &[u8] = b"v=spf1";
/// Octets of a term that are shown to people.
const SHOWN_MAX: usize = 100;

/// A record that keeps to the grammar, all of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) directives: Vec<Directive>,
    pub(super) redirect: Option<DomainSpec>,
    pub(super) explanation: Option<DomainSpec>,
}

/// Whom a term means, and what the domain says of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) qualifier: Qualifier,
    pub(super) mechanism: Mechanism,
    /// The term as it stands in the record, cut off where it is long.
    pub(super) shown: String,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Whom a term means. Where there is no name it is the domain's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(DomainSpec),
    A(Option<DomainSpec>, Prefixes),
    Mx(Option<DomainSpec>, Prefixes),
    Ptr(Option<DomainSpec>),
    Ip(Network),
    Exists(DomainSpec),
}

/// How many bits of an address count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefixes {
    v4: u8,
    v6: u8,
}

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordFault {
    /// More octets than are looked at.
    #[error("the record is longer than {0} octets")]
    TooLong(usize),
    /// More terms than are looked at.
    #[error("the record has more than {0} terms")]
    TooManyTerms(u32),
    /// A term that the grammar does not have.
    #[error("`{term}`: {why}")]
    Term {
        /// The term, or its beginning; printable ASCII.
        term: String,
        /// What is wrong with it.
        why: TermFault,
    },
}

/// What is wrong with a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TermFault {
    /// An octet that is not visible ASCII.
    #[error("a character that is not visible ASCII")]
    Character,
    /// No mechanism is called so, and it is no modifier.
    #[error("an unknown mechanism")]
    Unknown,
    /// A name, address or length where the mechanism has none, or none where it needs one.
    #[error("something is missing or too much")]
    Argument,
    /// What should be an address is none.
    #[error("not an IP address")]
    Address,
    /// A prefix length that is none.
    #[error("not a prefix length")]
    Prefix,
    /// `redirect` or `exp` for the second time.
    #[error("a modifier that may stand once")]
    Twice,
    /// The name or value.
    #[error("{0}")]
    Macro(#[from] MacroFault),
}

/// Whether a text is a record, good or bad (RFC 7208 §4.5).
pub(super) fn is_record(text: &[u8]) -> bool {
    text.split_at_checked(VERSION.len()).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(VERSION) && matches!(rest.first(), None | Some(b' '))
    })
}

impl Record {
    /// Reads what [`is_record`]. Any fault anywhere is a fault of the whole (RFC 7208 §4.6).
    pub(super) fn parse(text: &[u8], limits: &SpfLimits) -> Result<Self, RecordFault> {
        if text.len() > limits.record_max.as_usize() {
            return Err(RecordFault::TooLong(limits.record_max.as_usize()));
        }
        let mut record = Self { directives: Vec::new(), redirect: None, explanation: None };
        let mut count = 0;
        let terms = text.get(VERSION.len()..).unwrap_or_default().split(|octet| *octet == b' ');
        for term in terms.filter(|term| !term.is_empty()) {
            count += 1;
            if count > limits.terms_max {
                return Err(RecordFault::TooManyTerms(limits.terms_max));
            }
            record.term(term).map_err(|why| RecordFault::Term { term: shown(term), why })?;
        }
        Ok(record)
    }

    fn term(&mut self, term: &[u8]) -> Result<(), TermFault> {
        let text = std::str::from_utf8(term).map_err(|_| TermFault::Character)?;
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(TermFault::Character);
        }
        match modifier(text) {
            Some((name, value)) if name.eq_ignore_ascii_case("redirect") => once(&mut self.redirect, value),
            Some((name, value)) if name.eq_ignore_ascii_case("exp") => once(&mut self.explanation, value),
            Some((_, value)) => Ok(MacroString::parse(value).map(|_| ())?),
            None => {
                let (qualifier, mechanism) = Qualifier::split(text);
                let mechanism = Mechanism::parse(mechanism)?;
                self.directives.push(Directive { qualifier, mechanism, shown: shown(term) });
                Ok(())
            }
        }
    }
}

/// Name and value, where `=` stands behind a name before anything else does.
fn modifier(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let inner = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    let good = name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(inner);
    good.then_some((name, value))
}

fn once(slot: &mut Option<DomainSpec>, value: &str) -> Result<(), TermFault> {
    let spec = DomainSpec::parse(value)?;
    if slot.replace(spec).is_some() { Err(TermFault::Twice) } else { Ok(()) }
}

fn shown(term: &[u8]) -> String {
    let octets = term.iter().take(SHOWN_MAX);
    octets.map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '?' }).collect()
}

impl Qualifier {
    fn split(text: &str) -> (Self, &str) {
        let signs = [('+', Self::Pass), ('-', Self::Fail), ('~', Self::SoftFail), ('?', Self::Neutral)];
        let split = |(sign, qualifier)| text.strip_prefix(sign).map(|rest| (qualifier, rest));
        signs.into_iter().find_map(split).unwrap_or((Self::Pass, text))
    }

    /// RFC 7208 §4.6.2.
    pub(super) const fn result(self) -> SpfResult {
        match self {
            Self::Pass => SpfResult::Pass,
            Self::Fail => SpfResult::Fail,
            Self::SoftFail => SpfResult::SoftFail,
            Self::Neutral => SpfResult::Neutral,
        }
    }
}

impl Mechanism {
    fn parse(text: &str) -> Result<Self, TermFault> {
        let end = text.find([':', '/']).unwrap_or(text.len());
        let (name, argument) = text.split_at(end);
        let named = || argument.strip_prefix(':').ok_or(TermFault::Argument);
        match name.to_ascii_lowercase().as_str() {
            "all" if argument.is_empty() => Ok(Self::All),
            "all" => Err(TermFault::Argument),
            "include" => Ok(Self::Include(DomainSpec::parse(named()?)?)),
            "exists" => Ok(Self::Exists(DomainSpec::parse(named()?)?)),
            "ptr" => Ok(Self::Ptr(own_or_named(argument)?)),
            "a" => {
                let (prefixes, argument) = Prefixes::split(argument)?;
                Ok(Self::A(own_or_named(argument)?, prefixes))
            }
            "mx" => {
                let (prefixes, argument) = Prefixes::split(argument)?;
                Ok(Self::Mx(own_or_named(argument)?, prefixes))
            }
            "ip4" => Network::parse::<Ipv4Addr>(named()?, 32).map(Self::Ip),
            "ip6" => Network::parse::<Ipv6Addr>(named()?, 128).map(Self::Ip),
            _ => Err(TermFault::Unknown),
        }
    }
}

fn own_or_named(argument: &str) -> Result<Option<DomainSpec>, TermFault> {
    if argument.is_empty() {
        return Ok(None);
    }
    Ok(Some(DomainSpec::parse(argument.strip_prefix(':').ok_or(TermFault::Argument)?)?))
}

impl Prefixes {
    /// Takes the lengths off the end of an argument. What is not a length stays, for `/` may stand in a name.
    fn split(argument: &str) -> Result<(Self, &str), TermFault> {
        let mut prefixes = Self { v4: 32, v6: 128 };
        let mut rest = argument;
        if let Some((front, digits)) = length_at_end(rest)
            && let Some(front) = front.strip_suffix('/')
        {
            prefixes.v6 = length(digits, 128)?;
            rest = front;
        }
        if let Some((front, digits)) = length_at_end(rest)
            && !front.ends_with('/')
        {
            prefixes.v4 = length(digits, 32)?;
            rest = front;
        }
        Ok((prefixes, rest))
    }

    /// Whether the addresses are of one kind and share the bits that count.
    pub(super) fn covers(self, address: IpAddr, peer: IpAddr) -> bool {
        let prefix = if address.is_ipv4() { self.v4 } else { self.v6 };
        Network { address, prefix }.contains(peer)
    }
}

/// What stands before and behind the last `/`, if that is a number.
fn length_at_end(text: &str) -> Option<(&str, &str)> {
    let (front, digits) = text.rsplit_once('/')?;
    (!digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit())).then_some((front, digits))
}

fn length(digits: &str, max: u8) -> Result<u8, TermFault> {
    let padded = digits.len() > 1 && digits.starts_with('0');
    let length = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<u8>().ok());
    length.flatten().filter(|length| !padded && *length <= max).ok_or(TermFault::Prefix)
}

impl Network {
    fn parse<A: std::str::FromStr + Into<IpAddr>>(text: &str, max: u8) -> Result<Self, TermFault> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, digits)) => (address, length(digits, max)?),
            None => (text, max),
        };
        let address: A = address.parse().map_err(|_| TermFault::Address)?;
        Ok(Self { address: address.into(), prefix })
    }

    /// Whether the address is of the network's kind and shares its bits.
    pub(super) fn contains(self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(network), IpAddr::V4(peer)) => {
                let others = (network.to_bits() ^ peer.to_bits()).leading_zeros();
                others >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(peer)) => {
                let others = (network.to_bits() ^ peer.to_bits()).leading_zeros();
                others >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Record, RecordFault> {
        assert!(is_record(text.as_bytes()), "{text}");
        Record::parse(text.as_bytes(), &SpfLimits::default())
    }

    #[test]
    fn selection() {
        let check = |text: &[u8], expected: bool| assert_eq!(is_record(text), expected, "{text:?}");
        check(b"v=spf1", true);
        check(b"V=sPf1 -all", true);
        check(b"v=spf1 \x80", true);
        check(b"v=spf10", false);
        check(b"v=spf1-all", false);
        check(b"v=spf1\t-all", false);
        check(b"v=spf", false);
        check(b" v=spf1", false);
        check(b"", false);
    }

    #[test]
    fn whole_records() {
        let record =
            read("v=spf1  a MX:x.test/24//64 -ALL exp=e.test Redirect=%{d}.r.test foo.bar-x_1=%{l} ")
                .unwrap();
        let shown: Vec<&str> = record.directives.iter().map(|one| one.shown.as_str()).collect();
        assert_eq!(shown, ["a", "MX:x.test/24//64", "-ALL"]);
        assert!(record.redirect.is_some() && record.explanation.is_some());
        assert_eq!(read("v=spf1").unwrap().directives.len(), 0);
    }

    /// Each of the terms, behind a good one.
    fn check(terms: &str, expected: Option<TermFault>) {
        for term in terms.split(' ') {
            let got = read(&format!("v=spf1 +all {term}")).err();
            let why = expected.map(|why| RecordFault::Term { term: shown(term.as_bytes()), why });
            assert_eq!(got, why, "{term}");
        }
    }

    #[test]
    fn good_terms() {
        check("all -all ~all ?all +all All ptr ptr:x.test include:x.test exists:%{i}.x.test", None);
        check("a a/24 a//64 a/24//64 a/0 a//0 a/32//128 mx mx:x.test//128 a:x.test a:x.test/24", None);
        check("a:foo:bar/baz.test/24 a:x/1.test a:%{d/}.x.test a:1.2/3/x.test//0", None);
        check("ip4:192.0.2.1 ip4:192.0.2.0/24 ip4:0.0.0.0/0 ip6:2001:db8::1 ip6:2001:db8::/32", None);
        check("ip6:::192.0.2.1/128 x= x.y-z_1=a/b:c redirect=x.test exp=x.test all=x", None);
    }

    #[test]
    fn bad_terms() {
        let unknown = "moo moo:x.test - + --all a1 allx all. ipv4:192.0.2.1 1up=x =all -redirect=x.test \
            redirect:x.test moo/x=y -x=y";
        check(unknown, Some(TermFault::Unknown));
        let argument =
            "all:x.test all/8 include exists exists/24 include/24 ip4 ip6 ip4/24 ptr/24 a/24/32 a/ a// a/x";
        check(argument, Some(TermFault::Argument));
        let address = "ip4: ip4:192.0.2 ip4:192.0.2.256 ip4:192.0.2.01 ip4:192.0.2.1:25 ip4:2001:db8::1 \
            ip6:192.0.2.1 ip6: ip6::db8::1 ip6:fe80::1%eth0 ip4:x.test";
        check(address, Some(TermFault::Address));
        let prefix = "ip4:192.0.2.1/33 ip4:192.0.2.1/032 ip4:192.0.2.1/ ip4:192.0.2.1//24 ip4:192.0.2.1/24/24 \
            ip4:192.0.2.1/+8 ip4:192.0.2.1/-1 ip4:192.0.2.1/256 ip6:2001:db8::/129 ip6:2001:db8:://64 a/33 a//129 \
            a/00 a/24/64 mx:x.test/24//999 mx/01";
        check(prefix, Some(TermFault::Prefix));
        let end = "a: mx:/24 ptr: include: exists:x.test/24 a:x.test/24/24 a:test a:192.0.2.1 redirect= exp= exp=-all";
        check(end, Some(TermFault::Macro(MacroFault::End)));
        check("x=% a:%.test exp=%", Some(TermFault::Macro(MacroFault::Percent)));
        check("a:x\t.test ü a\0 x=\r\n", Some(TermFault::Character));
        assert!(read("v=spf1 redirect=x.test").is_ok());
        for twice in ["redirect=x.test", "exp=y.test", "EXP=x.test"] {
            let got = read(&format!("v=spf1 exp=x.test Redirect=x.test {twice}")).err();
            assert_eq!(got, Some(RecordFault::Term { term: twice.to_owned(), why: TermFault::Twice }));
        }
    }

    #[test]
    fn sizes() {
        let limits = SpfLimits::default();
        let check = |text: &str, expected: Option<RecordFault>| {
            assert_eq!(Record::parse(text.as_bytes(), &limits).err(), expected);
        };
        let octets = limits.record_max.as_usize();
        let padded = |length: usize| format!("v=spf1 -all{}", " ".repeat(length - 11));
        check(&padded(octets - 1), None);
        check(&padded(octets), None);
        check(&padded(octets + 1), Some(RecordFault::TooLong(octets)));
        let terms = |count: usize| format!("v=spf1{}", " a".repeat(count));
        check(&terms(999), None);
        check(&terms(1000), None);
        check(&terms(1001), Some(RecordFault::TooManyTerms(1000)));
        let long = format!("v=spf1 {}", "x".repeat(500));
        let Err(RecordFault::Term { term, .. }) = Record::parse(long.as_bytes(), &limits) else {
            panic!("it is bad")
        };
        assert_eq!(term.len(), SHOWN_MAX);
    }

    #[test]
    fn networks() {
        let check = |term: &str, peer: &str, expected: bool| {
            let record = read(&format!("v=spf1 {term}")).unwrap();
            let Some(Directive { mechanism: Mechanism::Ip(network), .. }) = record.directives.first() else {
                panic!("{term}")
            };
            assert_eq!(network.contains(peer.parse().unwrap()), expected, "{term} {peer}");
        };
        check("ip4:192.0.2.1", "192.0.2.1", true);
        check("ip4:192.0.2.1", "192.0.2.2", false);
        check("ip4:192.0.2.129/25", "192.0.2.128", true);
        check("ip4:192.0.2.129/25", "192.0.2.127", false);
        check("ip4:192.0.2.1/0", "203.0.113.1", true);
        check("ip4:192.0.2.1/0", "2001:db8::1", false);
        check("ip6:2001:db8::/33", "2001:db8:7fff::1", true);
        check("ip6:2001:db8::/33", "2001:db8:8000::1", false);
        check("ip6:::/0", "2001:db8::1", true);
        check("ip6:::/0", "192.0.2.1", false);
        check("ip6:2001:db8::1", "2001:db8::1", true);
    }
}
