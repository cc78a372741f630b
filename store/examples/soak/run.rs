//! Nodes and faults by a seed; then the proof.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::{Outcome, check, world};

struct Field<'a> {
    seed: u64,
    ledgers: &'a Path,
    end: Instant,
    roots: [String; 2],
    control: Option<String>,
    starts: u64,
}

/// Longer than the rig's server waits for a client.
const LEASE: Duration = Duration::from_secs(13);
const NAMES: [&str; 2] = ["A", "B"];
/// How long a node may take to finish after its time, with faults healed.
const GRACE: Duration = Duration::from_secs(120);

/// Runs two nodes for `seconds` with faults between. On a plain directory (no `NFS_A`) only kills are possible.
pub(crate) fn run(seconds: u64, seed: u64, ledgers: &Path) -> Outcome<bool> {
    let roots = match (std::env::var("NFS_A"), std::env::var("NFS_B")) {
        (Ok(one), Ok(other)) => [one, other],
        _ => {
            let root = ledgers.join("root").to_string_lossy().into_owned();
            [root.clone(), root]
        }
    };
    let roots = roots.map(|root| format!("{root}/mail"));
    world::init(Path::new(&roots[0]))?;
    let mut field = Field {
        seed,
        ledgers,
        end: Instant::now() + Duration::from_secs(seconds),
        roots,
        control: std::env::var("NFS_CTL").ok(),
        starts: 0,
    };
    let mut random = Random::new(seed);
    let mut nodes = [field.start(0)?, field.start(1)?];
    let mut faults = 0;
    let cut = power_cut()?;
    while Instant::now() < field.end {
        if let Some((at, text)) = &cut
            && Instant::now() > *at
        {
            // The rig sees it and takes the power away; the check comes with the next boot.
            println!("{text}");
            std::thread::sleep(GRACE);
        }
        std::thread::sleep(Duration::from_millis(500 + random.next() % 4000));
        faults += 1;
        field.fault(&mut random, &mut nodes)?;
    }
    for node in &mut nodes {
        field.wait(node)?;
    }
    println!("seed {seed}: {faults} faults, {} starts of nodes", field.starts);
    check::check([Path::new(&field.roots[0]), Path::new(&field.roots[1])], ledgers)
}

/// When to ask for a power cut, and how.
fn power_cut() -> Outcome<Option<(Instant, String)>> {
    let Ok(seconds) = std::env::var("SOAK_CUT_AFTER") else { return Ok(None) };
    Ok(Some((Instant::now() + Duration::from_secs(seconds.parse()?), std::env::var("SOAK_CUT_TEXT")?)))
}

impl Field<'_> {
    fn start(&mut self, which: usize) -> Outcome<Child> {
        self.starts += 1;
        let left = self.end.saturating_duration_since(Instant::now()).as_secs();
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.starts * 2 + which as u64);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("node").arg(&self.roots[which]).arg(NAMES[which]);
        command.arg(seed.to_string()).arg(left.to_string()).arg(self.ledgers);
        Ok(command.spawn()?)
    }

    fn control(&self, words: &[&str]) -> Outcome<()> {
        let Some(program) = &self.control else { return Ok(()) };
        let status = Command::new(program).args(words).status()?;
        if status.success() { Ok(()) } else { Err(format!("{program} {words:?}: {status}").into()) }
    }

    /// The guest's clock, and so the server's and both clients': an hour ahead or back.
    fn jump(&self, random: &mut Random) -> Outcome<()> {
        if self.control.is_none() {
            return Ok(());
        }
        let by = if random.below(2) == 0 { "1 hour" } else { "-1 hour" };
        let status = Command::new("date").args(["--set", by]).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("date --set '{by}': {status}").into()) }
    }

    fn fault(&mut self, random: &mut Random, nodes: &mut [Child; 2]) -> Outcome<()> {
        let pause = Duration::from_millis(200 + random.next() % 3000);
        match random.below(11) {
            0..4 => {
                let which = random.below(2);
                nodes[which].kill()?;
                nodes[which].wait()?;
                std::thread::sleep(pause / 4);
                nodes[which] = self.start(which)?;
            }
            4 => {
                self.control(&["stop"])?;
                std::thread::sleep(pause);
                self.control(&["start"])?;
            }
            5 => {
                self.control(&["stop"])?;
                self.control(&["start", "now"])?;
            }
            6 | 7 => {
                let which = if random.below(2) == 0 { "a" } else { "b" };
                self.control(&["cut", which])?;
                // Now and then for longer than a lease: the locks of that client are given to others.
                // A short run would be nothing but that.
                let is_long = random.below(6) == 0 && self.end > Instant::now() + 2 * LEASE;
                std::thread::sleep(if is_long { LEASE } else { pause });
                self.control(&["heal", which])?;
            }
            8 => self.jump(random)?,
            _ => self.control(&["drop-caches"])?,
        }
        Ok(())
    }

    fn wait(&self, node: &mut Child) -> Outcome<()> {
        let deadline = Instant::now() + GRACE;
        loop {
            if let Some(status) = node.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("a node ended with {status}").into())
                };
            }
            if Instant::now() > deadline {
                node.kill()?;
                node.wait()?;
                return Err("a node did not end".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
