//! What libmilter calls: one function a step, each a few lines between C and [`crate::gathered`].
//!
//! libmilter is one for a process, and calls plain functions from a thread a connection. So the engine is a static: there is no other way to hand it in.
//! A connection's [`Session`] hangs on libmilter's context from the negotiation to the close, where it is taken off and dropped.
#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    reason = "the attribute macros of `milter` write the C functions around ours"
)]

use std::ffi::CStr;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use filters::Refusal;
use milter::{
    Actions, Context, ContextApi, Milter, ProtocolOpts, Stage, Status, on_abort, on_body, on_close,
    on_connect, on_eoh, on_eom, on_header, on_helo, on_mail, on_negotiate, on_rcpt,
};
use tracing::{debug, error, warn};

use crate::answer::{Answer, Step, failed, reply_text};
use crate::engine::Engine;
use crate::gathered::{Mail, Peer};
use crate::share::Share;

/// Set once, before libmilter runs.
static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();

/// What a message's checks may want of the mail server.
const NEEDED: Actions = Actions::ADD_HEADER
    .union(Actions::REPLACE_HEADER)
    .union(Actions::ADD_RECIPIENT)
    .union(Actions::REMOVE_RECIPIENT)
    .union(Actions::QUARANTINE);

/// Macros that are asked for, by stage; a mail server sends others, or none, where it does not let itself be asked.
const MACROS: [(Stage, &str); 6] = [
    (Stage::Connect, "{daemon_name} {client_addr} {client_resolve}"),
    (Stage::Helo, "{tls_version} {cipher} {cert_subject} {verify}"),
    (Stage::Mail, "i {auth_type} {auth_authen} {tls_version} {cipher} {cert_subject} {verify}"),
    (Stage::Rcpt, "i"),
    (Stage::Data, "i"),
    (Stage::Eom, "i"),
];

/// One connection of the mail server.
struct Session {
    /// Whether the mail server lets itself be told everything.
    is_usable: bool,
    /// Whether values of fields come, and go, with the space behind the colon.
    with_space: bool,
    connection: Option<Share>,
    peer: Peer,
    mail: Option<Mail>,
}

/// Runs until a signal; blocks.
pub(crate) fn run(engine: Arc<Engine>, socket: &str, silence_max: Duration) -> anyhow::Result<()> {
    anyhow::ensure!(ENGINE.set(engine).is_ok(), "libmilter runs once in a process");
    Milter::new(socket)
        .name("sluice-milter")
        .on_negotiate(negotiate_callback)
        .on_connect(connect_callback)
        .on_helo(helo_callback)
        .on_mail(mail_callback)
        .on_rcpt(rcpt_callback)
        .on_header(header_callback)
        .on_eoh(end_of_header_callback)
        .on_body(body_callback)
        .on_eom(end_of_message_callback)
        .on_abort(abort_callback)
        .on_close(close_callback)
        .actions(NEEDED | Actions::REQUEST_MACROS)
        .timeout(silence_max)
        .remove_socket(true)
        .run()?;
    Ok(())
}

#[on_negotiate(negotiate_callback)]
fn negotiate(
    mut context: Context<Session>,
    actions: Actions,
    options: ProtocolOpts,
) -> (Status, Actions, ProtocolOpts) {
    let is_usable = actions.contains(NEEDED);
    if !is_usable {
        error!(missing = ?(NEEDED - actions), "the mail server does not allow what is needed: its mail is refused for now");
    }
    let wanted_options = options & ProtocolOpts::HEADER_LEADING_SPACE;
    let session = Session {
        is_usable,
        with_space: !wanted_options.is_empty(),
        connection: None,
        peer: Peer::default(),
        mail: None,
    };
    if actions.contains(Actions::REQUEST_MACROS) {
        for (stage, macros) in MACROS {
            if let Err(error) = context.api.request_macros(stage, macros) {
                warn!(%error, "macros can't be asked for");
            }
        }
    }
    if let Err(error) = context.data.replace(session) {
        error!(%error, "a connection can't be remembered");
    }
    // Steps that nobody here looks at are not sent.
    let unwanted = options & (ProtocolOpts::NO_DATA | ProtocolOpts::NO_UNKNOWN);
    (Status::Continue, actions & (NEEDED | Actions::REQUEST_MACROS), wanted_options | unwanted)
}

#[on_connect(connect_callback)]
fn connect(mut context: Context<Session>, name: &CStr, address: Option<SocketAddr>) -> Status {
    let Some(engine) = ENGINE.get() else { return Status::Tempfail };
    let resolved = macro_of(&context.api, "{client_resolve}");
    let daemon = macro_of(&context.api, "{daemon_name}").unwrap_or_default();
    // What is no IP address for libmilter may be one for the mail server.
    let told = macro_of(&context.api, "{client_addr}").and_then(|text| text.parse().ok());
    let address = address.or_else(|| told.map(|ip| SocketAddr::new(ip, 0)));
    let Some(session) = context.data.borrow_mut() else { return Status::Tempfail };
    let mut share = engine.connections.share();
    if !session.is_usable || !share.grow(1) {
        warn!("a connection of the mail server is refused for now");
        return Status::Tempfail;
    }
    session.connection = Some(share);
    let peer = Peer::new(&name.to_string_lossy(), address, resolved.as_deref());
    session.peer = Peer { daemon, ..peer };
    Status::Continue
}

#[on_helo(helo_callback)]
fn helo(mut context: Context<Session>, name: &CStr) -> Status {
    let Some(session) = context.data.borrow_mut() else { return Status::Tempfail };
    session.peer.helo = name.to_string_lossy().into_owned();
    read_tls(&context.api, &mut session.peer);
    Status::Continue
}

#[on_mail(mail_callback)]
fn mail(mut context: Context<Session>, arguments: Vec<&CStr>) -> Status {
    let Some(engine) = ENGINE.get() else { return Status::Tempfail };
    let login = macro_of(&context.api, "{auth_authen}");
    let mechanism = macro_of(&context.api, "{auth_type}").unwrap_or_default();
    let queue_id = macro_of(&context.api, "i").unwrap_or_default();
    let Some(session) = context.data.borrow_mut() else { return Status::Tempfail };
    session.mail = None;
    if session.connection.is_none() {
        return Status::Tempfail;
    }
    read_tls(&context.api, &mut session.peer);
    match Mail::begin(&arguments, engine.hostname(), engine.memory.share()) {
        Ok(mut mail) => {
            mail.login = login.map(|login| (login, mechanism));
            mail.queue_id = queue_id;
            session.mail = Some(mail);
            Status::Continue
        }
        Err(refusal) => refuse(&context.api, &refusal),
    }
}

#[on_rcpt(rcpt_callback)]
fn rcpt(mut context: Context<Session>, arguments: Vec<&CStr>) -> Status {
    let Some(path) = arguments.first() else { return Status::Tempfail };
    gather(&mut context, |engine, mail, _| mail.recipient(path, engine.hostname(), engine.limits()))
}

#[on_header(header_callback)]
fn header(mut context: Context<Session>, name: &CStr, value: &CStr) -> Status {
    gather(&mut context, |engine, mail, has_space| mail.field(name, value, has_space, engine.limits()))
}

#[on_eoh(end_of_header_callback)]
fn end_of_header(mut context: Context<Session>) -> Status {
    gather(&mut context, |engine, mail, _| mail.end_of_header(engine.limits()))
}

#[on_body(body_callback)]
fn body(mut context: Context<Session>, piece: &[u8]) -> Status {
    gather(&mut context, |engine, mail, _| mail.body(piece, engine.limits()))
}

#[on_eom(end_of_message_callback)]
fn end_of_message(mut context: Context<Session>) -> Status {
    let Some(engine) = ENGINE.get() else { return Status::Tempfail };
    let queue_id = macro_of(&context.api, "i");
    let Some(session) = context.data.borrow_mut() else { return Status::Tempfail };
    let Some(mut mail) = session.mail.take() else { return refuse(&context.api, &failed()) };
    if let Some(queue_id) = queue_id {
        mail.queue_id = queue_id;
    }
    let progress = || {
        if let Err(error) = context.api.signal_progress() {
            debug!(%error, "the mail server does not hear that it takes longer");
        }
    };
    match engine.judge(&session.peer, mail, session.with_space, progress) {
        Answer::Discard => Status::Discard,
        Answer::Refuse(refusal) => refuse(&context.api, &refusal),
        Answer::Accept(steps) => match steps.iter().try_for_each(|step| take(&context.api, step)) {
            Ok(()) => Status::Continue,
            Err(error) => {
                error!(%error, "the mail server can't be told all of it: message refused for now");
                refuse(&context.api, &failed())
            }
        },
    }
}

#[on_abort(abort_callback)]
fn abort(mut context: Context<Session>) -> Status {
    if let Some(session) = context.data.borrow_mut() {
        session.mail = None;
    }
    Status::Continue
}

#[on_close(close_callback)]
fn close(mut context: Context<Session>) -> Status {
    if let Err(error) = context.data.take() {
        error!(%error, "a connection can't be forgotten");
    }
    Status::Continue
}

/// Adds something to the message; after a refusal of the message there is none.
fn gather(
    context: &mut Context<Session>,
    add: impl FnOnce(&Engine, &mut Mail, bool) -> Result<(), Refusal>,
) -> Status {
    let Some(engine) = ENGINE.get() else { return Status::Tempfail };
    let Some(session) = context.data.borrow_mut() else { return Status::Tempfail };
    let Some(mail) = &mut session.mail else { return Status::Tempfail };
    match add(engine, mail, session.with_space) {
        Ok(()) => Status::Continue,
        Err(refusal) => refuse(&context.api, &refusal),
    }
}

fn take(api: &ContextApi, step: &Step) -> milter::Result<()> {
    match step {
        Step::AddField { name, value } => api.add_header(name, value),
        Step::InsertField { index, name, value } => api.insert_header(*index, name, value),
        Step::ChangeField { name, index, value } => api.replace_header(name, *index, value.as_deref()),
        Step::AddRecipient(address) => api.add_recipient(address, None),
        Step::RemoveRecipient(address) => api.remove_recipient(address),
        Step::Quarantine(reason) => api.quarantine(reason),
    }
}

/// Says why. Where the text can't be handed over the refusal stands without it.
fn refuse(api: &ContextApi, refusal: &Refusal) -> Status {
    let (class, subject, detail) = refusal.enhanced;
    let enhanced = format!("{class}.{subject}.{detail}");
    let text = reply_text(&refusal.text);
    if let Err(error) = api.set_error_reply(&refusal.code.to_string(), Some(&enhanced), vec![&text]) {
        warn!(%error, "the text of a refusal can't be handed over");
    }
    if refusal.is_temporary() { Status::Tempfail } else { Status::Reject }
}

fn read_tls(api: &ContextApi, peer: &mut Peer) {
    peer.tls_version = macro_of(api, "{tls_version}");
    peer.cipher = macro_of(api, "{cipher}").unwrap_or_default();
    // Postfix gives the subject of a certificate that verified and no `{verify}`; Sendmail gives both, of any.
    let verified = macro_of(api, "{verify}").is_none_or(|verified| verified == "OK");
    peer.has_certificate = verified && macro_of(api, "{cert_subject}").is_some();
}

/// A macro that says something; what is no UTF-8 says nothing.
fn macro_of(api: &ContextApi, name: &str) -> Option<String> {
    api.macro_value(name).ok().flatten().filter(|value| !value.is_empty()).map(str::to_owned)
}
