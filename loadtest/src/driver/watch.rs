//! Looks at mailboxes as their owners do, and finds out how long accepted mail takes to be there.
//!
//! | operation | what it is |
//! |---|---|
//! | `mail.visible` | from the server's 250 to the message being shown to a session that idles in its mailbox |

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Address, Secret};

use super::PAUSE;
use crate::client::imap::Imap;
use crate::ledger::Book;
use crate::message::FIELD;
use crate::recorder::{Failure, Recorder};
use crate::run::{Client, Context, Load};
use crate::wire::Target;

/// How often a waiting session looks whether the run is over.
const LOOK: Duration = Duration::from_millis(200);

/// One mailbox.
#[derive(Clone)]
pub struct WatchLoad {
    /// Where.
    pub target: Target,
    /// Whose.
    pub login: Address,
    /// Its password.
    pub password: Secret<String>,
    /// What is expected.
    pub book: Arc<Book>,
}

impl Load for WatchLoad {
    fn client(&self, number: u64) -> Box<dyn Client> {
        Box::new(Watcher { load: self.clone(), number, known: None })
    }
}

struct Watcher {
    load: WatchLoad,
    number: u64,
    /// Messages that were looked at, by UID; nothing before the first look.
    known: Option<u32>,
}

#[async_trait]
impl Client for Watcher {
    async fn run(mut self: Box<Self>, context: Context) {
        while !*context.over.borrow() {
            // A node that is killed takes the session with it; the next one is asked.
            if let Err(failure) = self.watch(&context).await {
                context.recorder.failed("mail.watch", &failure);
                tokio::time::sleep(PAUSE).await;
            }
            self.number += 1;
        }
    }
}

impl Watcher {
    async fn watch(&mut self, context: &Context) -> Result<(), Failure> {
        let load = &self.load;
        let (target, login) = (&load.target, load.login.to_string());
        let mut imap = Imap::open(target, self.number, target.usual(), &login, &load.password).await?;
        let selected = imap.select("INBOX", true).await?;
        // What was there before the run is no news.
        if self.known.is_none() {
            context.ready.send_modify(|ready| *ready += 1);
        }
        let mut next = *self.known.get_or_insert(selected.uid_next.max(1));
        next = self.look(&mut imap, next, &context.recorder).await?;
        loop {
            imap.idle().await?;
            let mut news = false;
            while !news && !*context.over.borrow() {
                news = imap
                    .news(LOOK)
                    .await?
                    .is_some_and(|response| matches!(response.numbered(), Some((_, b"EXISTS"))));
            }
            imap.done(|_| ()).await?;
            next = self.look(&mut imap, next, &context.recorder).await?;
            if *context.over.borrow() {
                imap.logout().await;
                return Ok(());
            }
        }
    }

    /// Reads the numbers of all messages from a UID on; gives the UID after the last.
    async fn look(&mut self, imap: &mut Imap, from: u32, recorder: &Recorder) -> Result<u32, Failure> {
        let (book, mut next) = (&self.load.book, from);
        imap.command(&format!("UID FETCH {from}:* (UID BODY.PEEK[HEADER.FIELDS ({FIELD})])"), |response| {
            let uid = super::imap::uid(response.text()).unwrap_or(0);
            // `*` is the last message, however small its UID is (RFC 9051 §6.4.9).
            if uid < from {
                return;
            }
            next = next.max(uid.saturating_add(1));
            let number = response.literals().first().and_then(|text| number(text, book.run()));
            if let Some(took) = number.and_then(|number| book.seen(number)) {
                recorder.took("mail.visible", took, 0);
            }
        })
        .await?;
        self.known = Some(next);
        Ok(next)
    }
}

/// The number in the field of this run.
fn number(text: &[u8], run: &str) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, value) = text.trim().split_once(": ")?;
    let mut words = value.split(' ');
    (words.next()? == run).then(|| words.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_this_run_alone() {
        assert_eq!(number(b"X-Ledger: abc 17 00ff00ff\r\n\r\n", "abc"), Some(17));
        assert_eq!(number(b"X-Ledger: def 17 00ff00ff\r\n\r\n", "abc"), None);
        assert_eq!(number(b"\r\n", "abc"), None);
    }
}
