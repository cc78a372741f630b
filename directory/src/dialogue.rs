//! A login from its first word to its end: the exchange by `sasl`, its questions answered by a [`Directory`]. The three protocols
//! only carry lines to and fro.
//!
//! ```text
//! LoginOffer::begin ─▶ Challenge ─▶ respond ─▶ … ─▶ Accepted | Refused | Throttled | Failed | Unavailable
//! ```

use std::borrow::Cow;
use std::net::IpAddr;

use envelope::AccountId;
use sasl::server::{BearerToken, Channel, Exchange, NONCE_OCTETS, ScramProof, ScramStart, ServerNonce, Step};
use sasl::{Credentials, Limits, Mechanism, SaslError};

use crate::{Authentication, Directory, ScramAnswer, Unavailable};

/// What a connection offers, and the channel that it is.
#[derive(Debug, Clone)]
pub struct LoginOffer {
    mechanisms: Vec<Mechanism>,
    channel: Channel,
}

/// Who asks, and how much may be asked.
#[derive(Debug, Clone, Copy)]
pub struct LoginTerms {
    /// Of names, passwords and lines.
    pub limits: Limits,
    /// Counts for throttling.
    pub peer: IpAddr,
}

/// A login under way: waits for the client's next line.
#[derive(Debug)]
pub struct LoginDialogue {
    exchange: Exchange,
    /// Whom the directory accepted, before the client has heard of it.
    account: Option<AccountId>,
}

/// What comes next.
#[derive(Debug)]
pub enum LoginTurn {
    /// Send this base64 text and give the next line to [`LoginDialogue::respond`].
    Challenge(LoginDialogue, Cow<'static, str>),
    /// Somebody is logged in.
    Accepted(AccountId),
    /// Wrong, or not allowed: one answer for all.
    Refused {
        /// Who wanted to log in, as far as it was said: for the log.
        login: Option<String>,
    },
    /// Too many failures: nothing was looked at.
    Throttled,
    /// The exchange broke off before anybody was asked.
    Failed(SaslError),
    /// The directory can't say.
    Unavailable(Unavailable),
}

impl LoginOffer {
    /// Those of the `wanted` mechanisms that work: with this directory, over this channel. Of `channel` only what it can be bound to
    /// counts.
    pub fn new(wanted: &[Mechanism], directory: &dyn Directory, channel: Channel) -> Self {
        let methods = directory.login_methods();
        let works = |mechanism: &Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::ScramSha256 => methods.scram,
            Mechanism::ScramSha256Plus => methods.scram && channel.is_bindable(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => methods.bearer.is_some(),
        };
        let mechanisms: Vec<Mechanism> = wanted.iter().copied().filter(works).collect();
        let plus_offered = mechanisms.contains(&Mechanism::ScramSha256Plus);
        Self { mechanisms, channel: Channel { plus_offered, ..channel } }
    }

    /// The mechanisms' names, in the order in which to announce them.
    pub fn names(&self) -> Vec<&'static str> {
        self.mechanisms.iter().map(|mechanism| mechanism.name()).collect()
    }

    /// Whether a password itself may be sent, by whatever command.
    pub fn takes_passwords(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.tells_password())
    }

    /// The mechanism of this name, when it is offered.
    pub fn find(&self, name: &[u8]) -> Option<Mechanism> {
        Mechanism::parse(name).filter(|mechanism| self.mechanisms.contains(mechanism))
    }

    /// Begins a login. `initial` is the initial response in base64, or `=` for an empty one.
    pub async fn begin(
        &self,
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        directory: &dyn Directory,
        terms: &LoginTerms,
    ) -> LoginTurn {
        let step = mechanism.begin(initial, &terms.limits, &self.channel);
        go_on(step, None, directory, terms).await
    }
}

impl LoginDialogue {
    /// Takes the client's line, without its CRLF.
    pub async fn respond(self, line: &[u8], directory: &dyn Directory, terms: &LoginTerms) -> LoginTurn {
        go_on(self.exchange.respond(line, &terms.limits), self.account, directory, terms).await
    }
}

/// Asks the directory what the exchange wants to know, until the client is to speak again or all is said.
async fn go_on(
    mut step: Result<Step, SaslError>,
    mut account: Option<AccountId>,
    directory: &dyn Directory,
    terms: &LoginTerms,
) -> LoginTurn {
    loop {
        let next = match step {
            Ok(Step::Challenge(exchange, text)) => {
                return LoginTurn::Challenge(LoginDialogue { exchange, account }, text);
            }
            Ok(Step::Finished(credentials)) => return password(&credentials, directory, terms).await,
            Ok(Step::Secret(start)) => secret(start, directory, terms).await,
            Ok(Step::Proof(proof)) => match judge_proof(&proof, directory, terms).await {
                LoginTurn::Accepted(accepted) => {
                    account = Some(accepted);
                    Ok(proof.accepted())
                }
                turn => Err(turn),
            },
            Ok(Step::Proven) => {
                return account.map_or(LoginTurn::Refused { login: None }, LoginTurn::Accepted);
            }
            Ok(Step::Token(token)) => judge_token(token, directory, terms).await,
            Ok(Step::Refused) => return LoginTurn::Refused { login: None },
            Err(error) => return LoginTurn::Failed(error),
        };
        step = match next {
            Ok(step) => Ok(step),
            Err(turn) => return turn,
        };
    }
}

async fn password(credentials: &Credentials, directory: &dyn Directory, terms: &LoginTerms) -> LoginTurn {
    let login = &credentials.login;
    // RFC 4616 §2: nobody here acts for somebody else.
    if credentials.acts_for_another() {
        return LoginTurn::Refused { login: Some(login.clone()) };
    }
    turn(directory.authenticate(login, &credentials.password, terms.peer).await, Some(login))
}

async fn secret(start: ScramStart, directory: &dyn Directory, terms: &LoginTerms) -> Result<Step, LoginTurn> {
    match directory.scram_secret(start.login(), terms.peer).await {
        Ok(ScramAnswer::Secret(secret)) => {
            let mut random = [0; NONCE_OCTETS];
            if getrandom::fill(&mut random).is_err() {
                let fault = Unavailable("the system has no randomness to give".to_owned());
                return Err(LoginTurn::Unavailable(fault));
            }
            Ok(start.challenge(secret, &ServerNonce::new(&random)))
        }
        Ok(ScramAnswer::Throttled) => Err(LoginTurn::Throttled),
        Err(error) => Err(LoginTurn::Unavailable(error)),
    }
}

async fn judge_proof(proof: &ScramProof, directory: &dyn Directory, terms: &LoginTerms) -> LoginTurn {
    if proof.acts_for_another() {
        return LoginTurn::Refused { login: Some(proof.login().to_owned()) };
    }
    let answer = directory.authenticate_scram(proof, terms.peer).await;
    turn(answer, Some(proof.login()))
}

/// A client whose token is refused is told so before the login ends (RFC 7628 §3.2.2).
async fn judge_token(
    token: BearerToken,
    directory: &dyn Directory,
    terms: &LoginTerms,
) -> Result<Step, LoginTurn> {
    let answer = directory.authenticate_bearer(&token, terms.peer).await;
    match turn(answer, token.login.as_deref()) {
        LoginTurn::Refused { .. } => Ok(token.refused(&directory.login_methods().bearer.unwrap_or_default())),
        turn => Err(turn),
    }
}

fn turn(answer: Result<Authentication, Unavailable>, login: Option<&str>) -> LoginTurn {
    match answer {
        Ok(Authentication::Accepted(account)) => LoginTurn::Accepted(account),
        Ok(Authentication::Refused) => LoginTurn::Refused { login: login.map(str::to_owned) },
        Ok(Authentication::Throttled) => LoginTurn::Throttled,
        Err(error) => LoginTurn::Unavailable(error),
    }
}
