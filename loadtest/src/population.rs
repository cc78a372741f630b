//! A population of accounts as a provider has them: worked out from a seed, never kept.
//!
//! Account `i` is the same whenever and wherever it is asked for, so that a million of them need no memory and no file, and several machines can drive one population.
//!
//! ```text
//!  seed, index ─▶ class ─▶ domain, local part ─▶ messages, folders, mail a day, clients
//! ```
//! | class | share | domain | who they are |
//! |---|---|---|---|
//! | corporate | 10 % | one of `corpN.example`, few large and many small | much mail, many folders, Outlook and a telephone that are always connected |
//! | personal | 25 % | one of `homeN.example`, four accounts each | some mail, Thunderbird, Apple Mail or the webmail |
//! | free | 65 % | `free.example` or `post.example` | little mail; webmail, a telephone, POP3 polls |
//!
//! Domains end in `.example` (RFC 2606), or in what is asked for.

mod account;
mod class;
mod ldif;
mod maildir;
mod summary;

use anyhow::{Context as _, bail};
use envelope::{Address, Domain};

pub use account::Account;
pub use class::{Class, Habits, Mailer};
pub use ldif::{LdifEntry, write as write_ldif};
pub use maildir::{MaildirPlan, Written, write as write_maildir};
pub use summary::Summary;

use crate::random::Random;

/// Most accounts of a population.
pub const ACCOUNTS_MAX: u64 = 100_000_000;
/// Accounts of a corporate domain on average, and of a personal one.
const CORPORATE_ACCOUNTS: f64 = 250.0;
const PERSONAL_ACCOUNTS: f64 = 4.0;
const FREE_DOMAINS: [&str; 2] = ["free", "post"];

/// So many accounts of a seed.
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    accounts: u64,
    suffix: String,
}

impl Population {
    /// Domains end in `suffix`, such as `example`.
    pub fn new(seed: u64, accounts: u64, suffix: &str) -> anyhow::Result<Self> {
        if accounts == 0 || accounts > ACCOUNTS_MAX {
            bail!("a population has 1 to {ACCOUNTS_MAX} accounts, not {accounts}");
        }
        let _: Domain = suffix.parse().with_context(|| format!("domains can't end in `{suffix}`"))?;
        Ok(Self { seed, accounts, suffix: suffix.to_owned() })
    }

    /// How many there are.
    pub const fn len(&self) -> u64 {
        self.accounts
    }

    /// There is always somebody.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The account of a number under [`Self::len`]; beyond it they begin anew.
    pub fn account(&self, index: u64) -> anyhow::Result<Account> {
        let index = index % self.accounts;
        let mut random = Random::new(self.seed, index);
        let class = Class::of(random.unit());
        let label = self.label(class, &mut random);
        Account::draw(index, class, &format!("{label}.{}", self.suffix), &mut random)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = anyhow::Result<Account>> + '_ {
        (0..self.accounts).map(|index| self.account(index))
    }

    /// The address of an account drawn by how much mail it gets.
    pub fn recipient(&self, random: &mut Random) -> anyhow::Result<Account> {
        // Of every class somebody gets mail; drawing until one is wanted needs four tries on average.
        let most = Class::ALL.iter().map(|class| class.habits().received_a_day).fold(0.0, f64::max);
        loop {
            let account = self.account(random.below(self.accounts))?;
            if random.chance(account.class.habits().received_a_day / most) {
                return Ok(account);
            }
        }
    }

    /// Every domain that an account may be in.
    pub fn domains(&self) -> anyhow::Result<Vec<Domain>> {
        let corporate = (0..self.count(Class::Corporate)).map(|number| format!("corp{number}"));
        let personal = (0..self.count(Class::Personal)).map(|number| format!("home{number}"));
        let labels = FREE_DOMAINS.map(str::to_owned).into_iter().chain(corporate).chain(personal);
        labels.map(|label| format!("{label}.{}", self.suffix).parse().context("a domain")).collect()
    }

    /// Somebody outside, who writes to these accounts.
    pub fn stranger(&self, random: &mut Random) -> anyhow::Result<Address> {
        let number = random.below(self.accounts.max(1000));
        Ok(format!("{}@elsewhere{}.{}", account::local_part(number, random), number % 1000, self.suffix)
            .parse()?)
    }

    /// Domains of a class.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of at most ACCOUNTS_MAX"
    )]
    fn count(&self, class: Class) -> u64 {
        let accounts = self.accounts as f64 * class.habits().share;
        match class {
            Class::Corporate => (accounts / CORPORATE_ACCOUNTS).ceil() as u64,
            Class::Personal => (accounts / PERSONAL_ACCOUNTS).ceil() as u64,
            Class::Free => 0,
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number under that of domains"
    )]
    fn label(&self, class: Class, random: &mut Random) -> String {
        let domains = self.count(class);
        match class {
            // Companies differ in size: the square makes a few large and many small.
            Class::Corporate => format!("corp{}", (domains as f64 * random.unit().powi(2)) as u64),
            Class::Personal => format!("home{}", random.below(domains)),
            Class::Free => random.pick(&FREE_DOMAINS).copied().unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    #[test]
    fn accounts_are_the_same_each_time_and_nobody_is_there_twice() {
        let (one, other) =
            (Population::new(7, 5000, "example").unwrap(), Population::new(7, 5000, "example").unwrap());
        let mut seen = HashSet::new();
        let domains: HashSet<Domain> = one.domains().unwrap().into_iter().collect();
        for index in 0..5000 {
            let account = one.account(index).unwrap();
            assert_eq!(account, other.account(index).unwrap());
            assert!(domains.contains(account.address.domain()), "{}", account.address);
            assert!(seen.insert(account.address.canonical()), "{} is there twice", account.address);
        }
        assert_ne!(Population::new(8, 5000, "example").unwrap().account(3).unwrap(), one.account(3).unwrap());
        assert_eq!(one.account(5003).unwrap(), one.account(3).unwrap());
    }

    #[test]
    fn classes_have_their_shares_and_mail_goes_where_much_is_received() {
        let population = Population::new(1, 20_000, "example").unwrap();
        let mut classes: BTreeMap<Class, u64> = BTreeMap::new();
        for account in population.iter() {
            *classes.entry(account.unwrap().class).or_default() += 1;
        }
        for (class, count) in &classes {
            let expected = class.habits().share * 20_000.0;
            let found = u32::try_from(*count).unwrap();
            assert!((f64::from(found) - expected).abs() < expected * 0.06 + 30.0, "{class:?}: {count}");
        }
        let mut random = Random::new(1, 99);
        let to: Vec<Class> = (0..4000).map(|_| population.recipient(&mut random).unwrap().class).collect();
        let corporate = to.iter().filter(|class| **class == Class::Corporate).count();
        // A tenth of the accounts, and half of the mail.
        assert!((1850..2150).contains(&corporate), "{corporate}");
    }

    #[test]
    fn impossible_populations_are_refused() {
        for (accounts, suffix) in
            [(0, "example"), (ACCOUNTS_MAX + 1, "example"), (1, "not a domain"), (1, "")]
        {
            assert!(Population::new(1, accounts, suffix).is_err(), "{accounts} {suffix:?}");
        }
    }
}
