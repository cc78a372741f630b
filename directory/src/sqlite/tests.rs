mod answers;
mod bearer;
mod logins;
mod outages;
mod scram;

use std::time::Duration;

use envelope::{Address, Domain, Secret};
use units::Span;

use super::SqliteDirectory;
use crate::{AccountChange, Admin, Config, Directory, DomainChange, PasswordCost, Resolution};

/// A directory in a temporary folder, and the means to change it as another process would.
struct Rig {
    _folder: tempfile::TempDir,
    config: Config,
    directory: SqliteDirectory,
    admin: Admin,
}

fn rig() -> Rig {
    rig_with(|_| {})
}

/// The domain example.test with alice (password `secret`) and bob (no password), and no patience.
fn rig_with(change: impl FnOnce(&mut Config)) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config {
        path: folder.path().join("directory.sqlite"),
        busy_timeout: Span::millis(50),
        password_cost: PasswordCost { memory_kib: 8, iterations: 1, lanes: 1 },
        ..Config::default()
    };
    config.cache.change_check = Span::millis(0);
    change(&mut config);
    let mut admin = Admin::open(&config).unwrap();
    let directory = SqliteDirectory::open(&config, &prometheus::Registry::new()).unwrap();
    admin.add_domain(&domain("example.test"), &DomainChange::default()).unwrap();
    let alice = AccountChange { password: Some(Some(secret("secret"))), ..AccountChange::default() };
    admin.add_account(&address("alice@example.test"), &alice).unwrap();
    admin.add_account(&address("bob@example.test"), &AccountChange::default()).unwrap();
    Rig { _folder: folder, config, directory, admin }
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| address(text)).collect()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// The answer in short: `mailbox alice@… tag x`, `alias a, b`, `unknown`, `not local`, `unavailable`.
async fn resolved(directory: &SqliteDirectory, text: &str) -> String {
    match directory.resolve(&address(text)).await {
        Ok(Resolution::Mailbox { account, tag: None }) => format!("mailbox {account}"),
        Ok(Resolution::Mailbox { account, tag: Some(tag) }) => format!("mailbox {account} tag {tag}"),
        Ok(Resolution::Alias(targets)) => {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            format!("alias {}", targets.join(", "))
        }
        Ok(Resolution::List { owner, members, .. }) => {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            format!("list of {owner}: {}", members.join(", "))
        }
        Ok(Resolution::NotLocal) => "not local".to_owned(),
        Ok(Resolution::Unknown) => "unknown".to_owned(),
        Err(_) => "unavailable".to_owned(),
    }
}

/// Waits until the answer is `expected`, at most ten seconds.
async fn until_resolved(directory: &SqliteDirectory, text: &str, expected: &str) {
    let wait = async {
        while resolved(directory, text).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
    assert!(waited.is_ok(), "{text} never became {expected}, it is {}", resolved(directory, text).await);
}
