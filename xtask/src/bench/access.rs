//! Mail out: logins, IMAP and POP3 operations, and what a session that waits takes.

use super::Arguments;
use super::figures::Figures;
use super::peer::{Peer, figure, load};

/// Accounts with a mailbox of usual size, and messages in it.
const ACCOUNTS: usize = 50;
const USUAL: usize = 200;
/// The account of the first run with a large mailbox that nobody looked into; the next run takes the next one. Messages in it.
const LARGE: usize = 500;
const LARGE_MESSAGES: usize = 10_000;
/// Sessions that wait, of as many accounts as the first number says.
const IDLE: [usize; 2] = [1000, 2500];

/// Operations of IMAP: script, operation in the report, how many.
const OPERATIONS: [(&str, &str, usize); 8] = [
    ("select", "imap.select", 3000),
    ("status", "imap.status", 3000),
    ("noop", "imap.noop", 4000),
    ("fetch", "imap.fetch", 3000),
    ("page", "imap.page", 2000),
    ("search", "imap.search", 1000),
    ("store", "imap.store", 2000),
    ("append", "imap.append", 600),
];

pub(super) fn measure(
    system: &Peer,
    (run, arguments): (usize, &Arguments),
    figures: &mut Figures,
) -> anyhow::Result<()> {
    if run == 0 {
        // Delivered through the system itself, so that its files have the names that it gives.
        imap(system, &names(0..ACCOUNTS), ("append", ACCOUNTS, ACCOUNTS * USUAL))?;
    }
    // A first login after a start hashes the password, where it is hashed; who reads mail logs in again and again.
    imap(system, &names(0..ACCOUNTS), ("login", ACCOUNTS, ACCOUNTS * 4))?;
    let large = LARGE + run;
    imap(system, &names(large..large + 1), ("append", 4, LARGE_MESSAGES))?;
    for (what, times) in [("first FETCH of 10,000 ENVELOPEs", 1), ("FETCH of 10,000 ENVELOPEs again", 3)] {
        let report = imap(system, &names(large..large + 1), ("envelopes", 1, times))?;
        figures.put(
            (what, "1 session", "ms"),
            &system.name,
            figure(&report, "imap.envelopes", "latency/p50")? / 1000.0,
        );
    }
    for sessions in arguments.sessions.iter().copied() {
        let cell = super::sessions(sessions);
        let count = |most: usize| if sessions < 5 { most / 4 } else { most };
        for (protocol, tls, what) in
            [("imap", "none", "IMAP logins"), ("imaps", "implicit", "IMAP logins over TLS")]
        {
            let report =
                run_imap(system, &names(0..ACCOUNTS), ("login", sessions, count(2000)), (protocol, tls))?;
            figures.put((what, &cell, "/s"), &system.name, figure(&report, "imap.session", "rate")?);
        }
        for (script, operation, most) in OPERATIONS {
            let report = imap(system, &names(0..ACCOUNTS), (script, sessions, count(most)))?;
            figures.put(
                (&format!("IMAP {script}"), &cell, "/s"),
                &system.name,
                figure(&report, operation, "rate")?,
            );
        }
        let report = pop3(system, sessions, count(1000))?;
        figures.put(
            ("POP3 visits: login, STAT, UIDL, RETR", &cell, "/s"),
            &system.name,
            figure(&report, "pop3.visit", "rate")?,
        );
    }
    idle(system, figures)
}

fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("u{number}@bench.test")).collect()
}

fn imap(system: &Peer, logins: &[String], work: (&str, usize, usize)) -> anyhow::Result<serde_json::Value> {
    run_imap(system, logins, work, ("imap", "none"))
}

fn run_imap(
    system: &Peer,
    logins: &[String],
    (script, sessions, count): (&str, usize, usize),
    (protocol, tls): (&str, &str),
) -> anyhow::Result<serde_json::Value> {
    let server = system.server(protocol)?;
    let (sessions, count) = (sessions.to_string(), count.to_string());
    let words = [
        "imap",
        "--as",
        script,
        "--server",
        &server,
        "--tls",
        tls,
        "--sessions",
        &sessions,
        "--count",
        &count,
    ];
    load(&with_logins(&words, logins))
}

/// Sessions have an account each: a Maildir is open for one POP3 session at a time.
fn pop3(system: &Peer, sessions: usize, count: usize) -> anyhow::Result<serde_json::Value> {
    let server = system.server("pop3")?;
    let (sessions, count) = (sessions.min(ACCOUNTS).to_string(), count.to_string());
    let words = ["pop3", "--server", &server, "--sessions", &sessions, "--count", &count, "--own-accounts"];
    load(&with_logins(&words, &names(0..ACCOUNTS)))
}

fn with_logins(words: &[&str], logins: &[String]) -> Vec<String> {
    let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    for login in logins {
        arguments.extend(["--login".to_owned(), login.clone()]);
    }
    arguments
}

/// Two numbers of sessions: what the first logins of all accounts leave behind is in both.
fn idle(system: &Peer, figures: &mut Figures) -> anyhow::Result<()> {
    let server = system.server("imap")?;
    let [fewer, more] = IDLE;
    let names = names(0..fewer);
    imap(system, &names, ("login", 10, fewer))?;
    let mut held = Vec::new();
    for sessions in IDLE {
        let count = sessions.to_string();
        let words = ["idle", "--server", &server, "--sessions", &count, "--hold", "3s"];
        held.push(system.memory_before_end(|| load(&with_logins(&words, &names)))?);
    }
    if let [few, many] = held.as_slice() {
        let sessions = f64::from(u32::try_from(more - fewer)?);
        let cell = format!("{more} sessions less {fewer}");
        figures.put(("an idle IMAP session", &cell, "KiB"), &system.name, (many - few) / sessions / 1024.0);
    }
    Ok(())
}
