//! Ways to log in, with clients that others wrote: GNU SASL for SCRAM, curl for tokens.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::node::{Node, PASSWORD, must, run, wait_for};

const ALICE: &str = "alice@example.test";

/// A login with GNU SASL; gives whether it went well, and what was said.
fn gsasl(node: &Node, protocol: &str, password: &str, more: &[&str]) -> (bool, String) {
    let service = if protocol == "--smtp" { "submission" } else { "imap" };
    let connect = format!("--connect=127.0.0.1:{}", node.port(service));
    let mut command = Command::new("gsasl");
    command.args([protocol, &connect, "--x509-ca-file=", "-a", ALICE, "-p", password]).args(more);
    let output = run(&mut command, "");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (text.contains("Client authentication finished (server trusted)"), text)
}

#[test]
fn gnu_sasl_proves_itself_and_checks_the_server() {
    let node = Node::start();
    for protocol in ["--smtp", "--imap"] {
        for more in [
            &["--mechanism", "SCRAM-SHA-256-PLUS"][..],
            &["--mechanism", "SCRAM-SHA-256-PLUS", "--no-client-first"],
            &["--mechanism", "SCRAM-SHA-256", "--no-cb"],
            &["--mechanism", "SCRAM-SHA-256", "--no-cb", "--no-client-first"],
            &["--mechanism", "PLAIN"],
            &["--mechanism", "LOGIN"],
        ] {
            let (good, text) = gsasl(&node, protocol, PASSWORD, more);
            assert!(good, "{protocol} {more:?}: {text}");
            assert!(text.contains(&format!(" {}", more[1])), "{text}");
        }
        // What it takes by itself is the strongest.
        let (good, text) = gsasl(&node, protocol, PASSWORD, &[]);
        assert!(good && text.contains("SCRAM-SHA-256-PLUS"), "{text}");
        // Over TLS 1.2 there is nothing to bind to.
        let old = ["--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2", "--no-cb"];
        let (good, text) = gsasl(&node, protocol, PASSWORD, &old);
        assert!(good && text.contains("SCRAM-SHA-256") && !text.contains("-PLUS"), "{text}");
        let (good, text) = gsasl(&node, protocol, "wrong", &["--mechanism", "SCRAM-SHA-256-PLUS"]);
        assert!(!good && (text.contains("535 5.7.8") || text.contains("AUTHENTICATIONFAILED")), "{text}");
    }
}

/// Keys, a JWK set and tokens, made by OpenSSL.
const ISSUER: &str = r#"
import base64, json, subprocess, sys, time
folder, now = sys.argv[1], int(time.time())
def run(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout
def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
key = folder + "/issuer.pem"
run("genrsa", "-out", key, "2048")
modulus = bytes.fromhex(run("rsa", "-in", key, "-noout", "-modulus").decode().strip().split("=")[1])
keys = [{"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": b64(modulus), "e": "AQAB"}]
json.dump({"keys": keys}, open(folder + "/keys.json", "w"))
def token(name, **more):
    claims = {"iss": "https://id.test", "aud": "mail", "email": "alice@example.test", "exp": now + 600, **more}
    parts = [{"alg": "RS256", "kid": "one", "typ": "JWT"}, claims]
    signed = ".".join(b64(json.dumps(part).encode()) for part in parts)
    signature = run("dgst", "-sha256", "-sign", key, data=signed.encode())
    open(folder + "/" + name, "w").write(signed + "." + b64(signature))
token("good")
token("expired", exp=now - 600)
token("other", aud="other")
token("bob", email="bob@example.test")
"#;

/// A login with curl; gives whether it went well.
fn curl(node: &Node, url: &str, mechanism: &str, token: &str) -> bool {
    let user = format!("{ALICE}:");
    let options = format!("AUTH={mechanism}");
    let mut command = Command::new("curl");
    command.args(["--silent", "--insecure", "--ssl-reqd", "--max-time", "60", "--user", &user]).args([
        "--login-options",
        &options,
        "--oauth2-bearer",
        token,
        url,
    ]);
    if url.starts_with("smtp") {
        let message = node.folder.path().join("message");
        std::fs::write(&message, "Subject: by token\r\n\r\nhello\r\n").unwrap();
        command.args(["--mail-from", ALICE, "--mail-rcpt", "bob@example.test", "--upload-file"]).arg(message);
    }
    run(&mut command, "").status.success()
}

fn token(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A node that takes tokens, with its keys from `source`.
fn node_with_tokens(node: &mut Node, source: (&str, &str)) {
    node.up_in(&[
        ("SLUICE_DIRECTORY__OAUTH__ISSUER", "https://id.test"),
        ("SLUICE_DIRECTORY__OAUTH__AUDIENCE", "mail"),
        ("SLUICE_ACCESS__IMAP__FAILED_LOGIN_DELAY", "10ms"),
        ("SLUICE_ACCESS__POP3__FAILED_LOGIN_DELAY", "10ms"),
        source,
    ]);
    node.add_account(ALICE);
    node.add_account("bob@example.test");
}

#[test]
fn curl_logs_in_with_tokens() {
    let mut node = Node::fresh();
    let folder = node.folder.path().to_owned();
    must(Command::new("python3").args(["-c", ISSUER, folder.to_str().unwrap()]), "");
    let keys = folder.join("keys.json");
    node_with_tokens(&mut node, ("SLUICE_DIRECTORY__OAUTH__JWKS_FILE", keys.to_str().unwrap()));
    let urls = [
        format!("smtp://127.0.0.1:{}/client.test", node.port("submission")),
        format!("imap://127.0.0.1:{}/INBOX", node.port("imap")),
        format!("pop3://127.0.0.1:{}/", node.port("pop3")),
    ];
    for url in &urls {
        for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
            for (name, expected) in [("good", true), ("expired", false), ("other", false), ("bob", false)] {
                let went_well = curl(&node, url, mechanism, &token(&folder, name));
                assert_eq!(went_well, expected, "{url} {mechanism} {name}\n{}", node.log());
            }
        }
    }
    assert_eq!(node.inbox("bob@example.test", 2).len(), 2);
}

/// The issuer's web server; ends with the test.
struct Web(Child);

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_keys_come_from_where_the_issuer_publishes_them() {
    let mut node = Node::fresh();
    let folder = node.folder.path().to_owned();
    must(Command::new("python3").args(["-c", ISSUER, folder.to_str().unwrap()]), "");
    // A web server of the issuer's; only on this machine itself plain HTTP is enough.
    let server = r#"
import functools, http.server, os, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.HTTPServer(("127.0.0.1", 0), handler)
open(sys.argv[1] + "/port.new", "w").write(str(server.server_port))
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
"#;
    let web =
        Command::new("python3").args(["-c", server, folder.to_str().unwrap()]).stderr(Stdio::null()).spawn();
    let web = Web(web.unwrap());
    let port = wait_for("the issuer's web server", || std::fs::read_to_string(folder.join("port")).ok());
    let url = format!("http://127.0.0.1:{port}/keys.json");
    node_with_tokens(&mut node, ("SLUICE_DIRECTORY__OAUTH__JWKS_URL", &url));
    let imap = format!("imap://127.0.0.1:{}/INBOX", node.port("imap"));
    assert!(curl(&node, &imap, "OAUTHBEARER", &token(&folder, "good")), "{}", node.log());
    drop(web);
    // The issuer is away: what is known holds.
    assert!(curl(&node, &imap, "XOAUTH2", &token(&folder, "good")), "{}", node.log());
    assert!(!curl(&node, &imap, "XOAUTH2", &token(&folder, "expired")));
}
