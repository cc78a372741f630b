//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the server's side.
//!
//! ```text
//! client-first ──▶ ScramStart ──secret, nonce──▶ server-first ──▶ client-final ──▶ ScramProof ──▶ server-final ──▶ empty ──▶ in
//!                  (ask for the secret)                           (have it judged)
//! ```

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::gs2::{self, Gs2Flag, Gs2Header};
use super::{Channel, Exchange, Step};
use crate::scram::{KEY_OCTETS, Key};
use crate::{Limits, SaslError, ScramSecret};

/// Octets of randomness in a server's nonce.
pub const NONCE_OCTETS: usize = 18;

/// The server's part of the nonce: one exchange, one nonce. That is what makes an old proof worthless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNonce(String);

impl ServerNonce {
    /// `random` must come from a source of secure randomness, anew for every exchange.
    pub fn new(random: &[u8; NONCE_OCTETS]) -> Self {
        Self(STANDARD.encode(random))
    }
}

/// Waits for the client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scram {
    channel: Channel,
    plus: bool,
}

/// The client named itself: its secret is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramStart {
    login: String,
    authorization_identity: Option<String>,
    client_first_bare: String,
    client_nonce: String,
    /// What `c=` must say: the GS2 header as it was sent, and the channel's data behind it.
    channel_binding: Vec<u8>,
}

/// Waits for the client's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramFinal {
    start: ScramStart,
    secret: ScramSecret,
    nonce: String,
    server_first: String,
}

/// What the client says to prove that it knows the password: to be judged, and counted, by who keeps the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramProof {
    login: String,
    authorization_identity: Option<String>,
    secret: ScramSecret,
    auth_message: String,
    proof: Key,
}

impl Scram {
    pub(super) fn new(channel: &Channel, plus: bool) -> Self {
        Self { channel: channel.clone(), plus }
    }

    /// ```abnf
    /// client-first-message      = gs2-header client-first-message-bare                          ; RFC 5802 §7
    /// client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
    /// username                  = "n=" saslname
    /// nonce                     = "r=" c-nonce
    /// ```
    /// The reserved `m=` is refused, other extensions are ignored (RFC 5802 §5.1).
    pub(super) fn take(self, response: &[u8], limits: &Limits) -> Result<Step, SaslError> {
        let text = text(response)?;
        let (header, bare) = gs2::header(text, limits)?;
        let channel_binding = self.channel_binding(&header)?;
        let mut attributes = bare.split(',');
        let login = attributes.next().and_then(|part| part.strip_prefix("n="));
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r="));
        let (Some(login), Some(nonce)) = (login, nonce) else {
            return Err(SaslError::Malformed("a first message of SCRAM is n=name,r=nonce"));
        };
        if nonce.is_empty() || !is_printable(nonce) {
            return Err(SaslError::Malformed("the nonce is not printable"));
        }
        extensions(attributes)?;
        Ok(Step::Secret(ScramStart {
            login: gs2::name(login, limits)?,
            authorization_identity: header.authorization_identity,
            client_first_bare: bare.to_owned(),
            client_nonce: nonce.to_owned(),
            channel_binding,
        }))
    }

    /// RFC 5802 §6: what the client says of channel binding must fit what was announced to it, else somebody in between changed
    /// the announcement.
    fn channel_binding(&self, header: &Gs2Header<'_>) -> Result<Vec<u8>, SaslError> {
        let mut expected = header.text.as_bytes().to_vec();
        match header.flag {
            Gs2Flag::Bound(name) if self.plus => {
                let data = match name {
                    "tls-exporter" => self.channel.tls_exporter.as_deref(),
                    "tls-server-end-point" => self.channel.tls_server_end_point.as_deref(),
                    _ => None,
                };
                expected.extend_from_slice(data.ok_or(SaslError::ChannelBinding)?);
            }
            // The mechanism's name and the flag contradict each other.
            Gs2Flag::Bound(_) => return Err(SaslError::ChannelBinding),
            Gs2Flag::NotOffered if self.plus || self.channel.plus_offered => {
                return Err(SaslError::ChannelBinding);
            }
            Gs2Flag::NotSupported if self.plus => return Err(SaslError::ChannelBinding),
            Gs2Flag::NotOffered | Gs2Flag::NotSupported => {}
        }
        Ok(expected)
    }
}

impl ScramStart {
    /// Who wants to log in; not parsed yet.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Goes on with the secret of [`Self::login`], or with [`ScramSecret::of_nobody`].
    ///
    /// ```abnf
    /// server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]   ; RFC 5802 §7
    /// ```
    pub fn challenge(self, secret: ScramSecret, nonce: &ServerNonce) -> Step {
        let nonce = format!("{}{}", self.client_nonce, nonce.0);
        let salt = STANDARD.encode(&secret.salt);
        let server_first = format!("r={nonce},s={salt},i={}", secret.iterations);
        let challenge = STANDARD.encode(&server_first);
        let next = ScramFinal { start: self, secret, nonce, server_first };
        Step::Challenge(Exchange::ScramFinal(Box::new(next)), Cow::Owned(challenge))
    }
}

impl ScramFinal {
    /// ```abnf
    /// client-final-message               = client-final-message-without-proof "," proof     ; RFC 5802 §7
    /// client-final-message-without-proof = channel-binding "," nonce ["," extensions]
    /// channel-binding                    = "c=" base64
    /// proof                              = "p=" base64
    /// ```
    pub(super) fn take(self, response: &[u8]) -> Result<Step, SaslError> {
        let wrong = SaslError::Malformed("a final message of SCRAM is c=binding,r=nonce,p=proof");
        let text = text(response)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(wrong)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|part| part.strip_prefix("c=")).ok_or(wrong)?;
        let nonce = attributes.next().and_then(|part| part.strip_prefix("r=")).ok_or(wrong)?;
        extensions(attributes)?;
        let binding = STANDARD.decode(binding).map_err(|_| wrong)?;
        let proof = STANDARD.decode(proof).map_err(|_| wrong)?;
        let proof = <[u8; KEY_OCTETS]>::try_from(proof).map_err(|_| wrong)?;
        if binding != self.start.channel_binding {
            return Err(SaslError::ChannelBinding);
        }
        if nonce != self.nonce {
            return Err(SaslError::Malformed("the nonce is another exchange's"));
        }
        let auth_message = format!("{},{},{without_proof}", self.start.client_first_bare, self.server_first);
        Ok(Step::Proof(ScramProof {
            login: self.start.login,
            authorization_identity: self.start.authorization_identity,
            secret: self.secret,
            auth_message,
            proof,
        }))
    }
}

impl ScramProof {
    /// Who wants to log in.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Whether the client wants to act for somebody else than it logs in as. Nothing here allows that: callers refuse it.
    pub fn acts_for_another(&self) -> bool {
        self.authorization_identity
            .as_ref()
            .is_some_and(|identity| !identity.eq_ignore_ascii_case(&self.login))
    }

    /// Whether it was made with the password of `secret`, which is what is kept now. Constant time.
    pub fn is_right(&self, secret: &ScramSecret) -> bool {
        secret.accepts(&self.proof, &self.auth_message)
    }

    /// The proof was right: tells the client what only the server can know, and waits for its empty answer (RFC 4954 §4, RFC 5034 §4,
    /// RFC 3501 §6.2.2: none of the three can send data along with the success).
    ///
    /// ```abnf
    /// server-final-message = (server-error / verifier) ["," extensions]    ; RFC 5802 §7
    /// verifier             = "v=" base64
    /// ```
    pub fn accepted(&self) -> Step {
        let signature = STANDARD.encode(self.secret.server_signature(&self.auth_message));
        Step::Challenge(Exchange::ScramEnd, Cow::Owned(STANDARD.encode(format!("v={signature}"))))
    }
}

impl fmt::Debug for ScramProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramProof").field("login", &self.login).finish_non_exhaustive()
    }
}

fn text(response: &[u8]) -> Result<&str, SaslError> {
    std::str::from_utf8(response).map_err(|_| SaslError::Malformed("the text is not UTF-8"))
}

/// `%x21-2B / %x2D-7E`: RFC 5802 §7.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b',')
}

/// Extensions that nobody knows are none of our business, but for `m`: it may change the meaning of all.
///
/// ```abnf
/// attr-val = ALPHA "=" value
/// ```
fn extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    for attribute in attributes {
        match attribute.as_bytes() {
            [b'm', ..] => return Err(SaslError::Malformed("an extension is mandatory and not known")),
            [name, b'=', _, ..] if name.is_ascii_alphabetic() => {}
            _ => return Err(SaslError::Malformed("an extension has no name")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
