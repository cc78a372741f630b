//! USER and PASS, AUTH; and opening the maildrop behind them.

use envelope::{AccountId, Secret};
use pop3_proto::{Maildrop, Message, Session as Machine};
use sasl::server::{Mechanism, Step};
use sasl::{Credentials, SaslError};
use store::MailboxName;

use super::{Open, Session};
use crate::login::{LoginError, login};
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
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            self.answer(&reply::unknown_mechanism())?;
            return Ok(Machine::refused());
        };
        let initial = initial.as_ref().map(|initial| initial.expose().as_slice());
        let step = mechanism.begin(initial, &self.server.sasl_limits());
        self.sasl_step(step).await
    }

    pub(super) async fn sasl_respond(&mut self, line: &Secret<Vec<u8>>) -> Result<Machine, End> {
        let Some(exchange) = self.exchange.take() else { return Ok(Machine::refused()) };
        let step = exchange.respond(line.expose(), &self.server.sasl_limits());
        self.sasl_step(step).await
    }

    async fn sasl_step(&mut self, step: Result<Step, SaslError>) -> Result<Machine, End> {
        match step {
            Ok(Step::Challenge(exchange, challenge)) => {
                self.exchange = Some(exchange);
                let (machine, reply) = Machine::challenged(challenge);
                self.put(&reply);
                Ok(machine)
            }
            Ok(Step::Finished(credentials)) => self.check(credentials).await,
            Err(error) => {
                self.server.metrics.login(Login::Malformed);
                self.answer(&reply::sasl_failed(error))?;
                Ok(Machine::refused())
            }
        }
    }

    async fn check(&mut self, credentials: Credentials) -> Result<Machine, End> {
        if credentials.acts_for_another() {
            return self.refuse(LoginError::Refused).await;
        }
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
