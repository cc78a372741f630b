//! Nodes that tell each other of changes.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::node::{Node, PASSWORD, Process, wait_for};
use crate::wire::{Wire, send_message, smtp};

struct Redis(Child);

impl Redis {
    fn start(socket: &std::path::Path) -> Self {
        let _ = std::fs::remove_file(socket);
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(socket)
            .current_dir(socket.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("Redis", || std::os::unix::net::UnixStream::connect(socket).ok());
        Self(child)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An IMAP session that has INBOX selected and idles.
fn idle(address: std::net::SocketAddr) -> Wire {
    let mut wire = Wire::connect(address);
    wire.line();
    for command in [format!("a LOGIN alice@example.test \"{PASSWORD}\""), "a SELECT INBOX".to_owned()] {
        wire.send(format!("{command}\r\n").as_bytes());
        while !wire.line().starts_with("a OK") {}
    }
    wire.send(b"b IDLE\r\n");
    while !wire.line().starts_with('+') {}
    wire
}

#[test]
fn a_delivery_by_one_node_wakes_a_session_of_another_and_without_redis_it_is_found_by_polling() {
    let mut node = Node::start();
    assert!(node.terminate());
    let socket = node.folder.path().join("redis.socket");
    let redis = Redis::start(&socket);
    let data = node.data();
    let configure = |poll: &str| {
        let text = node.sluice(&["config", "show", "--port-base", "0"], "");
        let mut settings: toml::Table = text.parse().unwrap();
        let state = settings["shared_state"].as_table_mut().unwrap();
        state.insert("backend".to_owned(), "redis".into());
        let server = state["redis"].as_table_mut().unwrap();
        server.insert("address".to_owned(), socket.to_str().unwrap().into());
        server.insert("reconnect_wait_max".to_owned(), "200ms".into());
        settings["access"]["imap"]
            .as_table_mut()
            .unwrap()
            .insert("idle_poll_interval".to_owned(), poll.into());
        let path = node.folder.path().join(format!("poll-{poll}.toml"));
        std::fs::write(&path, toml::to_string(&settings).unwrap()).unwrap();
        path
    };
    // So long that only a signal can be the reason.
    let (slow, quick) = (configure("10m"), configure("200ms"));
    let start = |role: &str, config: &std::path::Path| {
        let arguments = [role, "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
        Process::start(&arguments, &data, role)
    };
    let gateway = start("gateway", &slow);
    let worker = start("worker", &slow);
    let access = start("access", &slow);
    let attached = |process: &Process| {
        wait_for("the signals of other nodes", || {
            let metrics = crate::node::http_get(process.addresses["health"], "/metrics");
            metrics.contains("sluice_shared_state_attached 1").then_some(())
        });
    };
    attached(&access);
    attached(&worker);
    let deliver = |subject: &str| {
        let mut wire = smtp(gateway.addresses["mx"]);
        let text = format!("Subject: {subject}\r\n\r\ntext");
        let answer = send_message(&mut wire, "s@elsewhere.test", &["alice@example.test"], text.as_bytes());
        assert!(answer.starts_with("250"), "{answer}");
    };
    let mut session = idle(access.addresses["imap"]);
    let began = Instant::now();
    deliver("with Redis");
    while !session.line().contains("1 EXISTS") {}
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());

    // Without it everything goes on, by polling.
    drop(redis);
    assert!(access.terminate());
    let access = start("access", &quick);
    let mut session = idle(access.addresses["imap"]);
    deliver("without Redis");
    while !session.line().contains("2 EXISTS") {}
    let redis = Redis::start(&socket);
    attached(&access);
    deliver("with Redis again");
    while !session.line().contains("3 EXISTS") {}
    drop((redis, gateway, worker, access));
}
