use super::{Config, Recipient, expand};
use crate::worker::fakes::{Fake, envelope};

/// What each recipient leads to: `=account`, `=account+tag`, `!code address`, `?address` deferred, `~address` merged, `>address` elsewhere.
async fn check(directory: &Fake, config: &Config, recipients: &[&str], expected: &[&str]) {
    let expansion = expand(directory, config, &envelope(1, "s@example.test", recipients)).await;
    let mut found = Vec::new();
    for target in expansion.targets {
        let tag = target.tag.map(|tag| format!("+{tag}")).unwrap_or_default();
        found.push(format!("={}{tag}", target.account.address().local_part()));
    }
    let from = |recipient: &Recipient| recipient.address.local_part().to_string();
    found.extend(expansion.failed.iter().map(|f| format!("!{} {}", f.failure.code, from(&f.recipient))));
    found.extend(expansion.deferred.iter().map(|d| format!("?{}", from(&d.recipient))));
    found.extend(expansion.merged.iter().map(|r| format!("~{}", from(&r.recipient))));
    found.extend(expansion.elsewhere.iter().map(|recipient| format!(">{}", from(recipient))));
    assert_eq!(found, expected, "{recipients:?}");
}

#[tokio::test]
async fn follows_aliases_to_mailboxes() {
    let directory = Fake::new(&[
        ("ann", "=ann"),
        ("bob", "=bob"),
        ("bob+news", "=bob+news"),
        ("team", "ann bob"),
        ("all", "team bob carol"),
        ("robert", "bob"),
        ("carol", "=carol"),
        ("self", "self ann"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("nobody", ""),
        ("gone", "missing ann"),
        ("away", "someone@elsewhere.test ann"),
        ("down", "?"),
        ("half", "down ann"),
    ]);
    let config = Config::default();
    for (recipients, expected) in [
        (&["ann"][..], &["=ann"][..]),
        (&["bob+news"], &["=bob+news"]),
        (&["ann", "ANN"], &["=ann", "~ANN"]),
        (&["bob", "bob+news"], &["=bob", "~bob+news"]),
        (&["robert", "bob"], &["=bob", "~bob"]),
        (&["team"], &["=ann", "=bob"]),
        (&["all"], &["=bob", "=carol", "=ann", "~bob"]),
        (&["team", "ann", "all"], &["=ann", "=bob", "=carol", "~ann", "~team", "~bob"]),
        (&["self"], &["=ann", "!5.4.6 self"]),
        (&["ping"], &["!5.4.6 ping"]),
        (&["nobody"], &["!5.2.4 nobody"]),
        (&["missing"], &["!5.1.1 missing"]),
        (&["gone"], &["=ann", "!5.1.1 missing"]),
        (&["away"], &["=ann", ">someone"]),
        // Nobody here has it lead away: strangers can't relay.
        (&["someone@elsewhere.test"], &["!5.4.4 someone"]),
        (&["half"], &["=ann", "?down"]),
    ] {
        check(&directory, &config, recipients, expected).await;
    }
}

#[tokio::test]
async fn stops_at_its_limits() {
    let chain = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "=d"), ("many", "a b c")];
    let directory = Fake::new(&chain);
    for (depth, expected) in [(2, "!5.4.6 d"), (3, "=d"), (4, "=d")] {
        let config = Config { expansion_depth_max: depth, ..Config::default() };
        check(&directory, &config, &["a"], &[expected]).await;
    }
    for (addresses, expected) in [(2, "!5.2.4 c"), (3, "=d"), (4, "=d")] {
        let config = Config { expansion_addresses_max: addresses, ..Config::default() };
        check(&directory, &config, &["a"], &[expected]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_does_not_answer_is_unavailable() {
    check(&Fake::new(&[("ann", "…")]), &Config::default(), &["ann"], &["?ann"]).await;
}

#[tokio::test]
async fn remembers_where_a_recipient_comes_from() {
    let directory = Fake::new(&[("a", "b"), ("b", "c"), ("c", "=c")]);
    let expansion = expand(&directory, &Config::default(), &envelope(1, "", &["a"])).await;
    let from: Vec<_> = expansion.targets[0].recipient.expanded_from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["a@example.test", "b@example.test"]);
    assert_eq!(expansion.aliases, 2);
}

#[tokio::test]
async fn who_logged_in_writes_to_anybody() {
    let mut written = envelope(1, "ann", &["ann", "someone@elsewhere.test"]);
    written.origin.authenticated = Some(envelope::AccountId::new(&crate::worker::fakes::address("ann")));
    let expansion = expand(&Fake::new(&[("ann", "=ann")]), &Config::default(), &written).await;
    assert_eq!((expansion.targets.len(), expansion.elsewhere.len(), expansion.failed.len()), (1, 1, 0));
}

#[tokio::test]
async fn lists_are_ends_with_members() {
    let directory = Fake::new(&[
        ("list", "@owner ann x@elsewhere.test"),
        ("owner", "=owner"),
        ("ann", "=ann"),
        ("all", "list ann"),
        ("huge", "@owner a b c d e"),
    ]);
    let config = Config { expansion_addresses_max: 4, ..Config::default() };
    let expansion = expand(&directory, &config, &envelope(1, "s@a.test", &["all", "list"])).await;
    let [list] = &expansion.lists[..] else { panic!("{:?}", expansion.lists) };
    // It came by the alias as well, and gets one copy.
    assert_eq!(expansion.merged.len(), 1);
    assert_eq!(list.owner.to_string(), "owner@example.test");
    let members: Vec<_> = list.members.iter().map(|member| member.address.to_string()).collect();
    assert_eq!(members, ["ann@example.test", "x@elsewhere.test"]);
    check(&directory, &config, &["huge"], &["!5.2.4 huge"]).await;
    // However it is tagged, it is one list.
    let tagged = [("list+1", "@owner ann"), ("list+2", "@owner ann")];
    let directory = Fake::new(&tagged);
    let expansion = expand(&directory, &config, &envelope(1, "s@a.test", &["list+1", "list+2"])).await;
    assert_eq!((expansion.lists.len(), expansion.merged.len()), (1, 1));
    assert_eq!(expansion.lists[0].address.to_string(), "list@example.test");
    let directory = Fake::new(&[("list", "@owner ann"), ("owner", "=owner")]);
    // A report goes to whom it concerns.
    let expansion = expand(&directory, &config, &envelope(1, "", &["list"])).await;
    assert_eq!((expansion.lists.len(), expansion.targets.len()), (0, 1));
    assert_eq!(expansion.targets[0].account.to_string(), "owner@example.test");
}
