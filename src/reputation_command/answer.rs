//! What a running process says.

use std::sync::Arc;

use filters::Reputation;
use filters::reputation::Kind;
use tracing::info;

use super::{KindName, Request, Response};
use crate::start::Failures;

/// What this process remembers, or reaches.
pub(crate) struct Remembered {
    /// A gateway has it.
    pub(crate) reputation: Option<Arc<Reputation>>,
    pub(crate) failures: Arc<Failures>,
}

impl Remembered {
    /// Answers; each change is in the log.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        match self.look(request).await {
            Ok(response) => response,
            Err(error) => Response::Failed(format!("{error:#}")),
        }
    }

    async fn look(&self, request: Request) -> anyhow::Result<Response> {
        match (request, &self.reputation) {
            (Request::List { kind: KindName::Throttle, limit }, _) => {
                Ok(Response::Rows(self.failures.rows(limit).await?))
            }
            (Request::List { kind, limit }, Some(reputation)) => {
                let kind = match kind {
                    KindName::Greylist => Kind::Greylist,
                    KindName::Rates => Kind::Rates,
                    KindName::Lists | KindName::Throttle => Kind::Lists,
                };
                Ok(Response::Rows(reputation.rows(kind, limit).await?))
            }
            (Request::Show { address }, reputation) => {
                let throttle = self.failures.about(address).await?;
                let peer = match reputation {
                    Some(reputation) => Some(Box::new(reputation.show(address).await)),
                    None => None,
                };
                Ok(Response::Shown { peer, throttle })
            }
            (Request::Set { entry }, Some(reputation)) => {
                info!(network = %entry.network, kind = ?entry.kind, until = entry.until, reason = entry.reason,
                    "an operator puts a network on a local list");
                reputation.set(entry).await?;
                Ok(Response::Done(1))
            }
            (Request::Clear { what }, reputation) => {
                info!(what, "an operator lets something be forgotten");
                let of_logins = self.failures.clear(&what).await?;
                let of_peers = match reputation {
                    Some(reputation) if !what.starts_with("login:") => Some(reputation.clear(&what).await),
                    _ => None,
                };
                match (of_logins, of_peers) {
                    (None, None) => Ok(Response::NotHere),
                    (None, Some(gone)) => Ok(Response::Done(gone?)),
                    (Some(gone), peers) => Ok(Response::Done(gone + peers.transpose()?.unwrap_or(0))),
                }
            }
            (Request::List { .. } | Request::Set { .. }, None) => Ok(Response::NotHere),
        }
    }
}
