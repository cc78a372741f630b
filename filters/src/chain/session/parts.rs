//! Parts of a judgement that stand by themselves: forged results, and what rules are told of scanners.

use super::FilterSession;
use crate::chain::Judged;
use crate::policy::ScanFacts;
use crate::scanner::{self, Advice};
use crate::{Change, authentication, fields};

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
