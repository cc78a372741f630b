//! The name under which an account is known everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Address, AddressError};

/// An account's primary address in canonical form. The directory gives it out; the store files
/// mail under it; sessions carry it after login. Other addresses of the account are aliases.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(Address);

impl AccountId {
    /// The id of the account whose primary address this is.
    pub fn new(address: &Address) -> Self {
        Self(address.canonical())
    }

    /// The primary address.
    pub const fn address(&self) -> &Address {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(|address: Address| Self::new(&address))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
