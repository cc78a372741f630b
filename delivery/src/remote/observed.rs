//! What domains hear of the sessions with their servers (RFC 8460): counted by policy and by what went wrong.
//!
//! A session is a connection, however many messages it carries. Where nobody listens or greets there is none. Where the operator decides on the way or on the encryption, nothing is counted.

use std::net::IpAddr;
use std::time::SystemTime;

use envelope::Timestamp;
use filters::reports::{TlsFailure, TlsPolicy, TlsPolicyKind, TlsResult, TlsRow};
use runtime::{TlsFault, Tlsa};
use smtp_proto::client::{Encryption, Failure as SmtpFailure};

use super::RouteTls;
use super::connection::{Broken, Connection};
use super::mta_sts::{Fault, Policy};
use super::send::Sending;

impl Sending<'_> {
    /// Counts a session, or that there was none: what went wrong, with which server, at which address.
    pub(super) fn observe(&self, policy: &TlsPolicy, failure: Option<(TlsResult, &str, Option<IpAddr>)>) {
        let Some(reports) = &self.remote.reports else { return };
        if self.route.is_some_and(|route| !route.host.is_empty() || route.tls != RouteTls::Default) {
            return;
        }
        let failure = failure.map(|(result, server, address)| TlsFailure {
            result,
            server: server.to_owned(),
            address,
        });
        if let Some(row) = TlsRow::new(self.domain, policy.clone(), failure) {
            let now = Timestamp::from(SystemTime::now());
            reports.count(&row.domain, &row, now.unix_seconds());
        }
    }

    /// Counts a policy that is announced and can't be had.
    pub(super) fn observe_policy(&self) {
        let Some(fault) = self.remote.policies.fault(self.domain.as_str()) else { return };
        let result = match fault {
            Fault::Fetch => TlsResult::StsPolicyFetchError,
            Fault::Invalid => TlsResult::StsPolicyInvalid,
            Fault::Certificate => TlsResult::StsWebpkiInvalid,
        };
        let policy = TlsPolicy::new(TlsPolicyKind::Sts, Vec::new(), Vec::new());
        self.observe(&policy, Some((result, "", None)));
    }
}

/// A policy of MTA-STS in a report.
pub(super) fn sts(policy: &Policy) -> TlsPolicy {
    TlsPolicy::new(TlsPolicyKind::Sts, policy.lines(), policy.patterns().to_vec())
}

/// TLSA records in a report.
pub(super) fn dane(records: &[Tlsa]) -> TlsPolicy {
    TlsPolicy::new(TlsPolicyKind::Tlsa, records.iter().map(Tlsa::to_string).collect(), Vec::new())
}

/// What a try says of encryption: that it was good, that it was not, or nothing.
pub(super) fn seen(opened: &Result<Connection, Broken>, asked: Encryption) -> Option<Option<TlsResult>> {
    match opened {
        // Nobody asked for more.
        Ok(_) if asked == Encryption::AsItIs => None,
        Ok(connection) if connection.tls == "none" => Some(Some(TlsResult::StarttlsNotSupported)),
        Ok(_) => Some(None),
        Err(Broken::Smtp(SmtpFailure::NoEncryption)) => Some(Some(TlsResult::StarttlsNotSupported)),
        Err(Broken::Handshake(error)) => Some(Some(match TlsFault::of(error) {
            TlsFault::NameMismatch => TlsResult::CertificateHostMismatch,
            TlsFault::Expired => TlsResult::CertificateExpired,
            TlsFault::NotTrusted => TlsResult::CertificateNotTrusted,
            TlsFault::Certificate | TlsFault::Handshake => TlsResult::ValidationFailure,
        })),
        Err(_) => None,
    }
}
