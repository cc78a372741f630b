//! Processes grow: gateways and workers over one RabbitMQ node and one directory of mail. On one machine this shows what more processes cost, not what
//! more machines bring.

use std::path::Path;
use std::time::Instant;

use super::node::{self, Node};
use super::{Arguments, Growth};
use crate::bench::peer::{figure, load};
use crate::soak::broker::Cluster;

const SESSIONS: u64 = 50;
const MESSAGES: u64 = 3000;
const RECIPIENTS: u64 = 20;

pub(super) fn measure(folder: &Path, arguments: &Arguments) -> anyhow::Result<Growth> {
    let mut growth = Growth::new("gateways and as many workers");
    let shared = folder.join("shared");
    drop(Node::up(&shared)?);
    let names: Vec<String> = (0..RECIPIENTS).map(|number| format!("u{number}@example.test")).collect();
    node::add_accounts(&names, &shared)?;
    let cluster = Cluster::start(1);
    for processes in arguments.processes.iter().copied() {
        let start = |role: &str, number| {
            let data = folder.join(format!("{role}{processes}-{number}"));
            std::fs::create_dir_all(data.join("run"))?;
            let broker = cluster.addresses();
            let more = format!(
                "[store]\nroot = {:?}\n[directory]\npath = {:?}\n[queue]\nbackend = \"rabbitmq\"\n[queue.rabbitmq]\naddresses = {broker:?}\nspool_dir = {:?}\n",
                shared.join("mail"),
                shared.join("directory.sqlite"),
                shared.join("spool"),
            );
            Node::start(role, &data, &node::settings(&data, &more)?)
        };
        let gateways =
            (0..processes).map(|number| start("gateway", number)).collect::<anyhow::Result<Vec<_>>>()?;
        let workers =
            (0..processes).map(|number| start("worker", number)).collect::<anyhow::Result<Vec<_>>>()?;
        // The first messages make Maildirs and connections.
        send(&gateways, &workers, &names, 500)?;
        for _ in 0..arguments.runs {
            let cpu = cpu(&gateways, &workers)?;
            let (report, seconds) = send(&gateways, &workers, &names, MESSAGES)?;
            growth.put(("accepted", "a second"), processes, figure(&report, "smtp.message", "rate")?);
            growth.put(("accepted, then in the Maildir", "a second"), processes, MESSAGES as f64 / seconds);
            growth.put(
                ("p99 of accepting", "ms"),
                processes,
                figure(&report, "smtp.message", "latency/p99")? / 1000.0,
            );
            let used = self::cpu(&gateways, &workers)? - cpu;
            growth.put(
                ("processor time of 1,000 messages, without the broker", "s"),
                processes,
                used / MESSAGES as f64 * 1000.0,
            );
        }
        let memory: f64 = gateways.iter().chain(&workers).map(Node::memory).sum::<anyhow::Result<f64>>()?;
        growth.put(("memory of all of them", "MB"), processes, memory / 1e6);
    }
    Ok(growth)
}

fn cpu(gateways: &[Node], workers: &[Node]) -> anyhow::Result<f64> {
    gateways.iter().chain(workers).map(Node::cpu).sum()
}

fn send(
    gateways: &[Node],
    workers: &[Node],
    names: &[String],
    messages: u64,
) -> anyhow::Result<(serde_json::Value, f64)> {
    let delivered = || {
        workers
            .iter()
            .map(|worker| worker.metric("sluice_delivery_recipients_total"))
            .sum::<anyhow::Result<f64>>()
    };
    let before = delivered()?;
    let begun = Instant::now();
    let mut words: Vec<String> =
        ["smtp", "--from", "load@bench.test", "--size", "5000"].map(str::to_owned).into();
    for gateway in gateways {
        words.extend(["--server".to_owned(), gateway.address("mx")?]);
    }
    words.extend([
        "--sessions".to_owned(),
        SESSIONS.to_string(),
        "--messages".to_owned(),
        messages.to_string(),
    ]);
    words.extend(names.iter().flat_map(|name| ["--to".to_owned(), name.clone()]));
    let report = load(&words)?;
    node::wait("delivery", || Ok((delivered()? >= before + messages as f64).then_some(())))?;
    Ok((report, begun.elapsed().as_secs_f64()))
}
