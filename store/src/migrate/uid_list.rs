//! Other servers' lists of UIDs: which message has which.
//!
//! ```text
//! dovecot-uidlist     3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
//!                     25006 W1142 :1276528487.M364837P9451.host,S=1355,W=1394:2,S
//! courierimapuiddb    1 1275660208 25022
//! (and old Dovecots)  25006 1276528487.M364837P9451.host,S=1355
//! ```
//! A message is meant by its file's name up to the colon; what follows are flags, which change.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::file_name::front;

pub(super) const DOVECOT: &str = "dovecot-uidlist";
pub(super) const COURIER: &str = "courierimapuiddb";

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UidList {
    pub(super) uid_validity: u32,
    /// UIDs from here on were never given.
    pub(super) uid_next: u32,
    /// By the front of the file's name.
    pub(super) uids: HashMap<Vec<u8>, u32>,
}

/// What is wrong with a list, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

impl UidList {
    /// Reads either form. A last line without its end was being written: it is passed over.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Fault> {
        let mut lines = content.split_inclusive(|byte| *byte == b'\n').enumerate();
        let fault = |line: usize, problem| Fault { line: line + 1, problem };
        let (_, header) = lines.next().ok_or(fault(0, "it is empty"))?;
        let (is_third, mut list) = header
            .strip_suffix(b"\n")
            .and_then(|header| parse_header(std::str::from_utf8(header).ok()?))
            .ok_or(fault(0, "not a header of version 1 or 3"))?;
        let mut last = 0;
        for (number, line) in lines {
            let Some(line) = line.strip_suffix(b"\n") else { break };
            if line.is_empty() {
                continue;
            }
            let (uid, name) = parse_line(line, is_third).ok_or(fault(number, "not a UID and a name"))?;
            if uid <= last {
                return Err(fault(number, "UIDs do not ascend"));
            }
            last = uid;
            // Named twice, the later one holds: so the servers themselves read it.
            list.uids.insert(front(name).to_vec(), uid);
        }
        list.uid_next = list.uid_next.max(last.checked_add(1).ok_or(fault(0, "no UIDs are left"))?);
        Ok(list)
    }

    /// As Dovecot reads it.
    pub(super) fn print_dovecot(uid_validity: u32, uid_next: u32, uids: &[(u32, String)]) -> String {
        let mut text = format!("3 V{uid_validity} N{uid_next}\n");
        for (uid, name) in uids {
            let _ = writeln!(text, "{uid} :{name}");
        }
        text
    }

    /// As Courier reads it.
    pub(super) fn print_courier(uid_validity: u32, uid_next: u32, uids: &[(u32, String)]) -> String {
        let mut text = format!("1 {uid_validity} {uid_next}\n");
        for (uid, name) in uids {
            let _ = writeln!(text, "{uid} {name}");
        }
        text
    }
}

fn parse_header(header: &str) -> Option<(bool, UidList)> {
    let mut words = header.split(' ');
    let version = words.next()?;
    let (mut uid_validity, mut uid_next) = (None, None);
    match version {
        "1" => {
            uid_validity = Some(words.next()?.parse().ok()?);
            uid_next = Some(words.next()?.trim_end().parse().ok()?);
        }
        "3" => {
            for word in words {
                match word.split_at_checked(1) {
                    Some(("V", number)) => uid_validity = Some(number.parse().ok()?),
                    Some(("N", number)) => uid_next = Some(number.parse().ok()?),
                    // Others are of no use here, or not known yet.
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    let uid_validity = uid_validity.filter(|validity| *validity > 0)?;
    Some((version == "3", UidList { uid_validity, uid_next: uid_next?, uids: HashMap::new() }))
}

fn parse_line(line: &[u8], is_third: bool) -> Option<(u32, &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (uid, rest) = line.split_at_checked(space)?;
    let uid = std::str::from_utf8(uid).ok()?.parse().ok().filter(|uid| *uid > 0)?;
    let name = if is_third {
        // Between them stand fields that each begin with a letter, and the colon ends them.
        let colon = rest.windows(2).position(|pair| pair == b" :")?;
        rest.get(colon + 2..)?
    } else {
        rest.get(1..)?
    };
    (!name.is_empty()).then_some((uid, name))
}

/// Fuzz entry: no input panics, and what was read has no UID at or above the next.
pub fn fuzz_uid_list(input: &[u8]) {
    if let Ok(list) = UidList::parse(input) {
        assert!(list.uids.values().all(|uid| *uid < list.uid_next && *uid > 0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Told = (u32, u32, Vec<(u32, String)>);

    fn parsed(text: &str) -> Result<Told, (usize, &'static str)> {
        let list = UidList::parse(text.as_bytes()).map_err(|fault| (fault.line, fault.problem))?;
        let named = list.uids.iter();
        let mut uids: Vec<_> =
            named.map(|(name, uid)| (*uid, String::from_utf8(name.clone()).unwrap())).collect();
        uids.sort();
        Ok((list.uid_validity, list.uid_next, uids))
    }

    #[test]
    fn both_forms_are_read() {
        let two = || vec![(5, "a.host,S=10".to_owned()), (7, "b.host".to_owned())];
        assert_eq!(parsed("3 V123 N20 G3085f0\n5 W12 :a.host,S=10:2,S\n7 :b.host\n"), Ok((123, 20, two())));
        assert_eq!(parsed("1 123 20\n5 a.host,S=10\n7 b.host:2,\n"), Ok((123, 20, two())));
        assert_eq!(parsed("3 V1 N1\n"), Ok((1, 1, vec![])));
        // Behind the header's number, a torn last line, a name given anew.
        assert_eq!(parsed("3 V1 N2\n5 :a\n9 :b\n12 :c"), Ok((1, 10, vec![(5, "a".into()), (9, "b".into())])));
        assert_eq!(parsed("1 1 2\n5 a\n9 a\n"), Ok((1, 10, vec![(9, "a".into())])));
    }

    #[test]
    fn what_can_not_be_believed_is_named() {
        for (text, line, problem) in [
            ("", 1, "it is empty"),
            ("2 V1 N1\n", 1, "not a header of version 1 or 3"),
            ("3 V0 N1\n", 1, "not a header of version 1 or 3"),
            ("3 V1\n", 1, "not a header of version 1 or 3"),
            ("3 V1 N1", 1, "not a header of version 1 or 3"),
            ("3 V1 N1\nx :a\n", 2, "not a UID and a name"),
            ("3 V1 N1\n0 :a\n", 2, "not a UID and a name"),
            ("3 V1 N1\n1 a\n", 2, "not a UID and a name"),
            ("3 V1 N1\n2 :a\n1 :b\n", 3, "UIDs do not ascend"),
            ("1 1 1\n2 a\n2 b\n", 3, "UIDs do not ascend"),
            ("1 1 1\n4294967295 a\n", 1, "no UIDs are left"),
        ] {
            assert_eq!(parsed(text), Err((line, problem)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(uids in proptest::collection::btree_map(1u32..1_000_000, "[a-z0-9.,=]{1,20}", 0..20)) {
            let mut seen = std::collections::BTreeSet::new();
            let uids: Vec<(u32, String)> = uids.into_iter().filter(|(_, name)| seen.insert(name.clone())).collect();
            for text in [UidList::print_dovecot(7, 1_000_000, &uids), UidList::print_courier(7, 1_000_000, &uids)] {
                prop_assert_eq!(parsed(&text), Ok((7, 1_000_000, uids.clone())));
            }
        }

        #[test]
        fn fuzz(input: Vec<u8>, text in "[13] V?[0-9]{1,12} N?[0-9]{1,12}\n([0-9]{0,11} :?[a-z:,]{0,5}\n){0,5}") {
            fuzz_uid_list(&input);
            fuzz_uid_list(text.as_bytes());
        }
    }
}
