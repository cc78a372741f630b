//! What errors look like to a client. The details are in the log.

use pop3_proto::{Reply, ResponseCode};
use sasl::SaslError;
use store::StoreError;

use crate::login::LoginError;
use crate::work::WorkError;

/// A wrong password, an unknown name and a throttled login look alike.
pub(super) fn login_failed(error: LoginError) -> Reply {
    match error {
        LoginError::Refused | LoginError::Throttled => {
            Reply::err_with(ResponseCode::Auth, "wrong name or password")
        }
        LoginError::Unavailable => {
            Reply::err_with(ResponseCode::SysTemp, "logins can't be checked now, try again later")
        }
    }
}

pub(super) fn in_use() -> Reply {
    Reply::err_with(ResponseCode::InUse, "another POP3 session of this account is open")
}

pub(super) fn sasl_failed(error: SaslError) -> Reply {
    match error {
        SaslError::Cancelled => Reply::err("cancelled"),
        SaslError::Encoding => Reply::err("the response is not base64"),
        SaslError::ChannelBinding | SaslError::Malformed(_) | SaslError::TooLong => {
            Reply::err_with(ResponseCode::Auth, "the response is not usable")
        }
    }
}

pub(super) fn unknown_mechanism() -> Reply {
    Reply::err("that mechanism is not offered")
}

/// The mailbox or a message can't be read.
pub(super) fn store_failed(error: &WorkError) -> Reply {
    match error {
        WorkError::Store(StoreError::NoSuchMessage) => Reply::err("another session has removed this message"),
        WorkError::Store(StoreError::NotMounted(_)) => {
            Reply::err_with(ResponseCode::SysPerm, "the mail store is not there")
        }
        WorkError::Store(_) | WorkError::Blocking(_) => {
            Reply::err_with(ResponseCode::SysTemp, "the mailbox can't be read now, try again later")
        }
    }
}

/// RFC 1939 §6.
pub(super) fn update_failed() -> Reply {
    Reply::err_with(ResponseCode::SysTemp, "some deleted messages not removed")
}

pub(super) fn updated(count: usize) -> Reply {
    Reply::ok(format_args!("bye, {count} messages removed"))
}

pub(super) fn line_too_long() -> Reply {
    Reply::err("the line is too long")
}

pub(super) fn too_many_connections() -> Reply {
    Reply::err_with(ResponseCode::SysTemp, "too many connections from your address")
}

pub(super) fn too_many_failures() -> Reply {
    Reply::err("too many failed logins")
}

pub(super) fn too_many_bad_commands() -> Reply {
    Reply::err("too many refused commands")
}

pub(super) fn timed_out() -> Reply {
    Reply::err_with(ResponseCode::SysTemp, "you were silent for too long")
}

pub(super) fn draining() -> Reply {
    Reply::err_with(ResponseCode::SysTemp, "this server stops now, connect again")
}
