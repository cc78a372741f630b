//! AUTHENTICATE (RFC 3501 §6.2.2) with an initial response (RFC 4959).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imap_proto::{Authenticate, AuthenticateLine, Expect, FrameEvent};
use sasl::SaslError;
use sasl::server::{Mechanism, Step};

use super::super::answer::{Answer, Stop};
use super::super::connection::End;
use super::super::reply::Reply;
use super::super::session::Session;
use super::login::{LIMITS, log_in, permitted, refuse};
use crate::login::LoginError;

pub(crate) async fn run(session: &mut Session, args: Authenticate) -> Answer {
    permitted(session)?;
    let Some(mechanism) = Mechanism::parse(args.mechanism.as_bytes()) else {
        return Err(Reply::no("The mechanism is not supported").with_code("CANNOT").into());
    };
    let initial = args.initial_response.map(|response| STANDARD.encode(response.expose()));
    let initial = initial.as_deref().map(|text| if text.is_empty() { "=" } else { text });
    let mut step = mechanism.begin(initial.map(str::as_bytes), &LIMITS);
    loop {
        match step {
            Ok(Step::Challenge(exchange, text)) => {
                let line = read_response(session, text).await?;
                step = exchange.respond(line.as_bytes(), &LIMITS);
            }
            Ok(Step::Finished(credentials)) => {
                return log_in(session, &credentials, "AUTHENTICATE completed").await;
            }
            Err(SaslError::Cancelled) => return Err(Reply::bad("AUTHENTICATE cancelled").into()),
            Err(SaslError::Encoding) => return Err(Reply::bad("The response is not base64").into()),
            Err(_) => return refuse(session, LoginError::Refused).await,
        }
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
