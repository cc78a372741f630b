//! One account.

use anyhow::Context as _;
use envelope::Address;

use super::class::{Class, Mailer};
use crate::random::Random;

/// Most messages and folders of one account, however it was drawn.
const MESSAGES_MAX: f64 = 1_000_000.0;
const FOLDERS_MAX: f64 = 500.0;

const FIRST: [&str; 24] = [
    "ada", "ben", "carla", "dev", "elif", "finn", "gita", "hugo", "ines", "jonas", "kenji", "lena", "milan",
    "nora", "omar", "paula", "quinn", "rosa", "sam", "tomas", "uma", "vera", "wei", "yusuf",
];
const LAST: [&str; 24] = [
    "abel", "brandt", "costa", "dubois", "eriksen", "fischer", "garcia", "haas", "ivanov", "jansen", "kovac",
    "larsen", "moreau", "novak", "okafor", "petrov", "rossi", "sato", "tanaka", "ueda", "varga", "weber",
    "yilmaz", "zhou",
];

/// Who somebody is and how they use their mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its number in the population.
    pub index: u64,
    /// Its address, which is its login name too.
    pub address: Address,
    /// Its class.
    pub class: Class,
    /// The name of who it belongs to.
    pub name: String,
    /// Messages that it keeps.
    pub messages: u64,
    /// Folders beside INBOX.
    pub folders: u64,
    /// With what it is read, and how often in a day.
    pub mailers: Vec<(Mailer, f64)>,
}

impl Account {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and above zero")]
    pub(super) fn draw(index: u64, class: Class, domain: &str, random: &mut Random) -> anyhow::Result<Self> {
        let habits = class.habits();
        let local = local_part(index, random);
        let name = local.rsplit_once('.').map_or(local.as_str(), |(name, _)| name).split('.').map(capital);
        let name = name.collect::<Vec<_>>().join(" ");
        let mut draw =
            |(median, sigma): (f64, f64), most: f64| random.log_normal(median, sigma).min(most) as u64;
        let (messages, folders) = (draw(habits.messages, MESSAGES_MAX), draw(habits.folders, FOLDERS_MAX));
        let mut mailers: Vec<(Mailer, f64)> = Vec::new();
        for (mailer, part, visits) in habits.mailers {
            if random.chance(*part) {
                mailers.push((*mailer, *visits));
            }
        }
        let address = format!("{local}@{domain}").parse().context("an account's address")?;
        Ok(Self { index, address, class, name, messages, folders, mailers })
    }
}

/// Unlike that of any other number.
pub(super) fn local_part(number: u64, random: &mut Random) -> String {
    let mut pick = |of: &[&'static str]| random.pick(of).copied().unwrap_or("x");
    format!("{}.{}.{}", pick(&FIRST), pick(&LAST), in_letters(number))
}

/// In base 36.
fn in_letters(mut number: u64) -> String {
    let mut text = Vec::new();
    loop {
        text.push(char::from_digit(u32::try_from(number % 36).unwrap_or(0), 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return text.iter().rev().collect();
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            ["0", "z", "10", "lflr"],
            [0, 35, 36, 999_999].map(in_letters).each_ref().map(|text| text.as_str())
        );
        let account = Account::draw(77, Class::Corporate, "corp1.example", &mut Random::new(1, 77)).unwrap();
        let local = account.address.to_string();
        let words: Vec<&str> = local.split(['.', '@']).collect();
        assert_eq!(words[2], "25");
        assert_eq!(account.name, format!("{} {}", capital(words[0]), capital(words[1])));
        assert!(FIRST.contains(&words[0]) && LAST.contains(&words[1]), "{local}");
    }
}
