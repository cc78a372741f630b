//! Programs that others wrote: Python's libraries, mbsync, fetchmail, mutt.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{Node, PASSWORD, must, wait_for};

fn script(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("tests/clients").join(name)
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn python_sends_reads_flags_moves_and_deletes() {
    let node = Node::start();
    let output = must(
        Command::new("python3")
            .arg(script("libraries.py"))
            .env("SUBMISSION", node.port("submission"))
            .env("IMAP", node.port("imap"))
            .env("IMAPS", node.port("imaps"))
            .env("POP3", node.port("pop3"))
            .env("POP3S", node.port("pop3s"))
            .env("PASSWORD", PASSWORD),
        "",
    );
    assert!(output.trim_end().ends_with("all good"), "{output}");
}

#[test]
fn mbsync_keeps_a_copy_in_both_directions() {
    let node = Node::start();
    for number in 1..=3 {
        node.swaks(
            "s@elsewhere.test",
            "alice@example.test",
            &["--header", &format!("Subject: number {number}")],
        );
    }
    node.inbox("alice@example.test", 3);
    let folder = node.folder.path().join("mbsync");
    std::fs::create_dir_all(folder.join("mail")).unwrap();
    let configuration = format!(
        "IMAPAccount sluice\nHost 127.0.0.1\nPort {}\nUser alice@example.test\nPass \"{PASSWORD}\"\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount sluice\n\nMaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        node.port("imap"),
        mail = folder.join("mail").display(),
    );
    let rc = folder.join("mbsyncrc");
    write_private(&rc, &configuration);
    let sync = || must(Command::new("mbsync").args(["-c", rc.to_str().unwrap(), "-a", "-V"]), "");
    sync();
    let local = |folder_name: &str| -> Vec<PathBuf> {
        ["new", "cur"]
            .iter()
            .flat_map(|part| {
                std::fs::read_dir(folder.join("mail").join(folder_name).join(part)).into_iter().flatten()
            })
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    assert_eq!(local("INBOX").len(), 3);
    assert!(folder.join("mail/Sent").is_dir(), "the default folders come along");

    // A flag and a deletion made here go there; a message made here too.
    let mut files = local("INBOX");
    files.sort();
    let flagged = files.remove(0);
    let name = flagged.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_owned();
    std::fs::rename(&flagged, folder.join("mail/INBOX/cur").join(format!("{name}:2,FS"))).unwrap();
    let doomed = files.remove(0);
    let name = doomed.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_owned();
    std::fs::rename(&doomed, folder.join("mail/INBOX/cur").join(format!("{name}:2,ST"))).unwrap();
    std::fs::write(folder.join("mail/Sent/new/1700000000.local.host"), "Subject: made here\n\nbody\n")
        .unwrap();
    sync();
    let mut wire = crate::wire::imap(node.address("imap"), "alice@example.test", PASSWORD);
    wire.imap("SELECT INBOX");
    let flags = wire.imap("FETCH 1:* FLAGS");
    assert_eq!(flags.matches("FETCH (").count(), 2, "{flags}");
    assert_eq!(flags.matches("\\Flagged").count(), 1, "{flags}");
    let sent = wire.imap("STATUS Sent (MESSAGES)");
    assert!(sent.contains("MESSAGES 1"), "{sent}");

    // And a second run changes nothing.
    let before = local("INBOX");
    sync();
    assert_eq!(local("INBOX").len(), before.len());
}

#[test]
fn fetchmail_collects_over_pop3_and_deletes() {
    let node = Node::start();
    for number in 1..=3 {
        node.swaks(
            "s@elsewhere.test",
            "bob@example.test",
            &["--header", &format!("Subject: number {number}"), "--body", "dots\n.\n..\nend"],
        );
    }
    node.inbox("bob@example.test", 3);
    let folder = node.folder.path().join("fetchmail");
    std::fs::create_dir_all(&folder).unwrap();
    let collected = folder.join("collected");
    let rc = folder.join("fetchmailrc");
    write_private(
        &rc,
        &format!(
            "poll 127.0.0.1 protocol pop3 port {} uidl\n  user \"bob@example.test\" password \"{PASSWORD}\"\n  fetchall no keep sslproto \"\" mda \"cat >> {}\"\n",
            node.port("pop3"),
            collected.display()
        ),
    );
    must(
        Command::new("fetchmail")
            .args(["-f", rc.to_str().unwrap(), "--nodetach", "--pidfile"])
            .arg(folder.join("pid"))
            .arg("--idfile")
            .arg(folder.join("ids"))
            .env("FETCHMAILHOME", &folder)
            .env("HOME", &folder),
        "",
    );
    let text = std::fs::read_to_string(&collected).unwrap();
    assert_eq!(text.matches("Subject: number").count(), 3, "{text}");
    assert!(text.contains("\n.\n..\nend"), "dots arrive as they were sent: {text}");
    wait_for("the mailbox is empty", || {
        crate::wire::imap_fetch_all(node.address("imap"), "bob@example.test", PASSWORD, "INBOX")
            .is_empty()
            .then_some(())
    });
}

#[test]
fn mutt_reads_over_imap() {
    let node = Node::start();
    node.swaks(
        "s@elsewhere.test",
        "alice@example.test",
        &["--header", "Subject: for mutt", "--body", "read me"],
    );
    node.inbox("alice@example.test", 1);
    let folder = node.folder.path().join("mutt");
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("copy");
    let rc = folder.join("muttrc");
    write_private(
        &rc,
        &format!(
            "set imap_user=\"alice@example.test\"\nset imap_pass=\"{PASSWORD}\"\nset ssl_starttls=no\nset ssl_force_tls=no\nset confirmappend=no\nset confirmcreate=no\n\
             set header_cache=\"\"\nset mbox_type=mbox\nset delete=no\nset move=no\nset folder=\"{}\"\nset copy=no\nset beep=no\n\
             push \"<tag-pattern>~A<enter><tag-prefix-cond><copy-message>{}<enter><exit>\"\n",
            folder.display(),
            copy.display()
        ),
    );
    let output = must(
        Command::new("python3")
            .arg(script("terminal.py"))
            .args([
                "mutt",
                "-n",
                "-F",
                rc.to_str().unwrap(),
                "-f",
                &format!("imap://127.0.0.1:{}/INBOX", node.port("imap")),
            ])
            .env("HOME", &folder)
            .env("TERM", "xterm"),
        "",
    );
    let text = std::fs::read_to_string(&copy).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(text.contains("Subject: for mutt") && text.contains("read me"), "{text}");
}

#[test]
fn python_asks_to_be_told_and_is() {
    let node = Node::start();
    let script = r#"
import smtplib, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with smtplib.SMTP_SSL("127.0.0.1", int(sys.argv[1]), timeout=30, context=context) as smtp:
    smtp.ehlo("client.test")
    assert smtp.has_extn("dsn"), smtp.esmtp_features
    smtp.login("alice@example.test", sys.argv[2])
    smtp.sendmail("alice@example.test", ["bob@example.test"], b"Subject: told\r\n\r\ntext\r\n",
        mail_options=["RET=HDRS", "ENVID=Q+2B1"], rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;b@old.test"])
"#;
    must(Command::new("python3").args(["-c", script, &node.port("submissions"), PASSWORD]), "");
    let report = node.inbox("alice@example.test", 1).remove(0);
    for line in [
        "Return-Path: <>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Original-Envelope-Id: Q+1\r\n",
        "Original-Recipient: rfc822; b@old.test\r\nFinal-Recipient: rfc822; bob@example.test\r\nAction: delivered\r\n",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert_eq!(node.inbox("bob@example.test", 1).len(), 1);
}
