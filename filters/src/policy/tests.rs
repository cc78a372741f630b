use std::fs;
use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use shared_state::memory::MemoryState;
use tempfile::TempDir;
use units::Span;

use super::cases::Situation;
use super::*;
use crate::Action;
use crate::authentication::Authentication;

const MESSAGE: &str = "From: Carla Chief <carla@evil.test>\r\nTo: ann@ours.test\r\nSubject: Invoice\r\n\r\n\
                       Pay at once: http://evil.test/pay\r\n";

const RULES: &str = r#"
[list.chiefs]
values = ["Carla Chief"]

[[rule]]
name = "chief"
owner = "security@ours.test"
when = 'in_list(message.from_name, "chiefs") && auth.dmarc != "pass"'
then = [{ action = "score", points = 2.5 }, { action = "tag", value = "chief" }]

[[rule]]
name = "pay"
owner = "security@ours.test"
mode = "shadow"
when = 'message.subject.lower().matches("^invoice") && urls.exists(u, u.host == "evil.test")'
then = [{ action = "reject", text = "no" }]

[[rule]]
name = "sum"
owner = "security@ours.test"
when = "score >= 2.5"
then = [{ action = "quarantine", reason = "points" }]

[[rule]]
name = "leak"
owner = "security@ours.test"
direction = "outbound"
when = "cards(message.text) > 0"
then = [{ action = "reject", text = "Card numbers do not leave here" }]
"#;

fn folder(rules: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.toml"), rules).unwrap();
    folder
}

fn load(rules: &str) -> Result<RuleSet, Vec<String>> {
    let loaded = RuleSet::load(folder(rules).path(), &PolicyConfig::default());
    loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn rule(when: &str, then: &str) -> String {
    format!("[[rule]]\nname = \"r\"\nowner = \"o\"\nwhen = '''\n{when}'''\nthen = [{then}]\n")
}

#[test]
fn rules_decide_together() {
    let rules = Arc::new(load(RULES).unwrap());
    let decision =
        explain(&rules, &Situation::default(), MESSAGE.as_bytes(), &PolicyConfig::default()).unwrap();
    assert_eq!(decision.action, Action::Quarantine);
    assert_eq!((decision.score, decision.tags.as_slice()), (2.5, &["chief".to_owned()][..]));
    let fired: Vec<(&str, bool)> =
        decision.fired.iter().map(|one| (one.rule.as_str(), one.enforced)).collect();
    assert_eq!(fired, [("chief", true), ("pay", false), ("sum", true)], "{:?}", decision.trace);
    assert_eq!(decision.reasons, ["sum: points"]);
    assert_eq!(
        decision.trace.iter().map(|step| step.said.clone()).collect::<Vec<_>>(),
        [Said::Enforced, Said::Shadow, Said::Enforced, Said::OtherDirection]
    );
    let looked_at = |step: usize| {
        let facts = decision.trace[step].looked_at.iter();
        facts.map(|fact| format!("{}={}", fact.name, fact.value)).collect::<Vec<_>>()
    };
    assert_eq!(looked_at(0), ["message.from_name=\"Carla Chief\"", "auth.dmarc=\"none\""]);
    assert_eq!(looked_at(2), ["score=2.5"]);
    assert!(looked_at(3).is_empty(), "it was not asked");
    assert!(
        matches!(decision.changes.as_slice(), [crate::Change::InsertField { name, value, .. }] if name == "X-Sluice-Tags" && value == "chief")
    );
}

#[test]
fn outbound_rules_see_what_people_here_write() {
    let rules = Arc::new(load(RULES).unwrap());
    let situation = Situation { account: Some("ann@ours.test".parse().unwrap()), ..Situation::default() };
    let message = "From: ann@ours.test\r\nTo: x@else.test\r\n\r\nMy card: 4111 1111 1111 1111\r\n";
    let decision = judge(&rules, &situation, message.as_bytes(), &PolicyConfig::default()).unwrap();
    assert!(matches!(&decision.action, Action::Refuse(refusal) if refusal.code == 550), "{decision:?}");
}

#[test]
fn accept_ends_the_looking_and_expired_rules_do_nothing() {
    let rules = "[[rule]]\nname='old'\nowner='o'\nwhen='true'\nexpires='2020-01-01'\nthen=[{action='discard'}]\n\
                 [[rule]]\nname='friend'\nowner='o'\nwhen='message.size > 0'\nthen=[{action='accept'}]\n\
                 [[rule]]\nname='rest'\nowner='o'\nwhen='true'\nthen=[{action='discard'}]\n";
    let rules = Arc::new(load(rules).unwrap());
    let decision =
        explain(&rules, &Situation::default(), MESSAGE.as_bytes(), &PolicyConfig::default()).unwrap();
    assert_eq!(decision.action, Action::Accept);
    let said: Vec<Said> = decision.trace.into_iter().map(|step| step.said).collect();
    assert_eq!(said, [Said::Expired, Said::Enforced, Said::Skipped]);
}

#[test]
fn a_canary_takes_its_share() {
    let rules = rule("true", "{ action = 'discard' }") + "canary = 25\n";
    let rules = Arc::new(load(&rules).unwrap());
    let enforced = (0..1000u64)
        .filter(|second| {
            let situation = Situation { now: Some(1_700_000_000 + second), ..Situation::default() };
            let decision = judge(&rules, &situation, MESSAGE.as_bytes(), &PolicyConfig::default()).unwrap();
            decision.action == Action::Discard
        })
        .count();
    assert!((180..320).contains(&enforced), "{enforced} of 1000 for 25 %");
}

#[test]
fn a_rule_that_fails_on_a_message_is_a_temporary_refusal() {
    let rules = Arc::new(load(&rule("message.from[7].name == 'x'", "{ action = 'discard' }")).unwrap());
    let config = PolicyConfig::default();
    let decision = judge(&rules, &Situation::default(), MESSAGE.as_bytes(), &config).unwrap();
    assert!(matches!(&decision.action, Action::Refuse(refusal) if refusal.is_temporary()), "{decision:?}");
    assert_eq!(decision.failed.iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["r"]);
    let canary = rule("message.from[7].name == 'x'", "{ action = 'discard' }") + "canary = 0\n";
    let canary = Arc::new(load(&canary).unwrap());
    let decision = judge(&canary, &Situation::default(), MESSAGE.as_bytes(), &config).unwrap();
    assert_eq!(decision.action, Action::Accept, "a message that the rule is not enforced on passes");
    let config = PolicyConfig { on_failure: crate::OnFailure::Accept, ..config };
    let decision = judge(&rules, &Situation::default(), MESSAGE.as_bytes(), &config).unwrap();
    assert_eq!(decision.action, Action::Accept);
}

#[test]
fn faults_say_where_and_what() {
    let check = |rules: &str, expected: &[&str]| {
        let faults = load(rules).unwrap_err();
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.contains(expected), "{fault} has not {expected}");
        }
    };
    check(&rule("mesage.size > 1", "{ action = 'discard' }"), &["a.toml:5: `r`: there is no `mesage`"]);
    check(
        &rule("true &&\n  message.sise > 1", "{ action = 'discard' }"),
        &["a.toml:6: `r`: `message` has no field `sise`"],
    );
    check(&rule("1 +", "{ action = 'discard' }"), &["a.toml:"]);
    check(&rule("message.size", "{ action = 'discard' }"), &["`when` must be true or false, this is a int"]);
    check(&rule("true", ""), &["does nothing"]);
    check(&rule("in_list('x', 'nobody')", "{ action = 'discard' }"), &["there is no list `nobody`"]);
    check(&rule("'x'.matches('(')", "{ action = 'discard' }"), &["is no regular expression"]);
    check(&rule("true", "{ action = 'explode' }"), &["unknown variant `explode`"]);
    check(
        &rule("true", "{ action = 'reject', text = 'a\\r\\nb' }")
            .replace('\'', "\"")
            .replace("\"\"\"", "'''"),
        &["one line"],
    );
    check(&rule("true", "{ action = 'header', name = 'A B', value = '' }"), &["is no field name"]);
    check(
        &(rule("true", "{ action = 'discard' }") + &rule("true", "{ action = 'discard' }")),
        &["is taken: a.toml:2"],
    );
    check(
        "[[rule]]\nname = 'A'\nowner = ''\nwhen = 'true'\nthen = [{ action = 'discard' }]\nexpires = 'soon'\ncanary = 101\n",
        &["small letters", "no owner", "a percentage", "expires is a day"],
    );
    check("\n[list.x]\nvalues = []\n", &["a.toml:2: the list `x` is empty"]);
    check("rule = 3", &["a.toml:1"]);
}

struct Live {
    policy: Policy,
    folder: TempDir,
    kept: TempDir,
}

fn live(rules: &str, config: PolicyConfig) -> Live {
    let (folder, kept) = (folder(rules), TempDir::new().unwrap());
    let policy = open(folder.path(), kept.path(), config).unwrap();
    Live { policy, folder, kept }
}

fn open(folder: &Path, kept: &Path, config: PolicyConfig) -> Result<Policy, PolicyOpenError> {
    let state = Arc::new(MemoryState::new(&shared_state::Config::default()));
    Policy::open(config, folder.to_owned(), Some(kept.to_owned()), state, &Registry::new())
}

async fn ask(policy: &Policy) -> Action {
    let situation = Situation::default();
    let envelope = situation.envelope(MESSAGE.as_bytes());
    let subject = Subject {
        envelope: &envelope,
        listener: "mx",
        peer: &PeerFacts::default(),
        authentication: &Authentication::default(),
        scan: &ScanFacts::default(),
        message: MESSAGE.as_bytes(),
    };
    policy.judge(subject).await.unwrap().action
}

#[tokio::test]
async fn a_changed_set_is_taken_and_a_faulty_one_is_not() {
    let live = live(&rule("false", "{ action = 'discard' }"), PolicyConfig::default());
    assert_eq!(ask(&live.policy).await, Action::Accept);
    assert_eq!(live.policy.reload(), Reloaded::Same);
    let file = live.folder.path().join("a.toml");
    fs::write(&file, rule("true", "{ action = 'discard' }")).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Taken(_)));
    assert_eq!(ask(&live.policy).await, Action::Discard);
    fs::write(&file, rule("nothing", "{ action = 'discard' }")).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Refused(_)));
    assert_eq!(live.policy.reload(), Reloaded::Same, "its faults are said once");
    assert_eq!(ask(&live.policy).await, Action::Discard, "the set before goes on");
}

#[tokio::test]
async fn a_folder_that_is_gone_is_not_a_set_without_rules() {
    let guard = GuardConfig { watch: Span::secs(0), ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let live = live(&rule("true", "{ action = 'discard' }"), config.clone());
    let (folder, away) = (live.folder.path().to_path_buf(), live.kept.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Refused(_)));
    assert_eq!(ask(&live.policy).await, Action::Discard, "the set before goes on");
    let again = open(&folder, live.kept.path(), config.clone()).unwrap();
    assert_eq!(ask(&again).await, Action::Discard, "after a restart too");
    let nothing = TempDir::new().unwrap();
    let fresh = open(&folder, nothing.path(), config).unwrap();
    assert_eq!(ask(&fresh).await, Action::Accept, "where there never were rules none are missed");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Taken(_)));
    assert_eq!(ask(&live.policy).await, Action::Accept, "an empty folder is a wish");
}

#[tokio::test]
async fn a_set_that_stops_too_much_is_taken_back_also_after_a_restart() {
    let guard = GuardConfig { messages_min: 10, ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let good = rule("false", "{ action = 'discard' }");
    let live = live(&good, config.clone());
    let file = live.folder.path().join("a.toml");
    fs::write(&file, rule("true", "{ action = 'discard' }")).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Taken(_)));
    for _ in 0..10 {
        assert_eq!(ask(&live.policy).await, Action::Discard);
    }
    assert_eq!(ask(&live.policy).await, Action::Accept, "the former set is back");
    assert_eq!(live.policy.reload(), Reloaded::Same, "this text is not taken again");
    let again = open(live.folder.path(), live.kept.path(), config).unwrap();
    assert_eq!(ask(&again).await, Action::Accept, "not after a restart either");
    fs::write(&file, good).unwrap();
    assert_eq!(again.reload(), Reloaded::Same, "the good set is in force already");
    fs::write(&file, rule("1 > 2", "{ action = 'discard' }")).unwrap();
    assert!(matches!(again.reload(), Reloaded::Taken(_)), "another text is taken");
}

#[tokio::test]
async fn a_set_whose_watch_ended_well_is_kept_for_a_start_with_faults() {
    let guard = GuardConfig { watch: Span::secs(0), ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let live = live(&rule("true", "{ action = 'discard' }"), config.clone());
    live.policy.reload();
    fs::write(live.folder.path().join("a.toml"), "rule = 3").unwrap();
    let again = open(live.folder.path(), live.kept.path(), config.clone()).unwrap();
    assert_eq!(ask(&again).await, Action::Discard, "the good set is in force");
    let nothing = TempDir::new().unwrap();
    let error = open(live.folder.path(), nothing.path(), config).unwrap_err();
    assert!(error.to_string().contains("a.toml:1"), "{error}");
}

#[tokio::test]
async fn what_fails_is_counted() {
    let (folder, registry) =
        (folder(&rule("message.from[7].name == 'x'", "{ action = 'discard' }")), Registry::new());
    let state = Arc::new(MemoryState::new(&shared_state::Config::default()));
    let config = PolicyConfig::default();
    let policy = Policy::open(config, folder.path().to_owned(), None, state, &registry).unwrap();
    assert!(matches!(ask(&policy).await, Action::Refuse(refusal) if refusal.is_temporary()));
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(text.contains("hits_total{outcome=\"failed\",rule=\"r\"} 1"), "{text}");
}

#[tokio::test]
async fn a_rate_lets_its_limit_through() {
    let rules = rule(
        "true",
        "{ action = 'rate', key = 'from-domain', limit = 2, window = '1h', exceeded = 'quarantine' }",
    );
    let live = live(&rules, PolicyConfig::default());
    let situation = Situation::default();
    let envelope = situation.envelope(MESSAGE.as_bytes());
    let authentication = situation.results(MESSAGE.as_bytes());
    let mut actions = Vec::new();
    for _ in 0..4 {
        let subject = Subject {
            envelope: &envelope,
            listener: "mx",
            peer: &PeerFacts::default(),
            authentication: &authentication,
            scan: &ScanFacts::default(),
            message: MESSAGE.as_bytes(),
        };
        actions.push(live.policy.judge(subject).await.unwrap().action);
    }
    assert_eq!(actions, [Action::Accept, Action::Accept, Action::Quarantine, Action::Quarantine]);
}

#[tokio::test]
async fn attack_one_subject_in_many_spellings() {
    let rules = rule(
        "true",
        "{ action = 'rate', key = 'subject', limit = 3, window = '1h', exceeded = 'quarantine' }",
    );
    let live = live(&rules, PolicyConfig::default());
    let mut actions = Vec::new();
    for subject in [
        "Your parcel",
        "=?utf-8?Q?Your_parcel?=",
        "=?us-ascii?B?WW91ciBwYXJjZWw=?=",
        "YOUR  parc\u{200b}e1",
        "Another",
    ] {
        let message = MESSAGE.replace("Subject: Invoice", &format!("Subject: {subject}"));
        let situation = Situation::default();
        let envelope = situation.envelope(message.as_bytes());
        let subject = Subject {
            envelope: &envelope,
            listener: "mx",
            peer: &PeerFacts::default(),
            authentication: &Authentication::default(),
            scan: &ScanFacts::default(),
            message: message.as_bytes(),
        };
        actions.push(live.policy.judge(subject).await.unwrap().action);
    }
    assert_eq!(actions.iter().position(|action| *action == Action::Quarantine), Some(3), "{actions:?}");
    assert_eq!(actions.last(), Some(&Action::Accept));
}

#[test]
fn cases_beside_the_rules_are_run() {
    let folder = folder(RULES);
    let tests = folder.path().join("tests");
    fs::create_dir(&tests).unwrap();
    fs::write(tests.join("chief.eml"), MESSAGE.replace("\r\n", "\n")).unwrap();
    let cases = "[[case]]\nname = 'good'\nmessage = 'chief.eml'\n\
                 expect = { action = 'quarantine', rules = ['chief', 'pay', 'sum'], tags = ['chief'], score = 2.5 }\n\
                 [[case]]\nname = 'bad'\nmessage = 'chief.eml'\nauthentication = { dmarc = 'pass' }\n\
                 expect = { action = 'reject', rules = ['chief'] }\n";
    fs::write(tests.join("all.toml"), cases).unwrap();
    let config = PolicyConfig::default();
    let rules = RuleSet::load(folder.path(), &config).unwrap();
    let outcomes = run_cases(rules, folder.path(), &config).unwrap();
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes[0].failures.is_empty(), "{outcomes:?}");
    assert_eq!(
        outcomes[1].failures,
        ["action should be reject, is accept", "rules should be [\"chief\"], is [\"pay\"]"]
    );
}

#[test]
fn who_logged_in_is_read_from_our_own_trace_field_only() {
    let stored = |by: &str, with: &str| {
        let message = format!(
            "Return-Path: <ann@ours.test>\r\nDelivered-To: bob@ours.test\r\nReceived: from pc ([192.0.2.1])\r\n\tby {by} with \
             {with} id 01ARZ3NDEKTSV4RRFFQ69G5FAV;\r\n\tMon, 30 Nov 2026 11:00:00 +0000\r\nReceived: from a by mx.ours.test with \
             ESMTPSA id x\r\nFrom: ann@ours.test\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\nMessage-ID: <1@ours.test>\r\n\r\n"
        );
        let headline = headline(message.as_bytes());
        assert_eq!((headline.from.as_str(), headline.subject.as_str()), ("ann@ours.test", "grün"));
        assert_eq!(headline.message_id, "<1@ours.test>");
        Situation::of_stored(message.as_bytes(), "mx.ours.test", 1).account.map(|account| account.to_string())
    };
    let check = |by: &str, with: &str, expected: Option<&str>| {
        assert_eq!(stored(by, with).as_deref(), expected, "{by} {with}");
    };
    check("mx.ours.test", "ESMTPSA", Some("ann@ours.test"));
    check("mx.ours.test", "ESMTPA", Some("ann@ours.test"));
    check("mx.ours.test", "UTF8SMTPSA", Some("ann@ours.test"));
    check("mx.ours.test", "ESMTPS", None);
    check("mx.ours.test", "ESMTP", None);
    check("mx.other.test", "ESMTPSA", None);
}

#[test]
fn attack_messages_that_are_none() {
    let deep = |depth: usize| {
        let mut message = String::from("From: a@b.test\r\n");
        for level in 0..depth {
            message
                .push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
        }
        message
    };
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\nContent-Type: text/plain; name=x\r\n\r\nhttp://a.test\r\n".repeat(20_000)
    );
    let words = format!(
        "From: {} <a@b.test>\r\nSubject: {}\r\n\r\n",
        "=?utf-8?q?a?= ".repeat(5000),
        "=?x?q?".repeat(5000)
    );
    let addresses = format!("To: {}\r\n\r\n", "a@b.test, ".repeat(20_000));
    for message in
        [deep(100), deep(10_000), many, words, addresses, String::new(), "\r\n".to_owned(), "\0".repeat(1000)]
    {
        fuzz_facts(message.as_bytes());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn any_octets_have_facts(input: Vec<u8>) {
        fuzz_facts(&input);
        crate::fuzz_author(&input);
    }

    #[test]
    fn any_field_has_an_author_or_a_fault(value in "[a-c@<>(),;:\"\\\\ \\.=?]{0,40}") {
        crate::fuzz_author(format!("From: {value}\r\n\r\n").as_bytes());
    }
}

#[tokio::test]
async fn rules_that_were_changed_while_nothing_ran_are_watched_too() {
    let no_watch = GuardConfig { watch: Span::secs(0), ..GuardConfig::default() };
    let before = live(
        &rule("false", "{ action = 'discard' }"),
        PolicyConfig { guard: no_watch, ..PolicyConfig::default() },
    );
    before.policy.settle();
    fs::write(before.folder.path().join("a.toml"), rule("true", "{ action = 'discard' }")).unwrap();
    let guard = GuardConfig { messages_min: 10, ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let policy = open(before.folder.path(), before.kept.path(), config).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&policy).await, Action::Discard);
    }
    assert_eq!(ask(&policy).await, Action::Accept, "the set that was good before the stop is back");
}

#[tokio::test]
async fn a_set_that_was_never_proven_is_none_to_come_back_to() {
    let guard = GuardConfig { messages_min: 10, ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let live = live(&rule("false", "{ action = 'discard' }"), config);
    let file = live.folder.path().join("a.toml");
    // Both are bad, and the first is replaced before it is found out.
    for when in ["true", "message.size > 0"] {
        fs::write(&file, rule(when, "{ action = 'discard' }")).unwrap();
        assert!(matches!(live.policy.reload(), Reloaded::Taken(_)));
        assert_eq!(ask(&live.policy).await, Action::Discard);
    }
    for _ in 0..9 {
        assert_eq!(ask(&live.policy).await, Action::Discard);
    }
    assert_eq!(ask(&live.policy).await, Action::Accept, "the last good set is back");
}

#[tokio::test]
async fn the_set_that_came_back_is_not_watched() {
    let guard = GuardConfig { messages_min: 10, ..GuardConfig::default() };
    let config = PolicyConfig { guard, ..PolicyConfig::default() };
    let live = live(&rule("message.size > 0", "{ action = 'quarantine' }"), config.clone());
    let file = live.folder.path().join("a.toml");
    fs::write(&file, rule("true", "{ action = 'discard' }")).unwrap();
    assert!(matches!(live.policy.reload(), Reloaded::Taken(_)));
    for _ in 0..10 {
        ask(&live.policy).await;
    }
    for _ in 0..50 {
        assert_eq!(ask(&live.policy).await, Action::Quarantine, "the worse one stays away");
    }
    live.policy.settle();
    let again = open(live.folder.path(), live.kept.path(), config.clone()).unwrap();
    assert_eq!(ask(&again).await, Action::Quarantine, "and the one that came back is there after a restart");
    fs::remove_file(live.kept.path().join("proven.json")).unwrap();
    let error = open(live.folder.path(), live.kept.path(), config).unwrap_err();
    assert!(error.to_string().contains("taken back before"), "{error}");
}
