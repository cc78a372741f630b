//! The rules in `deploy/policy`: they load, their cases pass, and every rule has a message that it fits and one close to it that it does not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use filters::{PolicyConfig, RuleSet, run_cases};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/policy")
}

fn rules() -> RuleSet {
    RuleSet::load(&folder(), &PolicyConfig::default()).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("the rules have faults:\n{}", faults.join("\n"));
    })
}

/// What each case is about: file, name and the rules that it expects.
fn cases() -> Vec<(String, String, Vec<String>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file: toml::Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for case in file["case"].as_array().unwrap() {
            let expected = case["expect"]["rules"].as_array().unwrap();
            let expected = expected.iter().map(|rule| rule.as_str().unwrap().to_owned()).collect();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            found.push((stem, case["name"].as_str().unwrap().to_owned(), expected));
        }
    }
    found
}

#[test]
fn every_case_is_as_expected() {
    let outcomes = run_cases(rules(), &folder(), &PolicyConfig::default()).unwrap();
    assert!(outcomes.len() > 100, "{} cases", outcomes.len());
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.failures.is_empty())
        .map(|outcome| {
            let name = outcome.case.rsplit('/').next().unwrap();
            format!("{name}\n    {}", outcome.failures.join("\n    "))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), outcomes.len(), failed.join("\n"));
}

/// A case is about the rule that its name begins with, before the colon.
#[test]
fn every_rule_has_a_case_that_it_fits_and_one_that_it_does_not() {
    let mut seen: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for (_, name, expected) in cases().iter().filter(|(file, ..)| file != "innocents") {
        let (rule, _) = name.split_once(": ").unwrap_or_else(|| panic!("`{name}` begins with no rule"));
        let (fits, does_not) = seen.entry(rule.to_owned()).or_default();
        let fitted = expected.iter().any(|one| one == rule);
        (*fits, *does_not) = (*fits || fitted, *does_not || !fitted);
    }
    let rules = rules();
    let names: BTreeSet<&str> = rules.rules().iter().map(|rule| rule.name.as_str()).collect();
    let missing: Vec<&&str> = names.iter().filter(|name| seen.get(**name) != Some(&(true, true))).collect();
    assert!(missing.is_empty(), "rules without both kinds of cases: {missing:?}");
    let unknown: Vec<&String> = seen.keys().filter(|name| !names.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "cases of rules that are not there: {unknown:?}");
}

#[test]
fn innocents_expect_no_rule_at_all() {
    let innocents: Vec<_> = cases().into_iter().filter(|(file, ..)| file == "innocents").collect();
    assert!(innocents.len() >= 40, "{}", innocents.len());
    for (_, name, expected) in innocents {
        assert!(expected.is_empty(), "{name}");
    }
}

#[test]
fn every_message_has_a_case() {
    let text: String = fs::read_dir(folder().join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for entry in fs::read_dir(folder().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "eml") {
            assert!(text.contains(&format!("\"{name}\"")), "nothing asks about {name}");
        }
    }
}
