//! What is known of a message besides itself, as it is typed.

use std::net::IpAddr;

use clap::ValueEnum;
use envelope::Address;
use filters::{DmarcPolicy, GivenAuthentication, PeerFacts, ScanFacts, Situation, Word};
use serde::de::DeserializeOwned;

/// What is not given is read from the message, or has a plain value.
#[derive(clap::Args)]
pub(super) struct Given {
    /// The sender in the envelope, `<>` for none; by default that of Return-Path, else of From.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// A recipient in the envelope, as often as there are some; by default those of Delivered-To, else of To and Cc.
    #[arg(long = "recipient", value_name = "ADDRESS")]
    recipients: Vec<Address>,
    /// The peer's address; by default that of the topmost Received field.
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// What the peer calls itself.
    #[arg(long, value_name = "NAME", default_value = "")]
    helo: String,
    /// The peer's name in the DNS.
    #[arg(long, value_name = "NAME", default_value = "")]
    hostname: String,
    /// Where the message came in; by default `mx`, with --account `submission`.
    #[arg(long)]
    listener: Option<Listener>,
    /// Who logged in.
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
    /// The connection was encrypted.
    #[arg(long)]
    tls: bool,
    /// Result of SPF. When one result is given, those that are not are `none`; by default they are read from the topmost Authentication-Results field.
    #[arg(long, value_name = "RESULT", value_parser = word::<Word>)]
    spf: Option<Word>,
    /// The domain that SPF was asked about.
    #[arg(long, value_name = "DOMAIN")]
    spf_domain: Option<String>,
    /// Result of DMARC.
    #[arg(long, value_name = "RESULT", value_parser = word::<Word>)]
    dmarc: Option<Word>,
    /// What the author's domain asks for: none, quarantine or reject.
    #[arg(long, value_name = "POLICY", value_parser = word::<DmarcPolicy>)]
    dmarc_policy: Option<DmarcPolicy>,
    /// A domain whose signature passes, as often as there are some.
    #[arg(long = "dkim-domain", value_name = "DOMAIN")]
    dkim_domains: Vec<String>,
    /// Result of ARC.
    #[arg(long, value_name = "RESULT", value_parser = word::<Word>)]
    arc: Option<Word>,
    /// A block or allow list that knows the peer, as often as there are some.
    #[arg(long = "list", value_name = "NAME")]
    lists: Vec<String>,
    /// A scanner takes it for spam.
    #[arg(long)]
    spam: bool,
    /// Points of scanners.
    #[arg(long, value_name = "POINTS", default_value_t = 0.0, allow_negative_numbers = true)]
    spam_score: f64,
    /// Something that a scanner found, as often as there is some.
    #[arg(long = "symbol", value_name = "NAME")]
    symbols: Vec<String>,
    /// A scanner found this virus.
    #[arg(long, value_name = "NAME")]
    virus: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Listener {
    Lmtp,
    Mx,
    Submission,
    Submissions,
}

impl Given {
    pub(super) fn situation(&self) -> Situation {
        let listener = self.listener.map(|listener| match listener {
            Listener::Lmtp => "lmtp",
            Listener::Mx => "mx",
            Listener::Submission => "submission",
            Listener::Submissions => "submissions",
        });
        Situation {
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            peer: self.peer,
            helo: self.helo.clone(),
            listener: listener.map(str::to_owned),
            account: self.account.clone(),
            tls: self.tls,
            now: None,
            authentication: self.authentication(),
            peer_facts: PeerFacts {
                hostname: self.hostname.clone(),
                lists: self.lists.clone(),
                ..PeerFacts::default()
            },
            scan: ScanFacts {
                spam: self.spam,
                spam_score: self.spam_score,
                symbols: self.symbols.clone(),
                virus: self.virus.is_some(),
                virus_name: self.virus.clone().unwrap_or_default(),
            },
        }
    }

    fn authentication(&self) -> Option<GivenAuthentication> {
        let given = GivenAuthentication {
            spf: self.spf.unwrap_or_default(),
            spf_domain: self.spf_domain.clone().unwrap_or_default(),
            dkim_domains: self.dkim_domains.clone(),
            dmarc: self.dmarc.unwrap_or_default(),
            dmarc_policy: self.dmarc_policy.unwrap_or_default(),
            arc: self.arc.unwrap_or_default(),
        };
        let any = self.spf.is_some()
            || self.spf_domain.is_some()
            || !self.dkim_domains.is_empty()
            || self.dmarc.is_some()
            || self.dmarc_policy.is_some()
            || self.arc.is_some();
        any.then_some(given)
    }
}

/// One of the words of a type.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| error.to_string())
}
