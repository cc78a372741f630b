//! USER and PASS, AUTH; and opening the maildrop behind them.

use directory::{LoginTerms, LoginTurn};
use envelope::{AccountId, Secret};
use pop3_proto::{Maildrop, Message, Session as Machine};
use sasl::{Credentials, SaslError};
use store::MailboxName;

use super::{Open, Session};
use crate::login::{LoginError, login, unavailable};
use crate::pop3::metrics::{End, Login};
use crate::pop3::reply;

impl Session {
    pub(super) async fn user_pass(
        &mut self,
        name: &[u8],
        password: &Secret<Vec<u8>>,
    ) -> Result<Machine, End> {
        match Credentials::new(name, password.expose(), &self.server.sasl_limits()) {
            Ok(credentials) => self.check(credentials).await,
            // Not usable is as wrong as any other: the client can't tell, and waits as long.
            Err(_) => self.refuse(LoginError::Refused).await,
        }
    }

    pub(super) async fn sasl_begin(
        &mut self,
        mechanism: &[u8],
        initial: Option<Secret<Vec<u8>>>,
    ) -> Result<Machine, End> {
        let Some(mechanism) = self.login_offer.find(mechanism) else {
            self.answer(&reply::unknown_mechanism())?;
            return Ok(Machine::refused());
        };
        let initial = initial.as_ref().map(|initial| initial.expose().as_slice());
        let terms = self.login_terms();
        let directory = self.server.deps.directory.as_ref();
        let turn = self.login_offer.begin(mechanism, initial, directory, &terms).await;
        self.sasl_turn(turn).await
    }

    pub(super) async fn sasl_respond(&mut self, line: &Secret<Vec<u8>>) -> Result<Machine, End> {
        let Some(dialogue) = self.dialogue.take() else { return Ok(Machine::refused()) };
        let terms = self.login_terms();
        let turn = dialogue.respond(line.expose(), self.server.deps.directory.as_ref(), &terms).await;
        self.sasl_turn(turn).await
    }

    fn login_terms(&self) -> LoginTerms {
        LoginTerms { limits: self.server.sasl_limits(), peer: self.peer }
    }

    async fn sasl_turn(&mut self, turn: LoginTurn) -> Result<Machine, End> {
        match turn {
            LoginTurn::Challenge(dialogue, challenge) => {
                self.dialogue = Some(dialogue);
                let (machine, reply) = Machine::challenged(&challenge);
                self.put(&reply);
                Ok(machine)
            }
            LoginTurn::Accepted(account) => self.open(account).await,
            // A proof that is bound to something else is as wrong as any other.
            LoginTurn::Refused { .. } | LoginTurn::Failed(SaslError::ChannelBinding) => {
                self.refuse(LoginError::Refused).await
            }
            LoginTurn::Throttled => self.refuse(LoginError::Throttled).await,
            LoginTurn::Unavailable(error) => self.refuse(unavailable(&error)).await,
            LoginTurn::Failed(error) => {
                self.server.metrics.login(Login::Malformed);
                self.answer(&reply::sasl_failed(error))?;
                Ok(Machine::refused())
            }
        }
    }

    async fn check(&mut self, credentials: Credentials) -> Result<Machine, End> {
        match login(&self.server.deps, &credentials.login, &credentials.password, self.peer).await {
            Ok(account) => self.open(account).await,
            Err(error) => self.refuse(error).await,
        }
    }

    async fn refuse(&mut self, error: LoginError) -> Result<Machine, End> {
        self.server.metrics.login(match error {
            LoginError::Refused => Login::Refused,
            LoginError::Throttled => Login::Throttled,
            LoginError::Unavailable => Login::Unavailable,
        });
        if error != LoginError::Unavailable {
            self.failed_logins += 1;
            // Nobody waits for the delay of a server that stops.
            let delay = self.server.config.failed_login_delay.as_duration();
            tokio::select! {
                () = self.drain.requested() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
        self.answer(&reply::login_failed(error))?;
        if self.failed_logins >= self.server.config.failed_logins_max {
            return Err(End::FailedLogins);
        }
        Ok(Machine::refused())
    }

    /// Takes the lock and the picture of INBOX.
    async fn open(&mut self, account: AccountId) -> Result<Machine, End> {
        let Some(lock) = self.server.locks.take(&account) else {
            self.server.metrics.login(Login::InUse);
            self.answer(&reply::in_use())?;
            return Ok(Machine::refused());
        };
        let store = self.server.deps.store.clone();
        let id = account.clone();
        let picture = self.server.deps.work(move || {
            let mailbox = store.account(&id)?.mailbox(&MailboxName::inbox())?;
            let view = mailbox.refresh()?;
            Ok((mailbox, view))
        });
        match picture.await {
            Ok((mailbox, view)) => {
                let message = |entry: &store::Entry| Message { uid: entry.uid.0, size: entry.size };
                let messages = view.iter().map(message).collect();
                let (machine, reply) = Machine::opened(Maildrop::new(view.uid_validity.0, messages));
                self.open = Some(Open { mailbox, _lock: lock });
                self.server.metrics.login(Login::Accepted);
                tracing::info!(%account, peer = %self.peer, "logged in");
                self.answer(&reply)?;
                Ok(machine)
            }
            Err(error) => {
                tracing::warn!(%account, %error, "the mailbox could not be opened");
                self.answer(&reply::store_failed(&error))?;
                Ok(Machine::refused())
            }
        }
    }
}
