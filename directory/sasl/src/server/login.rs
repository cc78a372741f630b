//! LOGIN (draft-murchison-sasl-login): name and password in two responses.

use std::borrow::Cow;

use crate::credentials::{name, secret};
use crate::server::{Exchange, Step};
use crate::{Credentials, Limits, SaslError};

/// Where the exchange is. An initial response is taken as the name (quirk `login-initial`): several clients send it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Waits for the name.
    User,
    /// Has the name, waits for the password.
    Password {
        /// The name.
        login: String,
    },
}

impl Login {
    /// `Username:` or `Password:` in base64: clients compare these very texts.
    pub(crate) const fn challenge(&self) -> &'static str {
        match self {
            Self::User => "VXNlcm5hbWU6",
            Self::Password { .. } => "UGFzc3dvcmQ6",
        }
    }

    pub(crate) fn take(self, response: &[u8], limits: &Limits) -> Result<Step, SaslError> {
        match self {
            Self::User => {
                let next = Self::Password { login: name(response, limits)? };
                let challenge = next.challenge();
                Ok(Step::Challenge(Exchange::Login(next), Cow::Borrowed(challenge)))
            }
            Self::Password { login } => Ok(Step::Finished(Credentials {
                authorization_identity: None,
                login,
                password: secret(response, limits)?,
            })),
        }
    }
}
