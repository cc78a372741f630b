//! clamd with a signature of its own, and clamav-milter before it.

use filters::PeerAddress;
use filters::scanner::{Advice, Scanner, ScannerConfig, ScannerKind, Scanners};

use super::process::{Folder, Process, listens};
use super::{Registry, code, config, connection, head, hello, judge, message, milters};
use crate::rspamd::facts;

pub(crate) struct ClamAv {
    pub(crate) milter: PeerAddress,
    pub(crate) clamd: PeerAddress,
    // In the order in which they stop.
    _milter: Process,
    _clamd: Process,
    _folder: Folder,
}

pub(crate) async fn start() -> ClamAv {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("db")).unwrap();
    let hex: String = super::EICAR.concat().bytes().map(|byte| format!("{byte:02x}")).collect();
    folder.write("db/test.ndb", &format!("Eicar-Test-Signature:0:*:{hex}\n"));
    let clamd = folder.write(
        "clamd.conf",
        "LocalSocket @/clamd.sock\nDatabaseDirectory @/db\nForeground yes\nTemporaryDirectory @\nStreamMaxLength 1M\n",
    );
    let milter = folder.write(
        "milter.conf",
        "MilterSocket unix:@/milter.sock\nClamdSocket unix:@/clamd.sock\nForeground yes\nTemporaryDirectory @\n\
         OnInfected Reject\nRejectMsg infected with %v\nOnFail Defer\nAddHeader Replace\n",
    );
    let mut clamd = folder.start("clamd", &["-c", &clamd]);
    clamd.ready(|| listens(folder.path("clamd.sock"))).await;
    let mut milter = folder.start("clamav-milter", &["-c", &milter]);
    milter.ready(|| listens(folder.path("milter.sock"))).await;
    let unix = |name: &str| format!("unix:{}", folder.path(name)).parse().unwrap();
    ClamAv {
        milter: unix("milter.sock"),
        clamd: unix("clamd.sock"),
        _milter: milter,
        _clamd: clamd,
        _folder: folder,
    }
}

#[tokio::test]
async fn as_a_milter() {
    let clamav = start().await;
    let milters = milters(&[config("clamav", &clamav.milter)]);
    let mut session = milters.session(&connection("192.0.2.7:4711"));
    hello(&mut session).await;
    for _ in 0..2 {
        let ham = message("all is well");
        let verdict = judge(&mut session, &ham).await.unwrap();
        let head = head(&ham, &verdict);
        assert!(head.contains("X-Virus-Scanned: clamav-milter"), "{head}");
        assert!(head.contains("X-Virus-Status: Clean\r\n") && !head.contains("forged"), "{head}");
        let infected = judge(&mut session, &message(&super::EICAR.concat())).await.unwrap();
        assert_eq!(code(&infected), Some(550), "{infected:?}");
        assert!(format!("{infected:?}").contains("infected with Eicar-Test-Signature"), "{infected:?}");
    }
}

#[tokio::test]
async fn as_a_scanner() {
    let clamav = start().await;
    let config = ScannerConfig::new("clamd", ScannerKind::Clamd, clamav.clamd.clone());
    let scanners = Scanners::new(&[config], &Registry::new()).unwrap();
    let scanner: &Scanner = scanners.concerned("mx", false).next().unwrap();
    let advice = async |text: &str| scanner.scan(&facts(), &message(text)).await.unwrap().advice;
    assert_eq!(advice("all is well").await, Advice::Accept);
    let name = "Eicar-Test-Signature.UNOFFICIAL";
    assert_eq!(advice(&super::EICAR.concat()).await, Advice::Reject(format!("the message contains {name}")));
    assert_eq!(advice(&"x\r\n".repeat(1 << 20)).await, Advice::TooBig);
}
