//! The client's side, for load tests, checks and relaying through a smart host.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::Secret;

use crate::scram::{Key, client_proof, salted_keys};
use crate::{SaslError, ScramSecret};

/// PLAIN's one response in base64, also for use as initial response.
pub fn plain(login: &str, password: &Secret<String>) -> Secret<String> {
    Secret::new(STANDARD.encode(format!("\0{login}\0{}", password.expose())))
}

/// What OAUTHBEARER sends, in base64.
pub fn oauthbearer(login: &str, token: &Secret<String>) -> Secret<String> {
    let login = escaped(login);
    Secret::new(STANDARD.encode(format!("n,a={login},\u{1}auth=Bearer {}\u{1}\u{1}", token.expose())))
}

/// What XOAUTH2 sends, in base64.
pub fn xoauth2(login: &str, token: &Secret<String>) -> Secret<String> {
    Secret::new(STANDARD.encode(format!("user={login}\u{1}auth=Bearer {}\u{1}\u{1}", token.expose())))
}

/// A login by SCRAM-SHA-256: [`Self::first`], then [`Self::answer`] to what the server says.
#[derive(Debug, Clone)]
pub struct ScramClient {
    header: String,
    bound: Vec<u8>,
    first_bare: String,
    nonce: String,
    password: Secret<String>,
}

/// What the server must send to prove that it knows the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerProof(Key);

impl ScramClient {
    /// Without channel binding. `nonce` is printable, without a comma, and random where it matters.
    pub fn new(login: &str, password: &Secret<String>, nonce: &str) -> Self {
        Self::with_header("n,,", Vec::new(), login, password, nonce)
    }

    /// Bound to a channel: by what (`tls-exporter`), and its data.
    pub fn bound(by: &str, data: Vec<u8>, login: &str, password: &Secret<String>, nonce: &str) -> Self {
        Self::with_header(&format!("p={by},,"), data, login, password, nonce)
    }

    fn with_header(
        header: &str,
        bound: Vec<u8>,
        login: &str,
        password: &Secret<String>,
        nonce: &str,
    ) -> Self {
        Self {
            header: header.to_owned(),
            bound,
            first_bare: format!("n={},r={nonce}", escaped(login)),
            nonce: nonce.to_owned(),
            password: password.clone(),
        }
    }

    /// The first message, in base64.
    pub fn first(&self) -> String {
        STANDARD.encode(format!("{}{}", self.header, self.first_bare))
    }

    /// The final message for the server's challenge, and what the server must answer. Both are in base64.
    pub fn answer(&self, challenge: &str) -> Result<(String, ServerProof), SaslError> {
        let wrong = SaslError::Malformed("the challenge is none of SCRAM");
        let server_first = STANDARD.decode(challenge).ok().and_then(|octets| String::from_utf8(octets).ok());
        let server_first = server_first.ok_or(SaslError::Encoding)?;
        let mut parts = server_first.split(',');
        let mut part = |name| parts.next().and_then(|part| part.strip_prefix(name)).ok_or(wrong);
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(wrong);
        }
        let salt = STANDARD.decode(salt).map_err(|_| wrong)?;
        let iterations: u32 = iterations.parse().map_err(|_| wrong)?;
        if !(1..=crate::scram::ITERATIONS_MAX).contains(&iterations) {
            return Err(wrong);
        }
        let binding = STANDARD.encode([self.header.as_bytes(), &self.bound].concat());
        let without_proof = format!("c={binding},r={nonce}");
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let (client_key, secret): (Key, ScramSecret) = salted_keys(&self.password, &salt, iterations);
        let proof = STANDARD.encode(client_proof(&client_key, &secret, &auth_message));
        let expected = ServerProof(secret.server_signature(&auth_message));
        Ok((STANDARD.encode(format!("{without_proof},p={proof}")), expected))
    }
}

impl ServerProof {
    /// Whether the server's last challenge, in base64, is what it must be.
    pub fn is_proven_by(&self, challenge: &str) -> bool {
        STANDARD
            .decode(challenge)
            .is_ok_and(|text| text == format!("v={}", STANDARD.encode(self.0)).as_bytes())
    }
}

/// RFC 5802 §5.1: `n=`.
fn escaped(login: &str) -> String {
    login.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// RFC 7677 §3.
    #[test]
    fn the_example_of_rfc_7677() {
        let client = ScramClient::new("user", &secret("pencil"), "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.first(), STANDARD.encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let server_first =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (answer, server) = client.answer(&STANDARD.encode(server_first)).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(answer, STANDARD.encode(expected));
        assert!(server.is_proven_by(&STANDARD.encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
        assert!(!server.is_proven_by(&STANDARD.encode("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
        assert!(!server.is_proven_by(""));
    }

    #[test]
    fn challenges_that_are_none() {
        let client = ScramClient::new("user", &secret("pencil"), "abc");
        for wrong in [
            "",
            "r=abcdef,s=AAAA",
            "r=abc,s=AAAA,i=4096",
            "r=xbcdef,s=AAAA,i=4096",
            "r=abcdef,s=A,i=4096",
            "r=abcdef,s=AAAA,i=0",
            "r=abcdef,s=AAAA,i=1000001",
            "m=1,r=abcdef,s=AAAA,i=4096",
        ] {
            assert!(client.answer(&STANDARD.encode(wrong)).is_err(), "{wrong}");
        }
        assert!(client.answer("*").is_err());
    }
}
