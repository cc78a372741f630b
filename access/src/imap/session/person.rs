//! Who is logged in.

use envelope::AccountId;
use store::Account;

use crate::accounts::AccountPlace;

/// Somebody who is logged in.
pub(crate) struct Person {
    /// Their mail.
    pub(crate) mail: Account,
    place: AccountPlace,
}

impl Person {
    pub(crate) const fn new(mail: Account, place: AccountPlace) -> Self {
        Self { mail, place }
    }

    /// Who it is.
    pub(crate) const fn account(&self) -> &AccountId {
        self.place.account()
    }
}
