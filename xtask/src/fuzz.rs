//! Arbitrary octets for every parser, guided by coverage: builds `fuzz/` with libFuzzer and runs its targets in turn.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Octets of an input.
const INPUT_MAX: &str = "16384";
/// Seconds after which one input has taken too long.
const INPUT_SECONDS_MAX: &str = "10";
/// Counters at every edge, as `cargo fuzz` asks for them; no sanitizer, for the workspace has no unsafe code, so a stable compiler will do.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Targets whose names begin so; without one all of them.
    targets: Vec<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace above xtask")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("fuzz");
    let host = host()?;
    // With a named target build scripts and macros are built without counters.
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--target", &host, "--manifest-path"])
        .arg(root.join("fuzz/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", COVERAGE)
        .status()?;
    ensure!(built.success(), "the build failed");
    let program = target.join(host).join("release/fuzz");
    let listed = Command::new(&program).env("FUZZ_TARGET", "list").output()?;
    let all = String::from_utf8(listed.stdout)?;
    let wanted = |name: &&str| {
        arguments.targets.is_empty()
            || arguments.targets.iter().any(|wanted| name.starts_with(wanted.as_str()))
    };
    let chosen: Vec<&str> = all.lines().filter(wanted).collect();
    ensure!(!chosen.is_empty(), "there is no such target; there are:\n{all}");
    for name in &chosen {
        one(&program, name, root, &target, arguments.seconds)?;
    }
    println!("fuzz: {} targets, {} seconds each, nothing found", chosen.len(), arguments.seconds);
    Ok(())
}

/// What was found before is where it goes on; messages of the corpus are where it begins.
fn one(program: &Path, name: &str, root: &Path, target: &Path, seconds: u64) -> anyhow::Result<()> {
    let corpus = target.join("corpus").join(name);
    let artifacts = target.join("artifacts").join(name);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    println!("{name}");
    let ended = Command::new(program)
        .env("FUZZ_TARGET", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-verbosity=1"])
        .arg(&corpus)
        .arg(root.join("tests/corpus/messages"))
        .current_dir(target)
        .status()?;
    ensure!(
        ended.success(),
        "{name} failed; the input is in {0}: FUZZ_TARGET={name} {1} {0}/FILE",
        artifacts.display(),
        program.display()
    );
    Ok(())
}

/// What this compiler builds for.
fn host() -> anyhow::Result<String> {
    let told = String::from_utf8(Command::new("rustc").arg("-vV").output()?.stdout)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
