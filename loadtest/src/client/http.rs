//! HTTP/1.1: requests on one kept connection, with the cookies of a browser.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::recorder::Failure;
use crate::wire::{Encryption, Target, Wire};

/// Octets of one answer.
const ANSWER_OCTETS_MAX: usize = 64 << 20;

/// A connection.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
    answer_max: Duration,
    cookies: BTreeMap<String, String>,
}

/// What came back.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) text: Bytes,
}

impl Http {
    pub(crate) async fn open(target: &Target, number: u64, encryption: Encryption) -> Result<Self, Failure> {
        let server = target.server(number)?;
        let wire = Wire::connect(target, server, encryption).await?;
        let (sender, connection) = handshake(TokioIo::new(wire.into_stream())).await.map_err(Failure::new)?;
        let driver = tokio::spawn(async move {
            // How the connection ended is told by the request that needed it.
            let _ = connection.await;
        });
        let host = format!("{}:{}", target.name, server.port());
        Ok(Self { sender, driver, host, answer_max: target.answer_max, cookies: BTreeMap::new() })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Page, Failure> {
        self.request(Method::GET, path, None).await
    }

    /// Posts a form, as a page of the same origin does.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Result<Page, Failure> {
        let fields: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.request(Method::POST, path, Some(fields.join("&"))).await
    }

    async fn request(&mut self, method: Method, path: &str, form: Option<String>) -> Result<Page, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        if !self.cookies.is_empty() {
            let cookies: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if form.is_some() {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("sec-fetch-site", "same-origin");
        }
        let body = Full::new(Bytes::from(form.unwrap_or_default()));
        let request =
            request.body(body).map_err(|_| Failure::new("the server gave an address that is none"))?;
        let asking = async {
            self.sender.ready().await.map_err(|_| Failure::new("closed by the server"))?;
            let response =
                self.sender.send_request(request).await.map_err(|_| Failure::new("connection broken"))?;
            let (head, body) = response.into_parts();
            let text =
                Limited::new(body, ANSWER_OCTETS_MAX).collect().await.map_err(Failure::new)?.to_bytes();
            Ok::<_, Failure>((head, text))
        };
        let (head, text) =
            timeout(self.answer_max, asking).await.map_err(|_| Failure::new("no answer in time"))??;
        for cookie in head.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok())
        {
            self.keep(cookie);
        }
        let location =
            head.headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Page { status: head.status, location, text })
    }

    fn keep(&mut self, cookie: &str) {
        let pair = cookie.split(';').next().unwrap_or_default();
        let Some((name, value)) = pair.split_once('=') else { return };
        if value.is_empty() {
            self.cookies.remove(name.trim());
        } else {
            self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Page {
    /// The page when it is one.
    pub(crate) fn ok(self) -> Result<Self, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(Failure::new(self.status)) }
    }

    /// What stands in the first attribute of this beginning, up to the next quotation mark.
    pub(crate) fn attribute(&self, before: &str) -> Option<String> {
        self.attributes(before).next()
    }

    /// The same of all.
    pub(crate) fn attributes<'a>(&'a self, before: &'a str) -> impl Iterator<Item = String> + 'a {
        let text = self.text.as_ref();
        let starts = memchr::memmem::find_iter(text, before.as_bytes()).map(move |at| at + before.len());
        starts.filter_map(move |start| {
            let rest = text.get(start..)?;
            let value = rest.get(..memchr::memchr(b'"', rest)?)?;
            Some(std::str::from_utf8(value).ok()?.replace("&amp;", "&").replace("&#38;", "&"))
        })
    }
}

/// application/x-www-form-urlencoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(octet))
            }
            _ => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_attributes() {
        assert_eq!(encoded("a b+c@d&é"), "a%20b%2Bc%40d%26%C3%A9");
        let text = Bytes::from_static(b"<a href=\"/message/1/2/INBOX?a=1&amp;b=2\">x</a><a href=\"/message/1/3/INBOX\">y</a><input value=\"");
        let page = Page { status: StatusCode::OK, location: None, text };
        let links: Vec<String> = page.attributes("href=\"/message/").collect();
        assert_eq!(links, ["1/2/INBOX?a=1&b=2", "1/3/INBOX"]);
        assert_eq!(page.attribute("value=\""), None, "an attribute that does not end is none");
    }
}
