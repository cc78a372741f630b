//! AUTHENTICATE (RFC 3501 §6.2.2) with an initial response (RFC 4959).
//!
//! What a mechanism says along with its success (SCRAM, RFC 5802 §5) goes out as one more challenge, which the client answers with an
//! empty line: a tagged OK can't carry it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use directory::{LoginTerms, LoginTurn};
use imap_proto::{Authenticate, AuthenticateLine, Expect, FrameEvent};
use sasl::SaslError;

use super::super::answer::{Answer, Stop};
use super::super::connection::End;
use super::super::reply::Reply;
use super::super::session::Session;
use super::capability::login_offer;
use super::login::{enter, limits, permitted, refuse};
use crate::login::{LoginError, unavailable};

pub(crate) async fn run(session: &mut Session, args: Authenticate) -> Answer {
    permitted(session)?;
    let offer = login_offer(session);
    let Some(mechanism) = offer.find(args.mechanism.as_bytes()) else {
        return Err(Reply::no("The mechanism is not supported").with_code("CANNOT").into());
    };
    let initial = args.initial_response.map(|response| STANDARD.encode(response.expose()));
    let initial = initial.as_deref().map(|text| if text.is_empty() { "=" } else { text });
    let directory = Arc::clone(&session.server.deps.directory);
    let terms = LoginTerms { limits: limits(session), peer: session.peer.ip() };
    let mut turn = offer.begin(mechanism, initial.map(str::as_bytes), directory.as_ref(), &terms).await;
    loop {
        let error = match turn {
            LoginTurn::Challenge(dialogue, text) => {
                let line = read_response(session, &text).await?;
                turn = dialogue.respond(line.as_bytes(), directory.as_ref(), &terms).await;
                continue;
            }
            LoginTurn::Accepted(account) => return enter(session, account, "AUTHENTICATE completed").await,
            LoginTurn::Failed(SaslError::Cancelled) => {
                return Err(Reply::bad("AUTHENTICATE cancelled").into());
            }
            LoginTurn::Failed(SaslError::Encoding) => {
                return Err(Reply::bad("The response is not base64").into());
            }
            LoginTurn::Refused { .. } | LoginTurn::Failed(_) => LoginError::Refused,
            LoginTurn::Throttled => LoginError::Throttled,
            LoginTurn::Unavailable(error) => unavailable(&error),
        };
        return refuse(session, error).await;
    }
}

/// Sends a challenge and gives the client's answer in base64.
async fn read_response(session: &mut Session, challenge: &str) -> Result<String, Stop> {
    session.connection.out.extend_from_slice(format!("+ {challenge}\r\n").as_bytes());
    session.connection.flush().await?;
    match session.event(Expect::Line).await? {
        FrameEvent::Line(line) => match imap_proto::parse_authenticate_line(&line) {
            Ok(AuthenticateLine::Response(response)) => Ok(STANDARD.encode(response.expose())),
            Ok(AuthenticateLine::Cancel) => Err(Reply::bad("AUTHENTICATE cancelled").into()),
            Err(error) => Err(Reply::from(error).into()),
        },
        FrameEvent::Refused(refusal) if refusal.close => {
            Err(End::Refused("The end of the line can't be found").into())
        }
        FrameEvent::Refused(refusal) => Err(Reply::from(refusal.error).into()),
        _ => Err(Reply::bad("AUTHENTICATE failed").into()),
    }
}
