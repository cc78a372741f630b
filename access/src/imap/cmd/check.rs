//! CHECK (RFC 3501 §6.4.1): looks at the disk now. There is nothing else to do: all that was answered is on disk.

use std::time::Duration;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;

pub(crate) async fn run(session: &mut Session) -> Answer {
    session.state.selected()?;
    session.sync_after(Duration::ZERO).await?;
    Ok(Reply::ok("CHECK completed"))
}
