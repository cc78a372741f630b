//! A real Dovecot's Maildir taken over and given back: its users' clients notice nothing.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::node::{Node, PASSWORD, must};
use crate::wire::imap;

/// Debian's `dovecot-imapd`; nobody runs it, it is only called here.
const DOVECOT: &str = "/usr/lib/dovecot/imap";
/// `nobody`: Dovecot gives root no mail.
const NOBODY: &str = "65534";

const WHAT: &str = "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])";

/// Says `commands` to a Dovecot over `folder/<maildir>`.
fn dovecot(folder: &Path, maildir: &str, commands: &str) -> String {
    let place = folder.display();
    let config = folder.join("dovecot.conf");
    let text = format!(
        "base_dir = {place}/run\nlog_path = {place}/log\nmail_location = maildir:{place}/{maildir}\nfirst_valid_uid = {NOBODY}\n\
         first_valid_gid = {NOBODY}\nmail_uid = {NOBODY}\nmail_gid = {NOBODY}\nssl = no\nnamespace inbox {{\n  inbox = yes\n}}\n"
    );
    std::fs::write(&config, text).unwrap();
    must(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(folder), "");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", DOVECOT, "-c"]).arg(&config);
    must(command.env("USER", "carol").env("HOME", folder), &format!("{commands}z LOGOUT\r\n"))
}

/// UIDVALIDITY, and of each message UID, flags and subject, as an answer to SELECT and FETCH says them.
fn mailbox(answer: &str) -> String {
    let after = |text: &str, start: &str, end: char| {
        text.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(word, _)| word.to_owned())
    };
    let mut said = format!("validity {}\n", after(answer, "[UIDVALIDITY ", ']').unwrap());
    for message in answer.split("\n* ").filter(|message| message.contains("FETCH (UID ")) {
        let uid = after(message, "(UID ", ' ').unwrap();
        let flags = after(message, "FLAGS (", ')').unwrap();
        let mut flags: Vec<&str> =
            flags.split(' ').filter(|flag| !matches!(*flag, "" | "\\Recent")).collect();
        flags.sort_unstable();
        let subject = after(message, "Subject: ", '\r').or(after(message, "Subject: ", '\n')).unwrap();
        let _ = writeln!(said, "{uid} {subject} {}", flags.join(" "));
    }
    said
}

/// What Sluice says of a mailbox.
fn of_sluice(node: &Node, name: &str) -> String {
    let mut wire = imap(node.address("imap"), "carol@example.test", PASSWORD);
    mailbox(&(wire.imap(&format!("SELECT {name}")) + &wire.imap(&format!("FETCH 1:* {WHAT}"))))
}

#[test]
fn clients_of_a_dovecot_notice_nothing_there_and_back() {
    let folder = tempfile::Builder::new().prefix("sluice-dovecot-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let append = |mailbox: &str, flags: &str, number: u32| {
        let text = format!("Subject: number {number}\r\n\r\ntext {number}\r\n");
        format!("a APPEND {mailbox} ({flags}) {{{}+}}\r\n{text}\r\n", text.len())
    };
    let mut commands = String::new();
    for number in 1..=6 {
        commands += &append("INBOX", if number % 2 == 0 { "\\Seen" } else { "" }, number);
    }
    commands +=
        "a SELECT INBOX\r\na STORE 3 +FLAGS (\\Flagged $Forwarded)\r\na STORE 2,6 +FLAGS (\\Deleted)\r\n";
    commands += "a CREATE Work.Plans\r\na SUBSCRIBE Work.Plans\r\n";
    commands += &append("Work.Plans", "\\Answered", 7);
    let said = dovecot(folder.path(), "Maildir", &commands);
    // Of its own: a Dovecot that has it in one go with the STORE expunges first.
    dovecot(folder.path(), "Maildir", "a SELECT INBOX\r\na EXPUNGE\r\n");
    assert!(!said.contains("a NO") && !said.contains("a BAD"), "{said}");
    let look = |maildir: &str, name: &str| {
        mailbox(&dovecot(folder.path(), maildir, &format!("a SELECT {name}\r\nb FETCH 1:* {WHAT}\r\n")))
    };
    let (inbox, plans) = (look("Maildir", "INBOX"), look("Maildir", "Work.Plans"));
    assert_eq!(inbox.lines().count(), 5, "{inbox}");

    let node = Node::start();
    let refused = node.try_sluice(
        &["mailbox", "adopt", "carol@example.test", folder.path().join("Maildir").to_str().unwrap()],
        "",
    );
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no account"), "{refused:?}");
    node.add_account("carol@example.test");
    let maildir = folder.path().join("Maildir");
    let told = node.sluice(&["mailbox", "adopt", "carol@example.test", maildir.to_str().unwrap()], "");
    assert!(told.contains("dovecot-uidlist"), "{told}");
    assert_eq!(of_sluice(&node, "INBOX"), inbox);
    assert_eq!(of_sluice(&node, "Work/Plans"), plans);
    let mut wire = imap(node.address("imap"), "carol@example.test", PASSWORD);
    assert!(wire.imap("LSUB \"\" *").contains("Work/Plans"));

    // New mail and new flags, then back.
    node.swaks("s@elsewhere.test", "carol@example.test", &["--header", "Subject: number 8"]);
    node.inbox("carol@example.test", 5);
    wire.imap("SELECT INBOX");
    wire.imap("STORE 1 +FLAGS (\\Answered $Later)");
    let (inbox, plans) = (of_sluice(&node, "INBOX"), of_sluice(&node, "Work/Plans"));
    assert_eq!(inbox.lines().count(), 6, "{inbox}");
    let back = folder.path().join("Back");
    node.sluice(&["mailbox", "export", "carol@example.test", back.to_str().unwrap()], "");
    assert_eq!(look("Back", "INBOX"), inbox);
    assert_eq!(look("Back", "Work.Plans"), plans);
    let listed = dovecot(folder.path(), "Back", "a LSUB \"\" *\r\n");
    assert!(listed.contains("Work.Plans"), "{listed}");
    assert_eq!(of_sluice(&node, "INBOX"), inbox, "the account stays as it is");
}
