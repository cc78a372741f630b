//! Roles as processes of their own, ends and new starts.

use crate::node::{Node, PASSWORD, Process, wait_for};
use crate::wire::{send_message, smtp};

#[test]
fn sigterm_drains_and_the_next_start_goes_on() {
    let mut node = Node::start();
    node.swaks("s@elsewhere.test", "alice@example.test", &["--header", "Subject: before"]);
    node.inbox("alice@example.test", 1);
    let mut idle = smtp(node.address("mx"));
    assert!(node.terminate(), "SIGTERM ends with status 0");
    let farewell = idle.reply();
    assert!(farewell.starts_with("421 4.3.2"), "an idle session hears 421: {farewell:?}");
    node.up();
    node.swaks("s@elsewhere.test", "alice@example.test", &["--header", "Subject: after"]);
    let messages = node.inbox("alice@example.test", 2).concat();
    assert!(messages.contains("before") && messages.contains("after"));
}

#[test]
fn a_role_that_comes_before_the_installation_spoils_nothing() {
    let mut node = Node::fresh();
    let data = node.data();
    let arguments = ["gateway", "--data", data.to_str().unwrap(), "--port-base", "0"];
    let output =
        crate::node::run(std::process::Command::new(env!("CARGO_BIN_EXE_sluice")).args(arguments), "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("`sluice up`"), "{text}");
    // What it says works, also after a start that was killed in its first steps.
    node.up();
    node.add_account("alice@example.test");
    assert!(node.terminate());
    // A directory that is away later is not made anew.
    std::fs::rename(data.join("directory.sqlite"), node.folder.path().join("away")).unwrap();
    let arguments = ["up", "--data", data.to_str().unwrap(), "--port-base", "0"];
    let output =
        crate::node::run(std::process::Command::new(env!("CARGO_BIN_EXE_sluice")).args(arguments), "");
    assert_eq!(output.status.code(), Some(1));
    assert!(!data.join("directory.sqlite").exists());
}

#[test]
fn a_second_process_over_the_same_data_is_refused() {
    let node = Node::start();
    let data = node.data();
    let output = crate::node::run(
        std::process::Command::new(env!("CARGO_BIN_EXE_sluice")).args([
            "up",
            "--data",
            data.to_str().unwrap(),
            "--port-base",
            "0",
        ]),
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("another process"), "{text}");
}

#[test]
fn three_processes_share_the_files() {
    let mut node = Node::start();
    assert!(node.terminate());
    let data = node.data();
    let config = node.folder.path().join("sluice.toml");
    let text = node.sluice(&["config", "show", "--port-base", "0"], "");
    std::fs::write(&config, text).unwrap();
    let start = |role: &str| {
        Process::start(
            &[role, "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()],
            &data,
            role,
        )
    };
    let gateway = start("gateway");
    let access = start("access");
    let mut wire = smtp(gateway.addresses["mx"]);
    let answer = send_message(
        &mut wire,
        "s@elsewhere.test",
        &["alice@example.test"],
        b"Subject: waits\r\n\r\nfor a worker",
    );
    assert!(answer.starts_with("250 2.0.0 queued as "), "{answer}");
    let inbox =
        || crate::wire::imap_fetch_all(access.addresses["imap"], "alice@example.test", PASSWORD, "INBOX");
    assert!(inbox().is_empty(), "no worker yet");
    // A client that idles hears of the delivery by another process.
    let mut idler = crate::wire::imap(access.addresses["imap"], "alice@example.test", PASSWORD);
    idler.imap("SELECT INBOX");
    idler.send("x IDLE\r\n");
    assert!(idler.line().starts_with('+'));
    let worker = start("worker");
    let news = idler.line();
    assert!(news.contains("EXISTS") || news.contains("RECENT"), "{news}");
    wait_for("the message is delivered", || (inbox().len() == 1).then_some(()));
    // A worker that is killed loses nothing; the next one goes on.
    worker.kill();
    let answer = send_message(
        &mut wire,
        "s@elsewhere.test",
        &["alice@example.test", "bob@example.test"],
        b"Subject: second\r\n\r\nx",
    );
    assert!(answer.starts_with("250"), "{answer}");
    let worker = start("worker");
    wait_for("the second message is delivered", || (inbox().len() == 2).then_some(()));
    for process in [gateway, worker, access] {
        assert!(process.terminate());
    }
}

#[test]
fn a_store_or_directory_that_is_away_is_not_an_empty_one() {
    let mut node = Node::start();
    assert!(node.terminate());
    let data = node.data();
    let config = node.folder.path().join("away.toml");
    let mount = node.folder.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    std::fs::write(&config, format!("[store]\nroot = '{}'\n", mount.display())).unwrap();
    let start = |role: &str| {
        let arguments = [role, "--port-base", "0", "--config", config.to_str().unwrap()];
        let output = node.try_sluice(&arguments, "");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // An empty mount point is refused, by every role that needs the mail, and stays as it is.
    for role in ["up", "access", "worker"] {
        let (status, text) = start(role);
        assert_eq!(status, Some(1), "{role}: {text}");
        assert!(text.contains("not mounted") && text.contains("sluice mailbox init"), "{role}: {text}");
    }
    assert_eq!(std::fs::read_dir(&mount).unwrap().count(), 0);
    node.sluice(&["mailbox", "init", "--config", config.to_str().unwrap()], "");
    let arguments = [
        "access",
        "--port-base",
        "0",
        "--data",
        data.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    assert!(Process::start(&arguments, &data, "access").terminate());

    // A gateway without its directory would refuse every recipient for good.
    std::fs::remove_file(data.join("directory.sqlite")).unwrap();
    let (status, text) = start("gateway");
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("no directory at"), "{text}");
}

#[test]
fn an_operator_holds_moves_and_deletes_what_waits() {
    let mut node = Node::start();
    assert!(node.terminate());
    let data = node.data();
    let config = node.folder.path().join("sluice.toml");
    let text = node.sluice(&["config", "show", "--port-base", "0"], "");
    std::fs::write(&config, text).unwrap();
    let start = |role: &str| {
        Process::start(
            &[role, "--data", data.to_str().unwrap(), "--config", config.to_str().unwrap()],
            &data,
            role,
        )
    };
    let gateway = start("gateway");
    let mut wire = smtp(gateway.addresses["mx"]);
    let mut send = |sender: &str| {
        let answer =
            send_message(&mut wire, sender, &["alice@example.test"], b"Subject: waits\r\n\r\nfor a worker");
        answer.trim_end().rsplit(' ').next().unwrap().to_owned()
    };
    let (held, spam, sent) =
        (send("held@elsewhere.test"), send("spam@elsewhere.test"), send("fine@elsewhere.test"));
    let queue = |arguments: &[&str]| node.sluice(&[&["queue"], arguments].concat(), "");
    // No worker runs: the command itself works the queue for a moment.
    let meant = queue(&["delete", "--sender", "SPAM@", "--dry-run", "--json"]);
    assert!(meant.contains(&spam) && !meant.contains(&held), "{meant}");
    assert_eq!(queue(&["delete", "--sender", "SPAM@"]), "1 message changed or deleted\n");
    assert_eq!(queue(&["hold", &held]), "1 message held\n");
    let refused = node.try_sluice(&["queue", "delete"], "");
    let refused = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.contains("which messages?"), "{refused}");

    let worker = start("worker");
    let access = start("access");
    let inbox =
        || crate::wire::imap_fetch_all(access.addresses["imap"], "alice@example.test", PASSWORD, "INBOX");
    wait_for("the delivery of what is not held", || (inbox().len() == 1).then_some(()));
    let (stats, listed) = (queue(&["stats", "--json"]), queue(&["list", "--state", "held"]));
    assert!(stats.contains("\"held\": 1") && listed.contains(&held), "{stats}{listed}");
    assert!(node.sluice(&["trace", &held], "").contains("kept back by an operator"));
    // Now the worker carries it out.
    assert_eq!(queue(&["release", "--domain", "example.test"]), "1 message released\n");
    wait_for("the delivery of what was held", || (inbox().len() == 2).then_some(()));
    for (id, words) in [(&held, "held"), (&held, "released"), (&spam, "discarded"), (&sent, "delivered")] {
        wait_for("the trail", || node.sluice(&["trace", id], "").contains(words).then_some(()));
    }
    drop((gateway, worker, access));
}
