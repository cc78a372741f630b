//! `cargo xtask soak store`: rounds of `store/examples/soak` in the NFS rig of `tests/nfs`, each on a new disk.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long to go on, in seconds; the round that is under way then is finished.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The seed of the first round; the next ones count on from it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Seconds of load in one round.
const ROUND: u64 = 60;
const VERSIONS: [&str; 3] = ["4.2", "4.1", "4.0"];
/// What the rig waits for before it cuts the power.
const CUT: &str = "POWER-CUT";
/// Rounds whose power is cut: one in so many.
const CUT_EVERY: u64 = 3;
const STATUS_CUT: i32 = 137;

struct Round<'a> {
    root: &'a Path,
    soak: &'a Path,
    version: &'a str,
    disk: PathBuf,
    ledgers: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "store", "--example", "soak"])
        .status()?;
    ensure!(built.success(), "the soak program was not built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let soak = target.join("release/examples/soak");
    let first = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
    };
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut operations, mut violations) = (0, 0);
    let mut seed = first;
    while seed == first || Instant::now() < end {
        let version = VERSIONS.get(usize::try_from(seed)? % VERSIONS.len()).context("a version")?;
        let folder = std::env::temp_dir().join(format!("sluice-soak-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let round =
            Round { root, soak: &soak, version, disk: folder.join("disk"), ledgers: folder.join("ledgers") };
        std::fs::create_dir_all(&round.ledgers)?;
        let (done, wrong) = round.run(seed).with_context(|| format!("seed {seed}, {}", folder.display()))?;
        operations += done;
        violations += wrong;
        if wrong == 0 {
            std::fs::remove_dir_all(&folder)?;
        } else {
            println!("seed {seed}: disk and ledgers are kept in {}", folder.display());
        }
        seed += 1;
    }
    println!("operations {operations} violations {violations}");
    ensure!(violations == 0, "the store broke a promise");
    Ok(())
}

impl Round<'_> {
    /// Operations and violations.
    fn run(&self, seed: u64) -> anyhow::Result<(u64, u64)> {
        let ledgers = self.ledgers.display();
        let soak = self.soak.display();
        let cut = seed % CUT_EVERY == 1;
        println!("seed {seed}: NFS {}{}", self.version, if cut { ", power cut" } else { "" });
        let load = format!("{soak} run {ROUND} {seed} {ledgers} 2>>{ledgers}/log");
        if !cut {
            return self.rig(&load, false)?.context("the round ended without a result");
        }
        let after = 10 + seed % (ROUND - 20);
        let load = format!("SOAK_CUT_AFTER={after} SOAK_CUT_TEXT={CUT} {load}");
        ensure!(self.rig(&load, true)?.is_none(), "the power was not cut");
        let check = format!("{soak} check $NFS_A/mail $NFS_B/mail {ledgers} 2>>{ledgers}/log");
        let (done, wrong) = self.rig(&check, false)?.context("the check ended without a result")?;
        if done == 0 {
            // A server that was stopped early lets nobody lock for its time of grace.
            println!(
                "seed {seed}: nothing was acknowledged in the {after} s before the power went, so nothing is proved"
            );
        }
        Ok((done, wrong))
    }

    /// Runs a line of shell in the rig; gives what its last line says.
    fn rig(&self, line: &str, cut: bool) -> anyhow::Result<Option<(u64, u64)>> {
        let mut command = Command::new(self.root.join("tests/nfs/nfs-rig"));
        command.args(["-v", self.version, "-d"]).arg(&self.disk);
        if cut {
            command.args(["-k", CUT]);
        }
        command.args(["bash", "-c", line]).stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start the NFS rig")?;
        let mut result = None;
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            println!("  {line}");
            let words: Vec<&str> = line.split(' ').collect();
            if let ["operations", done, "violations", wrong] = *words {
                result = Some((done.parse()?, wrong.parse()?));
            }
        }
        let status = child.wait()?;
        if cut && status.code() == Some(STATUS_CUT) {
            return Ok(None);
        }
        ensure!(result.is_some(), "the rig ended with {status}");
        Ok(result)
    }
}
