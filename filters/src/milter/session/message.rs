//! The text of a message, milter after milter.

use milter_proto::{BODY_CHUNK_MAX, DATA_MAX, Misuse, Modification};

use super::{
    Action, Answer, Bytes, Command, Failure, Instant, Macros, Member, MilterSession, Outcome, Part, Refusal,
    TracePlace, Verdict, refusal, unavailable,
};
use crate::apply;
use crate::fields::Section;
use crate::milter::verdict::Wanted;

impl MilterSession {
    /// Asks all milters, one after the other.
    pub(super) async fn judge(&mut self, message: &Bytes) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(name) = &self.discarded_by {
            verdict.action = Action::Discard;
            verdict.reasons.push(format!("milter {name}: discarded"));
            return verdict;
        }
        if let Some(failed) = self.members.iter().find(|member| member.part == Part::Failed) {
            verdict.action = Action::Refuse(unavailable());
            verdict.reasons.push(format!("milter {}: failed", failed.milter.config.name));
            return verdict;
        }
        let mut message = message.clone();
        let mut trace = TracePlace::default();
        for member in &mut self.members {
            let before = verdict.changes.len();
            if member.part == Part::Passed {
                verdict.reasons.push(format!("milter {}: failed, passed", member.milter.config.name));
            }
            member.judge(&message, &self.macros, &mut trace, &mut verdict).await;
            if matches!(verdict.action, Action::Refuse(_) | Action::Discard) {
                verdict.changes.clear();
                return verdict;
            }
            message = apply(&message, verdict.changes.get(before..).unwrap_or_default());
        }
        verdict
    }
}

impl Member {
    /// Asks one milter, and adds what it says to the verdict.
    async fn judge(
        &mut self,
        message: &Bytes,
        macros: &Macros,
        trace: &mut TracePlace,
        verdict: &mut Verdict,
    ) {
        if self.part != Part::Asked || !self.link.as_ref().is_some_and(|link| link.wants_message()) {
            return;
        }
        let begun = Instant::now();
        let mut places = *trace;
        let told = self.tell(message, macros, begun).await;
        let told = told
            .and_then(|(answer, changes)| Ok((answer, Wanted::from_modifications(changes, &mut places)?)));
        self.milter.figures.took(begun.elapsed());
        let name = self.milter.config.name.clone();
        match told {
            Ok((answer, wanted)) => {
                *trace = places;
                self.take(&name, &answer, wanted, verdict);
            }
            Err(Failure::Misuse { misuse: Misuse::TooLong, .. }) => {
                verdict.action = Action::Refuse(too_long());
                verdict.reasons.push(format!("milter {name}: a field of more than {DATA_MAX} octets"));
                self.milter.figures.count(Outcome::TooBig);
            }
            Err(failure) => {
                let refused = self.fail(&failure);
                let then = if refused.is_err() { "failed" } else { "failed, passed" };
                verdict.reasons.push(format!("milter {name}: {then}"));
                if let Err(refusal) = refused {
                    verdict.action = Action::Refuse(refusal);
                }
            }
        }
    }

    fn take(&mut self, name: &str, answer: &Answer, wanted: Wanted, verdict: &mut Verdict) {
        let figures = &self.milter.figures;
        if let Some(refusal) = refusal(answer) {
            let temporary = refusal.is_temporary();
            figures.count(if temporary { Outcome::Deferred } else { Outcome::Refused });
            verdict
                .reasons
                .push(format!("milter {name}: {}", if temporary { "deferred" } else { "refused" }));
            verdict.action = Action::Refuse(refusal);
            if *answer == Answer::Shutdown {
                self.link = None;
            }
            return;
        }
        if *answer == Answer::Discard {
            figures.count(Outcome::Discarded);
            verdict.reasons.push(format!("milter {name}: discarded"));
            verdict.action = Action::Discard;
            return;
        }
        verdict.changes.extend(wanted.changes);
        let Some(why) = wanted.quarantine else { return figures.count(Outcome::Accepted) };
        figures.count(Outcome::Quarantined);
        verdict.reasons.push(format!("milter {name}: quarantined: {why}"));
        verdict.action = Action::Quarantine;
    }

    /// Sends the message and takes the answer: the milter's last one if it decides before the end.
    async fn tell(
        &mut self,
        message: &Bytes,
        macros: &Macros,
        begun: Instant,
    ) -> Result<(Answer, Vec<Modification>), Failure> {
        let by = begun + self.milter.config.message_max.as_duration();
        let Some(link) = &mut self.link else { return Err(Failure::NotAsked) };
        let section = Section::parse(message);
        let fields = section.fields.iter().map(|field| Command::Header(field.name, field.value));
        let body = section.body.chunks(BODY_CHUNK_MAX).map(Command::Body);
        for command in fields.chain(std::iter::once(Command::EndOfHeaders)).chain(body) {
            let answer = link.ask(&command, macros, Some(by)).await?;
            if answer != Answer::Continue {
                return Ok((answer, Vec::new()));
            }
        }
        link.finish(macros, by).await
    }
}

/// Milters take no longer field. Nobody writes such a one in earnest, and to cut it would hide what is in it.
fn too_long() -> Refusal {
    Refusal {
        code: 552,
        enhanced: (5, 3, 4),
        text: format!("a header field is longer than {DATA_MAX} octets"),
    }
}
