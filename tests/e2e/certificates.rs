//! Certificates of a running node, as OpenSSL sees them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::node::{Node, run, wait_for};

/// Writes a self-signed pair that expires in `days`, as `STEM.pem` and `STEM.key`; gives what OpenSSL calls its fingerprint.
fn write_pair(folder: &Path, stem: &str, name: &str, days: i64) -> String {
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    parameters.not_before = now - time::Duration::days(30);
    parameters.not_after = now + time::Duration::days(days);
    let key = KeyPair::generate().unwrap();
    let file = folder.join(format!("{stem}.pem"));
    std::fs::write(folder.join(format!("{stem}.key")), key.serialize_pem()).unwrap();
    std::fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
    fingerprint(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Of the first certificate in a text.
fn fingerprint(text: &str) -> Option<String> {
    let output = run(Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256"]), text);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The certificate that the IMAP listener shows to who asks for `name`.
fn shown(node: &Node, name: &str) -> Option<String> {
    let address = node.address("imaps").to_string();
    let output = run(
        Command::new("openssl").args(["s_client", "-connect", &address, "-servername", name]),
        "a LOGOUT\r\n",
    );
    fingerprint(&String::from_utf8_lossy(&output.stdout))
}

/// A session over TLS that stays.
struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Session {
    fn open(arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_quiet"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, command: &str, expected: &str) {
        self.to.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.to.flush().unwrap();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "{command}: the session ended");
            if line.starts_with(expected) {
                return;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hang_up(node: &Node) {
    let text = std::fs::read_to_string(node.data().join("run/up.json")).unwrap();
    let announced: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pid = announced["pid"].to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

/// Writes the configuration of a node with a default certificate and one by name.
fn configure(node: &Node, more: &str) -> String {
    let at = |file: &str| node.folder.path().join(file).display().to_string();
    let text = format!(
        "hostname = \"mx.example.test\"\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\nreload_interval = \"1h\"\n{more}\n\
         [[tls.certificates]]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        at("default.pem"),
        at("default.key"),
        at("listed.pem"),
        at("listed.key"),
    );
    let file = at("sluice.toml");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn sighup_changes_the_certificate_and_no_session_notices() {
    let mut node = Node::fresh();
    let folder = node.folder.path().to_owned();
    let old = write_pair(&folder, "default", "mx.example.test", 90);
    let listed = write_pair(&folder, "listed", "imap.example.test", 90);
    let config = configure(&node, "");
    node.up_with(&["--config", &config]);
    assert_eq!(shown(&node, "mx.example.test").as_ref(), Some(&old));
    assert_eq!(shown(&node, "imap.example.test").as_ref(), Some(&listed));
    assert_eq!(shown(&node, "nobody.knows.test").as_ref(), Some(&old));
    let address = node.address("imaps").to_string();
    let mut session = Session::open(&["-connect", &address]);
    assert!(session.line().starts_with("* OK"));
    // Half of a new pair: everything stays.
    std::fs::write(folder.join("listed.key"), "nothing").unwrap();
    let new = write_pair(&folder, "default", "mx.example.test", 60);
    hang_up(&node);
    wait_for("the new certificate", || (shown(&node, "mx.example.test")? == new).then_some(()));
    assert_eq!(shown(&node, "imap.example.test").as_ref(), Some(&listed));
    session.ask("a NOOP", "a OK");
    assert!(node.log().contains("a changed certificate can't be used"), "{}", node.log());
    let metrics = crate::node::http_get(node.address("health"), "/metrics");
    assert!(metrics.contains("sluice_runtime_tls_reloads_total{outcome=\"failed\"} 1"), "{metrics}");
    session.ask("a LOGOUT", "a OK");
    assert!(node.terminate());
}

#[test]
fn the_certificate_of_a_client_is_in_the_session_s_line() {
    let mut node = Node::fresh();
    let folder = node.folder.path().to_owned();
    write_pair(&folder, "default", "mx.example.test", 90);
    write_pair(&folder, "listed", "imap.example.test", 90);
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authorities = folder.join("clients.pem");
    std::fs::write(&authorities, parameters.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(parameters, key);
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(["relay.client.test".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &issuer).unwrap();
    std::fs::write(folder.join("good.pem"), client.pem()).unwrap();
    std::fs::write(folder.join("good.key"), client_key.serialize_pem()).unwrap();
    write_pair(&folder, "stranger", "relay.stranger.test", 90);
    let config = configure(&node, &format!("client_authorities_file = \"{}\"", authorities.display()));
    node.up_with(&["--config", &config]);
    let at = |file: &str| folder.join(file).display().to_string();
    let speak = |listener: &str, more: &[&str]| {
        let address = node.address(listener).to_string();
        let mut arguments = vec!["-connect", address.as_str()];
        if listener == "mx" {
            arguments.extend(["-starttls", "smtp"]);
        }
        arguments.extend(more);
        let mut session = Session::open(&arguments);
        session.ask("EHLO relay.client.test", "250 ");
        session.ask("QUIT", "221 ");
    };
    let (good, good_key, stranger, stranger_key) =
        (at("good.pem"), at("good.key"), at("stranger.pem"), at("stranger.key"));
    for listener in ["mx", "submissions"] {
        speak(listener, &[]);
        speak(listener, &["-cert", &stranger, "-key", &stranger_key]);
        speak(listener, &["-cert", &good, "-key", &good_key]);
    }
    let named = || node.log().lines().filter(|line| line.contains(" relay.client.test")).count();
    wait_for("two lines that name the client", || (named() == 2).then_some(()));
    assert!(!node.log().contains("relay.stranger.test"), "{}", node.log());
    let metrics = crate::node::http_get(node.address("health"), "/metrics");
    for expected in ["{outcome=\"verified\"} 2", "{outcome=\"unknown-authority\"} 2"] {
        assert!(
            metrics.contains(&format!("sluice_runtime_tls_client_certificates_total{expected}")),
            "{metrics}"
        );
    }
    assert!(node.terminate());
}

#[test]
fn tls_show_tells_which_is_shown_and_fails_when_one_is_over() {
    let mut node = Node::fresh();
    let folder = node.folder.path().to_owned();
    write_pair(&folder, "default", "mx.example.test", 90);
    write_pair(&folder, "listed", "imap.example.test", 10);
    let config = configure(&node, "");
    let show = |more: &[&str]| {
        let arguments = [&["tls", "show", "--json", "--config", &config], more].concat();
        let output = node.try_sluice(&arguments, "");
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), rows)
    };
    let (status, rows) = show(&[]);
    assert_eq!(status, Some(0));
    let listed = &rows[0];
    assert_eq!(
        (&listed["origin"], &listed["state"], &listed["chosen"]),
        (&"listed".into(), &"ok".into(), &false.into())
    );
    assert_eq!((&listed["days_left"], &listed["names"][0]), (&9.into(), &"imap.example.test".into()));
    assert_eq!((&rows[1]["origin"], &rows[1]["chosen"]), (&"default".into(), &true.into()));
    let (_, rows) = show(&["--name", "imap.example.test"]);
    assert_eq!((&rows[0]["chosen"], &rows[1]["chosen"]), (&true.into(), &false.into()));
    write_pair(&folder, "listed", "imap.example.test", -1);
    let (status, rows) = show(&[]);
    assert_eq!((status, &rows[0]["state"]), (Some(1), &"expired".into()));
    std::fs::write(folder.join("listed.key"), "nothing").unwrap();
    let (status, rows) = show(&[]);
    assert_eq!(status, Some(1));
    assert!(rows[0]["state"].as_str().unwrap().contains("private key"), "{rows}");
    let table = node.try_sluice(&["tls", "show", "--config", &config], "");
    assert_eq!(table.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&table.stdout).starts_with("SHOWN"));
    // Without files of the operator's, before the first start and after it. Nothing is made by looking.
    let own = |node: &Node| {
        let output = node.try_sluice(&["tls", "show", "--json"], "");
        assert_eq!(output.status.code(), Some(0));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()[0]["state"].clone()
    };
    assert!(own(&node).as_str().unwrap().starts_with("missing"));
    assert!(!node.data().exists());
    node.up();
    assert_eq!(own(&node), "ok");
}
