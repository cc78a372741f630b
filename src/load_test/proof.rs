//! `--ledger`: a run that is proved afterwards, and watched meanwhile.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use envelope::{Address, Secret};
use loadtest::ledger::{Book, Mailboxes};
use loadtest::{Report, Run, Target, WatchLoad};
use units::Span;

use super::progress::mailboxes_read;

/// Where messages are written down and looked for.
#[derive(Args, Clone)]
pub(super) struct Proof {
    /// Write down every message in this file, which must not exist, and find each in exactly one place afterwards. The password of the mailboxes comes from standard input.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Mailboxes that are watched meanwhile, so that the report has the time from a message's acceptance to its being seen.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    watch: usize,
    /// How long watchers wait for the last message.
    #[arg(long, default_value = "30s")]
    settle_max: Span,
}

/// A ledger that is being written.
pub(super) struct Proving {
    pub(super) book: Arc<Book>,
    path: PathBuf,
    mailboxes: Mailboxes,
}

impl Proof {
    pub(super) const fn is_wanted(&self) -> bool {
        self.ledger.is_some()
    }

    /// Makes the ledger and has mailboxes watched.
    pub(super) fn begin(
        &self,
        run: &mut Run,
        imap: &[SocketAddr],
        mailboxes: &[Address],
        password: &Secret<String>,
    ) -> anyhow::Result<Option<Proving>> {
        let Some(path) = &self.ledger else { return Ok(None) };
        let Some(first) = imap.first() else { bail!("--ledger needs --imap") };
        let settle = self.settle_max.as_duration();
        let mut target = Target::plain(*first, settle.max(std::time::Duration::from_secs(60)));
        target.servers = imap.to_vec();
        let watched: Vec<Address> = mailboxes.iter().take(self.watch).cloned().collect();
        let book = Arc::new(Book::create(path, &watched, settle)?);
        for login in watched {
            let (target, password, book) = (target.clone(), password.clone(), Arc::clone(&book));
            run.observers.push(Arc::new(WatchLoad { target, login, password, book }));
        }
        run.settle = Some(Arc::clone(&book) as _);
        let mailboxes = Mailboxes { target, logins: Vec::new(), password: password.clone(), queued: None };
        Ok(Some(Proving { book, path: path.clone(), mailboxes }))
    }
}

impl Proving {
    /// Finds every message.
    pub(super) async fn end(self, report: &mut Report) -> anyhow::Result<()> {
        let verdict = loadtest::ledger::check(&self.path, &self.mailboxes, mailboxes_read()).await?;
        report.ledger = Some(verdict);
        Ok(())
    }
}
