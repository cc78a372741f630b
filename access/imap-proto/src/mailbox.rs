//! Mailbox names and LIST patterns.

use std::fmt;

/// The one name that has no case.
const INBOX: &str = "INBOX";

/// A mailbox's name as text: modified UTF-7 is decoded, `INBOX` in any case is `INBOX`
/// (RFC 3501 §5.1). Whether a mailbox of that name may exist is for the store to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox(String);

impl Mailbox {
    /// Takes the name as text.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.eq_ignore_ascii_case(INBOX) { Self(INBOX.to_owned()) } else { Self(text) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the INBOX.
    pub fn is_inbox(&self) -> bool {
        self.0 == INBOX
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A LIST pattern as text: modified UTF-7 is decoded, `*` and `%` are wildcards (RFC 3501 §6.3.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListPattern(String);

impl ListPattern {
    /// Takes the pattern as text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts a reference name before the pattern, as LIST's first argument asks.
    #[must_use]
    pub fn under(&self, reference: &str) -> Self {
        Self(format!("{reference}{}", self.0))
    }

    /// Whether `name` matches: `*` stands for any text, `%` for any text without `delimiter`. `INBOX`
    /// at the beginning of a name matches in any case, by itself and as the first level. The work is at most pattern × name, whatever the
    /// pattern holds.
    pub fn matches(&self, name: &str, delimiter: char) -> bool {
        let inbox = INBOX.len();
        let in_inbox =
            name.strip_prefix(INBOX).is_some_and(|rest| rest.is_empty() || rest.starts_with(delimiter));
        // `reached` holds, for each place in the pattern, whether the name up to here may end there.
        let pattern: Vec<char> = self.0.chars().collect();
        let mut reached = vec![false; pattern.len() + 1];
        let mut next = reached.clone();
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        skip_wildcards(&pattern, &mut reached);
        for (index, character) in name.chars().enumerate() {
            next.fill(false);
            let mut alive = false;
            for (at, wanted) in pattern.iter().enumerate() {
                if !reached.get(at).copied().unwrap_or(false) {
                    continue;
                }
                let to = match wanted {
                    '*' => at,
                    '%' if character != delimiter => at,
                    '%' => continue,
                    literal if *literal == character => at + 1,
                    literal if in_inbox && index < inbox && literal.eq_ignore_ascii_case(&character) => {
                        at + 1
                    }
                    _ => continue,
                };
                if let Some(place) = next.get_mut(to) {
                    *place = true;
                    alive = true;
                }
            }
            if !alive {
                return false;
            }
            skip_wildcards(&pattern, &mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// A wildcard may stand for nothing.
fn skip_wildcards(pattern: &[char], reached: &mut [bool]) {
    for (at, wanted) in pattern.iter().enumerate() {
        if matches!(wanted, '*' | '%')
            && reached.get(at).copied().unwrap_or(false)
            && let Some(behind) = reached.get_mut(at + 1)
        {
            *behind = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbox_has_one_spelling() {
        assert!(Mailbox::from_text("inBox").is_inbox());
        assert!(!Mailbox::from_text("INBOX/a").is_inbox());
    }

    #[test]
    fn patterns() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(ListPattern::from_text(pattern).matches(name, '/'), expected, "{pattern} {name}");
        };
        check("*", "a/b/c", true);
        check("*", "", true);
        check("%", "a", true);
        check("%", "a/b", false);
        check("a/%", "a/b", true);
        check("a/%", "a", false);
        check("a/%", "a/b/c", false);
        check("a/%/c", "a/b/c", true);
        check("%/%", "a/b", true);
        check("%%", "ab", true);
        check("*%*%*%", "a/b/c", true);
        check("*c", "a/b/c", true);
        check("*d", "a/b/c", false);
        check("inbox", "INBOX", true);
        check("inbox", "inbox2", false);
        check("iNb%", "INBOX", true);
        check("*box", "INBOX", true);
        check("inbox/%", "INBOX/a", true);
        check("inbox/A", "INBOX/a", false);
        check("inbox*", "INBOXES", false);
        check("Sent", "sent", false);
        check("é*", "école", true);
        check("", "", true);
        check("", "a", false);
    }

    #[test]
    fn many_wildcards_cost_no_more_than_pattern_times_name() {
        let pattern = ListPattern::from_text("*%".repeat(500) + "x");
        assert!(!pattern.matches(&"a/".repeat(500), '/'));
    }
}
