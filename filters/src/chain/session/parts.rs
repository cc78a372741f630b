//! Parts of a judgement that stand by themselves: forged results, scanners, and what rules are told of them.

use bytes::Bytes;
use envelope::Envelope;
use futures_util::future::join_all;

use super::FilterSession;
use crate::chain::Judged;
use crate::policy::ScanFacts;
use crate::scanner::{self, Advice};
use crate::{Change, Verdict, authentication, fields};

impl FilterSession {
    /// Results that somebody else wrote in our name (RFC 8601 §5), the last first, so that the counts of the others stay.
    pub(super) fn remove_forged(&self, judged: &mut Judged, message: &[u8]) {
        if self.client.listener == "mx" && !self.is_stranger() {
            return;
        }
        // Systems of our own hand over by LMTP what they have checked.
        let names = self.filters.our_names().take(if self.client.listener == "mx" { usize::MAX } else { 1 });
        let names: Vec<&str> = names.collect();
        let all = fields::split(message);
        let results = all.iter().filter(|field| field.is(b"authentication-results"));
        let forged = results
            .enumerate()
            .filter(|(_, field)| authentication::is_forged(&field.unfolded(), names.iter().copied()));
        let places: Vec<usize> = forged.map(|(place, _)| place + 1).collect();
        judged.changes.extend(places.into_iter().rev().map(|index| Change::ChangeField {
            name: "Authentication-Results".to_owned(),
            index,
            value: None,
        }));
    }

    fn scan_facts(&self, envelope: &Envelope, id: &str) -> scanner::ScanFacts {
        scanner::ScanFacts {
            id: id.to_owned(),
            our_name: self.client.our_name.clone(),
            peer: Some(self.client.peer.ip()),
            hostname: self.hostname.clone(),
            helo: Some(self.helo.clone()).filter(|helo| !helo.is_empty()),
            reverse_path: envelope.reverse_path.clone(),
            recipients: envelope.recipients.iter().map(|one| one.address.clone()).collect(),
            login: self.account.as_ref().map(ToString::to_string),
            tls: self.tls_version.clone(),
        }
    }

    /// All scanners at once: they only read.
    pub(super) async fn scan(
        &self,
        envelope: &Envelope,
        id: &str,
        message: &Bytes,
    ) -> Vec<(String, Verdict, Option<scanner::Finding>)> {
        let concerned = self.filters.scanners.concerned(self.client.listener, self.account.is_some());
        let mut concerned = concerned.peekable();
        if concerned.peek().is_none() {
            return Vec::new();
        }
        let facts = &self.scan_facts(envelope, id);
        let asked = concerned.map(|scanner| async move {
            let found = scanner.scan(facts, message).await;
            let (verdict, finding) = scanner.judge(found);
            (scanner.name().to_owned(), verdict, finding)
        });
        join_all(asked).await
    }
}

/// What rules are told of a scanner's finding.
pub(super) fn note(scan: &mut ScanFacts, name: &str, finding: &Option<scanner::Finding>) {
    let Some(finding) = finding else { return };
    scan.symbols.extend(finding.symbols.iter().map(|symbol| symbol.name.clone()));
    match finding.score {
        Some(score) => {
            scan.spam_score += score;
            let spam = [Advice::Mark, Advice::Quarantine, Advice::Discard];
            scan.spam |= spam.contains(&finding.advice) || matches!(finding.advice, Advice::Reject(_));
        }
        // Who gives no points looks for viruses.
        None if matches!(finding.advice, Advice::Reject(_) | Advice::Quarantine | Advice::Discard) => {
            scan.virus = true;
            let first = finding.symbols.first();
            scan.virus_name = first.map_or_else(|| name.to_owned(), |symbol| symbol.name.clone());
        }
        None => {}
    }
}
