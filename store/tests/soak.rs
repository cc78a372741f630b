//! The soak's checker finds what is wrong: a proof that can't fail proves nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn soak(arguments: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/soak");
    assert!(program.exists(), "{} is not built", program.display());
    let output = Command::new(program).args(arguments).env_remove("NFS_A").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if item.file_type().unwrap().is_dir() {
            copy_tree(&item.path(), &to.join(item.file_name()));
        } else {
            fs::copy(item.path(), to.join(item.file_name())).unwrap();
        }
    }
}

/// Message files whose name fits and that the nodes keep, wherever they are.
fn kept(directory: &Path, fits: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = item.path();
        let name = item.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(kept(&path, fits));
        } else if name.contains(",U=") && fits(&name) {
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("X-Soak: K-") || text.contains("X-Soak: F-") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_lost_doubled_damaged_or_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let ledgers = folder.path().join("ledgers");
    fs::create_dir(&ledgers).unwrap();
    let said = soak(&["run", "3", "5", ledgers.to_str().unwrap()]);
    assert!(said.trim_end().ends_with("violations 0"), "{said}");
    // Which message is the victim: one with keywords for the flags, else any.
    let any = |_: &str| true;
    let flagged = |name: &str| name.rsplit_once(":2,").is_some_and(|(_, flags)| flags.contains('a'));
    type Sabotage<'a> = (&'a str, &'a dyn Fn(&str) -> bool, &'a dyn Fn(&Path));
    let sabotages: [Sabotage<'_>; 4] = [
        ("lost", &any, &|path| fs::remove_file(path).unwrap()),
        ("doubled", &any, &|path| {
            fs::copy(path, path.with_file_name("1600000000.M1.elsewhere:2,")).map(drop).unwrap();
        }),
        ("damaged", &any, &|path| {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..content.len() / 2]).unwrap();
        }),
        ("changed", &flagged, &|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bare = name.rsplit_once(":2,").unwrap().0.to_owned() + ":2,";
            fs::rename(path, path.with_file_name(bare)).unwrap();
        }),
    ];
    for (number, (what, fits, sabotage)) in sabotages.iter().enumerate() {
        let here = folder.path().join(number.to_string());
        copy_tree(&ledgers, &here);
        let root = here.join("root");
        // In cur/, where every program that keeps Maildirs may do that.
        let victims = kept(&root, &|name| name.contains(":2,") && fits(name));
        sabotage(victims.get(victims.len() / 2).unwrap_or_else(|| panic!("nothing to be {what}")));
        let root = root.join("mail");
        let said = soak(&["check", root.to_str().unwrap(), root.to_str().unwrap(), here.to_str().unwrap()]);
        let last = said.trim_end().lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("operations ") && !last.ends_with("violations 0"), "{what}: {said}");
    }
}
