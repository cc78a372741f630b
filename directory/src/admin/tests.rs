use envelope::{Address, Domain, Secret};

use super::{AccountChange, Added, Admin, DomainChange, NewAccount};
use crate::{AdminError, AliasChange, Config, PasswordCost};

struct Rig {
    _folder: tempfile::TempDir,
    admin: Admin,
}

fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        path: folder.path().join("directory.sqlite"),
        password_cost: PasswordCost { memory_kib: 8, iterations: 1, lanes: 1 },
        ..Config::default()
    };
    let mut admin = Admin::open(&config).unwrap();
    admin.add_domain(&domain("example.test"), &DomainChange::default()).unwrap();
    admin.add_account(&address("Alice@example.test"), &AccountChange::default()).unwrap();
    Rig { _folder: folder, admin }
}

fn domain(text: &str) -> Domain {
    text.parse().unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn check(result: Result<(), AdminError>, expected: &str) {
    assert_eq!(result.map_or_else(|error| error.to_string(), |()| "done".to_owned()), expected);
}

fn secret(text: &str) -> Option<Option<Secret<String>>> {
    Some(Some(Secret::new(text.to_owned())))
}

#[test]
fn domains() {
    let Rig { _folder, mut admin } = rig();
    check(
        admin.add_domain(&domain("EXAMPLE.test"), &DomainChange::default()),
        "domain example.test is already known",
    );
    check(
        admin.add_domain(&domain("[192.0.2.1]"), &DomainChange::default()),
        "[192.0.2.1] is an address literal, not a domain name",
    );
    check(
        admin.set_domain(&domain("other.test"), &DomainChange::default()),
        "domain other.test is not known: add it with `sluice domain add other.test`",
    );
    let change = DomainChange {
        catch_all: Some(Some(address("Bob@Elsewhere.test"))),
        postmaster: Some(None),
        ..DomainChange::default()
    };
    check(admin.add_domain(&domain("another.test"), &change), "done");
    let listed = admin.domains().unwrap();
    let names: Vec<&str> = listed.iter().map(|info| info.domain.as_str()).collect();
    assert_eq!(names, ["another.test", "example.test"]);
    assert_eq!(listed[0].catch_all, Some(address("bob@elsewhere.test")));
    assert_eq!((listed[1].accounts, listed[1].aliases), (1, 0));
    assert!(listed[1].created_at.unix_seconds() > 1_600_000_000);
    check(
        admin.remove_domain(&domain("example.test"), false),
        "domain example.test still has 1 accounts and 0 aliases: remove them first, or say that they shall go too",
    );
    check(admin.add_alias(&address("x@example.test"), &[address("alice@example.test")], None), "done");
    check(admin.remove_domain(&domain("example.test"), true), "done");
    check(admin.remove_domain(&domain("another.test"), false), "done");
    assert!(admin.domains().unwrap().is_empty() && admin.accounts(None).unwrap().is_empty());
    assert!(admin.aliases(None).unwrap().is_empty());
}

#[test]
fn accounts() {
    let Rig { _folder, mut admin } = rig();
    let none = AccountChange::default();
    check(
        admin.add_account(&address("ALICE@example.test"), &none),
        "alice@example.test is already an account",
    );
    check(
        admin.add_account(&address("a@other.test"), &none),
        "domain other.test is not known: add it with `sluice domain add other.test`",
    );
    check(
        admin.set_account(&address("bob@example.test"), &none),
        "account bob@example.test is not known: add it with `sluice account add bob@example.test`",
    );
    let empty = AccountChange { password: secret(""), ..AccountChange::default() };
    check(admin.add_account(&address("bob@example.test"), &empty), "the password can't be used");
    let long = AccountChange { display_name: Some("x".repeat(201)), ..AccountChange::default() };
    assert!(matches!(
        admin.add_account(&address("bob@example.test"), &long),
        Err(AdminError::DisplayName { .. })
    ));
    let line = AccountChange { display_name: Some("Bob\r\nBcc: x".to_owned()), ..AccountChange::default() };
    assert!(matches!(
        admin.add_account(&address("bob@example.test"), &line),
        Err(AdminError::DisplayName { .. })
    ));
    assert_eq!(admin.accounts(None).unwrap().len(), 1, "a refused change leaves nothing");

    let bob = AccountChange {
        password: secret("pw"),
        display_name: Some("Bob Ünicode".to_owned()),
        login_allowed: Some(false),
        ..AccountChange::default()
    };
    check(admin.add_account(&address("bob@example.test"), &bob), "done");
    let listed = admin.accounts(Some(&domain("example.test"))).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].display_name, "Bob Ünicode");
    assert!(listed[1].has_password && !listed[1].login_allowed);
    assert!(!listed[0].has_password && listed[0].login_allowed);
    let no_password = AccountChange { password: Some(None), ..AccountChange::default() };
    check(admin.set_account(&address("bob@example.test"), &no_password), "done");
    assert!(!admin.accounts(None).unwrap()[1].has_password);
    check(admin.remove_account(&address("bob@example.test")), "done");
    assert!(matches!(admin.accounts(Some(&domain("other.test"))), Err(AdminError::UnknownDomain(_))));
}

fn leads_to(targets: &[Address]) -> AliasChange {
    AliasChange { targets: Some(targets.to_vec()), ..AliasChange::default() }
}

fn owned_by(owner: Option<&Address>) -> AliasChange {
    AliasChange { owner: Some(owner.cloned()), ..AliasChange::default() }
}

#[test]
fn aliases() {
    let Rig { _folder, mut admin } = rig();
    let (a, b, c) = (address("a@example.test"), address("b@example.test"), address("c@example.test"));
    let alice = address("alice@example.test");
    check(admin.add_alias(&a, &[], None), "the alias a@example.test needs at least one target");
    check(
        admin.add_alias(&alice, std::slice::from_ref(&b), None),
        "alice@example.test is already an account",
    );
    check(
        admin.add_alias(&a, &[address("A@example.test")], None),
        "the alias a@example.test would lead back to itself through A@example.test",
    );
    check(admin.add_alias(&a, &[b.clone(), alice.clone(), address("B@example.test")], None), "done");
    assert_eq!(admin.aliases(None).unwrap()[0].targets, [b.clone(), alice.clone()]);
    check(admin.add_alias(&b, std::slice::from_ref(&c), None), "done");
    check(
        admin.add_alias(&c, &[address("x@elsewhere.test"), a.clone()], None),
        "the alias c@example.test would lead back to itself through a@example.test",
    );
    check(admin.add_account(&a, &AccountChange::default()), "a@example.test is already an alias");
    check(
        admin.remove_account(&alice),
        "alice@example.test is still a target of the alias a@example.test: change that first",
    );
    check(
        admin.remove_alias(&b),
        "b@example.test is still a target of the alias a@example.test: change that first",
    );
    check(admin.set_alias(&a, &leads_to(&[address("X@Elsewhere.test")])), "done");
    assert_eq!(admin.aliases(None).unwrap()[0].targets[0].to_string(), "X@elsewhere.test");
    check(
        admin.set_alias(&c, &leads_to(std::slice::from_ref(&a))),
        "alias c@example.test is not known: add it with `sluice alias add c@example.test TARGET`",
    );
    let catch_all = DomainChange { catch_all: Some(Some(alice.clone())), ..DomainChange::default() };
    check(admin.set_domain(&domain("example.test"), &catch_all), "done");
    check(
        admin.remove_account(&alice),
        "alice@example.test is still the catch-all of example.test: change that first",
    );
    check(admin.remove_alias(&b), "done");
    let many: Vec<Address> = (0..1001).map(|n| address(&format!("u{n}@elsewhere.test"))).collect();
    check(admin.set_alias(&a, &leads_to(&many[..1000])), "done");
    check(
        admin.set_alias(&a, &leads_to(&many)),
        "an alias has at most 1000 targets, a@example.test would have 1001",
    );
    assert_eq!(admin.aliases(Some(&domain("example.test"))).unwrap()[0].targets.len(), 1000);
}

#[test]
fn lists() {
    let Rig { _folder, mut admin } = rig();
    let (list, alice, x) = (address("list@example.test"), address("alice@example.test"), address("x@a.test"));
    let members = std::slice::from_ref(&x);
    check(
        admin.add_alias(&list, members, Some(&x)),
        "the owner x@a.test of the list list@example.test is neither an account nor an alias here",
    );
    assert!(admin.aliases(None).unwrap().is_empty(), "nothing of it was kept");
    let owner = address("Alice@Example.test");
    check(admin.add_alias(&list, members, Some(&owner)), "done");
    assert_eq!(admin.aliases(None).unwrap()[0].owner.as_ref(), Some(&alice));
    check(
        admin.remove_account(&alice),
        "alice@example.test is still the owner of the list list@example.test: change that first",
    );
    check(admin.set_alias(&list, &leads_to(&[address("y@a.test")])), "done");
    let listed = admin.aliases(None).unwrap();
    assert_eq!((&listed[0].targets[0], listed[0].owner.as_ref()), (&address("y@a.test"), Some(&alice)));
    check(
        admin.set_alias(&list, &owned_by(Some(&list))),
        "the alias list@example.test would lead back to itself through list@example.test",
    );
    let boss = address("boss@example.test");
    check(admin.add_alias(&boss, std::slice::from_ref(&x), Some(&list)), "done");
    check(
        admin.set_alias(&list, &owned_by(Some(&boss))),
        "the alias list@example.test would lead back to itself through boss@example.test",
    );
    check(admin.remove_alias(&boss), "done");
    check(admin.set_alias(&list, &owned_by(None)), "done");
    let listed = admin.aliases(None).unwrap();
    assert_eq!((&listed[0].targets[0], listed[0].owner.as_ref()), (&address("y@a.test"), None));
    check(admin.remove_account(&alice), "done");
}

#[test]
fn the_first_account_of_a_domain_is_its_postmaster() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { path: folder.path().join("directory.sqlite"), ..Config::default() };
    let mut admin = Admin::open(&config).unwrap();
    admin.add_domain(&domain("a.test"), &DomainChange::default()).unwrap();
    let mut add = |text: &str| {
        admin.add_account(&address(text), &AccountChange::default()).unwrap();
        let made = admin.make_postmaster_if_first(&address(text)).unwrap();
        (made, admin.domains().unwrap()[0].postmaster.clone())
    };
    assert_eq!(add("Ann@a.test"), (true, Some(address("ann@a.test"))));
    assert_eq!(add("ben@a.test"), (false, Some(address("ann@a.test"))));
    // Nobody, because somebody said so: it stays.
    let nobody = DomainChange { postmaster: Some(None), ..DomainChange::default() };
    admin.set_domain(&domain("a.test"), &nobody).unwrap();
    admin.add_account(&address("carl@a.test"), &AccountChange::default()).unwrap();
    assert!(!admin.make_postmaster_if_first(&address("carl@a.test")).unwrap());
    assert_eq!(admin.domains().unwrap()[0].postmaster, None);
}

#[test]
fn quotas_of_domains_and_accounts() {
    let mut rig = rig();
    let (alice, example) = (address("alice@example.test"), domain("example.test"));
    let said = |rig: &Rig| {
        let account = rig.admin.accounts(None).unwrap().remove(0);
        let domain = rig.admin.domains().unwrap().remove(0);
        (account.quota_octets, account.quota_messages, domain.quota_octets, domain.quota_messages)
    };
    assert_eq!(said(&rig), (None, None, None, None));
    let change = DomainChange {
        quota_octets: Some(Some(1000)),
        quota_messages: Some(Some(10)),
        ..DomainChange::default()
    };
    rig.admin.set_domain(&example, &change).unwrap();
    let change = AccountChange { quota_octets: Some(Some(0)), ..AccountChange::default() };
    rig.admin.set_account(&alice, &change).unwrap();
    assert_eq!(said(&rig), (Some(0), None, Some(1000), Some(10)));
    let change = AccountChange {
        quota_octets: Some(None),
        quota_messages: Some(Some(u64::MAX)),
        ..AccountChange::default()
    };
    rig.admin.set_account(&alice, &change).unwrap();
    assert_eq!(said(&rig), (None, Some(i64::MAX as u64), Some(1000), Some(10)));
}

#[test]
fn many_accounts_at_once() {
    let Rig { _folder, mut admin } = rig();
    admin.add_alias(&address("info@example.test"), &[address("alice@example.test")], None).unwrap();
    let new = |text: &str| NewAccount { address: address(text), display_name: format!("Name of {text}") };
    let many: Vec<NewAccount> =
        (0..50).map(|number| new(&format!("User{number}@corp{}.test", number % 3))).collect();
    let all = || many.clone().into_iter().chain([new("alice@example.test"), new("info@example.test")]);
    let password = Secret::new("secret".to_owned());
    let mut calls = 0;
    let added = admin.add_many(all(), Some(&password), |_| calls += 1).unwrap();
    assert_eq!((added, calls), (Added { accounts: 50, domains: 3, known: 2 }, 1));
    let listed = admin.accounts(Some(&domain("corp1.test"))).unwrap();
    assert_eq!(listed.len(), 17);
    assert_eq!((listed[0].address.to_string().as_str(), listed[0].has_password), ("user10@corp1.test", true));
    assert_eq!(listed[0].display_name, "Name of User10@corp1.test");
    assert_eq!(admin.accounts(Some(&domain("example.test"))).unwrap().len(), 1, "an alias stays one");
    // The same again changes nothing.
    let again = admin.add_many(all(), None, |_| ()).unwrap();
    assert_eq!(again, Added { accounts: 0, domains: 0, known: 52 });
    assert!(admin.accounts(Some(&domain("corp1.test"))).unwrap()[0].has_password);
    let bad = NewAccount { address: address("x@corp1.test"), display_name: "a\nb".to_owned() };
    assert!(admin.add_many(std::iter::once(bad), None, |_| ()).is_err());
}
