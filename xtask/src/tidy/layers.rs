//! Who may depend on whom.

use super::metadata::Metadata;

/// Lower rows know nothing of higher ones, and no two of a row know each other, but for [`WITHIN`].
const LAYERS: &[&[&str]] = &[
    &["envelope", "imap-proto", "milter-proto", "pop3-proto", "sasl", "smtp-proto", "units"],
    &["config", "directory", "filters", "queue", "runtime", "shared-state", "store"],
    &["access", "delivery", "gateway"],
    &["loadtest", "sluice", "xtask"],
];

/// Arrows inside one row: L0 crates may name the shared words; filters count in the shared state; the binary drives the load test.
const WITHIN: &[(&str, &str)] = &[
    ("filters", "shared-state"),
    ("imap-proto", "envelope"),
    ("pop3-proto", "envelope"),
    ("sasl", "envelope"),
    ("smtp-proto", "envelope"),
    ("sluice", "loadtest"),
];

/// External crates that only these rooms may name.
const EXCLUSIVE: &[(&str, &[&str])] = &[
    ("argon2", &["sasl"]),
    ("axum", &["access", "runtime"]),
    ("hickory-resolver", &["delivery", "filters"]),
    ("instant-acme", &["runtime"]),
    ("jsonwebtoken", &["directory"]),
    ("lapin", &["queue"]),
    ("ldap3", &["directory"]),
    ("redis", &["shared-state"]),
    ("rcgen", &["runtime"]),
    ("rusqlite", &["directory"]),
    ("rustls", &["runtime"]),
    ("tokio-rustls", &["runtime"]),
    ("x509-parser", &["runtime"]),
];

/// L0 has no I/O, no clock, no logging: none of these.
const NOT_IN_L0: &[&str] =
    &["getrandom", "prometheus", "rustix", "socket2", "tempfile", "tokio", "tokio-util", "tracing"];

/// Load tests talk the protocols as a client; the roles are out of bounds for them.
const LOADTEST_NEVER: &[&str] = &["access", "delivery", "gateway", "store"];

pub(crate) fn check(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.members() {
        let Some(layer) = layer_of(&package.name) else {
            findings.push(format!(
                "layers: `{}` is in no layer: give it one in xtask/src/tidy/layers.rs",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev")) {
            findings.extend(arrow(&package.name, layer, &dependency.name));
        }
    }
    findings
}

/// Whether a package is of this workspace.
pub(crate) fn is_ours(name: &str) -> bool {
    layer_of(name).is_some()
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

fn arrow(package: &str, layer: usize, dependency: &str) -> Option<String> {
    if let Some((_, owners)) = EXCLUSIVE.iter().find(|(name, _)| *name == dependency)
        && !owners.contains(&package)
    {
        return Some(format!(
            "layers: `{package}` names `{dependency}`, which belongs to {}",
            owners.join(" and ")
        ));
    }
    if layer == 0 && NOT_IN_L0.contains(&dependency) {
        return Some(format!("layers: `{package}` is L0 and names `{dependency}`"));
    }
    if package == "loadtest" && LOADTEST_NEVER.contains(&dependency) {
        return Some(format!("layers: `loadtest` names the role `{dependency}`"));
    }
    let below = layer_of(dependency)?;
    let allowed = below < layer || WITHIN.contains(&(package, dependency));
    (!allowed)
        .then(|| format!("layers: `{package}` (layer {layer}) depends on `{dependency}` (layer {below})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(package: &str, dependency: &str, allowed: bool) {
        let finding = arrow(package, layer_of(package).unwrap(), dependency);
        assert_eq!(finding.is_none(), allowed, "{package} -> {dependency}: {finding:?}");
    }

    #[test]
    fn arrows() {
        check("gateway", "queue", true);
        check("queue", "envelope", true);
        check("smtp-proto", "envelope", true);
        check("queue", "directory", false);
        check("gateway", "delivery", false);
        check("queue", "gateway", false);
        check("smtp-proto", "tokio", false);
        check("units", "envelope", false);
        check("gateway", "rusqlite", false);
        check("directory", "rusqlite", true);
        check("loadtest", "gateway", false);
        check("loadtest", "smtp-proto", true);
    }
}
