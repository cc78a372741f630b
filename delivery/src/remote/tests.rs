//! Against servers on loopback that do as they are told.

mod observed;
mod peer;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use bytes::Bytes;
use envelope::{Envelope, Recipient};
use runtime::{ServerTls, Tlsa};
use units::Span;

use super::dns::{Answer, DnsError, Mx};
use super::*;
use crate::worker::fakes::envelope;
use peer::{Behaviour, Peer};

/// Every domain's MX is `mx.<domain>`, at the addresses that are told; TLSA records of the MX, when the zone is signed.
#[derive(Default)]
struct Zone {
    addresses: HashMap<String, Vec<IpAddr>>,
    tlsa: Option<Result<Vec<Tlsa>, DnsError>>,
    unsigned_hosts: bool,
}

#[async_trait]
impl Dns for Zone {
    async fn mx(&self, domain: &str) -> Result<Answer<Mx>, DnsError> {
        let host = format!("mx.{domain}");
        let secure = self.tlsa.is_some();
        Ok(Answer { records: vec![Mx { preference: 10, host }], secure, complete: true })
    }

    async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsError> {
        let records = self.addresses.get(host).cloned().ok_or(DnsError::NoName)?;
        Ok(Answer { records, secure: self.tlsa.is_some() && !self.unsigned_hosts, complete: true })
    }

    async fn tlsa(&self, _: &str, _: u16) -> Result<Answer<Tlsa>, DnsError> {
        let records = self.tlsa.clone().unwrap_or(Err(DnsError::NoRecord))?;
        Ok(Answer { records, secure: true, complete: true })
    }

    async fn txt(&self, _: &str) -> Result<Answer<String>, DnsError> {
        Err(DnsError::NoRecord)
    }
}

fn config() -> RemoteConfig {
    RemoteConfig {
        allow_private: true,
        dnssec: true,
        connect_max: Span::secs(20),
        command_max: Span::secs(20),
        greeting_max: Span::secs(20),
        verdict_max: Span::secs(20),
        connection_idle_max: Span::secs(60),
        ..RemoteConfig::default()
    }
}

/// A way to one server at `mx.a.test`.
fn to(peer: &Peer, config: RemoteConfig, tlsa: Option<Result<Vec<Tlsa>, DnsError>>) -> Remote {
    let addresses = HashMap::from([("mx.a.test".to_owned(), vec![peer.address.ip()])]);
    let config = RemoteConfig { port: peer.address.port(), ..config };
    Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone { addresses, tlsa, unsigned_hosts: false })))
}

fn to_unsigned_host(peer: &Peer) -> Remote {
    let addresses = HashMap::from([("mx.a.test".to_owned(), vec![peer.address.ip()])]);
    let config = RemoteConfig { port: peer.address.port(), ..config() };
    let tlsa = Some(Err(DnsError::Failed("no answer".to_owned())));
    Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone { addresses, tlsa, unsigned_hosts: true })))
}

const TEXT: &[u8] = b"Subject: hi\r\n\r\n.dot\r\nlast\r\n";

fn short(fate: &Fate) -> String {
    match fate {
        Fate::Relayed { tls, .. } => format!("relayed {tls}"),
        Fate::Failed(failure) => failure.code.to_string(),
        Fate::Later(later) if later.untried => "untried".to_owned(),
        Fate::Later(later) => format!("later: {}", later.reason.replace("127.0.0.1", "*")),
    }
}

async fn send_from(remote: &Remote, envelope: &Envelope, domain: &str, octets: &[u8]) -> Vec<String> {
    let message =
        Message { envelope, octets: Bytes::copy_from_slice(octets), eight_bit: false, utf8_header: false };
    let domain: Domain = domain.parse().unwrap();
    let is_there = |recipient: &&Recipient| *recipient.address.domain() == domain;
    let recipients: Vec<Recipient> = envelope.recipients.iter().filter(is_there).cloned().collect();
    remote.send(&domain, &message, &recipients).await.iter().map(short).collect()
}

async fn send(remote: &Remote, recipients: &[&str]) -> Vec<String> {
    send_from(remote, &envelope(1, "s@us.test", recipients), "a.test", TEXT).await
}

#[tokio::test]
async fn messages_share_a_connection_and_arrive_as_they_are() {
    for extensions in [&["PIPELINING", "CHUNKING"][..], &["PIPELINING"], &[]] {
        let peer = Peer::start(Behaviour { extensions: extensions.to_vec(), ..Behaviour::default() }).await;
        let remote = to(&peer, config(), None);
        for _ in 0..3 {
            assert_eq!(send(&remote, &["x@a.test", "y@a.test"]).await, ["relayed none", "relayed none"]);
        }
        let seen = peer.seen();
        assert_eq!((seen.connections, seen.messages.len()), (1, 3), "{extensions:?}");
        assert!(seen.messages.iter().all(|message| message == TEXT), "{:?}", seen.messages);
    }
}

#[tokio::test]
async fn members_of_a_list_have_senders_of_their_own() {
    let peer = Peer::start(Behaviour::default()).await;
    let remote = to(&peer, config(), None);
    let members: Vec<String> = (0..60).map(|number| format!("m{number}@a.test")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let list = envelope::List { address: "list@us.test".parse().unwrap(), separator: Some('+') };
    let list = Envelope { list: Some(list), ..envelope(1, "owner@us.test", &members) };
    let fates = send_from(&remote, &list, "a.test", TEXT).await;
    // As many as may go at a time; the others have not been tried.
    let right = |(index, fate): (usize, &String)| fate == if index < 50 { "relayed none" } else { "untried" };
    assert!(fates.len() == 60 && fates.iter().enumerate().all(right), "{fates:?}");
    let seen = peer.seen();
    assert_eq!(seen.messages.len(), 50);
    let expected: Vec<String> = (0..50).map(|n| format!("<owner+m{n}=a.test@us.test>")).collect();
    assert_eq!(seen.senders, expected);
}

#[tokio::test]
async fn a_member_at_whom_the_server_hangs_up_does_not_hold_up_the_others() {
    let refuse = |command: &str| command.contains("RCPT TO:<bad").then_some("421 4.3.2 not now");
    let peer = Peer::start(Behaviour { refuse, extensions: Vec::new(), ..Behaviour::default() }).await;
    let list = envelope::List { address: "list@us.test".parse().unwrap(), separator: Some('+') };
    let members = ["bad@a.test", "x@a.test", "bad2@a.test", "y@a.test"];
    let list = Envelope { list: Some(list), ..envelope(1, "owner@us.test", &members) };
    let limited = RemoteConfig { destination_rate: 1000, ..config() };
    let fates = send_from(&to(&peer, limited, None), &list, "a.test", TEXT).await;
    assert_eq!(fates[1..], ["untried", "untried", "untried"], "each counts for the rate");
    let fates = send_from(&to(&peer, config(), None), &list, "a.test", TEXT).await;
    assert!(fates[0].contains("not now") && fates[2].contains("not now"), "{fates:?}");
    assert_eq!((fates[1].as_str(), fates[3].as_str()), ("relayed none", "relayed none"));
}

#[tokio::test]
async fn a_connection_is_used_as_often_as_allowed_and_as_long() {
    let peer = Peer::start(Behaviour::default()).await;
    let remote = to(&peer, RemoteConfig { connection_messages_max: 2, ..config() }, None);
    for expected in [1, 1, 2, 2, 3] {
        send(&remote, &["x@a.test"]).await;
        assert_eq!(peer.seen().connections, expected);
    }
    for short in [
        RemoteConfig { connection_idle_max: Span::millis(1), ..config() },
        RemoteConfig { connection_age_max: Span::millis(1), ..config() },
    ] {
        let peer = Peer::start(Behaviour::default()).await;
        let remote = to(&peer, short, None);
        for expected in 1..4 {
            send(&remote, &["x@a.test"]).await;
            assert_eq!(peer.seen().connections, expected);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let peer = Peer::start(Behaviour { hang_up_after: 1, ..Behaviour::default() }).await;
    let remote = to(&peer, config(), None);
    for _ in 0..3 {
        assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed none"]);
    }
    assert_eq!((peer.seen().connections, peer.seen().messages.len()), (3, 3));
}

#[tokio::test]
async fn each_recipient_has_its_own_fate() {
    let refuse = |line: &str| {
        let at = |what| line.contains(what);
        if at("bad@") {
            Some("550 5.1.1 nobody here")
        } else if at("full@") {
            Some("452 4.2.2 full")
        } else if at("old@") {
            Some("552 mailbox full, says an old server")
        } else {
            None
        }
    };
    let peer = Peer::start(Behaviour { refuse, ..Behaviour::default() }).await;
    let remote = to(&peer, config(), None);
    let fates = send(&remote, &["bad@a.test", "good@a.test"]).await;
    assert_eq!(fates, ["5.1.1", "relayed none"]);
    // Who is refused with 452 beside others gets a transaction of its own.
    let fates = send(&remote, &["full@a.test", "good@a.test", "old@a.test"]).await;
    assert_eq!(fates, ["later: mx.a.test [*] said 452 4.2.2 full", "relayed none", "5.0.0"]);
    assert_eq!(peer.seen().messages.len(), 2);
}

#[tokio::test]
async fn more_recipients_than_a_transaction_takes_go_in_several() {
    let peer = Peer::start(Behaviour::default()).await;
    let remote = to(&peer, RemoteConfig { recipients_max: 2, ..config() }, None);
    let recipients: Vec<String> = (0..5).map(|number| format!("r{number}@a.test")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    assert_eq!(send(&remote, &recipients).await, ["relayed none"; 5]);
    assert_eq!((peer.seen().connections, peer.seen().messages.len()), (1, 3));
}

#[tokio::test]
async fn a_verdict_that_does_not_come_means_later() {
    let peer = Peer::start(Behaviour { hang_up_in_text: true, ..Behaviour::default() }).await;
    let remote = to(&peer, config(), None);
    let fates = send(&remote, &["x@a.test"]).await;
    assert!(fates[0].starts_with("later: ") && fates[0].ends_with("it may have been taken"), "{fates:?}");
    // The server is there: nothing of it is a reason to leave the destination alone.
    assert!(send(&remote, &["x@a.test"]).await[0].starts_with("later: "));
}

#[tokio::test]
async fn a_dead_destination_costs_one_try_and_holds_up_no_other() {
    let live = Peer::start(Behaviour::default()).await;
    let addresses = HashMap::from([
        ("mx.a.test".to_owned(), vec![live.address.ip()]),
        // Nobody listens there.
        ("mx.dead.test".to_owned(), vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77))]),
    ]);
    let config = RemoteConfig { port: live.address.port(), ..config() };
    let remote = Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone { addresses, ..Zone::default() })));
    let envelope = envelope(1, "s@us.test", &["x@a.test", "x@dead.test"]);
    let first = send_from(&remote, &envelope, "dead.test", TEXT).await;
    assert!(first[0].starts_with("later: mx.dead.test [127.0.0.77]: connecting"), "{first:?}");
    for _ in 0..10 {
        assert_eq!(send_from(&remote, &envelope, "dead.test", TEXT).await, ["untried"]);
        assert_eq!(send_from(&remote, &envelope, "a.test", TEXT).await, ["relayed none"]);
    }
    assert_eq!(remote.destinations.figures().0, 1);
}

#[tokio::test]
async fn the_next_address_is_taken_when_one_does_not_answer() {
    let peer = Peer::start(Behaviour::default()).await;
    let dead = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
    let addresses = HashMap::from([("mx.a.test".to_owned(), vec![dead, peer.address.ip()])]);
    let config = RemoteConfig { port: peer.address.port(), ..config() };
    let remote = Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone { addresses, ..Zone::default() })));
    assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed none"]);
}

#[tokio::test]
async fn strangers_can_not_have_us_talk_to_our_own_network() {
    let peer = Peer::start(Behaviour::default()).await;
    let remote = to(&peer, RemoteConfig { allow_private: false, ..config() }, None);
    assert_eq!(send(&remote, &["x@a.test"]).await, ["5.4.4"]);
    let literal = envelope(1, "s@us.test", &["x@[127.0.0.1]"]);
    assert_eq!(send_from(&remote, &literal, "[127.0.0.1]", TEXT).await, ["5.4.4"]);
    assert_eq!(peer.seen().connections, 0);
}

fn encrypted(name: &str) -> (Behaviour, String) {
    let (tls, made) = ServerTls::self_signed(&[name]).unwrap();
    (
        Behaviour { extensions: vec!["STARTTLS", "REQUIRETLS"], tls: Some(tls), ..Behaviour::default() },
        made.certificate_pem,
    )
}

#[tokio::test]
async fn encryption_is_used_where_it_is_offered() {
    let (behaviour, _) = encrypted("whoever.test");
    let peer = Peer::start(behaviour).await;
    assert_eq!(send(&to(&peer, config(), None), &["x@a.test"]).await, ["relayed unverified"]);
    // A handshake that fails is no reason not to send what might as well have gone in the clear.
    let broken = Behaviour { extensions: vec!["STARTTLS"], ..Behaviour::default() };
    let peer = Peer::start(broken).await;
    assert_eq!(send(&to(&peer, config(), None), &["x@a.test"]).await, ["relayed none"]);
}

#[tokio::test]
async fn a_server_that_must_prove_its_name_does() {
    let folder = tempfile::tempdir().unwrap();
    let (behaviour, pem) = encrypted("mx.a.test");
    let peer = Peer::start(behaviour).await;
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, pem).unwrap();
    let route = Route { domains: vec!["*".to_owned()], tls: RouteTls::Verify, ..Route::default() };
    let verify = RemoteConfig { routes: vec![route], authorities, ..config() };
    assert_eq!(send(&to(&peer, verify.clone(), None), &["x@a.test"]).await, ["relayed verified"]);
    let required = Envelope { require_tls: true, ..envelope(1, "s@us.test", &["x@a.test"]) };
    let by_message = to(&peer, RemoteConfig { routes: Vec::new(), ..verify.clone() }, None);
    assert_eq!(send_from(&by_message, &required, "a.test", TEXT).await, ["relayed verified"]);
    // Another name, or no encryption at all: it waits, and nothing goes in the clear.
    let (other, _) = encrypted("mx.b.test");
    for behaviour in [other, Behaviour::default()] {
        let peer = Peer::start(behaviour).await;
        let fates = send(&to(&peer, verify.clone(), None), &["x@a.test"]).await;
        assert!(fates[0].starts_with("later: "), "{fates:?}");
        assert!(peer.seen().messages.is_empty());
    }
    // Verified, but the server does not promise to send on over TLS only.
    let (behaviour, _) = encrypted("mx.a.test");
    let peer = Peer::start(Behaviour { extensions: vec!["STARTTLS"], ..behaviour }).await;
    let fates = send_from(&to(&peer, verify, None), &required, "a.test", TEXT).await;
    assert!(fates[0].starts_with("later: "), "another certificate than the trusted one: {fates:?}");
}

#[tokio::test]
async fn dane_decides_where_the_dns_is_signed() {
    let (behaviour, pem) = encrypted("whoever.test");
    let peer = Peer::start(behaviour).await;
    let der = mail_parser::decoders::base64::base64_decode(
        pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().as_bytes(),
    );
    let right = Tlsa::new(3, 0, 0, &der.unwrap()).unwrap();
    let wrong = Tlsa::new(3, 1, 1, &[7; 32]).unwrap();
    let with = |tlsa| to(&peer, config(), Some(tlsa));
    assert_eq!(send(&with(Ok(vec![wrong.clone(), right.clone()])), &["x@a.test"]).await, ["relayed dane"]);
    assert_eq!(send(&with(Err(DnsError::NoRecord)), &["x@a.test"]).await, ["relayed unverified"]);
    assert_eq!(
        send(&with(Ok(Vec::new())), &["x@a.test"]).await,
        ["relayed unverified"],
        "none that is usable"
    );
    for tlsa in [Ok(vec![wrong]), Err(DnsError::Failed("no answer".to_owned()))] {
        let fates = send(&with(tlsa), &["x@a.test"]).await;
        assert!(fates[0].starts_with("later: "), "{fates:?}");
    }
    assert_eq!(peer.seen().messages.len(), 3);
    // STARTTLS stripped by somebody on the way: it waits.
    let stripped = Peer::start(Behaviour::default()).await;
    let fates = send(&to(&stripped, config(), Some(Ok(vec![right]))), &["x@a.test"]).await;
    assert_eq!(fates, ["later: mx.a.test [*]: the server offers no encryption"]);
    assert!(stripped.seen().messages.is_empty());
}

#[tokio::test]
async fn a_policy_of_mta_sts_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let (behaviour, pem) = encrypted("mx.a.test");
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, pem).unwrap();
    let config = RemoteConfig { authorities, ..config() };
    let peer = Peer::start(behaviour).await;
    let stripped = Peer::start(Behaviour::default()).await;
    for (mode, mx, peer, expected) in [
        ("enforce", "*.a.test", &peer, "relayed verified"),
        ("testing", "mx.b.test", &peer, "relayed unverified"),
        ("none", "mx.b.test", &peer, "relayed unverified"),
        (
            "enforce",
            "mx.b.test",
            &peer,
            "later: mx.a.test: the domain's policy (MTA-STS) does not name this server",
        ),
        ("enforce", "mx.a.test", &stripped, "later: mx.a.test [*]: the server offers no encryption"),
        ("testing", "mx.a.test", &stripped, "relayed none"),
    ] {
        let remote = to(peer, config.clone(), None);
        remote.policies.put("a.test", &format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 60"));
        assert_eq!(send(&remote, &["x@a.test"]).await, [expected], "{mode} {mx}");
    }
    // A signed zone decides before a policy does.
    let remote = to(&peer, config, Some(Ok(vec![Tlsa::new(3, 1, 1, &[7; 32]).unwrap()])));
    remote.policies.put("a.test", "version: STSv1\nmode: enforce\nmx: *.a.test\nmax_age: 60");
    assert!(send(&remote, &["x@a.test"]).await[0].starts_with("later: "));
}

#[tokio::test]
async fn answers_from_before_the_handshake_are_forgotten() {
    let (behaviour, _) = encrypted("mx.a.test");
    // In one packet with the 220 to STARTTLS: an answer to an EHLO that was not sent yet, with an extension that the server has not.
    let injected = "250-mx.a.test\r\n250 SIZE 1\r\n";
    let peer = Peer::start(Behaviour { injected, ..behaviour }).await;
    assert_eq!(send(&to(&peer, config(), None), &["x@a.test"]).await, ["relayed unverified"]);
}

#[tokio::test]
async fn a_server_that_is_full_gets_fewer_and_one_that_talks_forever_is_left() {
    let peer =
        Peer::start(Behaviour { greeting: "421 4.7.0 too many connections", ..Behaviour::default() }).await;
    let remote = to(&peer, config(), None);
    let fates = send(&remote, &["x@a.test"]).await;
    assert_eq!(fates, ["later: mx.a.test [*]: the server refused: 421 4.7.0 too many connections"]);
    let endless = Peer::start(Behaviour { endless: true, ..Behaviour::default() }).await;
    let fates = send(&to(&endless, config(), None), &["x@a.test"]).await;
    assert!(fates[0].starts_with("later: ") && fates[0].contains("too long"), "{fates:?}");
    let silent = Peer::start(Behaviour { greeting: "", ..Behaviour::default() }).await;
    let patient = RemoteConfig { greeting_max: Span::millis(100), ..config() };
    let fates = send(&to(&silent, patient, None), &["x@a.test"]).await;
    assert_eq!(fates, ["later: mx.a.test [*]: waiting for the greeting: timed out"]);
}

#[tokio::test]
async fn a_smart_host_gets_the_mail_of_the_domains_that_are_named() {
    let smart = Peer::start(Behaviour::default()).await;
    let route = Route {
        domains: vec!["*".to_owned()],
        host: "127.0.0.1".to_owned(),
        port: smart.address.port(),
        ..Route::default()
    };
    let config = RemoteConfig { allow_private: false, routes: vec![route], ..config() };
    let remote = Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone::default())));
    assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed none"]);
    let sender: Domain = "us.test".parse().unwrap();
    let keys = ["a.test", "b.test"].map(|domain| remote.key(Some(&sender), &domain.parse().unwrap()));
    assert_eq!(keys[0], keys[1], "one destination, whatever the domain");
}

#[tokio::test]
async fn connections_are_not_shared_between_routes() {
    let smart = Peer::start(Behaviour::default()).await;
    let route = |domain: &str, tls| Route {
        domains: vec![domain.to_owned()],
        host: "127.0.0.1".to_owned(),
        port: smart.address.port(),
        tls,
        ..Route::default()
    };
    let config = RemoteConfig {
        routes: vec![route("partner.test", RouteTls::Encrypt), route("*", RouteTls::Off)],
        ..config()
    };
    let remote = Remote::with_dns(&config, "us.test", Ok(Arc::new(Zone::default())));
    assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed none"]);
    let envelope = envelope(1, "s@us.test", &["x@partner.test"]);
    let fates = send_from(&remote, &envelope, "partner.test", TEXT).await;
    assert_eq!(fates, ["later: 127.0.0.1 [*]: the server offers no encryption".replace("127.0.0.1", "*")]);
    assert_eq!(smart.seen().messages.len(), 1);
}

#[tokio::test]
async fn a_policy_that_comes_later_counts_for_open_connections_too() {
    let (behaviour, _) = encrypted("mx.a.test");
    let peer = Peer::start(behaviour).await;
    let remote = to(&peer, config(), None);
    assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed unverified"]);
    remote.policies.put("a.test", "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 60");
    // No authority of the system vouches for it.
    assert!(send(&remote, &["x@a.test"]).await[0].starts_with("later: "));
    assert_eq!(peer.seen().messages.len(), 1);
}

#[tokio::test]
async fn a_server_that_greets_and_does_no_more_is_left_alone() {
    let refuse = |line: &str| line.starts_with("MAIL").then_some("421 4.3.2 closing");
    let peer = Peer::start(Behaviour { refuse, ..Behaviour::default() }).await;
    let remote = to(&peer, config(), None);
    assert!(send(&remote, &["x@a.test"]).await[0].starts_with("later: "));
    assert_eq!(send(&remote, &["x@a.test"]).await, ["untried"]);
}

#[tokio::test]
async fn tlsa_records_are_asked_for_only_where_the_server_s_address_is_proved() {
    // The zone of the domain is signed; that of its servers is not, and does not answer such questions.
    let peer = Peer::start(Behaviour::default()).await;
    let remote = to_unsigned_host(&peer);
    assert_eq!(send(&remote, &["x@a.test"]).await, ["relayed none"]);
}
