//! AUTH: the exchange by sasl, the answer by the directory.

use directory::Authentication;
use sasl::server::{Mechanism, Step};
use sasl::{Credentials, SaslError};
use smtp_proto::server::{Action, Input};
use smtp_proto::{Auth, Reply};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Login, Session};
use crate::reply;

impl Session {
    pub(super) async fn auth_start(&mut self, auth: &Auth) -> Action {
        let limits = self.shared.config.limits.sasl();
        let initial = auth.initial_response.as_ref().map(|text| text.expose().as_bytes());
        let step = Mechanism::parse(auth.mechanism.as_bytes())
            .ok_or(SaslError::Malformed("unknown mechanism"))
            .and_then(|mechanism| mechanism.begin(initial, &limits));
        self.auth_step(step).await
    }

    pub(super) async fn auth_response(&mut self, line: &[u8]) -> Action {
        let limits = self.shared.config.limits.sasl();
        let step = match self.exchange.take() {
            Some(exchange) => exchange.respond(line, &limits),
            None => Err(SaslError::Malformed("no exchange")),
        };
        self.auth_step(step).await
    }

    async fn auth_step(&mut self, step: Result<Step, SaslError>) -> Action {
        match step {
            Ok(Step::Challenge(exchange, challenge)) => {
                self.exchange = Some(exchange);
                self.machine.step(Input::Challenge(challenge))
            }
            Ok(Step::Finished(credentials)) => {
                let reply = self.login(&credentials).await;
                self.machine.step(Input::AuthDone(reply))
            }
            Err(_) => {
                self.shared.metrics.login(Login::Malformed);
                self.machine.step(Input::AuthDone(reply::login_malformed()))
            }
        }
    }

    async fn login(&mut self, credentials: &Credentials) -> Reply {
        // RFC 4616 §2: nobody here acts for somebody else.
        if credentials.acts_for_another() {
            return self.login_answer(Login::Refused);
        }
        let wait = self.shared.config.timeouts.directory.as_duration();
        let answer = self.shared.directory.authenticate(&credentials.login, &credentials.password, self.peer);
        match timeout(wait, answer).await {
            Ok(Ok(Authentication::Accepted(account))) => {
                info!(%account, peer = %self.peer, "logged in");
                self.account = Some(account);
                self.login_answer(Login::Accepted)
            }
            Ok(Ok(Authentication::Refused)) => {
                info!(login = %credentials.login.escape_debug(), peer = %self.peer, "login refused");
                self.login_answer(Login::Refused)
            }
            Ok(Ok(Authentication::Throttled)) => self.login_answer(Login::Throttled),
            Ok(Err(error)) => {
                warn!(%error, "directory unavailable, login refused for now");
                self.login_answer(Login::Unavailable)
            }
            Err(_) => self.login_answer(Login::Unavailable),
        }
    }

    fn login_answer(&self, outcome: Login) -> Reply {
        self.shared.metrics.login(outcome);
        match outcome {
            Login::Accepted => reply::logged_in(),
            Login::Malformed => reply::login_malformed(),
            Login::Refused => reply::login_refused(),
            Login::Throttled => reply::login_throttled(),
            Login::Unavailable => reply::login_unavailable(),
        }
    }
}
