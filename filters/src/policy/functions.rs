//! The functions that rules have besides CEL's own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, DeclarationError};
use units::Network;

use super::lists::{distance, skeleton};
use super::load::RuleSet;

/// Digits of a payment card's number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Letters and digits of an IBAN (ISO 13616).
const IBAN_LENGTH: std::ops::RangeInclusive<usize> = 15..=34;

/// Declares them for one message.
pub(super) fn declare(
    context: &mut Context<'_, '_>,
    rules: &Arc<RuleSet>,
    fields: HashMap<String, Vec<String>>,
) -> Result<(), DeclarationError> {
    let fields = Arc::new(fields);
    let every = Arc::clone(&fields);
    context.add_function("header", move |This(name): This<Arc<String>>| {
        let found = fields.get(&name.to_lowercase()).and_then(|values| values.first());
        found.cloned().unwrap_or_default()
    })?;
    context.add_function("headers", move |This(name): This<Arc<String>>| {
        cel::Value::from(every.get(&name.to_lowercase()).cloned().unwrap_or_default())
    })?;
    let set = Arc::clone(rules);
    context.add_function("in_list", move |This(text): This<Arc<String>>, list: Arc<String>| {
        set.lists.get(&*list).is_some_and(|list| list.holds(&text))
    })?;
    let set = Arc::clone(rules);
    context.add_function("list", move |This(list): This<Arc<String>>| {
        cel::Value::from(set.lists.get(&*list).map(|list| list.values.clone()).unwrap_or_default())
    })?;
    let set = Arc::clone(rules);
    context.add_function("lookalike", move |This(text): This<Arc<String>>, list: Arc<String>| {
        set.lists.get(&*list).is_some_and(|list| list.is_imitated_by(&text))
    })?;
    let set = Arc::clone(rules);
    context.add_function("matches", move |This(text): This<Arc<String>>, pattern: Arc<String>| {
        set.patterns.get(&*pattern).is_some_and(|pattern| pattern.is_match(&text))
    })?;
    context.add_function("cards", |This(text): This<Arc<String>>| count(cards(&text)))?;
    context.add_function("distance", |This(one): This<Arc<String>>, other: Arc<String>| {
        count(distance(&one, &other))
    })?;
    context.add_function("iban", |This(text): This<Arc<String>>| count(ibans(&text)))?;
    context.add_function("in_network", |This(address): This<Arc<String>>, network: Arc<String>| {
        let network = network.parse::<Network>();
        address.parse::<IpAddr>().is_ok_and(|address| network.is_ok_and(|network| network.contains(address)))
    })?;
    context.add_function("is_under", |This(domain): This<Arc<String>>, of: Arc<String>| {
        is_under(&domain, &of)
    })?;
    context.add_function("lower", |This(text): This<Arc<String>>| text.to_lowercase())?;
    context.add_function("skeleton", |This(text): This<Arc<String>>| skeleton(&text))
}

fn count(found: usize) -> i64 {
    i64::try_from(found).unwrap_or(i64::MAX)
}

fn is_under(domain: &str, of: &str) -> bool {
    let (domain, of) = (domain.to_lowercase(), of.to_lowercase());
    !of.is_empty() && (domain == of || domain.strip_suffix(&of).is_some_and(|front| front.ends_with('.')))
}

/// Numbers of payment cards: digits, with single spaces or hyphens between them, whose check digit is right (ISO/IEC 7812-1 annex B) and that begin like
/// a card's.
fn cards(text: &str) -> usize {
    let mut found = 0;
    let mut digits: Vec<u8> = Vec::new();
    let mut gap = false;
    for byte in text.bytes().chain([b'.']) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                gap = false;
            }
            b' ' | b'-' if !digits.is_empty() && !gap => gap = true,
            _ => {
                found += usize::from(is_card(&digits));
                digits.clear();
                gap = false;
            }
        }
    }
    found
}

fn is_card(digits: &[u8]) -> bool {
    if !CARD_DIGITS.contains(&digits.len()) || !matches!(digits.first(), Some(2..=6)) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(*digit) * if at % 2 == 1 { 2 } else { 1 };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10) && digits.windows(2).any(|pair| pair.first() != pair.last())
}

/// Account numbers: two letters, two digits, then letters and digits in groups, with the remainder that ISO 7064 asks for.
fn ibans(text: &str) -> usize {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let mut found = 0;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let mut joined = String::new();
        let mut taken = 0;
        if begins_iban(word) {
            for (count, group) in words.iter().skip(at).take(9).enumerate() {
                let group = group.trim_end_matches(['.', ',', ';', ':', ')']);
                if !group.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
                    break;
                }
                joined.push_str(group);
                if is_iban(&joined) {
                    taken = count + 1;
                    break;
                }
            }
        }
        found += usize::from(taken > 0);
        at += taken.max(1);
    }
    found
}

fn begins_iban(word: &str) -> bool {
    matches!(word.as_bytes(), [a, b, c, d, ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit())
}

fn is_iban(text: &str) -> bool {
    if !IBAN_LENGTH.contains(&text.len()) {
        return false;
    }
    let (front, rest) = text.split_at(4);
    let remainder = rest.bytes().chain(front.bytes()).fold(0u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cards() {
        let check = |text: &str, expected: usize| assert_eq!(cards(text), expected, "{text}");
        check("4111 1111 1111 1111", 1);
        check("4111111111111111, 5500-0000-0000-0004.", 2);
        check("378282246310005", 1);
        check("4111 1111 1111 1112", 0);
        check("4111  1111 1111 1111", 0);
        check("0000000000000000", 0);
        check("1234567890123", 0);
        check("4444444444444444", 0);
    }

    #[test]
    fn numbers_of_accounts() {
        let check = |text: &str, expected: usize| assert_eq!(ibans(text), expected, "{text}");
        check("GB82 WEST 1234 5698 7654 32", 1);
        check("to DE89370400440532013000, please, and NL91 ABNA 0417 1643 00.", 2);
        check("GB82 WEST 1234 5698 7654 33", 0);
        check("AB12", 0);
    }

    #[test]
    fn domains_below_others() {
        assert!(is_under("a.test", "A.test") && is_under("b.a.test", "a.test"));
        assert!(!is_under("ba.test", "a.test") && !is_under("test", "a.test") && !is_under("a.test", ""));
    }
}
