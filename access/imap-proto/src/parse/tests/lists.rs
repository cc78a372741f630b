use super::{parse, refused};
use crate::{CommandBody, List, ListPattern, ListReturn, ListSelection, ParseError, StatusItem};

fn list(text: &str) -> Result<List, ParseError> {
    match parse(&format!("LIST {text}"))? {
        CommandBody::List(list) => Ok(list),
        other => panic!("{other:?}"),
    }
}

fn patterns(patterns: &[&str]) -> Vec<ListPattern> {
    patterns.iter().map(|text| ListPattern::from_text(*text)).collect()
}

#[test]
fn plain() {
    let plain = list("\"\" *").unwrap();
    assert_eq!((plain.reference.as_str(), &plain.patterns, plain.extended), ("", &patterns(&["*"]), false));
    assert_eq!(list("~/Mail/ %").unwrap().reference, "~/Mail/");
    assert_eq!(list("\"\" \"\"").unwrap().patterns, patterns(&[""]));
    assert_eq!(list("\"\" Entw&APw-%").unwrap().patterns, patterns(&["Entwü%"]));
    assert_eq!(list("#news. comp.mail.*").unwrap().reference, "#news.");
    assert!(list("\"\"").is_err() && list("\"\" * x").is_err() && list("\"\" &a").is_err());
    let CommandBody::Lsub(lsub) = parse("LSUB \"\" %").unwrap() else { panic!() };
    assert_eq!(lsub.patterns, patterns(&["%"]));
    refused("LSUB \"\" (a b)", ParseError::Expected("a string"));
}

/// RFC 5258 §5, RFC 6154 §5, RFC 5819 §2.
#[test]
fn extended() {
    let subscribed = ListSelection { subscribed: true, ..ListSelection::default() };
    assert_eq!(list("(SUBSCRIBED) \"\" \"*\"").unwrap().selection, subscribed);
    let both = list("(SUBSCRIBED RECURSIVEMATCH REMOTE SPECIAL-USE) \"\" \"*\"").unwrap().selection;
    assert!(both.recursive_match && both.remote && both.special_use);
    let two = list("\"\" (\"INBOX\" \"Drafts\" Sent/%)").unwrap();
    assert_eq!((two.patterns, two.extended), (patterns(&["INBOX", "Drafts", "Sent/%"]), true));
    let returns =
        list("() \"\" * RETURN (CHILDREN SPECIAL-USE SUBSCRIBED STATUS (MESSAGES UNSEEN))").unwrap().returns;
    let status = vec![StatusItem::Messages, StatusItem::Unseen];
    assert_eq!(returns, ListReturn { subscribed: true, children: true, special_use: true, status });
    assert_eq!(list("\"\" * RETURN ()").unwrap().returns, ListReturn::default());
    assert_eq!(list("(RECURSIVEMATCH) \"\" *"), Err(ParseError::RecursiveMatchAlone));
    assert_eq!(list("(FROB) \"\" *"), Err(ParseError::Unknown("selection option")));
    assert_eq!(list("\"\" * RETURN (FROB)"), Err(ParseError::Unknown("return option")));
    assert_eq!(list("\"\" * FROB ()"), Err(ParseError::Expected("RETURN")));
    assert_eq!(list("\"\" () RETURN ()"), Err(ParseError::Expected("a pattern")));
}
