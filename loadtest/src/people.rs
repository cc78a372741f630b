//! To whom and as whom a load acts: addresses that were named, or a population.

use std::sync::Arc;

use anyhow::bail;
use envelope::Address;

use crate::population::{Class, Mailer, Population};
use crate::random::Random;

/// Draws after which anybody is taken, when nobody uses the program that is asked for.
const DRAWS_MAX: u32 = 1000;

/// Accounts of the system under test.
#[derive(Debug, Clone)]
pub enum People {
    /// These, in turn.
    Named(Vec<Address>),
    /// Drawn by how much mail they get and how they read it.
    Population(Arc<Population>),
}

/// Somebody, for one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) address: Address,
    pub(crate) class: Class,
    /// Messages that are new since the last visit, as far as anybody can say without asking.
    pub(crate) news: u32,
}

impl People {
    /// Named addresses, at least one.
    pub fn named(addresses: Vec<Address>) -> anyhow::Result<Self> {
        if addresses.is_empty() {
            bail!("a load needs at least one account: name some, or a population");
        }
        Ok(Self::Named(addresses))
    }

    /// Who gets the message of a number.
    pub(crate) fn recipient(&self, number: u64, random: &mut Random) -> anyhow::Result<Person> {
        match self {
            Self::Named(addresses) => Self::turn(addresses, number),
            Self::Population(population) => {
                let account = population.recipient(random)?;
                Ok(Person { address: account.address, class: account.class, news: 1 })
            }
        }
    }

    /// Who looks at the mail with `mailer` in the visit of a number.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "messages of a visit")]
    pub(crate) fn visitor(&self, number: u64, mailer: Mailer, random: &mut Random) -> anyhow::Result<Person> {
        match self {
            Self::Named(addresses) => Self::turn(addresses, number),
            Self::Population(population) => {
                for _ in 0..DRAWS_MAX {
                    let account = population.account(random.below(population.len()))?;
                    let visits =
                        account.mailers.iter().find(|(used, _)| *used == mailer).map(|(_, visits)| *visits);
                    if let Some(visits) = visits {
                        let news = account.class.habits().received_a_day / visits.max(1.0);
                        return Ok(Person {
                            address: account.address,
                            class: account.class,
                            news: news.ceil() as u32,
                        });
                    }
                }
                let account = population.account(random.below(population.len()))?;
                Ok(Person { address: account.address, class: account.class, news: 1 })
            }
        }
    }

    fn turn(addresses: &[Address], number: u64) -> anyhow::Result<Person> {
        let at = usize::try_from(number % addresses.len().max(1) as u64)?;
        let Some(address) = addresses.get(at) else { bail!("no account was named") };
        Ok(Person { address: address.clone(), class: Class::Personal, news: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ones_take_turns_and_a_population_is_drawn_by_habit() {
        let (a, b): (Address, Address) = ("a@x.test".parse().unwrap(), "b@x.test".parse().unwrap());
        let named = People::named(vec![a.clone(), b.clone()]).unwrap();
        let mut random = Random::new(1, 1);
        let turns: Vec<Address> =
            (0..3).map(|number| named.recipient(number, &mut random).unwrap().address).collect();
        assert_eq!(turns, [a.clone(), b, a]);
        assert!(People::named(Vec::new()).is_err());
        let population = Arc::new(Population::new(1, 2000, "example").unwrap());
        let people = People::Population(Arc::clone(&population));
        for number in 0..50 {
            let person = people.visitor(number, Mailer::Outlook, &mut random).unwrap();
            assert_eq!((person.class, person.news), (Class::Corporate, 6), "60 messages a day, ten visits");
        }
    }
}
