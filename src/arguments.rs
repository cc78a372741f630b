//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    account, alias, config_command, domain, load_test, mailbox, policy_command, quarantine_command,
    queue_command, reports_command, reputation_command, tls_command, trace,
};

/// A mail system: SMTP gateways, a durable queue, Maildirs, IMAP, POP3 and webmail.
#[derive(Parser)]
#[command(name = "sluice", version, about, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run only the access node: IMAP, POP3 and webmail.
    Access(Node),
    /// People with a mailbox.
    Account(account::Arguments),
    /// Addresses that lead to others.
    Alias(alias::Arguments),
    /// Check, show or explain the configuration.
    Config(config_command::Arguments),
    /// Domains that receive mail here.
    Domain(domain::Arguments),
    /// Run only the gateway: SMTP and submission.
    Gateway(Node),
    /// Load over the wire, as any client makes it.
    Loadtest(Box<load_test::Arguments>),
    /// The mail store.
    Mailbox(mailbox::Arguments),
    /// The security team's rules: check, test, explain and try them.
    Policy(policy_command::Arguments),
    /// Mail that filters keep back for an operator.
    Quarantine(quarantine_command::Arguments),
    /// What waits in the queue.
    Queue(queue_command::Arguments),
    /// Aggregate reports to other systems, about their mail (DMARC) and about the encryption of mail to them (TLS).
    Reports(reports_command::Arguments),
    /// What is known and remembered about peers: lists, rates, greylisting, failed logins.
    Reputation(reputation_command::Arguments),
    /// Certificates.
    Tls(tls_command::Arguments),
    /// Where is my mail? The whole way of a message.
    Trace(trace::Arguments),
    /// Run every role in one process. The first start makes the data folder and the domain example.test.
    Up(Node),
    /// Run only the delivery worker.
    Worker(Node),
}

/// Which files a command works on.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// Folder with the queue, the mail, the directory, the certificate and the trail.
    #[arg(long, value_name = "DIR", default_value = "./sluice-data")]
    pub(crate) data: PathBuf,
    /// Configuration file; without one, the defaults hold.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What a process that runs roles is told.
#[derive(Args, Clone)]
pub(crate) struct Node {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Listen on 127.0.0.1, each service on N plus its standard port (10000: SMTP 10025, IMAP 10143, web 18080); 0 takes
    /// any free ports. Default without --config: 10000.
    #[arg(long, value_name = "N")]
    pub(crate) port_base: Option<u16>,
}

impl Node {
    /// The port base that holds: the one given, or 10000 when neither it nor a configuration file was.
    pub(crate) fn effective_port_base(&self) -> Option<u16> {
        self.port_base.or_else(|| self.place.config.is_none().then_some(10_000))
    }
}
