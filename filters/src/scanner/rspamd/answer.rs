//! What rspamd answers, and what it comes to: the same as its own milter would make of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use envelope::{Address, ReversePath};
use serde::Deserialize;
use serde_json::Value;

use crate::changes::{is_valid, with_crlf};
use crate::fields::{Field, Section};
use crate::peer::reply_text;
use crate::scanner::{Advice, Finding, ScanFailure, Symbol};
use crate::verdict::Change;

/// The part of the answer that is used.
#[derive(Debug, Deserialize)]
struct Answer {
    action: String,
    score: f64,
    #[serde(default)]
    symbols: BTreeMap<String, Found>,
    #[serde(default)]
    messages: BTreeMap<String, Value>,
    subject: Option<String>,
    #[serde(default)]
    milter: Milter,
    #[serde(rename = "dkim-signature", default)]
    dkim_signature: Value,
}

#[derive(Debug, Deserialize)]
struct Found {
    #[serde(default)]
    score: f64,
}

/// What rspamd's rules want of a milter.
#[derive(Debug, Default, Deserialize)]
struct Milter {
    #[serde(default)]
    remove_headers: BTreeMap<String, i64>,
    /// A text, an object with `value` and `order`, or a list of these.
    #[serde(default)]
    add_headers: BTreeMap<String, Value>,
    spam_header: Option<Value>,
    change_from: Option<String>,
    #[serde(default)]
    add_rcpt: Vec<String>,
    #[serde(default)]
    del_rcpt: Vec<String>,
    reject: Option<String>,
    #[serde(default)]
    no_action: bool,
}

/// Reads an answer to a message, with at most so many changes.
pub(super) fn judge(answer: &[u8], message: &Bytes, changes_max: usize) -> Result<Finding, ScanFailure> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|error| ScanFailure::Protocol(error.to_string()))?;
    let advice = advice(&answer)?;
    let changes = match Changes::new(message, changes_max).of(&answer, &advice) {
        // Whoever refuses a message is believed, whatever it wanted changed in it.
        Err(failure) if matches!(advice, Advice::Reject(_) | Advice::Quarantine | Advice::Discard) => {
            tracing::debug!(%failure, "changes of a refused message left out");
            Vec::new()
        }
        changes => changes?,
    };
    let symbol = |(name, found): (&String, &Found)| Symbol { name: reply_text(name), score: found.score };
    let mut symbols: Vec<Symbol> = answer.symbols.iter().map(symbol).collect();
    symbols.sort_by(|a, b| b.score.abs().total_cmp(&a.score.abs()));
    Ok(Finding { advice, score: Some(answer.score), symbols, changes })
}

fn advice(answer: &Answer) -> Result<Advice, ScanFailure> {
    let said = answer.messages.get("smtp_message").and_then(Value::as_str).map(reply_text);
    let text = |otherwise: &str| {
        said.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| otherwise.to_owned())
    };
    let advice = match answer.action.as_str() {
        "no action" => Advice::Accept,
        "greylist" => Advice::Greylist,
        "add header" | "rewrite subject" => Advice::Mark,
        "soft reject" => Advice::Defer(text("try again later")),
        "reject" => match answer.milter.reject.as_deref() {
            Some("discard") => Advice::Discard,
            Some("quarantine") => Advice::Quarantine,
            _ => Advice::Reject(text("refused as spam")),
        },
        "quarantine" => Advice::Quarantine,
        "discard" => Advice::Discard,
        other => return Err(ScanFailure::Protocol(format!("the action `{}`", reply_text(other)))),
    };
    Ok(if answer.milter.no_action { Advice::Accept } else { advice })
}

/// Collects changes, with what must be known of the message for them.
struct Changes<'a> {
    section: Section<'a>,
    /// Fields that the message has after the changes so far.
    fields: usize,
    changes: Vec<Change>,
    changes_max: usize,
}

impl<'a> Changes<'a> {
    fn new(message: &'a [u8], changes_max: usize) -> Self {
        let section = Section::parse(message);
        Self { fields: section.fields.len(), section, changes: Vec::new(), changes_max }
    }

    fn push(&mut self, change: Change) -> Result<(), ScanFailure> {
        if self.changes.len() >= self.changes_max {
            return Err(ScanFailure::Protocol("changes over modifications_max".to_owned()));
        }
        self.changes.push(change);
        Ok(())
    }

    fn of(mut self, answer: &Answer, advice: &Advice) -> Result<Vec<Change>, ScanFailure> {
        let milter = &answer.milter;
        for (name, index) in &milter.remove_headers {
            self.remove(name, *index)?;
        }
        for (name, value) in &milter.add_headers {
            self.add(name, value)?;
        }
        if let Some(sender) = &milter.change_from {
            self.push(Change::ChangeSender(path(sender)?))?;
        }
        for recipient in &milter.add_rcpt {
            self.push(Change::AddRecipient(address(recipient)?))?;
        }
        for recipient in &milter.del_rcpt {
            self.push(Change::RemoveRecipient(address(recipient)?))?;
        }
        let signatures: Vec<&str> = match &answer.dkim_signature {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        for (index, signature) in signatures.into_iter().enumerate() {
            let (name, value) = checked("DKIM-Signature", signature)?;
            self.push(Change::InsertField { index, name, value })?;
        }
        if *advice == Advice::Mark {
            self.mark(answer)?;
        }
        Ok(self.changes)
    }

    /// Says that it is spam, in the field that rspamd's milter has for it or in the subject.
    fn mark(&mut self, answer: &Answer) -> Result<(), ScanFailure> {
        match (&answer.milter.spam_header, &answer.subject) {
            (Some(Value::Object(fields)), _) => {
                fields.iter().try_for_each(|(name, value)| self.set(name, value.as_str().unwrap_or("Yes")))
            }
            (Some(Value::String(value)), _) => self.set("X-Spam", value),
            (_, Some(subject)) if answer.action == "rewrite subject" => {
                let (name, value) = checked("Subject", subject)?;
                self.push(Change::ChangeField { name, index: 1, value: Some(value) })
            }
            _ => self.set("X-Spam", "Yes"),
        }
    }

    /// The only field of its name.
    fn set(&mut self, name: &str, value: &str) -> Result<(), ScanFailure> {
        self.remove(name, 0)?;
        let (name, value) = checked(name, value)?;
        self.push(Change::AddField { name, value })
    }

    /// 0: all of the name; from 1: that one; below 0: counted from the last.
    fn remove(&mut self, name: &str, index: i64) -> Result<(), ScanFailure> {
        let (name, _) = checked(name, "")?;
        let same = |field: &&Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
        let count = self.section.fields.iter().filter(same).count();
        let magnitude = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        let place = match index {
            0 => {
                self.fields = self.fields.saturating_sub(count);
                return self.push(Change::RemoveFields { name });
            }
            1.. => magnitude,
            _ => (count + 1).saturating_sub(magnitude),
        };
        if !(1..=count).contains(&place) {
            return Ok(());
        }
        self.fields = self.fields.saturating_sub(1);
        self.push(Change::ChangeField { name, index: place, value: None })
    }

    fn add(&mut self, name: &str, value: &Value) -> Result<(), ScanFailure> {
        match value {
            Value::Array(all) => all.iter().try_for_each(|value| self.add_one(name, value)),
            one => self.add_one(name, one),
        }
    }

    fn add_one(&mut self, name: &str, value: &Value) -> Result<(), ScanFailure> {
        let (text, order) = match value {
            Value::String(text) => (text.as_str(), None),
            Value::Object(object) => {
                let order = object.get("order").or_else(|| object.get("index")).and_then(Value::as_i64);
                (object.get("value").and_then(Value::as_str).unwrap_or_default(), order)
            }
            _ => return Err(ScanFailure::Protocol("a field that is none".to_owned())),
        };
        let (name, value) = checked(name, text)?;
        let fields = i64::try_from(self.fields).unwrap_or(i64::MAX);
        self.fields += 1;
        // Places are those of the milter protocol, where 1 is behind the server's own trace field; below 0 they are counted from the end.
        let place = order.map(|order| match order {
            ..0 => fields.saturating_add(order).saturating_add(1),
            _ => order.saturating_sub(1),
        });
        self.push(match place {
            None => Change::AddField { name, value },
            Some(place) => Change::InsertField { index: usize::try_from(place).unwrap_or(0), name, value },
        })
    }
}

/// A field that can stand in a message.
fn checked(name: &str, value: &str) -> Result<(String, String), ScanFailure> {
    let value = with_crlf(value);
    if is_valid(name, &value) {
        return Ok((name.to_owned(), value));
    }
    Err(ScanFailure::Protocol("a field that would break out".to_owned()))
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

fn address(text: &str) -> Result<Address, ScanFailure> {
    bare(text).parse().map_err(|_| ScanFailure::Protocol("an address that is none".to_owned()))
}

fn path(text: &str) -> Result<ReversePath, ScanFailure> {
    if bare(text).is_empty() { Ok(ReversePath::Null) } else { address(text).map(ReversePath::Address) }
}

/// Feeds arbitrary octets as an answer: whatever it says, it can be written into a message and a reply.
pub fn fuzz_rspamd_answer(input: &[u8]) {
    let message = Bytes::from_static(b"From: <a@b.test>\r\nX-Spam: 1\r\nX-Spam: 2\r\n\r\ntext\r\n");
    let Ok(finding) = judge(input, &message, 100) else { return };
    let changed = crate::apply(&message, &finding.changes);
    assert_eq!(Section::parse(&changed).body, b"text\r\n", "the text is as it was");
    if let Advice::Reject(text) | Advice::Defer(text) = &finding.advice {
        assert!(!text.is_empty() && !text.contains(char::is_control), "one line of text");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str =
        "From: <a@b.test>\r\nSubject: hello\r\nX-Spam: old\r\nx-spam: older\r\n\r\ntext\r\n";

    fn found(json: &str) -> Result<Finding, ScanFailure> {
        judge(json.as_bytes(), &Bytes::from_static(MESSAGE.as_bytes()), 100)
    }

    fn check(json: &str, advice: Advice, head: &str) {
        let finding = found(json).unwrap();
        assert_eq!(finding.advice, advice, "{json}");
        let changed = crate::apply(&Bytes::from_static(MESSAGE.as_bytes()), &finding.changes);
        let changed = String::from_utf8(changed.to_vec()).unwrap();
        let (fields, _) = changed.split_once("\r\n\r\n").unwrap();
        assert_eq!(fields, head.replace('|', "\r\n"), "{json}");
    }

    const SAME: &str = "From: <a@b.test>|Subject: hello|X-Spam: old|x-spam: older";

    #[test]
    fn actions() {
        check(r#"{"action":"no action","score":0}"#, Advice::Accept, SAME);
        check(r#"{"action":"greylist","score":4}"#, Advice::Greylist, SAME);
        check(r#"{"action":"soft reject","score":4}"#, Advice::Defer("try again later".to_owned()), SAME);
        let said = r#"{"action":"soft reject","score":4,"messages":{"smtp_message":"slow\r\ndown"}}"#;
        check(said, Advice::Defer("slow??down".to_owned()), SAME);
        check(r#"{"action":"reject","score":40}"#, Advice::Reject("refused as spam".to_owned()), SAME);
        check(r#"{"action":"reject","score":40,"milter":{"reject":"discard"}}"#, Advice::Discard, SAME);
        check(r#"{"action":"reject","score":40,"milter":{"reject":"quarantine"}}"#, Advice::Quarantine, SAME);
        check(r#"{"action":"reject","score":40,"milter":{"no_action":true}}"#, Advice::Accept, SAME);
        check(
            r#"{"action":"add header","score":7}"#,
            Advice::Mark,
            "From: <a@b.test>|Subject: hello|X-Spam: Yes",
        );
        let subject = r#"{"action":"rewrite subject","score":7,"subject":"[spam] hello"}"#;
        check(subject, Advice::Mark, "From: <a@b.test>|Subject: [spam] hello|X-Spam: old|x-spam: older");
    }

    #[test]
    fn fields() {
        let with = |milter: &str| format!(r#"{{"action":"no action","score":0,"milter":{milter}}}"#);
        let check = |milter: &str, head: &str| check(&with(milter), Advice::Accept, head);
        check(r#"{"remove_headers":{"X-Spam":0}}"#, "From: <a@b.test>|Subject: hello");
        check(r#"{"remove_headers":{"X-Spam":1}}"#, "From: <a@b.test>|Subject: hello|x-spam: older");
        check(r#"{"remove_headers":{"X-Spam":-1}}"#, "From: <a@b.test>|Subject: hello|X-Spam: old");
        check(r#"{"remove_headers":{"X-Spam":-3,"Zzz":0}}"#, SAME);
        check(r#"{"add_headers":{"A":"1"}}"#, &format!("{SAME}|A: 1"));
        check(r#"{"add_headers":{"A":{"value":"1\n\t2","order":0}}}"#, &format!("A: 1|\t2|{SAME}"));
        check(r#"{"add_headers":{"A":{"value":"1","order":1}}}"#, &format!("A: 1|{SAME}"));
        check(
            r#"{"add_headers":{"A":[{"value":"1","order":2},"2"]}}"#,
            &format!("{}|A: 2", SAME.replacen('|', "|A: 1|", 1)),
        );
        check(r#"{"add_headers":{"A":{"value":"1","order":-1}}}"#, &format!("{SAME}|A: 1"));
        check(
            r#"{"add_headers":{"A":{"value":"1","order":-2}}}"#,
            "From: <a@b.test>|Subject: hello|X-Spam: old|A: 1|x-spam: older",
        );
        check(r#"{"add_headers":{"A":{"value":"1","order":-99}}}"#, &format!("A: 1|{SAME}"));
        // Places count what is left.
        for (removed, left) in [
            ("0", "From: <a@b.test>|A: 1|Subject: hello"),
            ("1", "From: <a@b.test>|Subject: hello|A: 1|x-spam: older"),
        ] {
            let milter = format!(
                r#"{{"remove_headers":{{"X-Spam":{removed}}},"add_headers":{{"A":{{"value":"1","order":-2}}}}}}"#
            );
            check(&milter, left);
        }
    }

    #[test]
    fn signatures_and_envelope() {
        let json = r#"{"action":"no action","score":0,"dkim-signature":["a","b"],
            "milter":{"change_from":"<>","add_rcpt":["c@d.test"],"del_rcpt":["<e@f.test>"]}}"#;
        let changes = found(json).unwrap().changes;
        let sign = |index, value: &str| Change::InsertField {
            index,
            name: "DKIM-Signature".to_owned(),
            value: value.to_owned(),
        };
        let expected = [
            Change::ChangeSender(ReversePath::Null),
            Change::AddRecipient("c@d.test".parse().unwrap()),
            Change::RemoveRecipient("e@f.test".parse().unwrap()),
            sign(0, "a"),
            sign(1, "b"),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn changes_that_can_t_be_made_do_not_save_a_refused_message() {
        let unfit = r#""score":40,"milter":{"add_headers":{"A":"1\r\nBcc: x"}}"#;
        for (action, advice) in [
            ("reject", Advice::Reject("refused as spam".to_owned())),
            ("quarantine", Advice::Quarantine),
            ("discard", Advice::Discard),
        ] {
            check(&format!(r#"{{"action":"{action}",{unfit}}}"#), advice, SAME);
        }
        assert!(found(&format!(r#"{{"action":"soft reject",{unfit}}}"#)).is_err(), "it comes again");
    }

    #[test]
    fn more_changes_than_there_may_be() {
        let json = |count: usize| {
            let fields = vec!["1"; count];
            serde_json::json!({ "action": "no action", "score": 0, "milter": { "add_headers": { "A": fields } } }).to_string()
        };
        assert_eq!(found(&json(100)).unwrap().changes.len(), 100);
        let failure = found(&json(101)).unwrap_err().to_string();
        assert!(failure.contains("modifications_max"), "{failure}");
    }

    #[test]
    fn symbols_by_weight() {
        let json = r#"{"action":"no action","score":1.5,"symbols":{"A":{"score":1.0},"B":{"score":-3.5,"options":[]},"C":{}}}"#;
        let finding = found(json).unwrap();
        let names: Vec<&str> = finding.symbols.iter().map(|symbol| symbol.name.as_str()).collect();
        assert_eq!((names, finding.score), (vec!["B", "A", "C"], Some(1.5)));
    }

    #[test]
    fn no_answers() {
        for json in [
            "",
            "{}",
            "[]",
            r#"{"action":"no action"}"#,
            r#"{"action":"frob","score":1}"#,
            r#"{"error":"Cannot process"}"#,
            r#"{"action":"no action","score":0,"milter":{"add_headers":{"A":"1\r\nBcc: x"}}}"#,
            r#"{"action":"no action","score":0,"milter":{"add_headers":{"A b":"1"}}}"#,
            r#"{"action":"no action","score":0,"milter":{"add_headers":{"A":1}}}"#,
            r#"{"action":"no action","score":0,"milter":{"add_rcpt":["x"]}}"#,
            r#"{"action":"no action","score":0,"dkim-signature":"a\n\nb"}"#,
            r#"{"action":"rewrite subject","score":0,"subject":"a\r\nb"}"#,
        ] {
            assert!(matches!(found(json), Err(ScanFailure::Protocol(_))), "{json}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(found(&deep).is_err());
    }

    proptest! {
        #[test]
        fn never_breaks_out(name in "\\PC{0,8}|X-Spam", value in "([ -~]|\r\n|\n| |\t|\u{fc}){0,20}", order in -5i64..5) {
            let json = serde_json::json!({
                "action": "add header", "score": 1, "messages": { "smtp_message": value },
                "milter": { "add_headers": { name.clone(): { "value": value, "order": order } }, "remove_headers": { name: order } },
            });
            fuzz_rspamd_answer(json.to_string().as_bytes());
        }
    }
}
