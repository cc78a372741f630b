//! AUTH: the exchange by sasl, the answers by the directory.

use directory::{LoginOffer, LoginTerms, LoginTurn};
use runtime::ServerTls;
use sasl::SaslError;
use sasl::server::Channel;
use smtp_proto::server::{Action, Input};
use smtp_proto::{Auth, Reply};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Login, Session, Shared};
use crate::listen::Kind;
use crate::reply;
use crate::wire::Wire;

/// What a connection of `kind` offers as it is now. Nobody logs in where other mail systems deliver.
pub(super) fn login_offer(shared: &Shared, kind: Kind, tls: Option<&ServerTls>, wire: &Wire) -> LoginOffer {
    let wanted = if kind.is_submission() { shared.config.mechanisms.as_slice() } else { &[] };
    let binding = tls.and_then(|tls| wire.channel_binding(tls)).unwrap_or_default();
    let channel = Channel {
        tls_exporter: binding.exporter.map(Vec::from),
        tls_server_end_point: binding.server_end_point,
        plus_offered: false,
    };
    LoginOffer::new(wanted, shared.directory.as_ref(), channel)
}

impl Session {
    pub(super) async fn auth_start(&mut self, auth: &Auth) -> Action {
        let initial = auth.initial_response.as_ref().map(|text| text.expose().as_bytes());
        let Some(mechanism) = self.login_offer.find(auth.mechanism.as_bytes()) else {
            return self.auth_turn(LoginTurn::Failed(SaslError::Malformed("unknown mechanism")));
        };
        mechanism.name().clone_into(&mut self.mechanism);
        let terms = self.login_terms();
        let turn = self.login_offer.begin(mechanism, initial, self.shared.directory.as_ref(), &terms);
        let turn = timeout(self.shared.config.timeouts.directory.as_duration(), turn).await;
        self.auth_turn(turn.unwrap_or_else(|_| late()))
    }

    pub(super) async fn auth_response(&mut self, line: &[u8]) -> Action {
        let Some(dialogue) = self.dialogue.take() else {
            return self.auth_turn(LoginTurn::Failed(SaslError::Malformed("no exchange")));
        };
        let terms = self.login_terms();
        let turn = dialogue.respond(line, self.shared.directory.as_ref(), &terms);
        let turn = timeout(self.shared.config.timeouts.directory.as_duration(), turn).await;
        self.auth_turn(turn.unwrap_or_else(|_| late()))
    }

    fn login_terms(&self) -> LoginTerms {
        LoginTerms { limits: self.shared.config.limits.sasl(), peer: self.peer }
    }

    fn auth_turn(&mut self, turn: LoginTurn) -> Action {
        let outcome = match turn {
            LoginTurn::Challenge(dialogue, challenge) => {
                self.dialogue = Some(dialogue);
                return self.machine.step(Input::Challenge(&challenge));
            }
            LoginTurn::Accepted(account) => {
                info!(%account, peer = %self.peer, "logged in");
                if let Some(filters) = &mut self.filters {
                    filters.logged_in(account.clone(), &self.mechanism);
                }
                self.account = Some(account);
                Login::Accepted
            }
            LoginTurn::Refused { login } => {
                let login = login.as_deref().unwrap_or("-").escape_debug();
                info!(%login, peer = %self.peer, "login refused");
                Login::Refused
            }
            LoginTurn::Throttled => Login::Throttled,
            // RFC 4954 §6 has no other code for what is a failed proof.
            LoginTurn::Failed(SaslError::ChannelBinding) => Login::Refused,
            LoginTurn::Failed(_) => Login::Malformed,
            LoginTurn::Unavailable(error) => {
                warn!(%error, "directory unavailable, login refused for now");
                Login::Unavailable
            }
        };
        let reply = self.login_answer(outcome);
        self.machine.step(Input::AuthDone(reply))
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

fn late() -> LoginTurn {
    LoginTurn::Unavailable(directory::Unavailable("no answer within the deadline".to_owned()))
}
