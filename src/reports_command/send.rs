//! `sluice reports … send`.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use envelope::Timestamp;
use filters::reports::{Checked, Day, DraftError, ReportAddress, Sent, SentEntry, Subject, Submitter};
use filters::{Dns, ReportsConfig};
use futures_util::stream::{self, StreamExt as _};
use queue::{Backend, Body, Lane, Queue};
use serde::Serialize;
use tracing::info;

use super::{Source, now};
use crate::listing;
use crate::queues::WithoutBroker;

/// The process's name in the queue, of which there is one at a time.
const PROCESS: &str = "reports";
/// How long the queue may take for one mail.
const PUBLISH_MAX: Duration = Duration::from_secs(60);

/// Domains of which the DNS is asked at the same time.
const ASKED_AT_ONCE: usize = 8;
const LEFT: &str = "there are more mails than `filters.reports.mails_max`: run it again";

/// What is asked for.
pub(super) struct Wish {
    pub(super) dry_run: bool,
    pub(super) again: bool,
    pub(super) json: bool,
}

/// What became of a domain's report to an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Told {
    domain: String,
    address: String,
    counted: u64,
    outcome: &'static str,
    detail: String,
}

/// All that sending needs.
struct Sending<'a> {
    config: &'a ReportsConfig,
    submitter: Submitter,
    day: Day,
    again: bool,
    dns: &'a dyn Dns,
    /// None: nothing is sent.
    queue: Option<&'a dyn Queue>,
}

pub(super) fn run(source: &Source, day: Day, wish: &Wish) -> anyhow::Result<()> {
    let submitter = source.submitter()?;
    check_over(day, source.config(), now())?;
    let subjects = source.subjects(day)?;
    let settings = &source.settings;
    if settings.queue.backend == Backend::Embedded && !wish.dry_run {
        crate::queue_command::check_owner(&settings.queue.dir)?;
    }
    let registry = prometheus::Registry::new();
    let log = runtime::LogConfig { level: "error".to_owned(), ..settings.log.clone() };
    let _telemetry = runtime::telemetry::init(&log, PROCESS, &source.data.trail(), &registry)?;
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("failed to start")?;
    let told = executor.block_on(async {
        let dns = crate::start::filters::dns(settings)?;
        if wish.dry_run {
            let mut sent = Sent::read(source.kind, &source.folder, day)?;
            let sending = Sending {
                config: source.config(),
                submitter,
                day,
                again: wish.again,
                dns: &*dns,
                queue: None,
            };
            return sending.all(&subjects, &mut sent).await;
        }
        let mut sent = Sent::open(source.kind, &source.folder, day)?;
        let queue = crate::queues::open(settings, PROCESS, WithoutBroker::Wait, &registry).await?;
        let sending = Sending {
            config: source.config(),
            submitter,
            day,
            again: wish.again,
            dns: &*dns,
            queue: Some(&*queue),
        };
        let told = sending.all(&subjects, &mut sent).await;
        queue.close().await;
        told
    })?;
    print(wish.json, &told)
}

/// A day is over when every node has written what it counted of it.
fn check_over(day: Day, config: &ReportsConfig, now: u64) -> anyhow::Result<()> {
    let written = day.end().saturating_add(2 * config.sync_interval.as_duration().as_secs());
    if now <= written {
        bail!(
            "{day} is not over, or not all of it is written yet: try again in {} seconds",
            written - now + 1
        );
    }
    Ok(())
}

impl Sending<'_> {
    /// Each domain's report to each of its addresses, up to the number of mails of one run.
    async fn all(&self, subjects: &[Subject], sent: &mut Sent) -> anyhow::Result<Vec<Told>> {
        let mut told = Vec::new();
        let mut left = usize::try_from(self.config.mails_max).unwrap_or(usize::MAX);
        let asked = stream::iter(subjects)
            .map(|subject| async move { (subject, subject.addresses(self.dns, self.config).await) });
        let mut asked = pin!(asked.buffered(ASKED_AT_ONCE));
        let mut reached = 0;
        while left > 0
            && let Some((subject, addresses)) = asked.next().await
        {
            reached += 1;
            for checked in addresses {
                let (address, outcome, detail) = match checked {
                    Checked::Refused { address, why } => (address, "refused", why),
                    Checked::Unknown { address, why } => (address, "not now", why),
                    Checked::Allowed(to) => {
                        let (outcome, detail) = self.one(subject, &to, sent, &mut left).await?;
                        (to.address.to_string(), outcome, detail)
                    }
                };
                let (domain, counted) = (subject.domain().to_owned(), subject.total());
                told.push(Told { domain, address, counted, outcome, detail });
            }
        }
        // Of these the DNS is not asked: it is for the next run.
        told.extend(subjects.iter().skip(reached).map(|subject| Told {
            domain: subject.domain().to_owned(),
            address: String::new(),
            counted: subject.total(),
            outcome: "left",
            detail: LEFT.to_owned(),
        }));
        Ok(told)
    }

    async fn one(
        &self,
        subject: &Subject,
        to: &ReportAddress,
        sent: &mut Sent,
        left: &mut usize,
    ) -> anyhow::Result<(&'static str, String)> {
        let (domain, address) = (subject.domain(), to.address.to_string());
        let times = sent.times(domain, &address);
        if times > 0 && !self.again {
            return Ok(("sent before", String::new()));
        }
        if *left == 0 {
            return Ok(("left", LEFT.to_owned()));
        }
        let draft = subject.draft(&self.submitter, self.day, times);
        let made = draft.mail(to, self.config.mail_octets_max.as_u64(), Timestamp::from(SystemTime::now()));
        let (envelope, octets) = match made {
            Ok(mail) => mail,
            Err(error @ DraftError::TooLarge { .. }) => return Ok(("too large", error.to_string())),
            Err(error) => return Err(error).with_context(|| format!("the report about {domain}")),
        };
        *left -= 1;
        let Some(queue) = self.queue else { return Ok(("would be sent", draft.report_id().to_owned())) };
        let (id, size) = (envelope.id, envelope.size);
        // The worker finds out whether the address is here or elsewhere.
        let published = queue.publish(Lane::Local, envelope, Body::Memory(octets));
        let published = tokio::time::timeout(PUBLISH_MAX, published).await;
        published.context("the queue did not answer in time")?.context("the queue takes no mail now")?;
        info!(
            target: "sluice::message",
            %id,
            event = "accepted",
            entrance = "internal",
            sender = "",
            recipients = %to.address,
            report = draft.report_id(),
            lane = %Lane::Local,
            size,
            "an aggregate report"
        );
        // After a crash right here the mail goes once more under the same names, which its reader knows.
        let report_id = draft.report_id().to_owned();
        sent.note(SentEntry { domain: domain.to_owned(), address, report_id, id: id.to_string() })?;
        Ok(("sent", id.to_string()))
    }
}

fn print(json: bool, told: &[Told]) -> anyhow::Result<()> {
    listing::print(json, told, &["domain", "address", "counted", "outcome", "detail"], |one| {
        vec![
            one.domain.clone(),
            one.address.clone(),
            one.counted.to_string(),
            one.outcome.to_owned(),
            one.detail.clone(),
        ]
    })
}

#[cfg(test)]
mod tests;
