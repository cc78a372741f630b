//! IDLE (RFC 2177): changes are told as they happen. Those made in this process wake the session; for those of other
//! processes it looks at the disk from time to time.

use std::time::Duration;

use imap_proto::{Expect, FrameEvent};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::answer::{Answer, Stop};
use super::super::connection::End;
use super::super::metrics::Counted;
use super::super::reply::Reply;
use super::super::session::{Session, State};

/// What happens while the session waits.
enum Wake {
    Said(FrameEvent),
    Changed,
    Poll,
    TooLong,
}

pub(crate) async fn run(session: &mut Session) -> Answer {
    session.state.person()?;
    let _idling = Counted::new(&session.server.metrics.idling);
    session.connection.out.extend_from_slice(b"+ idling\r\n");
    let changes = match &session.state {
        State::Selected(_, selected) => Some(selected.mailbox.changes()),
        _ => None,
    };
    session.sync_after(session.server.config.poll_interval.as_duration()).await?;
    session.connection.flush().await?;
    wait(session, changes).await
}

async fn wait(session: &mut Session, mut changes: Option<watch::Receiver<u64>>) -> Answer {
    let end = Instant::now() + session.server.config.idle_command_timeout.as_duration();
    let poll = session.server.config.idle_poll_interval.as_duration();
    loop {
        let wake = tokio::select! {
            biased;
            event = session.event(Expect::Line) => Wake::Said(event?),
            () = changed(&mut changes) => Wake::Changed,
            () = sleep_until(end) => Wake::TooLong,
            () = sleep(poll), if changes.is_some() => Wake::Poll,
        };
        match wake {
            Wake::Said(FrameEvent::Line(line)) if line.is_done() => return Ok(Reply::ok("IDLE completed")),
            Wake::Said(FrameEvent::Refused(refusal)) if refusal.close => {
                return Err(End::Refused("The end of the line can't be found").into());
            }
            Wake::Said(_) => return Err(Stop::Refused(Reply::bad("DONE is expected here"))),
            Wake::Changed => session.sync_after(Duration::MAX).await?,
            Wake::Poll => session.sync_after(poll).await?,
            Wake::TooLong => return Err(End::Timeout.into()),
        }
        session.connection.flush().await?;
    }
}

/// Waits for a change of the mailbox; for ever when there is none.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = changes {
        if receiver.changed().await.is_ok() {
            return;
        }
        // The mailbox is gone from memory: polling finds what happened.
        *changes = None;
    }
    std::future::pending().await
}
