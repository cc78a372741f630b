//! The webmail's part of the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

use crate::PlaintextLogin;

/// The webmail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where plain HTTP is served, such as `127.0.0.1:8080`; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where HTTPS is served, such as `0.0.0.0:443`; nowhere when absent.
    pub listen_tls: Option<SocketAddr>,
    /// Whether a proxy in front speaks TLS with the browsers: the session cookie is then marked Secure on the plain listener too.
    pub behind_tls_proxy: bool,
    /// Addresses of HTTP proxies in front, which are believed when they name the browser's address in `X-Forwarded-For`:
    /// failed sign-ins count for that address, and `connections_per_address_max` is not for the proxy.
    pub trusted_proxies: Vec<IpAddr>,
    /// On which connections without TLS people may sign in; a TLS proxy in front counts as TLS.
    pub plaintext_login: PlaintextLogin,
    /// How long one submission may take in all.
    pub submission_timeout: Span,
    /// How many connections are served at once.
    pub connections_max: usize,
    /// How many connections one IPv4 address or IPv6 /64 network may hold.
    pub connections_per_address_max: usize,
    /// How long a browser may take to send a request's header, and how long an idle connection is kept.
    pub header_timeout: Span,
    /// How long a browser may take to read anything of what it is sent.
    pub write_timeout: Span,
    /// How long a request may take that carries no files.
    pub request_timeout: Span,
    /// How long a request may take that carries files.
    pub upload_timeout: Span,
    /// The largest form without files.
    pub form_size_max: ByteSize,
    /// The largest message with its files that can be written here.
    pub message_size_max: ByteSize,
    /// How many files one message may carry.
    pub attachments_max: usize,
    /// How many messages are built, saved or sent at once on this node; each may hold `message_size_max` several times in memory.
    pub uploads_max: usize,
    /// How many messages of one account may be on their way in, or be sent, at once.
    pub uploads_per_account_max: usize,
    /// How much memory messages on their way in from browsers may take together. A browser waits `upload_memory_wait` for it, then gets 503.
    pub upload_memory_max: ByteSize,
    /// Wait for that memory when it is short.
    pub upload_memory_wait: Span,
    /// How many recipients one message may have.
    pub recipients_max: usize,
    /// How many sessions this node keeps.
    pub sessions_max: usize,
    /// How many sessions one account may have; the oldest goes when one more signs in.
    pub sessions_per_account_max: usize,
    /// A session without a request for this long ends.
    pub session_idle_timeout: Span,
    /// A session ends this long after sign-in, used or not.
    pub session_timeout: Span,
    /// How often a session in use asks the directory whether its login still holds: it ends with a change of the password,
    /// with the permission to log in and with the account.
    pub session_check_interval: Span,
    /// How many windows of one session get live updates at once.
    pub live_updates_max: usize,
    /// How often a window's mailbox is looked at for changes made by other nodes.
    pub live_updates_interval: Span,
    /// How many messages one page of a list shows.
    pub page_size: usize,
    /// How many messages a search looks at, newest first.
    pub search_messages_max: usize,
    /// How many messages a search finds before it stops.
    pub search_results_max: usize,
    /// How long a search may take; what was found by then is shown.
    pub search_timeout: Span,
    /// The largest text or HTML part that is shown; the rest is only in the download.
    pub shown_part_size_max: ByteSize,
    /// The largest sum of the pictures inside an HTML message that are shown with it.
    pub inline_images_size_max: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: None,
            listen_tls: None,
            behind_tls_proxy: false,
            trusted_proxies: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            plaintext_login: PlaintextLogin::default(),
            submission_timeout: Span::mins(2),
            connections_max: 2000,
            connections_per_address_max: 200,
            header_timeout: Span::secs(30),
            write_timeout: Span::secs(30),
            request_timeout: Span::secs(30),
            upload_timeout: Span::mins(10),
            form_size_max: ByteSize::kib(256),
            message_size_max: ByteSize::mib(25),
            attachments_max: 50,
            uploads_max: 8,
            uploads_per_account_max: 2,
            upload_memory_max: ByteSize::mib(512),
            upload_memory_wait: Span::secs(10),
            recipients_max: 200,
            sessions_max: 20_000,
            sessions_per_account_max: 20,
            session_idle_timeout: Span::hours(12),
            session_timeout: Span::hours(24 * 7),
            session_check_interval: Span::mins(1),
            live_updates_max: 4,
            live_updates_interval: Span::secs(15),
            page_size: 50,
            search_messages_max: 20_000,
            search_results_max: 200,
            search_timeout: Span::secs(5),
            shown_part_size_max: ByteSize::mib(1),
            inline_images_size_max: ByteSize::mib(8),
        }
    }
}

impl Config {
    /// What is wrong beyond the types: (key, problem).
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, problem: &str| faults.push((key.to_owned(), problem.to_owned()));
        for (key, value) in [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("uploads_max", self.uploads_max),
            ("uploads_per_account_max", self.uploads_per_account_max),
            ("recipients_max", self.recipients_max),
            ("sessions_max", self.sessions_max),
            ("sessions_per_account_max", self.sessions_per_account_max),
            ("page_size", self.page_size),
        ] {
            if value == 0 {
                fault(key, "must be at least 1");
            }
        }
        if self.upload_memory_max < self.message_size_max {
            fault(
                "upload_memory_max",
                "must be at least message_size_max, or a message of that size never fits",
            );
        }
        if self.page_size > 500 {
            fault("page_size", "must be at most 500");
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_fault() {
        assert_eq!(Config::default().faults(), []);
    }

    #[test]
    fn nothing_is_zero() {
        let config = Config { page_size: 0, sessions_max: 0, ..Config::default() };
        let keys: Vec<_> = config.faults().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["sessions_max", "page_size"]);
        assert_eq!(Config { page_size: 501, ..Config::default() }.faults().len(), 1);
    }
}
