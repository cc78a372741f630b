//! `kill -9` under load: what got a 250 is there exactly once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dns::Dns;
use crate::node::{Node, PASSWORD, queued_id, wait_for};
use crate::wire::{Wire, imap_fetch_all};

const KILLS: usize = 20;
const SENDERS: usize = 4;
/// Messages that are under way to one destination at a time, by default.
const IN_FLIGHT_MAX: usize = 20;
const BOTH: [&str; 2] = ["alice@example.test", "bob@example.test"];
/// Accepted messages between two kills, at least.
const ACCEPTED_BETWEEN: usize = 25;

/// The ledger: what was accepted, by the sender's own number, with our id.
#[derive(Default)]
struct Ledger {
    accepted: Mutex<BTreeMap<String, String>>,
}

impl Ledger {
    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }
}

/// Sends numbered messages until told to stop; a broken connection ends it too. A number is never used twice.
fn send_until(
    stop: &AtomicBool,
    address: std::net::SocketAddr,
    ledger: &Ledger,
    round: usize,
    sender: usize,
    to: &[&str],
) {
    let mut wire = Wire::connect(address);
    if !wire.reply().starts_with("220") || !wire.smtp("EHLO load.example").starts_with("250") {
        return;
    }
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("ledger-{round}-{sender}-{number}");
        // Every fifth body is too large for the log and goes beside it.
        let filler = "0123456789abcdef\r\n".repeat(if number % 5 == 4 { 20_000 } else { 100 });
        let content = format!("Subject: {name}\r\nX-Ledger: {name}\r\n\r\n{filler}");
        let answer = crate::wire::send_message(&mut wire, "load@elsewhere.test", to, content.as_bytes());
        if answer.starts_with("250") {
            let id = queued_id(&answer).unwrap();
            ledger.accepted.lock().unwrap().insert(name, id);
        } else if !answer.starts_with('4') {
            assert!(answer.is_empty(), "an unexpected refusal: {answer}");
            return;
        }
    }
}

/// Sends from several sessions until enough is accepted, and does this while they go on.
fn send_while(
    address: std::net::SocketAddr,
    ledger: &Ledger,
    round: usize,
    to: &[&str],
    then: impl FnOnce(),
) {
    let stop = AtomicBool::new(false);
    let goal = ledger.count() + ACCEPTED_BETWEEN;
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let stop = &stop;
            scope.spawn(move || send_until(stop, address, ledger, round, sender, to));
        }
        wait_for("messages are accepted", || (ledger.count() >= goal).then_some(()));
        then();
        stop.store(true, Ordering::Relaxed);
    });
}

fn found(node: &Node, account: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in imap_fetch_all(node.address("imap"), account, PASSWORD, "INBOX") {
        let name =
            message.lines().find_map(|line| line.strip_prefix("X-Ledger: ")).unwrap().trim().to_owned();
        let id = message.split("\tid ").nth(1).or_else(|| message.split(" id ").nth(1)).unwrap();
        found.entry(name).or_default().push(id.chars().take_while(char::is_ascii_alphanumeric).collect());
    }
    found
}

#[test]
fn twenty_kills_lose_nothing_and_double_nothing() {
    let mut node = Node::start();
    let ledger = Ledger::default();
    for round in 0..KILLS {
        send_while(node.address("mx"), &ledger, round, &BOTH, || node.kill());
        node.up();
    }
    let accepted = ledger.accepted.lock().unwrap().clone();
    assert!(accepted.len() >= KILLS * ACCEPTED_BETWEEN);
    for account in ["alice@example.test", "bob@example.test"] {
        let seen = wait_for("everything accepted is delivered", || {
            let seen = found(&node, account);
            accepted.keys().all(|name| seen.contains_key(name)).then_some(seen)
        });
        for (name, id) in &accepted {
            let copies = seen[name].iter().filter(|copy| *copy == id).count();
            assert_eq!(copies, 1, "{account} has {copies} copies of {name} {id}");
        }
        // What got no 250 may be there, once a try: nobody sees one message twice.
        for (name, ids) in &seen {
            let mut unique = ids.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), ids.len(), "{account} has {name} twice");
        }
    }
    println!("accepted {} lost 0 doubled 0 kills {KILLS}", accepted.len());
}

/// What is under way to another system when a process ends may have been taken, and goes again (RFC 1047): it is there at least once, and nothing else is
/// there twice.
#[test]
fn kills_lose_nothing_on_its_way_to_another_system() {
    const ROUNDS: usize = 8;
    let dns = Dns::start(&["other.test"]);
    let mut other = Node::fresh();
    other.up();
    other.sluice(&["domain", "add", "other.test"], "");
    other.add_account("carol@other.test");
    let mut node = Node::fresh();
    node.up_sending(dns.address, &other.port("mx"));
    node.sluice(&["alias", "add", "away@example.test", "carol@other.test"], "");
    let ledger = Ledger::default();
    for round in 0..ROUNDS {
        send_while(node.address("mx"), &ledger, round, &["away@example.test"], || {
            // Ours, or both, theirs first.
            if round % 2 == 1 {
                other.kill();
            }
            node.kill();
        });
        if round % 2 == 1 {
            other.up();
        }
        node.up_sending(dns.address, &other.port("mx"));
    }
    let accepted = ledger.accepted.lock().unwrap().clone();
    wait_for("nothing waits any more", || {
        node.sluice(&["queue", "retry", "--all"], "");
        let waits = |node: &Node| node.sluice(&["queue", "list", "--json"], "").trim() != "[]";
        (!waits(&node) && !waits(&other)).then_some(())
    });
    let seen = found(&other, "carol@other.test");
    for name in accepted.keys() {
        assert!(seen.contains_key(name), "{name} is lost");
    }
    let again: usize = seen.values().map(|copies| copies.len() - 1).sum();
    let most = ROUNDS * IN_FLIGHT_MAX;
    assert!(again <= most, "{again} messages came again, of at most {most} that were under way");
    println!("accepted {} lost 0 sent again {again} kills {}", accepted.len(), ROUNDS + ROUNDS / 2);
}
