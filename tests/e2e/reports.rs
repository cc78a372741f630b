//! Aggregate reports, sent beside a running node.

use std::time::{SystemTime, UNIX_EPOCH};

use filters::reports::{Day, ReportKind};

use crate::node::{Node, QUIET};

const REPORTS: &str = "[filters.reports]\norganization = \"Ours\"\ncontact = \"reports@example.test\"\n";

/// What a gateway counted: mail in the name of example.test, which wants to hear of it.
const COUNTED: &str = concat!(
    "{\"begin\":1}\n",
    r#"{"n":1,"row":{"policy":{"domain":"example.test","policy":"reject","reports_to":[{"address":"alice@example.test"}]},"#,
    r#""source":"192.0.2.1","disposition":"reject","reason":null,"dkim_aligned":false,"spf_aligned":false,"#,
    r#""header_from":"example.test","envelope_from":"","envelope_to":"","dkim":[],"spf":null},"count":3}"#,
    "\n{\"n\":1,\"count\":4}\n{\"n\":1,\"cou",
);

#[test]
fn a_report_goes_through_the_queue_of_a_running_node() {
    let mut node = Node::fresh();
    node.up_in(&[QUIET]);
    node.add_account("alice@example.test");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = Day::of(now).before().before();
    let folder = node.data().join("filters/reports");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(ReportKind::Dmarc.counts_path(&folder, day), COUNTED).unwrap();
    let config = node.folder.path().join("reports.toml");
    std::fs::write(&config, REPORTS).unwrap();
    let (day, config) = (day.to_string(), config.to_str().unwrap().to_owned());
    let reports = |more: &[&str]| {
        let arguments = [&["reports", "dmarc"], more, &["--config", config.as_str()]].concat();
        node.sluice(&arguments, "")
    };

    assert!(reports(&["list"]).contains(&format!("{day}  1        7        0")), "{}", reports(&["list"]));
    let dry = reports(&["send", "--day", &day, "--dry-run"]);
    assert!(dry.contains("would be sent"), "{dry}");
    let sent = reports(&["send", "--day", &day, "--json"]);
    assert!(sent.contains("\"outcome\": \"sent\"") && sent.contains("\"counted\": 7"), "{sent}");
    let again = reports(&["send", "--day", &day]);
    assert!(again.contains("sent before"), "{again}");
    let mail = node.inbox("alice@example.test", 1);
    assert!(mail[0].contains("Report Domain: example.test"), "{}", mail[0]);
    assert!(mail[0].contains("application/gzip"), "{}", mail[0]);
    assert!(reports(&["show", "--day", &day, "--domain", "example.test"]).contains("<count>7</count>"));
    assert!(reports(&["list"]).contains(&format!("{day}  1        7        1")));
    // Nobody reports without saying who.
    let silent = node.try_sluice(&["reports", "dmarc", "send", "--day", &day], "");
    assert!(!silent.status.success());
    assert!(String::from_utf8_lossy(&silent.stderr).contains("filters.reports.organization"));
    assert!(node.terminate());
}
