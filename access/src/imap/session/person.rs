//! Who is logged in.

use store::Account;

use crate::accounts::AccountPlace;

/// Somebody who is logged in.
pub(crate) struct Person {
    /// Their mail.
    pub(crate) mail: Account,
    _place: AccountPlace,
}

impl Person {
    pub(crate) const fn new(mail: Account, place: AccountPlace) -> Self {
        Self { mail, _place: place }
    }
}
