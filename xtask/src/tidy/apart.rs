//! The program that stands apart: `sluice-milter` is GPL-3.0, so nothing of the workspace may name it, and it has a lock file of its own.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::{layers, licences, metadata};

/// Its folder.
const FOLDER: &str = "sluice-milter";

/// Rooms of ours that it may name: libraries, no role.
const ROOMS: &[&str] = &["config", "envelope", "filters", "shared-state", "units"];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    /// Where it comes from; none for what is in this repository.
    source: Option<String>,
}

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join(FOLDER);
    let mut findings = Vec::new();
    let apart = metadata::read(&folder)?;
    let members: Vec<&str> = apart.members().map(|package| package.name.as_str()).collect();
    if members != [FOLDER] {
        findings.push(format!("apart: {FOLDER} is to be a workspace of its own, and is of {members:?}"));
    }
    let named = apart.members().flat_map(|package| &package.dependencies);
    findings.extend(named.filter_map(|dependency| room(&dependency.name)));
    findings.extend(licences::check_apart(&folder)?);
    let read = |path: std::path::PathBuf| {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        toml::from_str::<Lock>(&text).with_context(|| format!("{} is no lock file", path.display()))
    };
    findings.extend(versions(&read(folder.join("Cargo.lock"))?, &read(root.join("Cargo.lock"))?));
    Ok(findings)
}

/// What it names of ours and may not.
fn room(dependency: &str) -> Option<String> {
    (layers::is_ours(dependency) && !ROOMS.contains(&dependency))
        .then(|| format!("apart: {FOLDER} names `{dependency}`; it may name {}", ROOMS.join(", ")))
}

/// Where both have a crate in one version each and the versions differ, everything above it is built twice.
fn versions(apart: &Lock, main: &Lock) -> Vec<String> {
    let by_name = |lock: &Lock| {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in lock.package.iter().filter(|package| package.source.is_some()) {
            names.entry(package.name.clone()).or_default().push(package.version.clone());
        }
        names
    };
    let (apart, main) = (by_name(apart), by_name(main));
    let differ = apart.iter().filter_map(|(name, versions)| {
        let wanted = main.get(name)?;
        // It may have an old version besides, which only the bindings of libmilter need.
        let is_shared = versions.iter().any(|version| wanted.contains(version));
        (!is_shared).then(|| {
            format!(
                "apart: {FOLDER}/Cargo.lock has `{name}` {}, Cargo.lock has {}",
                versions.join(" and "),
                wanted.join(" and ")
            )
        })
    });
    differ.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let locked = |(name, version): &(&str, &str)| Locked {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            source: Some("registry".to_owned()),
        };
        Lock { package: packages.iter().map(locked).collect() }
    }

    #[test]
    fn versions_agree() {
        let main = lock(&[("syn", "2.0.1"), ("serde", "1.0.2"), ("other", "1.0.0")]);
        let check = |packages: &[(&str, &str)], expected: usize| {
            assert_eq!(versions(&lock(packages), &main).len(), expected, "{packages:?}");
        };
        check(&[("serde", "1.0.2")], 0);
        check(&[("serde", "1.0.3")], 1);
        check(&[("syn", "1.0.9"), ("syn", "2.0.1")], 0);
        check(&[("syn", "1.0.9"), ("syn", "2.0.2")], 1);
        check(&[("milter", "0.2.4")], 0);
    }

    #[test]
    fn rooms() {
        assert!(room("filters").is_none());
        assert!(room("serde").is_none());
        assert!(room("queue").is_some());
        assert!(room("gateway").is_some());
    }
}
