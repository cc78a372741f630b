//! `sluice loadtest` against a node: every kind of load, proved, with a report.

use std::process::{Command, Output};

use serde_json::Value;

use crate::node::{Node, PASSWORD, run};

/// A node that knows a small population.
fn populated() -> Node {
    let mut node = Node::fresh();
    node.up();
    let crowd = ["loadtest", "population", "directory", "--accounts", "40", "--seed", "3"];
    let said = node.sluice(&crowd, PASSWORD);
    assert!(said.starts_with("40 accounts and "), "{said}");
    node
}

fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    run(command.arg("loadtest").args(arguments), PASSWORD)
}

/// The report of a load in which nothing failed.
fn report(arguments: &[&str]) -> Value {
    let output = load(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said} {}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn done(report: &Value, operation: &str) -> u64 {
    let operations = report["operations"].as_array().unwrap();
    let found = operations.iter().find(|found| found["name"] == operation);
    found.map_or(0, |found| found["done"].as_u64().unwrap())
}

#[test]
fn every_kind_of_client_is_driven() {
    let node = populated();
    let filled = node.sluice(
        &[
            "loadtest",
            "population",
            "maildirs",
            "--accounts",
            "40",
            "--seed",
            "3",
            "--depth",
            "0.05",
            "--messages-max",
            "15",
        ],
        "",
    );
    assert!(filled.starts_with("40 Maildirs with "), "{filled}");
    let crowd = ["--accounts", "40", "--seed", "3", "--sessions", "4"];
    let at = |name: &str| node.address(name).to_string();

    for script in ["thunderbird", "outlook", "apple-mail", "mbsync"] {
        let report = report(
            &[&["imap", "--server", &at("imap"), "--as", script, "--count", "8"], &crowd[..]].concat(),
        );
        assert_eq!((done(&report, "imap.visit"), done(&report, "imap.login")), (8, 8), "{script}");
        assert!(done(&report, "imap.list") >= 8 && done(&report, "imap.select") >= 8, "{script}");
    }
    for single in
        ["append", "envelopes", "fetch", "login", "noop", "page", "search", "select", "status", "store"]
    {
        // Everybody's INBOX has something once there was an APPEND.
        let arguments = ["imap", "--server", &at("imap"), "--as", single, "--count", "10", "--rate", "200"];
        report(&[&arguments, &crowd[..]].concat());
    }
    let polls = report(
        &[
            &["pop3", "--server", &at("pop3s"), "--tls", "implicit", "--count", "4", "--sessions", "1"],
            &crowd[..4],
        ]
        .concat(),
    );
    assert_eq!((done(&polls, "pop3.visit"), done(&polls, "pop3.login")), (4, 4));
    let clicks = report(&[&["web", "--server", &at("web"), "--count", "6"], &crowd[..]].concat());
    assert_eq!(done(&clicks, "web.visit"), 6);
    assert!(done(&clicks, "web.list") == 6 && done(&clicks, "web.read") > 0, "{clicks}");
    let sent = report(
        &[
            &[
                "submission",
                "--server",
                &at("submission"),
                "--tls",
                "starttls",
                "--messages",
                "6",
                "--size",
                "real",
            ],
            &crowd[..],
        ]
        .concat(),
    );
    assert_eq!(done(&sent, "smtp.message"), 6);
    let admin = report(&["admin", "--server", &at("health"), "--count", "20", "--command", "true"]);
    assert_eq!(done(&admin, "admin.page") + done(&admin, "admin.command"), 20);
    let idle = report(&[&["idle", "--server", &at("imap"), "--hold", "100ms"], &crowd[..]].concat());
    assert_eq!(done(&idle, "imap.idle"), 4);
}

#[test]
fn a_run_is_proved_watched_disturbed_and_reported() {
    let node = populated();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ledger, page, json) = (path("ledger"), path("run.html"), path("run.json"));
    let metrics = node.address("health").to_string();
    let (mx, imap) = (node.address("mx").to_string(), node.address("imap").to_string());
    let plain = format!(
        "smtp --server {mx} --accounts 40 --seed 3 --messages 150 --rate 150 --sessions 6 --per-session 7 --to-two 0.2 --bad 0.1 --spam 0.05 \
         --ledger {ledger} --imap {imap} --metrics {metrics} --interval 200ms --report {page}"
    );
    let mut arguments: Vec<&str> = plain.split_whitespace().collect();
    arguments.extend(["--at", "100ms say something: echo it"]);
    arguments.extend(["--require", "smtp.message p99 < 60s", "--require", "all failed <= 0"]);
    let report = report(&arguments);
    let verdict = &report["ledger"];
    assert_eq!(verdict["accepted"], done(&report, "smtp.message"), "{verdict}");
    assert_eq!((&verdict["found"], &verdict["lost"]["count"]), (&verdict["accepted"], &Value::from(0)));
    assert!(done(&report, "mail.visible") > 0 && done(&report, "smtp.bad") > 0, "{report}");
    assert_eq!(report["marks"][0]["outcome"], "exit status: 0");
    let moved =
        |name: &str| report["metrics"].as_array().unwrap().iter().any(|series| series["name"] == name);
    assert!(moved("sluice_gateway_messages_accepted_total"), "{}", report["metrics"]);
    assert!(std::fs::read_to_string(&page).unwrap().contains("say something"));

    // The same report twice is the same; a requirement that does not hold is told.
    let compared = load(&["compare", &json, &json, "--worse-by", "0"]);
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let failed =
        load(&["smtp", "--server", &mx, "--to", "nobody@example.test", "--messages", "2", "--sessions", "1"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&failed.stdout).contains("2 failed: 550 5.1.1"), "{failed:?}");
    let account = node
        .sluice(&["account", "list"], "")
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let slow = load(&[
        "smtp",
        "--server",
        &mx,
        "--to",
        &account,
        "--messages",
        "2",
        "--sessions",
        "1",
        "--require",
        "smtp.message p99 < 1us",
    ]);
    assert_eq!(slow.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&slow.stdout).contains("NOT met: smtp.message p99 < 1us"), "{slow:?}");
}

#[test]
fn a_day_goes_by() {
    let node = populated();
    let at = |name: &str| node.address(name).to_string();
    let (mx, submission, imap, pop3, web, health) =
        (at("mx"), at("submission"), at("imap"), at("pop3"), at("web"), at("health"));
    // Forty people make little load: a thousand times as much of it.
    let report = report(&[
        "mixed",
        "--accounts",
        "40",
        "--seed",
        "3",
        "--day",
        "6s",
        "--scale",
        "3000",
        "--sessions",
        "10",
        "--idle-max",
        "5",
        "--bad",
        "0.05",
        "--smtp",
        &mx,
        "--submission",
        &submission,
        "--imap",
        &imap,
        "--pop3",
        &pop3,
        "--web",
        &web,
        "--health",
        &health,
        "--tls",
        "none",
        "--require",
        "all failed < 30%",
    ]);
    for operation in ["smtp.message", "smtp.bad", "imap.visit", "pop3.visit", "web.visit", "imap.idle"] {
        assert!(done(&report, operation) > 0, "{operation} was not done: {report}");
    }
}

#[test]
fn openldap_takes_the_population() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let listed =
        load(&["population", "ldif", "--accounts", "300", "--seed", "3", "--base", "dc=mail,dc=example"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    std::fs::write(path("population.ldif"), &listed.stdout).unwrap();
    std::fs::create_dir(path("db")).unwrap();
    let schemas = ["core", "cosine", "inetorgperson"]
        .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
        .concat();
    let configuration = format!(
        "{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix \"dc=mail,dc=example\"\ndirectory {}\n",
        path("db").display()
    );
    std::fs::write(path("slapd.conf"), configuration).unwrap();
    let tool = |name: &str| {
        let mut command = Command::new(name);
        command.arg("-f").arg(path("slapd.conf"));
        command
    };
    crate::node::must(tool("/usr/sbin/slapadd").arg("-l").arg(path("population.ldif")), "");
    let kept = crate::node::must(&mut tool("/usr/sbin/slapcat"), "");
    assert_eq!(kept.matches("objectClass: inetOrgPerson\n").count(), 300);
    assert!(kept.contains("userPassword:: "), "the password is kept");
}
