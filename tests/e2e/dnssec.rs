//! DANE (RFC 7672) between two mail systems, with zones that BIND signs and serves.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::node::{Node, PASSWORD, wait_for};

/// A name server for a root of our own and everything below `test.`
struct Named {
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Child,
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a zone holds beside its SOA and NS records.
struct Zone {
    name: &'static str,
    records: String,
    signed: bool,
    /// Octets that are changed behind the signature.
    changed: Option<(&'static str, &'static str)>,
}

fn done(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn file(zone: &str) -> String {
    if zone == "." { "root".to_owned() } else { zone.trim_end_matches('.').to_owned() }
}

/// Writes and signs the zone. Its DS record is in `dsset-NAME` then, for the zone above.
fn write(folder: &Path, zone: &Zone) {
    let Zone { name, records, signed, changed } = zone;
    let path = folder.join(file(name));
    let head = "$TTL 60\n@ IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ IN NS ns.test.\n";
    fs::write(&path, format!("{head}{records}\n")).unwrap();
    if !signed {
        return;
    }
    let key = ["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-n", "ZONE", name];
    done(Command::new("dnssec-keygen").current_dir(folder).args(key));
    let output = path.with_extension("signed");
    done(
        Command::new("dnssec-signzone")
            .current_dir(folder)
            .args(["-S", "-z", "-o", name, "-f"])
            .arg(&output)
            .arg(&path),
    );
    let mut text = fs::read_to_string(&output).unwrap();
    if let Some((from, to)) = changed {
        assert!(text.contains(from), "{text}");
        text = text.replace(from, to);
    }
    fs::write(&path, text).unwrap();
}

impl Named {
    /// The zones, the lowest first.
    fn start(zones: &[Zone]) -> Self {
        let folder = tempfile::Builder::new().prefix("sluice-named-").tempdir().unwrap();
        for zone in zones {
            write(folder.path(), zone);
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = free.port();
        let served: String = zones
            .iter()
            .map(|zone| {
                format!("zone \"{}\" {{ type primary; file \"{}\"; }};\n", zone.name, file(zone.name))
            })
            .collect();
        let here = folder.path().display();
        let config = format!(
            "options {{ directory \"{here}\"; pid-file none; session-keyfile none; lock-file none; recursion no;\n\
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; dnssec-validation no; allow-transfer {{ none; }}; }};\n\
             controls {{ }};\n{served}"
        );
        let path = folder.path().join("named.conf");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("named")
            .args(["-g", "-4", "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let named = Self { folder, address: free, process };
        wait_for("the name server", || named.log().contains("running").then_some(()));
        named
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The key of the root, as a file that validation begins with.
    fn anchor(&self) -> String {
        let mut below = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_root_key = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("K.+") && name.ends_with(".key")
        };
        let key = fs::read_to_string(below.find(is_root_key).unwrap()).unwrap();
        let records = key.lines().filter(|line| !line.starts_with(';'));
        let path = self.folder.path().join("anchor");
        fs::write(&path, records.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// The digest of the key in a node's certificate, in hexadecimal: what a TLSA record of usage 3, selector 1 and matching 1 has.
fn key_digest(node: &Node) -> String {
    let find = done(Command::new("find").arg(node.data()).args(["-name", "certificate.pem"]));
    let certificate = String::from_utf8(find).unwrap();
    let script =
        "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r";
    let digest = done(Command::new("sh").args(["-c", script, "sh", certificate.trim()]));
    String::from_utf8(digest).unwrap().split(' ').next().unwrap().to_owned()
}

const DOMAINS: [&str; 6] = ["good.test", "wrong.test", "plain.test", "bogus.test", "bare.test", "none.test"];

fn zones(port: &str, right: &str) -> Vec<Zone> {
    let wrong = "0".repeat(64);
    let server = |digest: &str| format!("@ MX 10 mx\nmx A 127.0.0.1\n_{port}._tcp.mx TLSA 3 1 1 {digest}");
    let zone = |name, records, signed| Zone { name, records, signed, changed: None };
    let mut zones = vec![
        zone("good.test.", server(right), true),
        zone("wrong.test.", server(&wrong), true),
        // What an unsigned zone says of certificates is worth nothing.
        zone("plain.test.", server(&wrong), false),
        Zone { changed: Some(("127.0.0.1", "127.0.0.2")), ..zone("bogus.test.", server(right), true) },
        // No MX record: the domain is its own server.
        zone("bare.test.", format!("@ A 127.0.0.1\n_{port}._tcp TLSA 3 1 1 {right}"), true),
        zone("none.test.", "@ MX 10 mx\nmx A 127.0.0.1".to_owned(), true),
    ];
    let delegated: String = zones
        .iter()
        .map(|zone| {
            let ds = if zone.signed { format!("$INCLUDE dsset-{}\n", zone.name) } else { String::new() };
            format!("{} NS ns.test.\n{ds}", zone.name)
        })
        .collect();
    zones.push(zone("test.", format!("ns A 127.0.0.1\n{delegated}"), true));
    zones.push(zone(".", "test. NS ns.test.\nns.test. A 127.0.0.1\n$INCLUDE dsset-test.\n".to_owned(), true));
    zones
}

#[test]
fn what_signed_zones_say_of_certificates_is_obeyed() {
    let mut other = Node::fresh();
    other.up();
    for domain in DOMAINS {
        other.sluice(&["domain", "add", domain], "");
        other.add_account(&format!("carol@{domain}"));
    }
    let port = other.port("mx");
    let named = Named::start(&zones(&port, &key_digest(&other)));
    let mut node = Node::fresh();
    let anchor = named.anchor();
    node.up_sending_with(
        named.address,
        &port,
        &[
            ("SLUICE_DELIVERY__REMOTE__DNSSEC", "true"),
            ("SLUICE_DELIVERY__REMOTE__TRUST_ANCHORS", anchor.as_str()),
            ("SLUICE_DELIVERY__REMOTE__MTA_STS", "false"),
        ],
    );
    node.add_account("alice@example.test");
    let submission = node.port("submission");
    for (domain, event, words) in [
        ("good.test", "relayed", "dane"),
        ("bare.test", "relayed", "dane"),
        ("none.test", "relayed", "unverified"),
        ("plain.test", "relayed", "unverified"),
        ("wrong.test", "deferred", "certificate"),
        ("bogus.test", "deferred", "DNS"),
    ] {
        let login = [
            "--port",
            &submission,
            "--auth",
            "PLAIN",
            "--auth-user",
            "alice@example.test",
            "--auth-password",
            PASSWORD,
        ];
        let id = node.swaks("alice@example.test", &format!("carol@{domain}"), &login);
        let trace = wait_for(&format!("{event} of {domain}"), || {
            let trace = String::from_utf8(node.try_sluice(&["trace", &id], "").stdout).unwrap();
            ["relayed", "deferred", "bounced"].iter().any(|end| trace.contains(end)).then_some(trace)
        });
        assert!(trace.contains(event) && trace.contains(words), "{domain}: {trace}\n{}", named.log());
    }
}
