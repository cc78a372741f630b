//! Hostile records, failures and who is asked about.

mod budget;

use envelope::{Address, LocalPart};
use units::ByteSize;

use super::macros::MacroFault;
use super::record::{RecordFault, TermFault};
use super::{Identity, Outcome, Problem, Question, SpfLimits, SpfResult, check};
use crate::dns::Dns;
use crate::dns::zone::Zone;

const PEER: &str = "192.0.2.1";

async fn ask_as(
    dns: &dyn Dns,
    peer: &str,
    helo: &str,
    sender: Option<&Address>,
    limits: &SpfLimits,
) -> Outcome {
    let question = Question {
        address: peer.parse().unwrap(),
        helo,
        sender,
        receiver: "mx.example.test",
        now: 1_700_000_000,
        explain: true,
    };
    check(dns, &question, limits).await
}

/// `ann@a.test` comes from [`PEER`].
async fn ask(dns: &dyn Dns) -> Outcome {
    let sender = "ann@a.test".parse().unwrap();
    ask_as(dns, PEER, "mx.a.test", Some(&sender), &SpfLimits::default()).await
}

fn record(text: &str) -> Zone {
    Zone::default().with("TXT", "a.test", text)
}

fn questions(zone: &Zone) -> usize {
    zone.asked.lock().unwrap().len()
}

#[tokio::test]
async fn macro_expansion_beyond_253() {
    // What is too long loses labels on its left (RFC 7208 §7.3); no buffer grows with it.
    let label = "x".repeat(60);
    let domain = format!("{label}.{label}.{label}.test");
    let sender: Address = format!("ann@{domain}").parse().unwrap();
    let zone = Zone::default().with("TXT", &domain, "v=spf1 exists:%{d}.%{d}.%{d} -all");
    let outcome = ask_as(&zone, PEER, "mx.a.test", Some(&sender), &SpfLimits::default()).await;
    assert_eq!(outcome.result, SpfResult::Fail);
    let asked = zone.asked.lock().unwrap().last().cloned().unwrap();
    assert_eq!(asked, format!("A {label}.test.{domain}"));
    assert_eq!(asked.len() - 2, 60 + 5 + 1 + 187);

    // A label that is too long makes a name that does not exist, unless it is cut off with what is too much.
    for (term, helo, expected) in [
        ("a:%{h}.x.test", "y".repeat(63), 2),
        ("a:%{h}.x.test", "y".repeat(64), 1),
        ("a:%{h}.x.test", "y".repeat(300), 2),
        ("a:%{h}", "y".repeat(300), 1),
        ("a:%{h}.x.test", String::new(), 1),
    ] {
        let zone = record(&format!("v=spf1 {term} -all"));
        let sender = "ann@a.test".parse().unwrap();
        let outcome = ask_as(&zone, PEER, &helo, Some(&sender), &SpfLimits::default()).await;
        assert_eq!(outcome.result, SpfResult::Fail, "{helo}");
        assert_eq!(questions(&zone), expected, "{helo}");
    }

    let check = async |count: usize, helo: usize, problem: Option<Problem>| {
        let zone = record(&format!("v=spf1 exists:{}.test -all", "%{H}".repeat(count)));
        let sender = "ann@a.test".parse().unwrap();
        let outcome = ask_as(&zone, PEER, &"%".repeat(helo), Some(&sender), &SpfLimits::default()).await;
        assert_eq!(outcome.problem, problem, "{count}");
    };
    // Every `%` becomes `%25`: 4,096 octets with the five of `.test`.
    check(1, 1363, None).await;
    check(1, 1364, Some(Problem::Expansion(4096))).await;
    check(3000, 500, Some(Problem::Expansion(4096))).await;
}

#[tokio::test]
async fn malformed_macros() {
    for (term, why) in [
        ("exists:%", MacroFault::Percent),
        ("exists:%x.test", MacroFault::Percent),
        ("exists:%(d).test", MacroFault::Percent),
        ("exists:%{d", MacroFault::Unclosed),
        ("exists:%{}.test", MacroFault::Letter),
        ("exists:%{z}.test", MacroFault::Letter),
        ("exists:%{c}.test", MacroFault::Letter),
        ("exists:%{d0}.test", MacroFault::Transformers),
        ("exists:%{d-2}.test", MacroFault::Transformers),
        ("exists:%{d*}.test", MacroFault::Transformers),
        ("redirect=%{d", MacroFault::Unclosed),
        ("x=%{d", MacroFault::Unclosed),
    ] {
        let zone = record(&format!("v=spf1 a +all {term}"));
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, SpfResult::PermError);
        let fault = RecordFault::Term { term: term.to_owned(), why: TermFault::Macro(why) };
        assert_eq!(outcome.problem, Some(Problem::Record { domain: "a.test".to_owned(), fault }));
        assert_eq!(questions(&zone), 1, "nothing is asked for a record that is wrong");
    }
}

#[tokio::test]
async fn long_records() {
    let of = |length: usize| {
        let front = format!("v=spf1 ip4:{PEER} ");
        let networks = "ip4:203.0.113.1 ".repeat(5000);
        let text: String = format!("{front}{networks}").chars().take(length - 5).collect();
        // What is cut off is still a term.
        let text = format!("{} ", text.trim_end().rsplit_once(' ').unwrap().0);
        format!("{text}{}-all", " ".repeat(length - 4 - text.len()))
    };
    for (length, expected) in
        [(450, SpfResult::Pass), (4096, SpfResult::Pass), (65_535, SpfResult::PermError)]
    {
        let text = of(length);
        assert_eq!(text.len(), length);
        let outcome = ask(&record(&text)).await;
        assert_eq!(outcome.result, expected, "{length}: {outcome:?}");
    }
    // 64 KiB of no record are nobody's business.
    let zone = record(&"x".repeat(65_535)).with("TXT", "a.test", "v=spf1 +all");
    assert_eq!(ask(&zone).await.result, SpfResult::Pass);
}

#[tokio::test]
async fn multiple_records() {
    for (texts, expected) in [
        (&["v=spf1 +all"][..], SpfResult::Pass),
        (&["x", "v=spf1 +all", "v=spf2 -all"], SpfResult::Pass),
        (&["v=spf1 +all", "v=spf1 +all"], SpfResult::PermError),
        (&["v=spf1 +all", "V=SPF1 -all", "x"], SpfResult::PermError),
        (&["v=spf1 +all", "v=spf1 moo"], SpfResult::PermError),
        (&["x"], SpfResult::None),
        (&[], SpfResult::None),
    ] {
        let zone = texts.iter().fold(Zone::default(), |zone, text| zone.with("TXT", "a.test", text));
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{texts:?}");
    }
}

#[tokio::test]
async fn a_dns_that_fails() {
    for (text, expected) in [
        ("v=spf1 a:f.test -all", SpfResult::TempError),
        ("v=spf1 mx:f.test -all", SpfResult::TempError),
        ("v=spf1 mx:m.test -all", SpfResult::TempError),
        ("v=spf1 exists:f.test -all", SpfResult::TempError),
        ("v=spf1 include:f.test -all", SpfResult::TempError),
        ("v=spf1 redirect=f.test", SpfResult::TempError),
        // RFC 7208 §5.5: names that can't be had are none.
        ("v=spf1 ptr:f.test -all", SpfResult::Fail),
        ("v=spf1 -all exp=f.test", SpfResult::Fail),
        // What decides before is not touched by it.
        ("v=spf1 ip4:192.0.2.1 a:f.test -all", SpfResult::Pass),
    ] {
        let zone = record(text).with("MX", "m.test", "f.test").failing("f.test").failing(PEER);
        let outcome = ask(&zone).await;
        assert_eq!(outcome.result, expected, "{text}: {outcome:?}");
        let problem = (expected == SpfResult::TempError).then(|| Problem::Dns("f.test".to_owned()));
        assert_eq!(outcome.problem, problem, "{text}");
    }
    assert_eq!(ask(&record("v=spf1 +all").failing("a.test")).await.result, SpfResult::TempError);
    for text in
        ["v=spf1 include:nothing.test +all", "v=spf1 include:x..test +all", "v=spf1 redirect=nothing.test"]
    {
        let outcome = ask(&record(text)).await;
        assert_eq!(outcome.result, SpfResult::PermError, "{text}");
        assert!(matches!(outcome.problem, Some(Problem::NoRecord(_))), "{text}");
    }
}

#[tokio::test]
async fn identities() {
    let zone = Zone::default()
        .with("TXT", "mx.a.test", "v=spf1 a:%{l}.%{o} -all")
        .with("A", "postmaster.mx.a.test", PEER)
        .with("TXT", "a.test", "v=spf1 -all");
    let limits = SpfLimits::default();
    let check = async |helo: &str, sender: Option<&str>, expected: (SpfResult, Identity, &str)| {
        let sender: Option<Address> = sender.map(|sender| sender.parse().unwrap());
        let outcome = ask_as(&zone, PEER, helo, sender.as_ref(), &limits).await;
        assert_eq!((outcome.result, outcome.identity, outcome.domain.as_str()), expected, "{helo}");
    };
    check("MX.a.test", None, (SpfResult::Pass, Identity::Helo, "mx.a.test")).await;
    check("mx.a.test.", None, (SpfResult::Pass, Identity::Helo, "mx.a.test")).await;
    check("mx.a.test", Some("ann@a.test"), (SpfResult::Fail, Identity::MailFrom, "a.test")).await;
    check("mx.a.test", Some("ann@b.test"), (SpfResult::None, Identity::MailFrom, "b.test")).await;
    check("mx.a.test", Some("ann@[192.0.2.1]"), (SpfResult::None, Identity::MailFrom, "")).await;
    for helo in
        ["", "localhost", "[192.0.2.1]", "192.0.2.1", "a..test", "a b.test", "x\r\nY: z.test", "ü.test"]
    {
        check(helo, None, (SpfResult::None, Identity::Helo, "")).await;
    }
}

#[tokio::test]
async fn addresses() {
    let zone = record("v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all");
    let sender = "ann@a.test".parse().unwrap();
    for (peer, expected) in [
        ("192.0.2.1", SpfResult::Pass),
        ("::ffff:192.0.2.1", SpfResult::Pass),
        ("::192.0.2.1", SpfResult::Fail),
        ("2001:db8::1", SpfResult::Pass),
        ("2001:db8::2", SpfResult::Fail),
    ] {
        let outcome = ask_as(&zone, peer, "mx.a.test", Some(&sender), &SpfLimits::default()).await;
        assert_eq!(outcome.result, expected, "{peer}");
    }
}

#[tokio::test]
async fn local_parts_beyond_ascii_match_nobody() {
    let domain: envelope::Domain = "a.test".parse().unwrap();
    let sender = Address::new(LocalPart::from_unquoted("jürg").unwrap(), domain);
    for (text, expected) in [
        ("v=spf1 exists:%{l}.x.test -all", SpfResult::Fail),
        ("v=spf1 include:%{s}.x.test -all", SpfResult::Fail),
        ("v=spf1 redirect=%{l}.x.test", SpfResult::PermError),
        ("v=spf1 -all exp=e.test", SpfResult::Fail),
    ] {
        let zone = record(text).with("TXT", "e.test", "no, %{l}");
        let outcome = ask_as(&zone, PEER, "mx.a.test", Some(&sender), &SpfLimits::default()).await;
        assert_eq!((outcome.result, outcome.explanation), (expected, None), "{text}");
    }
}

#[tokio::test]
async fn what_decided() {
    for (text, expected) in [
        ("v=spf1 ip4:203.0.113.1 IP4:192.0.2.0/24 -all", Some("IP4:192.0.2.0/24")),
        ("v=spf1 ip4:203.0.113.1 -all", Some("-all")),
        ("v=spf1 ~include:b.test -all", Some("~include:b.test")),
        ("v=spf1 include:c.test ?all", Some("?all")),
        ("v=spf1 include:d.test -all", Some("include:d.test")),
        ("v=spf1 redirect=b.test", Some("+all")),
        ("v=spf1 ip4:203.0.113.1", None),
        ("v=spf1 moo", None),
    ] {
        let zone = record(text)
            .with("TXT", "b.test", "v=spf1 +all")
            .with("TXT", "c.test", "v=spf1 ?include:b.test -all")
            .with("TXT", "d.test", "v=spf1 -include:c.test +include:b.test");
        let outcome = ask(&zone).await;
        assert_eq!(outcome.mechanism.as_deref(), expected, "{text}: {outcome:?}");
    }
}

#[tokio::test]
async fn nobody_asks_for_an_explanation_that_is_not_told() {
    let zone = record("v=spf1 -all exp=e.test").with("TXT", "e.test", "told");
    let question = Question {
        address: PEER.parse().unwrap(),
        helo: "a.test",
        sender: None,
        receiver: "x",
        now: 0,
        explain: false,
    };
    let outcome = check(&zone, &question, &SpfLimits::default()).await;
    assert_eq!((outcome.result, outcome.explanation, questions(&zone)), (SpfResult::Fail, None, 1));
}

#[tokio::test]
async fn explanations_are_one_line_of_ascii() {
    let check = async |text: &str, helo: &str, expected: Option<&str>| {
        let zone = record("v=spf1 -all exp=e.test").with("TXT", "e.test", text);
        let sender = "ann@a.test".parse().unwrap();
        let outcome = ask_as(&zone, PEER, helo, Some(&sender), &SpfLimits::default()).await;
        assert_eq!((outcome.result, outcome.explanation.as_deref()), (SpfResult::Fail, expected), "{text}");
    };
    check(
        "See http://%{d}/?%{S} %{c} %{r} %{t}.",
        "x",
        Some("See http://a.test/?ann%40a.test 192.0.2.1 mx.example.test 1700000000."),
    )
    .await;
    check("%{h}", "plain", Some("plain")).await;
    check("%{h}", "two\r\nlines", None).await;
    check("%{H}", "two\r\nlines", Some("two%0D%0Alines")).await;
    check("two\r\nlines", "x", None).await;
    check("grüße", "x", None).await;
    check("tab\t", "x", None).await;
    check("%{x}", "x", None).await;
    check("", "x", None).await;
    let long = SpfLimits::default().explanation_max.as_usize();
    check(&"x".repeat(long - 1), "x", Some(&"x".repeat(long - 1))).await;
    check(&"x".repeat(long), "x", Some(&"x".repeat(long))).await;
    check(&"x".repeat(long + 1), "x", None).await;
    check(&"%{h}".repeat(100), "xxxxx", None).await;
    let limits = SpfLimits { explanation_max: ByteSize::bytes(0), ..SpfLimits::default() };
    let zone = record("v=spf1 -all exp=e.test").with("TXT", "e.test", "x");
    let sender = "ann@a.test".parse().unwrap();
    assert_eq!(ask_as(&zone, PEER, "x", Some(&sender), &limits).await.explanation, None);
}
