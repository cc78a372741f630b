//! sluice-milter: our own rules, behind libmilter. Both ends of the protocol meet: what its rules decide comes back as the verdict that they would have been here.

use std::path::PathBuf;
use std::process::Command;

use filters::milter::Authenticated;
use filters::{Action, Change, PeerAddress};

use super::process::{Folder, Process, listens};
use super::{config, connection, head, hello, judge, message, milters};

/// For whoever has built it already.
const BUILT: &str = "SLUICE_MILTER";

struct SluiceMilter {
    milter: PeerAddress,
    _process: Process,
    _folder: Folder,
}

/// It is no member of this workspace (GPL-3.0), so cargo has not built it for this test. `--tests` are its artefacts that `./test` has made before.
fn program() -> PathBuf {
    if let Some(built) = std::env::var_os(BUILT) {
        return built.into();
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../sluice-milter/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // This file is in the folder `deps` of the target folder's profile.
    let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let out = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--tests", "--manifest-path", manifest, "--target-dir"])
        .arg(profile.parent().unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    profile.join("sluice-milter")
}

async fn start(rules: &str) -> SluiceMilter {
    let program = program();
    let folder = Folder::new();
    std::fs::create_dir(folder.path("policy")).unwrap();
    std::fs::write(folder.path("policy/rules.toml"), rules).unwrap();
    let conf = folder.write(
        "milter.toml",
        "hostname = \"mx.b.test\"\nsocket = \"unix:@/milter.sock\"\nstate_folder = \"@/state\"\n\
         [dns]\nresolvers = [\"127.0.0.1:1\"]\nquestion_max = \"200ms\"\ntry_max = \"100ms\"\n[policy]\nfolder = \"@/policy\"\n",
    );
    // A link, for the log takes the program's name.
    let link = folder.path("sluice-milter");
    std::os::unix::fs::symlink(program, &link).unwrap();
    let mut process = folder.start(&link, &["--config", &conf]);
    process.ready(|| listens(folder.path("milter.sock"))).await;
    let milter = format!("unix:{}", folder.path("milter.sock")).parse().unwrap();
    SluiceMilter { milter, _process: process, _folder: folder }
}

fn rule(name: &str, then: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nowner = \"sec\"\nwhen = 'message.text.contains(\"{name}\")'\nthen = [{then}]\n"
    )
}

#[tokio::test]
async fn its_rules_come_back_as_a_verdict() {
    let rules = [
        rule("refuse", r#"{ action = "reject", text = "100% unwanted" }"#),
        rule("later", r#"{ action = "tempfail", text = "come back" }"#),
        rule(
            "keep",
            r#"{ action = "header", name = "X-Kept", value = "yes" }, { action = "quarantine", reason = "odd" }"#,
        ),
        rule("away", r#"{ action = "discard" }"#),
        rule(
            "mark",
            r#"{ action = "header", name = "X-Mark", value = "seen" }, { action = "remove-header", name = "X-Virus-Status" }"#,
        ),
        rule("redirect", r#"{ action = "redirect", to = "other@b.test" }"#),
        rule("out", r#"{ action = "header", name = "X-Out", value = "ann" }"#).replace(
            "when = '",
            "direction = \"outbound\"\nwhen = 'connection.account == \"ann@a.test\" && ",
        ),
    ];
    let milter = start(&rules.concat()).await;
    let milters = milters(&[config("sluice", &milter.milter)]);
    let mut session = milters.session(&connection("192.0.2.7:4711"));
    hello(&mut session).await;
    for _ in 0..2 {
        let refused = judge(&mut session, &message("refuse")).await.unwrap();
        let Action::Refuse(refusal) = &refused.action else { panic!("{refused:?}") };
        assert_eq!(
            (refusal.code, refusal.enhanced, refusal.text.as_str()),
            (550, (5, 7, 1), "100% unwanted")
        );
        let later = judge(&mut session, &message("later")).await.unwrap();
        let Action::Refuse(refusal) = &later.action else { panic!("{later:?}") };
        assert_eq!((refusal.code, refusal.text.as_str()), (451, "come back"));
        let away = judge(&mut session, &message("away")).await.unwrap();
        assert_eq!(away.action, Action::Discard);

        let odd = message("keep");
        let kept = judge(&mut session, &odd).await.unwrap();
        assert_eq!(kept.action, Action::Quarantine);
        assert_eq!(kept.reasons, ["milter sluice: quarantined: keep: odd"]);
        // What was found out about a stranger is on top, as the gateway itself has it.
        let kept = head(&odd, &kept);
        assert!(kept.starts_with("X-Kept: yes\r\nAuthentication-Results: mx.b.test;"), "{kept}");

        let plain = message("mark");
        let marked = head(&plain, &judge(&mut session, &plain).await.unwrap());
        assert!(marked.contains("X-Mark: seen\r\n") && !marked.contains("X-Virus-Status"), "{marked}");

        let redirected = judge(&mut session, &message("redirect")).await.unwrap();
        let recipients: Vec<&Change> = redirected
            .changes
            .iter()
            .filter(|change| matches!(change, Change::AddRecipient(_) | Change::RemoveRecipient(_)))
            .collect();
        let (bob, other) = ("bob@b.test".parse().unwrap(), "other@b.test".parse().unwrap());
        assert_eq!(recipients, [&Change::RemoveRecipient(bob), &Change::AddRecipient(other)]);

        // A message that does not come to its end.
        session.mail(&envelope::ReversePath::Null, &[]).await.unwrap();
        session.rcpt(&"bob@b.test".parse().unwrap(), &[]).await.unwrap();
        session.abort().await;
    }
    session.set_authenticated(Some(Authenticated {
        mechanism: "PLAIN".to_owned(),
        login: "ann@a.test".to_owned(),
    }));
    let plain = message("out");
    let sent = head(&plain, &judge(&mut session, &plain).await.unwrap());
    assert!(sent.starts_with("X-Out: ann\r\n") && !sent.contains("Authentication-Results"), "{sent}");
}
