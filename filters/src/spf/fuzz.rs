//! What must hold for any record, and for any text behind `exp=`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::SpfLimits;
use super::macros::{DomainSpec, MacroString, Values};
use super::names::{NAME_MAX, askable};
use super::record::{Mechanism, Record};

/// Reads the octets as the terms of a record and as an explanation, and expands the macros in both: a fault anywhere is a fault of the whole, and what macros
/// come to keeps within its limit and is a name or none.
pub fn fuzz_spf(input: &[u8]) {
    let limits = SpfLimits::default();
    let mut text = b"v=spf1 ".to_vec();
    text.extend_from_slice(input);
    let read = Record::parse(&text, &limits);
    if let Ok(record) = &read {
        assert!(text.is_ascii() && text.len() <= limits.record_max.as_usize());
        assert!(record.directives.len() <= limits.terms_max as usize);
        specs(record).for_each(|spec| expand(spec, input, &limits));
    }
    text.push(b' ');
    if text.len() <= limits.record_max.as_usize() {
        assert_eq!(Record::parse(&text, &limits), read, "spaces at the end mean nothing");
    }
    text.extend_from_slice(b"moo");
    assert!(Record::parse(&text, &limits).is_err(), "a fault at the end is seen");

    if let Ok(text) = MacroString::parse_explanation(input) {
        assert!(input.is_ascii());
        let max = limits.explanation_max.as_usize();
        let told = text.expand(&values("b", "c.test", Ipv6Addr::LOCALHOST.into()), max);
        let plain =
            |text: String| text.len() <= max && text.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        assert!(told.map_or(true, plain));
    }
}

fn specs(record: &Record) -> impl Iterator<Item = &DomainSpec> {
    let named = record.directives.iter().filter_map(|directive| match &directive.mechanism {
        Mechanism::Include(spec) | Mechanism::Exists(spec) => Some(spec),
        Mechanism::A(spec, _) | Mechanism::Mx(spec, _) | Mechanism::Ptr(spec) => spec.as_ref(),
        Mechanism::All | Mechanism::Ip(_) => None,
    });
    named.chain(&record.redirect).chain(&record.explanation)
}

fn expand(spec: &DomainSpec, input: &[u8], limits: &SpfLimits) {
    let hostile = String::from_utf8_lossy(input);
    for address in [IpAddr::from(Ipv4Addr::BROADCAST), Ipv6Addr::LOCALHOST.into()] {
        let max = limits.expansion_max.as_usize();
        let Ok(text) = spec.text().expand(&values(&hostile, "a.test", address), max) else { continue };
        assert!(text.len() <= max);
        let Ok(name) = askable(&text) else { continue };
        assert!(name.len() <= NAME_MAX && name.is_ascii());
        assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
        assert!(text.trim_end_matches('.').ends_with(&name), "only the left side is cut off");
        assert_eq!(askable(&name).as_deref(), Ok(&*name), "a name is a name");
    }
}

const fn values<'a>(hostile: &'a str, domain: &'a str, address: IpAddr) -> Values<'a> {
    Values {
        local_part: hostile,
        sender_domain: domain,
        domain,
        address,
        validated: "unknown",
        helo: hostile,
        receiver: "mx.example.test",
        now: u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: &str = "([-+~?]?(all|a|mx|ptr|include|exists|ip4|ip6|redirect=|exp=|x=|moo)(:|=)?\
        ([a-c.]{0,6}|%\\{[slodipvhcrtSX]?[0-9]{0,3}r?[-.+,/_=]{0,2}\\}|%[%_-]|%)*(\\.test)?(/[0-9]{1,3})?(//[0-9]{1,3})?  ?){0,6}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn holds_for_octets(input: Vec<u8>) {
            fuzz_spf(&input);
        }

        #[test]
        fn holds_for_terms(input in TERMS) {
            fuzz_spf(input.as_bytes());
        }
    }

    #[test]
    fn holds_for_what_was_found() {
        for input in [
            "",
            " ",
            "%",
            "a:%{s}%{s}%{h}.test",
            "exists:%{L}.%{H}.test redirect=%{i}",
            "a:%{d999999999999999999999999}",
            "a:x.test/24//64",
            "exp=x.test exp=x.test",
            "\0",
            "a:\u{80}.test",
        ] {
            fuzz_spf(input.as_bytes());
        }
        fuzz_spf(&b"a ".repeat(40_000));
        fuzz_spf(&b"%{s}".repeat(4000));
    }
}
