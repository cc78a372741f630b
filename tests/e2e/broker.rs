//! Gateways and workers that share nothing but the broker, the directory and the mail.

use std::path::Path;

use crate::cluster::Cluster;
use crate::node::{Node, PASSWORD, Process, wait_for};
use crate::wire::{send_message, smtp};

/// A configuration for a process with a data folder of its own.
fn configure(node: &Node, cluster: &Cluster, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    let data = node.folder.path().join(name);
    std::fs::create_dir_all(data.join("run")).unwrap();
    let shared = node.data();
    let text = node.sluice(&["config", "show", "--port-base", "0"], "");
    let mut settings: toml::Table = text.parse().unwrap();
    let path = |name: &str| toml::Value::String(shared.join(name).to_str().unwrap().to_owned());
    settings["store"].as_table_mut().unwrap().insert("root".to_owned(), path("mail"));
    settings["directory"].as_table_mut().unwrap().insert("path".to_owned(), path("directory.sqlite"));
    let queue = settings["queue"].as_table_mut().unwrap();
    queue.insert("backend".to_owned(), "rabbitmq".into());
    let rabbitmq = queue["rabbitmq"].as_table_mut().unwrap();
    let addresses = cluster.addresses().into_iter().map(toml::Value::String).collect();
    rabbitmq.insert("addresses".to_owned(), toml::Value::Array(addresses));
    rabbitmq.insert("spool_dir".to_owned(), path("spool"));
    rabbitmq.insert("away_max".to_owned(), "200ms".into());
    rabbitmq.insert("confirm_max".to_owned(), "3s".into());
    rabbitmq.insert("reconnect_wait_max".to_owned(), "500ms".into());
    let config = node.folder.path().join(format!("{name}.toml"));
    std::fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
    (data, config)
}

fn start(role: &str, data: &Path, config: &Path) -> Process {
    Process::start(
        &[role, "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()],
        data,
        role,
    )
}

#[test]
fn two_gateways_and_two_workers_meet_at_the_broker_and_outlive_it() {
    let mut node = Node::start();
    assert!(node.terminate());
    let mut cluster = Cluster::start(1);
    let places: Vec<_> = ["gateway1", "gateway2", "worker1", "worker2"]
        .iter()
        .map(|name| configure(&node, &cluster, name))
        .collect();
    let begin = |role: &str, index: usize| start(role, &places[index].0, &places[index].1);
    let gateways = [begin("gateway", 0), begin("gateway", 1)];
    let workers = [begin("worker", 2), begin("worker", 3)];
    let (data, config) = configure(&node, &cluster, "access1");
    let access = start("access", &data, &config);
    let inbox =
        || crate::wire::imap_fetch_all(access.addresses["imap"], "alice@example.test", PASSWORD, "INBOX");
    let send = |gateway: &Process, subject: &str| {
        let mut wire = smtp(gateway.addresses["mx"]);
        let text = format!("Subject: {subject}\r\n\r\ntext");
        let answer = send_message(&mut wire, "s@elsewhere.test", &["alice@example.test"], text.as_bytes());
        assert!(answer.starts_with("250 2.0.0 queued as "), "{answer}");
        answer.trim_end().rsplit(' ').next().unwrap().to_owned()
    };
    for number in 0..6 {
        send(&gateways[number % 2], &format!("first {number}"));
    }
    wait_for("the first messages", || (inbox().len() == 6).then_some(()));

    cluster.kill(0);
    let spilled: Vec<String> =
        (0..6).map(|number| send(&gateways[number % 2], &format!("second {number}"))).collect();
    let place = ["--data", places[0].0.to_str().unwrap(), "--config", places[0].1.to_str().unwrap()];
    let listed = crate::node::run(
        std::process::Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["queue", "list", "--spill"])
            .args(place),
        "",
    );
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(spilled.iter().step_by(2).all(|id| listed.contains(id)), "{listed}");
    assert_eq!(inbox().len(), 6);
    cluster.begin(0);
    cluster.wait_for(0);
    wait_for("what was accepted without the broker", || (inbox().len() == 12).then_some(()));
    let mut subjects: Vec<String> = inbox()
        .iter()
        .filter_map(|text| Some(text.lines().find(|line| line.starts_with("Subject: "))?.to_owned()))
        .collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 12, "each once: {subjects:?}");
    drop((gateways, workers, access));
}
