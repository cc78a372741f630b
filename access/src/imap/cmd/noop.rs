//! NOOP (RFC 3501 §6.1.2): what changed is told as after every command.

use super::super::answer::Answer;
use super::super::reply::Reply;

pub(crate) fn run() -> Answer {
    Ok(Reply::ok("NOOP completed"))
}
