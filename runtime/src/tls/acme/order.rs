//! One order: account, challenges, certificate (RFC 8555 §7.1).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};

use super::answers::Answers;
use super::config::{AcmeConfig, Challenge};
use super::http::Http;
use crate::ClientTls;
use crate::tls::certificate::Certificate;
use crate::tls::{CertificateFacts, TlsError, files};

/// The account's file.
const ACCOUNT: &str = "account.json";
/// How long after a step the authority is asked how far it is; a little longer each time.
const POLL_AFTER: Duration = Duration::from_millis(500);
const POLL_SLOWER: f32 = 1.5;
/// The problem of an account that the authority does not know (any more) (RFC 8555 §6.7).
const ACCOUNT_UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority refused a step, or could not be talked to.
    #[error("failed to {step}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// What happened.
        #[source]
        source: Error,
    },
    /// A domain could not be proved to be ours.
    #[error("the authority does not believe that `{domain}` is ours: {reason}")]
    NotProved {
        /// Which.
        domain: String,
        /// What the authority says.
        reason: String,
    },
    /// The authority does not offer the challenge that is configured.
    #[error("the authority offers no {challenge:?} for `{domain}`")]
    NotOffered {
        /// For which domain.
        domain: String,
        /// What is configured.
        challenge: Challenge,
    },
    /// The order went to a state from which nothing comes.
    #[error("the order is {0:?}")]
    Ended(OrderStatus),
    /// What came is not what was ordered.
    #[error("the certificate that came does not fit the order: {0}")]
    Wrong(&'static str),
    /// It took too long in all.
    #[error("the order took longer than `order_max`")]
    TooLong,
    /// A file, a key or a certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The account's file can't be read as what it is.
    #[error("failed to understand `{path}`: move it away, and a new account is made")]
    Account {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Work on files panicked.
    #[error("the work failed unexpectedly")]
    Panicked,
}

fn failed(step: &'static str) -> impl FnOnce(Error) -> OrderError {
    move |source| OrderError::Step { step, source }
}

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The authority that it is with.
    directory_url: String,
    contacts: Vec<String>,
    credentials: AccountCredentials,
}

/// What an order needs.
pub(super) struct Ordering<'a> {
    pub(super) config: &'a AcmeConfig,
    pub(super) folder: &'a Path,
    pub(super) answers: &'a Answers,
    /// Where the present certificate and its key are, if there are any.
    pub(super) certificate_file: &'a Path,
}

impl Ordering<'_> {
    /// Orders a certificate. Gives its chain and its key in one PEM text.
    pub(super) async fn certificate(&self) -> Result<String, OrderError> {
        let ordered = tokio::time::timeout(self.config.order_max.as_duration(), self.order()).await;
        self.answers.clear();
        ordered.unwrap_or(Err(OrderError::TooLong))
    }

    async fn order(&self) -> Result<String, OrderError> {
        let account = self.account().await?;
        let domains: Vec<Identifier> = self.config.domains.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&domains)).await;
        let mut order = self.known("order a certificate", order).await?;
        self.prove(&mut order).await?;
        let key = self.key().await?;
        let mut parameters =
            CertificateParams::new(self.config.domains.clone()).map_err(TlsError::SelfSigned)?;
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&key).map_err(TlsError::SelfSigned)?;
        order.finalize_csr(request.der()).await.map_err(failed("send the request for the certificate"))?;
        let chain = order.poll_certificate(&self.polls()).await.map_err(failed("fetch the certificate"))?;
        let key = key.serialize_pem();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes())?;
        fits(&certificate.facts, &self.config.domains)?;
        Ok(format!("{}\n{}", chain.trim_end(), key))
    }

    /// Answers the challenge of every domain that the authority does not believe in yet, and waits for its judgement.
    async fn prove(&self, order: &mut Order) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed("read what is to be proved"))?;
            let domain = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(OrderError::NotProved { domain, reason: format!("{status:?}") }),
            }
            let challenge = self.config.challenge;
            let kind = match challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let Some(mut offered) = authorization.challenge(kind) else {
                return Err(OrderError::NotOffered { domain, challenge });
            };
            let key_authorization = offered.key_authorization();
            match challenge {
                Challenge::Http01 => self.answers.add_page(&offered.token, key_authorization.as_str()),
                Challenge::TlsAlpn01 => {
                    self.answers.add_certificate(&domain, key_authorization.digest().as_ref())?;
                }
            }
            offered.set_ready().await.map_err(failed("ask for a domain to be checked"))?;
        }
        let judged = order.poll_ready(&self.polls()).await;
        match judged {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(OrderStatus::Invalid) | Err(Error::Api(_)) => {
                let reason = why_not(order).await;
                Err(reason.unwrap_or_else(|| match judged {
                    Err(error) => failed("have the domains checked")(error),
                    Ok(status) => OrderError::Ended(status),
                }))
            }
            Ok(status) => Err(OrderError::Ended(status)),
            Err(error) => Err(failed("have the domains checked")(error)),
        }
    }

    /// The key of the new certificate.
    async fn key(&self) -> Result<KeyPair, OrderError> {
        let path = self.certificate_file.to_owned();
        let kept = if self.config.keep_key && path.exists() {
            blocking(move || Ok(Some(files::read(&path)?))).await?
        } else {
            None
        };
        let pem = kept.as_deref().map(String::from_utf8_lossy);
        // One that is no key, or of a kind that we do not make, is replaced.
        let kept =
            pem.and_then(|pem| KeyPair::from_pem(pem.get(pem.find("-----BEGIN PRIVATE KEY")?..)?).ok());
        kept.map_or_else(|| Ok(KeyPair::generate().map_err(TlsError::SelfSigned)?), Ok)
    }

    fn polls(&self) -> RetryPolicy {
        let timeout = self.config.order_max.as_duration();
        RetryPolicy::new().initial_delay(POLL_AFTER).backoff(POLL_SLOWER).timeout(timeout)
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, OrderError> {
        let (authorities, path) = (self.config.authorities_file.clone(), self.folder.join(ACCOUNT));
        let url = self.config.directory_url.clone();
        let (tls, kept) =
            blocking(move || Ok((ClientTls::trusting_authorities(&authorities)?, read_account(&path)?)))
                .await?;
        let request_max = self.config.request_max.as_duration();
        let builder = Account::builder_with_http(Box::new(Http { tls, request_max }));
        let links: Vec<String> = self.config.contacts.iter().map(|one| format!("mailto:{one}")).collect();
        let links: Vec<&str> = links.iter().map(String::as_str).collect();
        // An account with another authority is of no use with this one.
        if let Some(kept) = kept.filter(|kept| kept.directory_url == url) {
            let text = serde_json::to_value(&kept.credentials);
            let account =
                builder.from_credentials(kept.credentials).await.map_err(failed("open the account"))?;
            if kept.contacts != self.config.contacts {
                self.known("change the contacts", account.update_contacts(&links).await).await?;
                let credentials = text.and_then(serde_json::from_value);
                self.keep_account(credentials.map_err(|source| self.misread(source))?).await?;
            }
            return Ok(account);
        }
        let wanted =
            NewAccount { contact: &links, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) =
            builder.create(&wanted, url, None).await.map_err(failed("make an account"))?;
        self.keep_account(credentials).await?;
        Ok(account)
    }

    async fn keep_account(&self, credentials: AccountCredentials) -> Result<(), OrderError> {
        let (directory_url, contacts) = (self.config.directory_url.clone(), self.config.contacts.clone());
        let kept = Kept { directory_url, contacts, credentials };
        let text = serde_json::to_string_pretty(&kept).map_err(|source| self.misread(source))?;
        let path = self.folder.join(ACCOUNT);
        blocking(move || Ok(files::write(&path, &text, 0o600)?)).await
    }

    /// What a step as the account came to. An authority that does not know our account gets a new one at the next try.
    async fn known<T>(&self, step: &'static str, asked: Result<T, Error>) -> Result<T, OrderError> {
        if let Err(Error::Api(problem)) = &asked
            && problem.r#type.as_deref() == Some(ACCOUNT_UNKNOWN)
        {
            let path = self.folder.join(ACCOUNT);
            blocking(move || {
                Ok(fs::remove_file(&path).map_err(|source| files::failed("remove", &path, source))?)
            })
            .await?;
        }
        asked.map_err(failed(step))
    }

    fn misread(&self, source: serde_json::Error) -> OrderError {
        OrderError::Account { path: self.folder.join(ACCOUNT).display().to_string(), source }
    }
}

fn read_account(path: &PathBuf) -> Result<Option<Kept>, OrderError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| OrderError::Account { path: path.display().to_string(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(files::failed("read", path, source).into()),
    }
}

/// Which domain could not be proved, and why.
async fn why_not(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        authorization.refresh().await.ok()?;
        let failed = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = failed {
            let (domain, reason) = (authorization.identifier().to_string(), printable(&problem.to_string()));
            return Some(OrderError::NotProved { domain, reason });
        }
    }
    None
}

/// What another system says, fit for a log line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// Whether a certificate is one for these domains and for now; one that is not would be ordered again at once.
fn fits(facts: &CertificateFacts, domains: &[String]) -> Result<(), OrderError> {
    let now = time::OffsetDateTime::now_utc();
    if !facts.covers(domains) {
        return Err(OrderError::Wrong("a domain is missing"));
    }
    if facts.is_expired(now) {
        return Err(OrderError::Wrong("it has expired; is the clock right?"));
    }
    Ok(())
}

/// Runs work on files on a thread that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OrderError> + Send + 'static,
) -> Result<T, OrderError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(OrderError::Panicked))
}

/// Keeps what came; on disk when it returns.
pub(super) async fn keep(path: Arc<Path>, text: String) -> Result<(), OrderError> {
    blocking(move || Ok(files::write(&path, &text, 0o600)?)).await
}
