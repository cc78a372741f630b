//! One small document over HTTPS (RFC 9112): for what an operator named, such as the keys of an authorization server.
//!
//! What it is not: no client for the web. One GET a connection, no redirects, no cookies, no compression; the answer has a largest
//! size and a deadline.
//!
//! Plain HTTP only to an address of this machine itself.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{ClientTls, Stream, TlsError};

/// What an answer may have beside the document.
const HEAD_MAX: usize = 16 * 1024;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not of the kind that is fetched.
    #[error("the address is none of https:// and a host")]
    Address,
    /// The trust store can't be used.
    #[error("the authorities can't be used")]
    Authorities(#[from] TlsError),
    /// The connection or the handshake failed.
    #[error("the connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The answer is over the limit.
    #[error("the document has more than {0} octets")]
    TooLarge(usize),
    /// Another status than 200. Redirects too.
    #[error("the server answers with {0}")]
    Status(u16),
    /// No HTTP, or cut off.
    #[error("the answer is not whole or no HTTP")]
    Answer,
}

/// Where a document is, and how much it may cost.
pub struct Fetch {
    host: String,
    port: u16,
    /// Path and query.
    target: String,
    tls: Option<ClientTls>,
    size_max: usize,
    patience: Duration,
}

impl Fetch {
    /// For the document at `url`: at most `size_max` octets, within `patience`. `authorities` may vouch for its server. Reads that file: blocks.
    pub fn new(
        url: &str,
        authorities: &Path,
        size_max: usize,
        patience: Duration,
    ) -> Result<Self, FetchError> {
        let address = Address::parse(url).ok_or(FetchError::Address)?;
        let tls = if address.is_https { Some(ClientTls::trusting_authorities(authorities)?) } else { None };
        Ok(Self {
            host: address.host.to_owned(),
            port: address.port,
            target: address.target.to_owned(),
            tls,
            size_max,
            patience,
        })
    }

    /// Fetches it.
    pub async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let answer = tokio::time::timeout(self.patience, self.ask()).await;
        let answer = answer.map_err(|_| FetchError::Late(self.patience))??;
        let document = body(&answer)?;
        if document.len() > self.size_max { Err(FetchError::TooLarge(self.size_max)) } else { Ok(document) }
    }

    /// The answer as it came.
    async fn ask(&self) -> Result<Vec<u8>, FetchError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut stream = match &self.tls {
            Some(tls) => tls.connect(tcp, &self.host).await?,
            None => Stream::Plain(tcp),
        };
        let bracketed = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {bracketed}:{}\r\nUser-Agent: Sluice\r\nAccept: application/json, application/jwk-set+json\r\nConnection: close\r\n\r\n",
            self.target, self.port
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        // Chunks have lines of their own: they may double a document, not more.
        let most = HEAD_MAX.saturating_add(self.size_max.saturating_mul(2));
        let mut answer = Vec::new();
        loop {
            match stream.read_buf(&mut answer).await {
                Ok(0) => return Ok(answer),
                Ok(_) if answer.len() > most => return Err(FetchError::TooLarge(self.size_max)),
                Ok(_) => {}
                // Many servers end without a word of TLS: then a length must say that it was whole.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && has_length(&answer) => {
                    return Ok(answer);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("host", &self.host).finish_non_exhaustive()
    }
}

struct Address<'a> {
    is_https: bool,
    host: &'a str,
    port: u16,
    target: &'a str,
}

impl<'a> Address<'a> {
    /// ```abnf
    /// https-URI = "https://" host [":" port] path-abempty ["?" query]     ; RFC 9110 §4.2.2, without user information
    /// ```
    fn parse(url: &'a str) -> Option<Self> {
        let good = |octet: u8| octet.is_ascii_graphic() && !b"@#\\\"<>".contains(&octet);
        if !url.bytes().all(good) {
            return None;
        }
        let (is_https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return None,
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None if is_https => 443,
            None => 80,
        };
        let is_here = host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        let target = match target {
            "" => "/",
            target if target.starts_with('/') => target,
            _ => return None,
        };
        (!host.is_empty() && (is_https || is_here)).then_some(Self { is_https, host, port, target })
    }
}

/// The head's lines and what is behind it.
fn parts(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).take(HEAD_MAX).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?, rest.get(4..)?))
}

/// The value of a field that is there once.
fn field<'a>(head: &'a str, wanted: &str) -> Result<Option<&'a str>, FetchError> {
    let mut found = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let mut values = found.by_ref().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(|(_, value)| value.trim())),
        _ => Err(FetchError::Answer),
    }
}

fn has_length(answer: &[u8]) -> bool {
    let Some((head, _)) = parts(answer) else { return false };
    ["content-length", "transfer-encoding"].iter().any(|name| matches!(field(head, name), Ok(Some(_))))
}

/// The document of an answer with 200.
fn body(answer: &[u8]) -> Result<Vec<u8>, FetchError> {
    let (head, rest) = parts(answer).ok_or(FetchError::Answer)?;
    let mut status = head.split("\r\n").next().unwrap_or_default().split(' ');
    let is_http = status.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let code = status.next().filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
    match code.filter(|_| is_http).ok_or(FetchError::Answer)? {
        200 => {}
        other => return Err(FetchError::Status(other)),
    }
    if field(head, "content-encoding")?.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(FetchError::Answer);
    }
    match (field(head, "transfer-encoding")?, field(head, "content-length")?) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => {
            unchunked(rest).ok_or(FetchError::Answer)
        }
        (None, Some(length)) => {
            let length: usize = length.parse().map_err(|_| FetchError::Answer)?;
            rest.get(..length).map(<[u8]>::to_vec).ok_or(FetchError::Answer)
        }
        (None, None) => Ok(rest.to_vec()),
        _ => Err(FetchError::Answer),
    }
}

/// RFC 9112 §7.1; only whole ones.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(rest.get(..end)?).ok()?;
        let digits = line.split(';').next()?.trim();
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        let behind = rest.get(end.checked_add(2)?..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(behind.get(..size)?);
        rest = behind.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// Reads an answer: a document is never larger than what came.
pub fn fuzz_fetch(data: &[u8]) {
    if let Ok(document) = body(data) {
        assert!(document.len() <= data.len());
    }
    let _ = has_length(data);
    if let Some(address) = std::str::from_utf8(data).ok().and_then(Address::parse) {
        assert!(!address.host.is_empty() && address.target.starts_with('/') && address.port != 0);
    }
}

#[cfg(test)]
mod tests;
