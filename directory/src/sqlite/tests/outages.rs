use rusqlite::Connection;
use units::Span;

use super::{Rig, address, domain, resolved, rig, rig_with, secret, until_resolved};
use crate::sqlite::SqliteDirectory;
use crate::{AccountChange, Admin, Authentication, Config, Directory, DomainChange, OpenError};

/// What is known before the outage: alice by address and by login, an unknown name, our domain and another one.
async fn warm(rig: &Rig) {
    assert_eq!(resolved(&rig.directory, "alice@example.test").await, "mailbox alice@example.test");
    assert_eq!(resolved(&rig.directory, "nobody@example.test").await, "unknown");
    assert_eq!(resolved(&rig.directory, "x@other.test").await, "not local");
    assert!(rig.directory.is_local(&domain("example.test")).await.unwrap());
    assert!(!rig.directory.is_local(&domain("other.test")).await.unwrap());
    assert_eq!(login(rig).await, Some(Authentication::Accepted("alice@example.test".parse().unwrap())));
}

async fn login(rig: &Rig) -> Option<Authentication> {
    let peer = "192.0.2.1".parse().unwrap();
    rig.directory.authenticate("alice@example.test", &secret("secret"), peer).await.ok()
}

/// During an outage: what says yes is still said, nothing says no.
async fn check_outage(rig: &Rig) {
    assert_eq!(resolved(&rig.directory, "alice@example.test").await, "mailbox alice@example.test");
    assert_eq!(resolved(&rig.directory, "nobody@example.test").await, "unavailable");
    assert_eq!(resolved(&rig.directory, "bob@example.test").await, "unavailable");
    assert_eq!(resolved(&rig.directory, "x@other.test").await, "unavailable");
    assert!(rig.directory.is_local(&domain("example.test")).await.unwrap());
    assert!(rig.directory.is_local(&domain("other.test")).await.is_err());
    assert_eq!(login(rig).await, Some(Authentication::Accepted("alice@example.test".parse().unwrap())));
    let peer = "192.0.2.1".parse().unwrap();
    assert!(rig.directory.authenticate("bob@example.test", &secret("x"), peer).await.is_err());
    assert!(
        rig.directory
            .may_send_as(&"bob@example.test".parse().unwrap(), &address("bob@example.test"))
            .await
            .is_err()
    );
}

/// The log and its index: SQLite finds pages in them even when the file itself is another one.
fn remove_companions(config: &Config) {
    for companion in ["-wal", "-shm"] {
        let mut name = config.path.clone().into_os_string();
        name.push(companion);
        let _ = std::fs::remove_file(name);
    }
}

#[tokio::test]
async fn the_file_is_removed_and_comes_back() {
    let rig = rig();
    warm(&rig).await;
    let aside = rig.config.path.with_extension("aside");
    std::fs::rename(&rig.config.path, &aside).unwrap();
    check_outage(&rig).await;
    std::fs::rename(&aside, &rig.config.path).unwrap();
    assert_eq!(resolved(&rig.directory, "bob@example.test").await, "mailbox bob@example.test");
    assert_eq!(resolved(&rig.directory, "nobody@example.test").await, "unknown");
}

#[tokio::test]
async fn the_file_is_replaced_by_garbage_then_by_another_directory() {
    let mut rig = rig();
    warm(&rig).await;
    let aside = rig.config.path.with_extension("aside");
    std::fs::write(&aside, "this is no database ".repeat(1000)).unwrap();
    remove_companions(&rig.config);
    std::fs::rename(&aside, &rig.config.path).unwrap();
    check_outage(&rig).await;

    // What an operator does who brings back a copy: the companions of the old file go too.
    drop(rig.admin);
    let other = Config { path: aside.clone(), ..rig.config.clone() };
    rig.admin = Admin::open(&other).unwrap();
    rig.admin.add_domain(&domain("example.test"), &DomainChange::default()).unwrap();
    rig.admin.add_account(&address("nobody@example.test"), &AccountChange::default()).unwrap();
    rig.admin = Admin::open(&Config { path: aside.with_extension("unused"), ..rig.config.clone() }).unwrap();
    remove_companions(&rig.config);
    std::fs::rename(&aside, &rig.config.path).unwrap();
    assert_eq!(resolved(&rig.directory, "nobody@example.test").await, "mailbox nobody@example.test");
    assert_eq!(resolved(&rig.directory, "alice@example.test").await, "unknown");
}

#[tokio::test]
async fn the_file_is_overwritten_in_place() {
    let rig = rig();
    warm(&rig).await;
    let Rig { _folder: folder, config, directory, admin } = rig;
    // The last writer checkpoints the log, then a stray program writes into the file itself.
    drop(admin);
    let raw = Connection::open(&config.path).unwrap();
    raw.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    drop(raw);
    let length = std::fs::metadata(&config.path).unwrap().len();
    std::fs::write(&config.path, vec![0x55; usize::try_from(length).unwrap()]).unwrap();
    let fresh = SqliteDirectory::open(&config, &prometheus::Registry::new());
    assert!(matches!(fresh, Err(OpenError::Sqlite { .. })), "a start says so");
    // A reader may still have pages in memory; whatever it says, it never says that somebody is unknown.
    for name in ["alice@example.test", "bob@example.test"] {
        let answer = resolved(&directory, name).await;
        assert!(answer == "unavailable" || answer == format!("mailbox {name}"), "{answer}");
    }
    drop(folder);
}

#[tokio::test]
async fn the_file_is_locked() {
    let rig = rig();
    warm(&rig).await;
    // A copy that another program holds with its exclusive lock comes into the file's place.
    let other = Config { path: rig.config.path.with_extension("aside"), ..rig.config.clone() };
    drop(Admin::open(&other).unwrap());
    let raw = Connection::open(&other.path).unwrap();
    raw.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM account;").unwrap();
    remove_companions(&rig.config);
    std::fs::rename(&other.path, &rig.config.path).unwrap();
    check_outage(&rig).await;
}

#[tokio::test]
async fn a_writer_that_holds_its_transaction_disturbs_no_reader() {
    let rig = rig();
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE; DELETE FROM account;").unwrap();
    assert_eq!(resolved(&rig.directory, "alice@example.test").await, "mailbox alice@example.test");
    assert_eq!(login(&rig).await, Some(Authentication::Accepted("alice@example.test".parse().unwrap())));
}

#[tokio::test]
async fn stale_answers_end() {
    let rig = rig_with(|config| config.cache.stale_max = Span::millis(20));
    warm(&rig).await;
    std::fs::remove_file(&rig.config.path).unwrap();
    until_resolved(&rig.directory, "alice@example.test", "unavailable").await;
}

#[tokio::test]
async fn a_table_that_is_gone_is_an_outage() {
    let rig = rig();
    warm(&rig).await;
    let raw = Connection::open(&rig.config.path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE account; DROP TABLE domain;").unwrap();
    check_outage(&rig).await;
}
