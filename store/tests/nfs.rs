//! Two real NFS clients of one server (`tests/nfs`), with a node on each. Needs root.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

/// Runs a line of shell in the rig; `$SOAK` is the program of `examples/soak`. Gives what it printed.
fn rig(options: &[&str], line: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let soak = test.parent().unwrap().parent().unwrap().join("examples/soak");
    assert!(soak.exists(), "{} is not built", soak.display());
    let rig = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../tests/nfs/nfs-rig");
    let output =
        Command::new(rig).args(options).args(["bash", "-c", line]).env("SOAK", soak).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}\n{printed}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

#[test]
fn a_change_shows_on_the_other_node_at_its_next_look() {
    let said = rig(&[], "$SOAK visible $NFS_A $NFS_B && $SOAK listings $NFS_A $NFS_B 200");
    assert!(said.contains("visible: 20 rounds") && said.contains("signals: 20 rounds"), "{said}");
    assert!(said.contains("without news, calls 0;"), "{said}");
    assert!(said.contains("false expunges 0"), "{said}");
}

#[test]
fn a_probe_tells_a_fit_mount_from_an_unfit_one() {
    let fit = rig(&["-o", "lookupcache=positive"], "$SOAK probe $NFS_A $NFS_B");
    let good = fit.lines().filter(|line| line.starts_with("good ")).count();
    assert!(good == 9 && fit.contains("good locks through both mounts"), "{fit}");
    let unfit = rig(&["-v", "3", "-o", "nolock,soft"], "$SOAK probe $NFS_A $NFS_B");
    for line in
        ["unfit locks two have the same lock", "unfit mount nfs: locks stay", "doubtful mount nfs: soft"]
    {
        assert!(unfit.contains(line), "{line}: {unfit}");
    }
}

#[test]
fn two_nodes_keep_every_promise_under_faults() {
    let ledgers = tempfile::tempdir().unwrap();
    let said = rig(&["-v", "4.0"], &format!("$SOAK run 20 13 {}", ledgers.path().display()));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with("violations 0"), "{said}");
    let operations: u64 = last.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(operations > 200, "hardly anything was done: {said}");
}
