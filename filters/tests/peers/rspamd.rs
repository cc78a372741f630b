//! rspamd: a normal worker, and the proxy that is its milter, scanning by itself.

use filters::PeerAddress;
use filters::scanner::{Advice, ScanFacts, ScannerConfig, ScannerKind, Scanners};

use super::process::{Folder, Process, listens};
use super::{Registry, code, config, connection, head, hello, judge, message, milters};

pub(crate) struct Rspamd {
    pub(crate) milter: PeerAddress,
    pub(crate) normal: PeerAddress,
    _process: Process,
    _folder: Folder,
}

/// No Redis, no maps, no updates, no names: one module, which writes fields.
const CONFIG: &str = r#"
options {
  pidfile = "@/rspamd.pid"; filters = ""; tempdir = "@"; url_tld = "@/tld.dat"; cache_file = "@/symbols.cache";
  control_socket = "@/control.sock mode=0600"; hs_cache_dir = "@/"; stats_file = "@/stats.ucl";
  dns { nameserver = ["127.0.0.1"]; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "notice"; }
actions { reject = 15; add_header = 6; greylist = 4; }
worker "normal" { bind_socket = "@/normal.sock mode=0666"; count = 1; mime = true; }
worker "rspamd_proxy" {
  bind_socket = "@/milter.sock mode=0666"; milter = yes; count = 1; timeout = 20s;
  upstream "local" { default = yes; self_scan = yes; }
}
milter_headers {
  use = ["x-spamd-bar", "authentication-results"]; skip_local = false; skip_authenticated = false;
}
modules { path = "/usr/share/rspamd/plugins/milter_headers.lua"; }
"#;

pub(crate) async fn start() -> Rspamd {
    let folder = Folder::new();
    folder.write("tld.dat", "test\n");
    let conf = folder.write("rspamd.conf", CONFIG);
    let mut process = folder.start("rspamd", &["-f", "-i", "-c", &conf]);
    process.ready(|| listens(folder.path("milter.sock")) && listens(folder.path("normal.sock"))).await;
    let unix = |name: &str| format!("unix:{}", folder.path(name)).parse().unwrap();
    Rspamd { milter: unix("milter.sock"), normal: unix("normal.sock"), _process: process, _folder: folder }
}

pub(crate) fn facts() -> ScanFacts {
    ScanFacts {
        id: "01JTESTID".to_owned(),
        our_name: "mx.b.test".to_owned(),
        peer: Some("192.0.2.7".parse().unwrap()),
        hostname: Some("mail.a.test".to_owned()),
        helo: Some("mail.a.test".to_owned()),
        reverse_path: envelope::ReversePath::Address("ann@a.test".parse().unwrap()),
        recipients: vec!["bob@b.test".parse().unwrap()],
        login: None,
        tls: None,
    }
}

#[tokio::test]
async fn as_a_milter_and_as_a_scanner() {
    let rspamd = start().await;
    let milters = milters(&[config("rspamd", &rspamd.milter)]);
    let scanner = ScannerConfig::new("rspamd", ScannerKind::Rspamd, rspamd.normal.clone());
    let scanners = Scanners::new(&[scanner], &Registry::new()).unwrap();
    let scanner = scanners.concerned("mx", false).next().unwrap();
    let mut session = milters.session(&connection("192.0.2.7:4711"));
    hello(&mut session).await;
    for _ in 0..2 {
        let ham = message("all is well");
        let by_milter = judge(&mut session, &ham).await.unwrap();
        let by_scanner = scanner.judge(scanner.scan(&facts(), &ham).await).0;
        assert_eq!((&by_milter.reasons, &by_scanner.reasons), (&vec![], &vec![]));
        let (by_milter, by_scanner) = (head(&ham, &by_milter), head(&ham, &by_scanner));
        assert!(by_milter.contains("X-Spamd-Bar: /\r\n"), "{by_milter}");
        assert!(by_milter.contains("Authentication-Results: "), "{by_milter}");
        assert_eq!(by_milter, by_scanner, "both ways come to the same");

        let spam = message(&super::GTUBE.concat());
        let by_milter = judge(&mut session, &spam).await.unwrap();
        assert_eq!(code(&by_milter), Some(554), "{by_milter:?}");
        assert!(format!("{by_milter:?}").contains("Gtube pattern"), "{by_milter:?}");
        let found = scanner.scan(&facts(), &spam).await.unwrap();
        assert_eq!(found.advice, Advice::Reject("Gtube pattern".to_owned()));
        assert_eq!((found.score, found.symbols[0].name.as_str()), (Some(15.0), "GTUBE"));
        assert_eq!(code(&scanner.judge(scanner.scan(&facts(), &spam).await).0), Some(554));
    }
}
