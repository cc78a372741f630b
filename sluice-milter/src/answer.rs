//! What the checks came to, in the words of a milter.

use envelope::Address;
use filters::{Action, Change, Judged, Refusal};

/// Octets of a reply's text and of a reason; libmilter takes 980.
const TEXT_MAX: usize = 400;
/// What somebody is told whose message could not be checked.
const FAILED: &str = "Message could not be checked, try again later";

/// What the mail server is told at the end of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on, after these steps in their order.
    Accept(Vec<Step>),
    /// It goes nowhere, and the sender hears that it was accepted.
    Discard,
    /// The sender is refused, for now or for good.
    Refuse(Refusal),
}

/// One change that the mail server makes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field behind the last.
    AddField { name: String, value: String },
    /// A field before the `index`-th; the mail server's own Received field is the first one, at 0.
    InsertField { index: usize, name: String, value: String },
    /// The `index`-th field of the name, from 1; `None` removes it.
    ChangeField { name: String, index: usize, value: Option<String> },
    /// In angle brackets.
    AddRecipient(String),
    /// As the mail server wrote it.
    RemoveRecipient(String),
    /// It is kept back, for this reason.
    Quarantine(String),
}

/// For now: nothing passes unseen.
pub(crate) fn failed() -> Refusal {
    Refusal::temporary((4, 3, 0), FAILED)
}

impl Answer {
    /// `recipients` as the mail server wrote them; `with_space` says whether a value is written right behind the colon (SMFIP_HDR_LEADSPC).
    ///
    /// What a milter can't do is a refusal for now: half of what was decided would be something else.
    pub(crate) fn new(judged: Judged, recipients: &[(String, Address)], with_space: bool) -> Self {
        match judged.action {
            Action::Refuse(refusal) => return Self::Refuse(refusal),
            Action::Discard => return Self::Discard,
            Action::Accept | Action::Quarantine => {}
        }
        if !judged.journals.is_empty() {
            tracing::error!("a rule wants a journal, which a milter can't write");
            return Self::Refuse(failed());
        }
        let mut steps = Vec::new();
        for change in judged.changes {
            match change {
                Change::AddField { name, value } => {
                    steps.push(Step::AddField { name, value: written(&value, with_space) });
                }
                Change::InsertField { index, name, value } => {
                    let value = written(&value, with_space);
                    steps.push(Step::InsertField { index: index.saturating_add(1), name, value });
                }
                Change::ChangeField { name, index, value } => {
                    let value = value.map(|value| written(&value, with_space));
                    steps.push(Step::ChangeField { name, index, value });
                }
                Change::AddRecipient(address) => steps.push(Step::AddRecipient(format!("<{address}>"))),
                Change::RemoveRecipient(address) => {
                    let same = recipients.iter().filter(|(_, known)| *known == address);
                    steps.extend(same.map(|(written, _)| Step::RemoveRecipient(written.clone())));
                }
                // `filters::counted` has made removals by number of it.
                Change::RemoveFields { .. } | Change::ReplaceBody(_) | Change::ChangeSender(_) => {
                    tracing::error!("a check wants what this milter does not do: another body or sender");
                    return Self::Refuse(failed());
                }
            }
        }
        if judged.action == Action::Quarantine {
            let reason = printable(&judged.reasons.join("; "));
            steps.push(Step::Quarantine(if reason.is_empty() { "quarantined".to_owned() } else { reason }));
        }
        Self::Accept(steps)
    }
}

/// A value as libmilter wants it: lines end in LF. An empty value would be a removal.
fn written(value: &str, with_space: bool) -> String {
    let lines = value.replace("\r\n", "\n");
    let has_space = lines.starts_with([' ', '\t', '\n']);
    if lines.is_empty() || with_space && !has_space { format!(" {lines}") } else { lines }
}

/// A text of a reply: printable US-ASCII on one line, and `%` doubled, for libmilter takes it as the beginning of a format.
pub(crate) fn reply_text(text: &str) -> String {
    printable(text).replace('%', "%%")
}

fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let one_line = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(TEXT_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(action: Action, changes: Vec<Change>) -> Judged {
        Judged { action, changes, reasons: vec!["a: b".to_owned(), "c\r\nd".to_owned()], ..Judged::default() }
    }

    fn steps(changes: Vec<Change>, with_space: bool) -> Vec<Step> {
        let recipients: Vec<(String, Address)> = ["<Bob@b.test>", "<bob@B.TEST>", "carl@b.test"]
            .into_iter()
            .map(|text| (text.to_owned(), text.trim_matches(['<', '>']).parse().unwrap()))
            .collect();
        match Answer::new(judged(Action::Accept, changes), &recipients, with_space) {
            Answer::Accept(steps) => steps,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn actions() {
        let refusal = Refusal::permanent((5, 7, 1), "no");
        let insert = || vec![Change::InsertField { index: 0, name: "A".to_owned(), value: "b".to_owned() }];
        let check = |action: Action, expected: Answer| {
            assert_eq!(Answer::new(judged(action, insert()), &[], true), expected);
        };
        let inserted = || Step::InsertField { index: 1, name: "A".to_owned(), value: " b".to_owned() };
        check(Action::Accept, Answer::Accept(vec![inserted()]));
        check(Action::Discard, Answer::Discard);
        check(Action::Refuse(refusal.clone()), Answer::Refuse(refusal));
        let kept = Step::Quarantine("a: b; c d".to_owned());
        check(Action::Quarantine, Answer::Accept(vec![inserted(), kept]));
    }

    #[test]
    fn what_a_milter_does_not_do() {
        let check = |judged: Judged| {
            assert_eq!(Answer::new(judged, &[], true), Answer::Refuse(failed()));
        };
        check(judged(Action::Accept, vec![Change::ReplaceBody("x".into())]));
        check(judged(Action::Accept, vec![Change::ChangeSender(envelope::ReversePath::Null)]));
        let archive = "archive@b.test".parse().unwrap();
        check(Judged { journals: vec![archive], ..Judged::default() });
    }

    #[test]
    fn values() {
        let check = |value: &str, with_space: bool, expected: &str| {
            assert_eq!(written(value, with_space), expected, "{value:?} {with_space}");
        };
        check("a", true, " a");
        check("a", false, "a");
        check(" a", true, " a");
        check("\r\n a", true, "\n a");
        check("a;\r\n\tb", true, " a;\n\tb");
        check("", true, " ");
        check("", false, " ");
    }

    #[test]
    fn fields_and_recipients() {
        let name = || "A".to_owned();
        let removed = steps(vec![Change::ChangeField { name: name(), index: 2, value: None }], true);
        assert_eq!(removed, [Step::ChangeField { name: name(), index: 2, value: None }]);
        let bob: Address = "bob@b.test".parse().unwrap();
        let changes = vec![Change::RemoveRecipient(bob), Change::AddRecipient("d@b.test".parse().unwrap())];
        let expected =
            [Step::RemoveRecipient("<bob@B.TEST>".to_owned()), Step::AddRecipient("<d@b.test>".to_owned())];
        assert_eq!(steps(changes, true), expected, "the local part as it is written, the domain in any case");
    }

    #[test]
    fn texts() {
        let check = |text: &str, expected: &str| assert_eq!(reply_text(text), expected, "{text:?}");
        check("plain", "plain");
        check("100% sure", "100%% sure");
        check("a\r\n250 OK", "a 250 OK");
        check("für\u{7f}\0", "f?r??");
        check(&"x".repeat(TEXT_MAX + 1), &"x".repeat(TEXT_MAX));
    }
}
