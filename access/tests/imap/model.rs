//! Random commands of two sessions on one mailbox, and a model of what each client must believe.

use std::collections::BTreeMap;

use access::ImapConfig;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use units::Span;

use crate::harness::{Client, config, message, node_with};

#[derive(Debug, Clone)]
enum Step {
    Append,
    Store { at: usize, flag: &'static str, silent: bool, uid: bool },
    Expunge,
    Fetch { uid: bool },
    Search { uid: bool },
    Copy { at: usize },
    MoveAway { at: usize },
    Noop,
}

/// What a client knows: UIDs by place (0 while not told), flags by UID.
struct Believer {
    client: Client,
    uids: Vec<u32>,
    flags: BTreeMap<u32, String>,
}

impl Believer {
    /// Sends a command and believes what it says. `quiet`: no EXPUNGE may come.
    async fn say(&mut self, command: &str, quiet: bool) {
        let lines = self.client.command(command).await;
        for line in &lines {
            let words: Vec<&str> = line.split(' ').collect();
            let number = words.get(1).and_then(|word| word.parse::<usize>().ok());
            match (number, words.get(2)) {
                (Some(count), Some(&"EXISTS")) => {
                    assert!(count >= self.uids.len(), "EXISTS never takes away: {command} {lines:?}");
                    self.uids.resize(count, 0);
                }
                (Some(place), Some(&"EXPUNGE")) => {
                    assert!(!quiet, "{command} must not tell an EXPUNGE: {lines:?}");
                    self.uids.remove(place - 1);
                }
                (Some(place), Some(&"FETCH")) => self.believe(place, line, &lines),
                _ => {}
            }
        }
    }

    fn believe(&mut self, place: usize, line: &str, lines: &[String]) {
        let uid = line.split("UID ").nth(1).expect("every FETCH here has a UID");
        let uid: u32 = uid.split([' ', ')']).next().unwrap().parse().unwrap();
        assert!(place <= self.uids.len(), "FETCH of a message not told: {lines:?}");
        let known = &mut self.uids[place - 1];
        assert!(*known == 0 || *known == uid, "place {place} is UID {known}, not {uid}: {lines:?}");
        *known = uid;
        if let Some(flags) = line.split("FLAGS (").nth(1) {
            let mut flags: Vec<&str> =
                flags.split(')').next().unwrap().split(' ').filter(|flag| *flag != "\\Recent").collect();
            flags.sort_unstable();
            self.flags.insert(uid, flags.join(" "));
        }
    }

    async fn run(&mut self, step: &Step) {
        let place = |at: usize| at % self.uids.len().max(1);
        match step {
            Step::Append => {
                let text = message("random");
                self.say(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()), false).await;
            }
            Step::Store { at, flag, silent, uid } => {
                let index = place(*at);
                let Some(known) = self.uids.get(index).copied() else { return };
                let (sign, word) = flag.split_at(1);
                let silent = if *silent { ".SILENT" } else { "" };
                if *uid && known != 0 {
                    self.say(&format!("UID STORE {known} {sign}FLAGS{silent} ({word})"), false).await;
                } else {
                    self.say(&format!("STORE {} {sign}FLAGS{silent} ({word})", index + 1), true).await;
                }
                if !silent.is_empty() {
                    self.assume(known, sign, word);
                }
            }
            Step::Expunge => self.say("EXPUNGE", false).await,
            Step::Fetch { uid } if self.uids.is_empty() || *uid => {
                self.say("UID FETCH 1:* (UID FLAGS)", false).await;
            }
            Step::Fetch { .. } => self.say("FETCH 1:* (UID FLAGS)", true).await,
            Step::Search { uid } => self.say(if *uid { "UID SEARCH ALL" } else { "SEARCH ALL" }, !uid).await,
            Step::Copy { at } if !self.uids.is_empty() => {
                self.say(&format!("COPY {} Archive", place(*at) + 1), false).await;
            }
            Step::MoveAway { at } if !self.uids.is_empty() => {
                self.say(&format!("MOVE {} Archive", place(*at) + 1), false).await;
            }
            Step::Noop | Step::Copy { .. } | Step::MoveAway { .. } => self.say("NOOP", false).await,
        }
    }

    /// A silent STORE: the client takes its change for granted. It is corrected by a FETCH if others changed something, which is
    /// why what came with the answer is not overwritten: what is assumed is the same.
    fn assume(&mut self, uid: u32, sign: &str, word: &str) {
        let Some(flags) = self.flags.get_mut(&uid) else { return };
        let mut held: Vec<&str> = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != word).collect();
        if sign == "+" {
            held.push(word);
        }
        held.sort_unstable();
        *flags = held.join(" ");
    }
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let flag = prop_oneof![
        Just("+\\Seen"),
        Just("-\\Seen"),
        Just("+\\Deleted"),
        Just("+$Work"),
        Just("-$Work"),
        Just("+\\Flagged")
    ];
    let step = prop_oneof![
        2 => Just(Step::Append),
        4 => (any::<usize>(), flag, any::<bool>(), any::<bool>())
            .prop_map(|(at, flag, silent, uid)| Step::Store { at, flag, silent, uid }),
        1 => Just(Step::Expunge),
        2 => any::<bool>().prop_map(|uid| Step::Fetch { uid }),
        1 => any::<bool>().prop_map(|uid| Step::Search { uid }),
        1 => any::<usize>().prop_map(|at| Step::Copy { at }),
        1 => any::<usize>().prop_map(|at| Step::MoveAway { at }),
        1 => Just(Step::Noop),
    ];
    proptest::collection::vec((any::<bool>(), step), 1..60)
}

#[test]
fn clients_believe_what_is_there() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner =
        TestRunner::new(RunnerConfig { cases: 24, failure_persistence: None, ..RunnerConfig::default() });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(converse(&steps));
            Ok(())
        })
        .unwrap();
}

async fn converse(steps: &[(bool, Step)]) {
    let node = node_with(ImapConfig { poll_interval: Span::millis(1), ..config() }).await;
    node.deliver_many("alice", "INBOX", 5).await;
    let mut believers = Vec::new();
    for _ in 0..2 {
        let mut client = node.log_in("alice").await;
        client.command("CREATE Archive").await;
        client.ok("SELECT INBOX").await;
        let mut believer = Believer { client, uids: vec![0; 5], flags: BTreeMap::new() };
        believer.say("FETCH 1:* (UID FLAGS)", true).await;
        believers.push(believer);
    }
    for (second, step) in steps {
        believers[usize::from(*second)].run(step).await;
    }
    for believer in &mut believers {
        believer.say("NOOP", false).await;
        let (uids, flags) = (believer.uids.clone(), believer.flags.clone());
        if !uids.is_empty() {
            believer.say("FETCH 1:* (UID FLAGS)", true).await;
        }
        for uid in uids.iter().filter(|uid| **uid != 0) {
            if let Some(believed) = flags.get(uid) {
                assert_eq!(believed, &believer.flags[uid], "flags of UID {uid} were believed wrongly");
            }
        }
    }
    assert_eq!(believers[0].uids, believers[1].uids);
    let mut fresh = node.log_in("alice").await;
    let lines = fresh.ok("SELECT INBOX").await;
    assert!(lines.contains(&format!("* {} EXISTS", believers[0].uids.len())), "{lines:?}");
}
