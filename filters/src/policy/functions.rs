//! The functions that rules have besides CEL's own.

use std::net::IpAddr;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, DeclarationError};
use units::Network;

use super::facts::HeaderSection;
use super::lists::{distance, skeleton};
use super::load::RuleSet;

/// How cards show their numbers: letters of each group, longer forms first.
const CARD_GROUPS: &[&[usize]] = &[&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];
/// Groups of an IBAN: 34 letters in fours.
const IBAN_GROUPS_MAX: usize = 9;
/// Lengths of IBANs and the countries that have them (the registry of ISO 13616).
const IBAN_LENGTHS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH CR HR LI LV"),
    (22, "BG BH DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

/// Declares them for one message.
pub(super) fn declare(
    context: &mut Context<'_, '_>,
    rules: &Arc<RuleSet>,
    fields: Arc<HeaderSection>,
) -> Result<(), DeclarationError> {
    let every = Arc::clone(&fields);
    context.add_function("header", move |This(name): This<Arc<String>>| {
        fields.get(&name).next().unwrap_or_default()
    })?;
    context.add_function("headers", move |This(name): This<Arc<String>>| {
        cel::Value::from(every.get(&name).collect::<Vec<String>>())
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
        in_network(&address, &network)
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

pub(super) fn in_network(address: &str, network: &str) -> bool {
    let network = network.parse::<Network>();
    address.parse::<IpAddr>().is_ok_and(|address| network.is_ok_and(|network| network.contains(address)))
}

pub(super) fn is_under(domain: &str, of: &str) -> bool {
    let (domain, of) = (domain.to_lowercase(), of.to_lowercase());
    !of.is_empty() && (domain == of || domain.strip_suffix(&of).is_some_and(|front| front.ends_with('.')))
}

/// Numbers of payment cards, in one piece or in the groups that cards show, with one mark between two groups.
fn cards(text: &str) -> usize {
    let mut found = 0;
    let mut groups: Vec<Vec<u8>> = Vec::new();
    let mut gap = true;
    for letter in text.chars().chain(['/']) {
        if let Some(digit) = letter.to_digit(10).and_then(|digit| u8::try_from(digit).ok()) {
            if gap {
                groups.push(Vec::new());
            }
            gap = false;
            if let Some(last) = groups.last_mut() {
                last.push(digit);
            }
        } else if is_between(letter) && !gap {
            gap = true;
        } else {
            found += cards_of(&groups);
            groups.clear();
            gap = true;
        }
    }
    found
}

/// What people and programs write between groups of digits.
const fn is_between(letter: char) -> bool {
    matches!(
        letter,
        ' ' | '-' | '.' | '\n' | '\t' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2010}'..='\u{2015}'
    )
}

/// Counts in a run of groups; other numbers may stand before and behind.
fn cards_of(groups: &[Vec<u8>]) -> usize {
    let mut found = 0;
    let mut rest = groups;
    while !rest.is_empty() {
        let taken = CARD_GROUPS.iter().map(|shape| shape.len()).chain([1]).find(|count| {
            let Some(front) = rest.get(..*count) else { return false };
            let shaped = CARD_GROUPS
                .iter()
                .any(|shape| shape.iter().eq(front.iter().map(Vec::len).collect::<Vec<_>>().iter()));
            (shaped || *count == 1) && is_card(&front.concat())
        });
        found += usize::from(taken.is_some());
        rest = rest.get(taken.unwrap_or(1)..).unwrap_or_default();
    }
    found
}

/// The check digit (ISO/IEC 7812-1 annex B), and the length that goes with the first digit.
fn is_card(digits: &[u8]) -> bool {
    let long_enough = match digits.first() {
        Some(2 | 5) => digits.len() == 16,
        Some(3) => (14..=16).contains(&digits.len()),
        Some(4) => digits.len() == 16 || digits.len() == 19,
        Some(6) => (16..=19).contains(&digits.len()),
        _ => false,
    };
    if !long_enough {
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

/// Account numbers: a country, two digits, then letters and digits, in groups or not, of the country's length, with the remainder that ISO 7064 asks for.
fn ibans(text: &str) -> usize {
    let words: Vec<String> = text
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .collect();
    let mut found = 0;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let taken = iban_length(word).map_or(0, |length| {
            let mut joined = String::new();
            let groups = words.iter().skip(at).take(IBAN_GROUPS_MAX);
            let ends = groups.enumerate().map(|(count, group)| {
                joined.push_str(group);
                (count + 1, joined.len(), is_iban(&joined))
            });
            let mut ends = ends.take_while(|(_, octets, _)| *octets <= length);
            ends.find(|(_, octets, good)| *octets == length && *good).map_or(0, |(count, ..)| count)
        });
        found += usize::from(taken > 0);
        at += taken.max(1);
    }
    found
}

/// How long an account number is that begins with this word.
fn iban_length(word: &str) -> Option<usize> {
    let [_, _, c, d, ..] = word.as_bytes() else { return None };
    let country = word.get(..2).filter(|_| c.is_ascii_digit() && d.is_ascii_digit())?;
    IBAN_LENGTHS
        .iter()
        .find(|(_, countries)| countries.split(' ').any(|one| one == country))
        .map(|(length, _)| *length)
}

fn is_iban(text: &str) -> bool {
    let (Some(front), Some(rest)) = (text.get(..4), text.get(4..)) else { return false };
    let remainder = rest.bytes().chain(front.bytes()).fold(0u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte.saturating_sub(b'A')) + 10) % 97,
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
        check("3782 822463 10005", 1);
        check("5500 0000 0000 0004 4111 1111 1111 1111", 2);
        check("1733000000000 4006381333931", 0);
        check("2 30 41 52 63 74 85 96 17", 0);
    }

    #[test]
    fn attack_numbers_of_cards_beside_other_numbers() {
        let check = |text: &str, expected: usize| assert_eq!(cards(text), expected, "{text}");
        check("1 4111 1111 1111 1111 05/27 123", 1);
        check("4111\u{a0}1111\u{2009}1111\u{2011}1111", 1);
        check("4111.1111.1111.1111", 1);
        check("4111 1111\n1111 1111", 1);
        check("no 4111111111111111 12", 1);
        check("\u{e4}4111111111111111\u{e4}", 1);
    }

    #[test]
    fn attack_account_numbers_in_other_clothes() {
        let check = |text: &str, expected: usize| assert_eq!(ibans(text), expected, "{text}");
        check("IBAN:DE89370400440532013000", 1);
        check("de89 3704 0044 0532 0130 00", 1);
        check("DE89-3704-0044-0532-0130-00", 1);
        check("DE89\u{a0}3704\u{a0}0044 0532 0130 00,BIC", 1);
        check("DE8937040044053201300", 0);
        check("ZZ89370400440532013000", 0);
        check("DE89370400440532013000DE", 0);
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
