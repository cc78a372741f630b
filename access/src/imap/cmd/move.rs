//! MOVE (RFC 6851). COPYUID comes untagged before the EXPUNGE responses (§4.3). The target may be the mailbox itself: the
//! messages get new UIDs (§3.3).

use imap_proto::Transfer;

use super::super::answer::Answer;
use super::super::reply::Reply;
use super::super::session::Session;
use super::copy::{Job, copy_uid, gone, job};

pub(crate) async fn run(session: &mut Session, args: Transfer) -> Answer {
    session.state.writable()?;
    let Some(Job { source, uids, target }) = job(session, &args).await? else {
        return Ok(Reply::ok("MOVE completed, there was nothing to move"));
    };
    let moved = session.server.deps.work(move || source.move_to(&uids, &target)).await?;
    if moved.uids.is_empty() {
        return gone(args.numbering, "MOVE completed, the messages are gone");
    }
    let reply = Reply::ok("The messages' new UIDs").with_code(copy_uid(&moved));
    reply.encode("*", &mut session.connection.out);
    Ok(Reply::ok("MOVE completed"))
}
