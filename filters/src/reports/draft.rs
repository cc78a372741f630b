//! A report as a mail (RFC 9990 §3.2, RFC 7489 §7.2.1.1; RFC 8460 §5.3).

use std::io::{self, Write as _};

use bytes::Bytes;
use envelope::{Address, Domain, Entrance, Envelope, MessageId, Origin, Priority, ReversePath, Timestamp};
use flate2::Compression;
use flate2::write::GzEncoder;
use mail_auth::report::Report;
use mail_auth::report::tlsrpt::TlsReport;
use sha2::{Digest as _, Sha256};

use super::{Day, DmarcSubject, ReportAddress, ReportKind, ReportsConfig, TlsSubject, tls};

/// Who reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitter {
    /// The organisation's name.
    pub organization: String,
    /// From whom the mail comes.
    pub contact: Address,
    /// Which node's counts these are: nodes that report by themselves have reports of different names.
    pub hostname: String,
}

/// Why there is no mail.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// It is larger than the address, or the configuration, allows.
    #[error("{octets} octets, where at most {octets_max} are taken")]
    TooLarge {
        /// The mail's size.
        octets: u64,
        /// The limit.
        octets_max: u64,
    },
    /// The library failed.
    #[error("failed to write the report")]
    Write(#[from] io::Error),
}

/// A report that is not addressed yet.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: ReportKind,
    domain: String,
    day: Day,
    submitter: Submitter,
    report_id: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Dmarc(Box<Report>),
    Tls(TlsReport),
}

impl Submitter {
    /// What the configuration says; none where reports are off.
    pub fn of(config: &ReportsConfig, hostname: &str) -> Option<Self> {
        let contact = config.contact().filter(|_| config.is_on())?;
        let (organization, hostname) = (config.organization.clone(), hostname.to_owned());
        Some(Self { organization, contact, hostname })
    }

    /// The domain that reports.
    pub const fn domain(&self) -> &Domain {
        self.contact.domain()
    }

    /// The same report has the same name, however often it is made; the `times`-th sending of a report has another one.
    fn report_id(&self, kind: ReportKind, domain: &str, day: Day, times: usize) -> String {
        let digest =
            digest(&[&self.hostname, &self.contact.to_string(), kind.as_str(), domain, &times.to_string()]);
        let hex: String = digest.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        format!("{day}.{hex}")
    }
}

impl Draft {
    /// A report about mail. `times`: how often it was sent before.
    pub fn dmarc(submitter: &Submitter, day: Day, subject: &DmarcSubject, times: usize) -> Self {
        let (kind, domain) = (ReportKind::Dmarc, subject.policy.domain.clone());
        let report_id = submitter.report_id(kind, &domain, day, times);
        let content = Content::Dmarc(Box::new(subject.report(submitter, day, &report_id)));
        Self { kind, domain, day, submitter: submitter.clone(), report_id, content }
    }

    /// A report about sessions. `times`: how often it was sent before.
    pub fn tls(submitter: &Submitter, day: Day, subject: &TlsSubject, times: usize) -> Self {
        let (kind, domain) = (ReportKind::Tls, subject.domain.clone());
        let report_id = submitter.report_id(kind, &domain, day, times);
        let content = Content::Tls(subject.report(submitter, day, &report_id));
        Self { kind, domain, day, submitter: submitter.clone(), report_id, content }
    }

    /// The report's name.
    pub fn report_id(&self) -> &str {
        &self.report_id
    }

    /// The report itself: XML or JSON.
    pub fn text(&self) -> String {
        match &self.content {
            Content::Dmarc(report) => report.to_xml(),
            Content::Tls(report) => tls::json(report),
        }
    }

    /// The mail's id: that of the same report to the same address is always the same, so that the queue takes it once.
    pub fn id(&self, to: &Address) -> MessageId {
        let digest =
            digest(&[&self.report_id, &self.domain, self.kind.as_str(), &to.canonical().to_string()]);
        let mut random = [0; 10];
        random.iter_mut().zip(digest).for_each(|(octet, from)| *octet = from);
        MessageId::new(self.day.end().saturating_mul(1000), random)
    }

    /// The mail to an address, from the null sender: nobody answers it.
    pub fn mail(
        &self,
        to: &ReportAddress,
        octets_max: u64,
        now: Timestamp,
    ) -> Result<(Envelope, Bytes), DraftError> {
        let (submitter, address) = (self.submitter.domain().as_str(), to.address.to_string());
        let contact = self.submitter.contact.to_string();
        let from = (self.submitter.organization.as_str(), contact.as_str());
        let mut octets = Vec::new();
        let recipients = std::iter::once(address.as_str());
        match &self.content {
            Content::Dmarc(report) => report.write_rfc5322(submitter, from, recipients, &mut octets)?,
            Content::Tls(report) => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                packed.write_all(tls::json(report).as_bytes())?;
                let (domain, packed) = (&self.domain, packed.finish()?);
                report.write_rfc5322_from_bytes(domain, submitter, from, recipients, &packed, &mut octets)?;
            }
        }
        let limit = if to.octets_max > 0 { to.octets_max.min(octets_max) } else { octets_max };
        let size = octets.len() as u64;
        if size > limit {
            return Err(DraftError::TooLarge { octets: size, octets_max: limit });
        }
        let envelope = Envelope {
            id: self.id(&to.address),
            received_at: now,
            reverse_path: ReversePath::Null,
            recipients: vec![to.address.clone().into()],
            origin: Origin {
                entrance: Entrance::Internal,
                peer: None,
                helo: String::new(),
                authenticated: None,
                tls: false,
            },
            size,
            smtp_utf8: false,
            priority: Priority::Bulk,
            envelope_id: None,
            returned: None,
            require_tls: false,
            list: None,
            filtered: None,
        };
        Ok((envelope, octets.into()))
    }
}

/// Of parts that hold no line ends.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().into()
}
