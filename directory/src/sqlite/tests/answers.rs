use envelope::AccountId;
use units::Span;

use super::{address, addresses, domain, resolved, rig, rig_with, until_resolved};
use crate::sqlite::SqliteDirectory;
use crate::{AccountChange, Directory, DomainChange};

#[tokio::test]
async fn the_order_of_meanings() {
    let mut rig = rig();
    let admin = &mut rig.admin;
    admin
        .add_alias(
            &address("team@example.test"),
            &addresses(&["alice@example.test", "Eve@Elsewhere.test"]),
            None,
        )
        .unwrap();
    admin.add_account(&address("bob+exact@example.test"), &AccountChange::default()).unwrap();
    for (asked, expected) in [
        ("alice@example.test", "mailbox alice@example.test"),
        ("ALICE@Example.Test", "mailbox alice@example.test"),
        ("alice+news@example.test", "mailbox alice@example.test tag news"),
        ("Alice+News+x@example.test", "mailbox alice@example.test tag news+x"),
        ("alice+@example.test", "mailbox alice@example.test tag "),
        ("bob+exact@example.test", "mailbox bob+exact@example.test"),
        ("bob+other@example.test", "mailbox bob@example.test tag other"),
        ("team@example.test", "alias alice@example.test, Eve@elsewhere.test"),
        ("team+x@example.test", "alias alice@example.test, Eve@elsewhere.test"),
        ("nobody@example.test", "unknown"),
        ("nobody+x@example.test", "unknown"),
        ("+x@example.test", "unknown"),
        ("postmaster@example.test", "unknown"),
        ("alice@sub.example.test", "not local"),
        ("alice@other.test", "not local"),
    ] {
        assert_eq!(resolved(&rig.directory, asked).await, expected, "{asked}");
        assert_eq!(resolved(&rig.directory, asked).await, expected, "{asked}, from the cache");
    }
    assert!(rig.directory.is_local(&domain("EXAMPLE.test.")).await.unwrap());
    assert!(!rig.directory.is_local(&domain("other.test")).await.unwrap());
}

#[tokio::test]
async fn postmaster_and_catch_all() {
    let mut rig = rig();
    let defaults = DomainChange {
        catch_all: Some(Some(address("bob@example.test"))),
        postmaster: Some(Some(address("alice@example.test"))),
        ..DomainChange::default()
    };
    rig.admin.set_domain(&domain("example.test"), &defaults).unwrap();
    rig.admin.add_alias(&address("abuse@example.test"), &addresses(&["bob@example.test"]), None).unwrap();
    for (asked, expected) in [
        ("Postmaster@example.test", "alias alice@example.test"),
        ("abuse@example.test", "alias bob@example.test"),
        ("anything@example.test", "alias bob@example.test"),
        ("alice@example.test", "mailbox alice@example.test"),
        ("anything@other.test", "not local"),
    ] {
        assert_eq!(resolved(&rig.directory, asked).await, expected, "{asked}");
    }
    let gone =
        DomainChange { catch_all: Some(Some(address("gone@example.test"))), ..DomainChange::default() };
    rig.admin.set_domain(&domain("example.test"), &gone).unwrap();
    assert_eq!(resolved(&rig.directory, "x@example.test").await, "alias gone@example.test");
    assert_eq!(resolved(&rig.directory, "gone@example.test").await, "unknown", "not in a circle");
}

#[tokio::test]
async fn without_tags() {
    let rig = rig_with(|config| config.tag_separator.clear());
    assert_eq!(resolved(&rig.directory, "alice+news@example.test").await, "unknown");
    let rig = rig_with(|config| config.tag_separator = "-".to_owned());
    assert_eq!(
        resolved(&rig.directory, "alice-news@example.test").await,
        "mailbox alice@example.test tag news"
    );
}

#[tokio::test]
async fn hostile_and_foreign_names() {
    let mut rig = rig();
    let names = [
        "\"' OR 1=1 --\"@example.test",
        "\"'; DROP TABLE account; --\"@example.test",
        "%@example.test",
        "_____@example.test",
        "\"a\\\"b\"@example.test",
        "\"../../etc\"@example.test",
        "jürgen@example.test",
        "用户@example.test",
    ];
    for name in names {
        assert_eq!(resolved(&rig.directory, name).await, "unknown", "{name}");
    }
    for name in names {
        rig.admin.add_account(&address(name), &AccountChange::default()).unwrap();
        let expected = format!("mailbox {}", address(name).canonical());
        assert_eq!(resolved(&rig.directory, name).await, expected, "{name}");
    }
    assert_eq!(resolved(&rig.directory, "JÜRGEN@example.test").await, "mailbox jürgen@example.test");
    assert_eq!(rig.admin.accounts(None).unwrap().len(), names.len() + 2);
}

#[tokio::test]
async fn who_may_send_as_whom() {
    let mut rig = rig();
    let admin = &mut rig.admin;
    admin.add_alias(&address("sales@example.test"), &addresses(&["alice@example.test"]), None).unwrap();
    admin
        .add_alias(
            &address("all@example.test"),
            &addresses(&["sales@example.test", "bob@example.test"]),
            None,
        )
        .unwrap();
    let alice: AccountId = "alice@example.test".parse().unwrap();
    for (sender, expected) in [
        ("Alice@example.test", true),
        ("alice+tag@example.test", true),
        ("sales@example.test", true),
        ("all@example.test", true),
        ("bob@example.test", false),
        ("nobody@example.test", false),
        ("alice@other.test", false),
    ] {
        assert_eq!(rig.directory.may_send_as(&alice, &address(sender)).await.unwrap(), expected, "{sender}");
    }
}

#[tokio::test]
async fn changes_are_seen_at_once_when_looked_for() {
    let mut rig = rig();
    assert_eq!(resolved(&rig.directory, "carol@example.test").await, "unknown");
    rig.admin.add_account(&address("carol@example.test"), &AccountChange::default()).unwrap();
    assert_eq!(resolved(&rig.directory, "carol@example.test").await, "mailbox carol@example.test");
    rig.admin.remove_account(&address("carol@example.test")).unwrap();
    assert_eq!(resolved(&rig.directory, "carol@example.test").await, "unknown");
}

#[tokio::test]
async fn changes_are_seen_within_the_interval() {
    let mut rig = rig_with(|config| config.cache.change_check = Span::millis(100));
    until_resolved(&rig.directory, "carol@example.test", "unknown").await;
    rig.admin.add_account(&address("carol@example.test"), &AccountChange::default()).unwrap();
    until_resolved(&rig.directory, "carol@example.test", "mailbox carol@example.test").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_while_another_process_writes() {
    let mut rig = rig();
    let config = rig.config.clone();
    let writer = tokio::task::spawn_blocking(move || {
        for n in 0..50 {
            let account = address(&format!("user{n}@example.test"));
            rig.admin.add_account(&account, &AccountChange::default()).unwrap();
        }
        rig
    });
    let directory = SqliteDirectory::open(&config, &prometheus::Registry::new()).unwrap();
    let mut asked = 0;
    while !writer.is_finished() {
        assert_eq!(resolved(&directory, "alice@example.test").await, "mailbox alice@example.test");
        let new = resolved(&directory, "user49@example.test").await;
        assert!(new == "unknown" || new == "mailbox user49@example.test", "{new}");
        asked += 1;
    }
    let _rig = writer.await.unwrap();
    assert!(asked > 0);
    assert_eq!(resolved(&directory, "user49@example.test").await, "mailbox user49@example.test");
}

#[tokio::test]
async fn an_account_has_its_own_quota_or_its_domain_s() {
    let mut rig = rig();
    let alice = "alice@example.test".parse().unwrap();
    let quota = |octets, messages| envelope::Quota { octets, messages };
    assert_eq!(rig.directory.quota(&alice).await.unwrap(), quota(None, None));
    let change = DomainChange { quota_octets: Some(Some(1000)), ..DomainChange::default() };
    rig.admin.set_domain(&domain("example.test"), &change).unwrap();
    assert_eq!(rig.directory.quota(&alice).await.unwrap(), quota(Some(1000), None));
    let change = AccountChange {
        quota_octets: Some(Some(5)),
        quota_messages: Some(Some(7)),
        ..AccountChange::default()
    };
    rig.admin.set_account(&address("alice@example.test"), &change).unwrap();
    assert_eq!(rig.directory.quota(&alice).await.unwrap(), quota(Some(5), Some(7)));
    let change =
        AccountChange { quota_octets: Some(Some(0)), quota_messages: Some(None), ..AccountChange::default() };
    rig.admin.set_account(&address("alice@example.test"), &change).unwrap();
    assert_eq!(rig.directory.quota(&alice).await.unwrap(), quota(None, None), "none, said by the account");
    assert_eq!(
        rig.directory.quota(&"nobody@example.test".parse().unwrap()).await.unwrap(),
        quota(None, None)
    );
}

#[tokio::test]
async fn a_list_has_an_owner_who_speaks_for_it() {
    let mut rig = rig();
    let (list, bob) = (address("list@example.test"), address("bob@example.test"));
    rig.admin.add_alias(&list, &addresses(&["alice@example.test", "x@a.test"]), Some(&bob)).unwrap();
    let directory = &rig.directory;
    for name in ["list@example.test", "LIST+tag@example.test"] {
        assert_eq!(resolved(directory, name).await, "list of bob@example.test: alice@example.test, x@a.test");
    }
    let may = async |who: &str| directory.may_send_as(&AccountId::new(&address(who)), &list).await.unwrap();
    assert!(may("bob@example.test").await && !may("alice@example.test").await);
}
