//! Named lists, and what looks like their values.

use std::borrow::Cow;
use std::collections::HashSet;

use super::facts::names::is_invisible;

/// Values, and how they are compared.
#[derive(Debug, Clone)]
pub(super) struct List {
    pub(super) values: Vec<String>,
    lower: HashSet<String>,
    skeletons: HashSet<String>,
}

/// Names shorter than this are not compared letter by letter: too many are alike.
const DISTANCE_FROM: usize = 6;
/// Longer texts are not compared letter by letter.
const DISTANCE_LENGTH_MAX: usize = 100;

impl List {
    pub(super) fn new(values: Vec<String>) -> Self {
        let lower = values.iter().map(|value| value.to_lowercase()).collect();
        let skeletons = values.iter().map(|value| skeleton(value)).collect();
        Self { values, lower, skeletons }
    }

    /// Whether it holds the text, in any case.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.lower.contains(&text.trim().to_lowercase())
    }

    /// Whether the text is none of the values but could be taken for one: the same skeleton, the same name under another top-level domain or with
    /// hyphens, or one letter off.
    pub(super) fn is_imitated_by(&self, text: &str) -> bool {
        let text = text.trim().to_lowercase();
        if text.is_empty() || self.lower.contains(&text) {
            return false;
        }
        let is_below =
            |value: &String| text.strip_suffix(value.as_str()).is_some_and(|front| front.ends_with('.'));
        let own = self.lower.iter().any(is_below);
        if own {
            return false;
        }
        let shape = skeleton(&text);
        if self.skeletons.contains(&shape) {
            return true;
        }
        self.skeletons.iter().any(|wanted| imitates(&shape, wanted))
    }
}

/// Whether one skeleton could be taken for the other: one letter off, the same name under another ending, with hyphens or between other words, or the whole
/// name in front of somebody's domain.
fn imitates(shape: &str, wanted: &str) -> bool {
    let front = without_suffix(wanted);
    if front.len() < DISTANCE_FROM {
        return false;
    }
    // Hosts below somebody's domain: as many labels as ours has, from the end.
    let labels = wanted.matches('.').count();
    let tail = shape.rmatch_indices('.').nth(labels).and_then(|(at, _)| shape.get(at + 1..)).unwrap_or(shape);
    let whole = || shape.strip_prefix(wanted).is_some_and(|behind| behind.starts_with('.'));
    if is_near(wanted, shape) || is_near(wanted, tail) || wanted.contains('.') && whole() {
        return true;
    }
    let core = without_suffix(shape);
    let apart = core.split('.').next_back().unwrap_or(core);
    // `co.uk` and its like: the name stands before both.
    let apart = if SECOND_LABELS.contains(&apart) {
        without_suffix(core).rsplit('.').next().unwrap_or(apart)
    } else {
        apart
    };
    apart.replace('-', "") == front.replace('-', "") || format!("-{apart}-").contains(&format!("-{front}-"))
}

/// Labels below which countries give names away, as skeletons.
const SECOND_LABELS: &[&str] = &["ac", "co", "com", "edu", "gov", "net", "or", "org"];

/// A domain without its last label; a name without dots as it is.
fn without_suffix(domain: &str) -> &str {
    domain.rsplit_once('.').map_or(domain, |(front, _)| front)
}

/// Letters that look alike made the same (a part of Unicode Technical Standard 39 §4, and digits that stand for letters); punycode is decoded first.
pub(super) fn skeleton(text: &str) -> String {
    let text =
        if text.contains("xn--") { Cow::Owned(idna::domain_to_unicode(text).0) } else { Cow::Borrowed(text) };
    let mut shape = String::with_capacity(text.len());
    for letter in text.chars().map(plain_style).flat_map(char::to_lowercase) {
        // White space of any kind and length looks the same.
        if letter.is_whitespace() {
            if !shape.ends_with(' ') {
                shape.push(' ');
            }
            continue;
        }
        match look(letter) {
            Some(alike) => shape.push_str(alike),
            None => shape.push(letter),
        }
    }
    // An `l` has become an `i` by now.
    for (pair, letter) in [("rn", "m"), ("vv", "w"), ("ci", "d")] {
        if shape.contains(pair) {
            shape = shape.replace(pair, letter);
        }
    }
    shape
}

/// Letters of mathematics (bold, italic, script and so on, U+1D400 to U+1D6A3) are 52 Latin ones again and again.
fn plain_style(letter: char) -> char {
    let Some(at) = u32::from(letter).checked_sub(0x1d400).filter(|at| *at < 13 * 52) else { return letter };
    let at = u8::try_from(at % 52).unwrap_or_default();
    char::from(if at < 26 { b'A' + at } else { b'a' + at - 26 })
}

/// What a letter looks like, when that is not itself. Accents, Cyrillic, Greek, Armenian and full-width letters, digits, invisible characters.
fn look(letter: char) -> Option<&'static str> {
    Some(match letter {
        'а' | 'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'α' | 'ɑ' | 'ａ' => "a",
        'Ь' | 'ь' | 'в' | 'ｂ' => "b",
        'с' | 'ç' | 'ć' | 'č' | 'ϲ' | 'ｃ' => "c",
        'ԁ' | 'ď' | 'đ' | 'ｄ' => "d",
        'е' | 'ё' | 'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'ε' | 'ｅ' => "e",
        'ｆ' => "f",
        'ɡ' | 'ğ' | 'ģ' | 'ｇ' => "g",
        'һ' | 'ｈ' => "h",
        'і' | 'ї' | 'ì' | 'í' | 'î' | 'ï' | 'ı' | 'ī' | 'į' | 'ι' | '1' | 'l' | '|' | 'ӏ' | 'ｉ' | 'ｌ'
        | 'ł' | 'ĺ' => "i",
        'ј' | 'ｊ' => "j",
        'к' | 'κ' | 'ķ' | 'ｋ' => "k",
        'м' | 'ｍ' => "m",
        'п' | 'ո' | 'ñ' | 'ń' | 'ň' | 'ņ' | 'ｎ' => "n",
        'о' | 'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ő' | 'ο' | 'օ' | '0' | 'ｏ' => "o",
        'р' | 'ρ' | 'ｐ' => "p",
        'ԛ' | 'ｑ' => "q",
        'ŕ' | 'ř' | 'г' | 'ｒ' => "r",
        'ѕ' | 'ś' | 'š' | 'ş' | 'ș' | '5' | 'ｓ' => "s",
        'т' | 'τ' | 'ț' | 'ť' | 'ţ' | 'ｔ' => "t",
        'ս' | 'υ' | 'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' | 'ų' | 'ｕ' => "u",
        'ѵ' | 'ν' | 'ｖ' => "v",
        'ԝ' | 'ω' | 'ŵ' | 'ｗ' => "w",
        'х' | 'χ' | 'ｘ' => "x",
        'у' | 'ý' | 'ÿ' | 'γ' | 'ｙ' => "y",
        'ź' | 'ž' | 'ż' | 'ｚ' => "z",
        '\u{300}'..='\u{36f}' => "",
        letter if is_invisible(letter) => "",
        '\u{2010}'..='\u{2015}' => "-",
        _ => return None,
    })
}

/// Whether the [`distance`] is one, without the table that it takes: what differs lies between a front and an end that are the same.
fn is_near(one: &str, other: &str) -> bool {
    // A letter has four octets at most.
    if one.len().abs_diff(other.len()) > 4 || one.len().max(other.len()) > DISTANCE_LENGTH_MAX {
        return false;
    }
    let (mut one, mut other) = (one.chars(), other.chars());
    let (mut rest, mut other_rest) = (one.clone(), other.clone());
    while let (Some(a), Some(b)) = (one.next(), other.next())
        && a == b
    {
        (rest, other_rest) = (one.clone(), other.clone());
    }
    let (mut left, mut other_left) = (rest.clone(), other_rest.clone());
    while let (Some(a), Some(b)) = (rest.next_back(), other_rest.next_back())
        && a == b
    {
        (left, other_left) = (rest.clone(), other_rest.clone());
    }
    let (left, other_left) = (left.as_str(), other_left.as_str());
    let letters = |text: &str| text.chars().take(3).count();
    match (letters(left), letters(other_left)) {
        (0, 1) | (1, 0 | 1) => true,
        (2, 2) => left.chars().eq(other_left.chars().rev()),
        _ => false,
    }
}

/// Letters to change, add, drop, or swap with their neighbour (the restricted distance of Damerau and Levenshtein); of long texts the longer one's length.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().max(other.len()) > DISTANCE_LENGTH_MAX {
        return one.len().max(other.len());
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut least = at(&last, column) + usize::from(a != b);
            least = least.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped =
                row > 0 && column > 0 && one.get(row - 1) == Some(b) && other.get(column - 1) == Some(a);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distances() {
        let check = |a: &str, b: &str, expected: usize| assert_eq!(distance(a, b), expected, "{a} {b}");
        check("", "", 0);
        check("abc", "", 3);
        check("abc", "abd", 1);
        check("abc", "acb", 1);
        check("kitten", "sitting", 3);
        check(&"a".repeat(101), "a", 101);
    }

    proptest! {
        #[test]
        fn near_is_a_distance_of_one(one in "[ab\u{fc}]{0,6}", other in "[ab\u{fc}]{0,6}") {
            prop_assert_eq!(is_near(&one, &other), distance(&one, &other) == 1, "{} {}", one, other);
        }
    }

    #[test]
    fn what_looks_like_a_domain_of_ours() {
        let list = List::new(vec![
            "example-bank.test".to_owned(),
            "paywell.test".to_owned(),
            "modern.test".to_owned(),
        ]);
        let check = |text: &str, expected: bool| assert_eq!(list.is_imitated_by(text), expected, "{text}");
        for own in ["example-bank.test", "EXAMPLE-BANK.test", "mail.paywell.test"] {
            check(own, false);
        }
        for alike in [
            "payvvell.test",
            "moclern.test",
            "mociern.test",
            "paywe11.test",
            "p\u{430}ywell.test",
            "xn--pywell-ixe.test",
            "paywell.example",
            "pay-well.test",
            "paywel.test",
            "mail.paywel.test",
            "a.b.pawyell.test",
            "pawyell.test",
            "paywell-login.test",
            "login-paywell.example",
            "exarnple-bank.test",
            "examplebank.example",
            "example-bank-login.example",
            "paywell.co.uk",
            "paywell.com.example",
            "paywell.test.evil.example",
            "payw\u{200b}ell.test",
        ] {
            check(alike, true);
        }
        for other in ["", "other.test", "pay.test", "wellness.test", "example.test", "paywell.evil.example"] {
            check(other, false);
        }
    }

    #[test]
    fn attack_names_in_other_letters() {
        let check = |text: &str| assert_eq!(skeleton(text), skeleton("Carla Chief"), "{text}");
        check("carla  chief");
        check("Carla\u{a0}Chief");
        check("Ca\u{200b}rla Ch\u{ad}ief");
        check("\u{202e}Carla Chief");
        check("Carl\u{430} \u{421}hief");
        check("Ca\u{301}rla Chief");
        check("\u{1d402}\u{1d41a}\u{1d42b}\u{1d425}\u{1d41a} Chief");
        check("CarIa Chief");
        check("\u{ff23}arla Chief");
    }
}
