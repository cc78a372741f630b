//! What filters say, as peers hear it and as the queue gets it.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use ::filters::{
    AuthenticationConfig, Config, Deps, Dns, DnsError, Filters, PolicyConfig, Reputation, ReputationConfig,
};
use async_trait::async_trait;
use bytes::Bytes;
use queue::memory::MemoryQueue;
use queue::{Lane, ListFilter, Listed, Queue};
use shared_state::Guarded;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use units::Span;

use crate::node::{Node, start_with};
use crate::queues::GatedQueue;

/// Knows the policy of one domain, and nothing else.
struct OneDomain;

#[async_trait]
impl Dns for OneDomain {
    async fn a(&self, _: &str) -> Result<Vec<std::net::Ipv4Addr>, DnsError> {
        Err(DnsError::NoName)
    }
    async fn aaaa(&self, _: &str) -> Result<Vec<std::net::Ipv6Addr>, DnsError> {
        Err(DnsError::NoName)
    }
    async fn mx(&self, _: &str) -> Result<Vec<String>, DnsError> {
        Err(DnsError::NoName)
    }
    async fn ptr(&self, _: IpAddr) -> Result<Vec<String>, DnsError> {
        Err(DnsError::NoName)
    }
    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, DnsError> {
        match name {
            "_dmarc.bank.test" => Ok(vec![b"v=DMARC1; p=reject".to_vec()]),
            "good.test" => Ok(vec![b"v=spf1 ip4:127.0.0.0/8 -all".to_vec()]),
            "_dmarc.good.test" => Ok(vec![b"v=DMARC1; p=reject".to_vec()]),
            "_dmarc.down.test" => Err(DnsError::Failed("no answer".to_owned())),
            _ => Err(DnsError::NoName),
        }
    }
}

const RULES: &str = r#"
[[rule]]
name = "bad-word"
owner = "o"
when = 'message.subject.contains("refuse")'
then = [{ action = "reject", text = "Not that word" }]

[[rule]]
name = "later"
owner = "o"
when = 'message.subject.contains("later")'
then = [{ action = "tempfail", text = "Come back" }]

[[rule]]
name = "keep"
owner = "o"
when = 'message.subject.contains("keep")'
then = [{ action = "quarantine", reason = "to be looked at" }]

[[rule]]
name = "drop"
owner = "o"
when = 'message.subject.contains("drop")'
then = [{ action = "discard" }]

[[rule]]
name = "mark"
owner = "o"
direction = "any"
when = 'message.subject.contains("mark")'
then = [{ action = "tag", value = "marked" }, { action = "header", name = "X-Rule", value = "mark" }]

[[rule]]
name = "copy"
owner = "o"
when = 'message.subject.contains("copy")'
then = [{ action = "copy", to = "bob@example.test" }]

[[rule]]
name = "elsewhere"
owner = "o"
when = 'message.subject.contains("redirect")'
then = [{ action = "redirect", to = "bob@example.test" }]

[[rule]]
name = "archive"
owner = "o"
when = 'message.subject.contains("journal")'
then = [{ action = "journal", to = "postmaster@example.test" }]

[[rule]]
name = "away"
owner = "o"
when = 'message.subject.contains("away")'
then = [{ action = "redirect", to = "soc@elsewhere.test" }]

[[rule]]
name = "copy-away"
owner = "o"
when = 'message.subject.contains("duplicate")'
then = [{ action = "copy", to = "soc@elsewhere.test" }]

[[rule]]
name = "strip"
owner = "o"
when = 'message.subject.contains("strip")'
then = [{ action = "header", name = "X-Spam", value = "ours" }, { action = "remove-header", name = "X-Spam" }]

[[rule]]
name = "forged"
owner = "o"
when = 'headers("authentication-results").exists(one, one.contains("boss.test"))'
then = [{ action = "reject", text = "a forged field was seen" }]

[[rule]]
name = "by-account"
owner = "o"
direction = "outbound"
when = 'message.subject.contains("account")'
then = [{ action = "rate", key = "account", limit = 1, window = "1h", exceeded = "reject", text = "Too many" }]

[[rule]]
name = "tried"
owner = "o"
mode = "shadow"
when = 'message.subject.contains("shadow")'
then = [{ action = "reject", text = "never said" }]
"#;

struct Filtered {
    node: Node,
    _folder: TempDir,
}

async fn start(change: impl FnOnce(&mut Config)) -> Filtered {
    start_over(Arc::new(MemoryQueue::new()), change, |_| {}).await
}

async fn start_over(
    queue: Arc<dyn Queue>,
    change: impl FnOnce(&mut Config),
    change_gateway: impl FnOnce(&mut gateway::Config),
) -> Filtered {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("policy")).unwrap();
    fs::write(folder.path().join("policy/rules.toml"), RULES).unwrap();
    let authentication = AuthenticationConfig { exempt: Vec::new(), ..AuthenticationConfig::default() };
    let mut config = Config { authentication, policy: PolicyConfig::default(), ..Config::default() };
    change(&mut config);
    let registry = prometheus::Registry::new();
    let dns: Arc<dyn Dns> = Arc::new(OneDomain);
    let reputation =
        Reputation::new(&ReputationConfig::default(), Arc::clone(&dns), Guarded::alone(), None, &registry)
            .unwrap();
    let deps = Deps {
        registry,
        policy: folder.path().join("policy"),
        kept: folder.path().join("kept"),
        dns,
        reputation: Arc::new(reputation),
    };
    let filters = Filters::open(config, "mx.example.test", deps).unwrap();
    let node = start_with(queue, Some(filters), change_gateway).await;
    Filtered { node, _folder: folder }
}

impl Filtered {
    /// Sends a message from good.test; gives the answer to its end.
    async fn send(&self, from: &str, text: &str) -> String {
        let mut peer = self.node.connect("mx").await;
        peer.expect("220 ").await;
        peer.ask("EHLO client.good.test", "250").await;
        peer.ask(&format!("MAIL FROM:<{from}>"), "250").await;
        peer.ask("RCPT TO:<alice@example.test>", "250").await;
        peer.ask("DATA", "354").await;
        peer.send(format!("{text}\r\n.\r\n").as_bytes()).await;
        peer.reply().await
    }

    async fn subject(&self, subject: &str) -> String {
        let text = format!(
            "From: Ann <ann@good.test>\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\nHello."
        );
        self.send("ann@good.test", &text).await
    }

    async fn queued(&self) -> Vec<Listed> {
        self.node.queue.list(&ListFilter::default(), 100).await.unwrap()
    }

    async fn only(&self) -> (Listed, String) {
        let mut queued = self.queued().await;
        assert_eq!(queued.len(), 1);
        let listed = queued.remove(0);
        let content: Bytes = self.node.queue.content(listed.envelope.id).await.unwrap().unwrap();
        (listed, String::from_utf8(content.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn results_are_written_and_forged_ones_are_gone() {
    let filtered = start(|_| {}).await;
    let text = "Authentication-Results: mx.example.test; dmarc=pass header.from=boss.test\r\n\
                Authentication-Results: (x) MX.example.TEST 1; spf=pass\r\n\
                Authentication-Results: other.test; spf=pass\r\n\
                From: Ann <ann@good.test>\r\nSubject: hi\r\n\r\nHello.";
    assert!(filtered.send("ann@good.test", text).await.starts_with("250 2.0.0 queued"));
    let (listed, content) = filtered.only().await;
    assert_eq!(listed.lane, Lane::Local);
    let (trace, rest) = content.split_once("Authentication-Results:").unwrap();
    assert!(trace.starts_with("Received: from client.good.test") && trace.lines().count() == 4, "{trace}");
    assert!(rest.starts_with(" mx.example.test;\r\n\tspf=pass\r\n\t\tsmtp.mailfrom=ann@good.test"), "{rest}");
    assert!(rest.contains("dmarc=pass\r\n\t\theader.from=good.test\r\n\t\tpolicy.dmarc=reject"), "{rest}");
    assert!(!rest.contains("boss.test") && !rest.contains("(x)"), "{rest}");
    assert!(rest.contains("Authentication-Results: other.test; spf=pass\r\n"), "{rest}");
    assert!(rest.ends_with("\r\n\r\nHello.\r\n"), "{rest}");
    let told = listed.envelope.filtered.unwrap();
    assert_eq!(told.authentication, "spf=pass dkim=none dmarc=pass");
    assert_eq!(listed.envelope.size, content.len() as u64);
}

#[tokio::test]
async fn mail_that_fails_dmarc_is_refused_as_its_domain_asks() {
    let filtered = start(|_| {}).await;
    let text = "From: Boss <boss@bank.test>\r\nSubject: pay\r\n\r\nNow.";
    let answer = filtered.send("ann@good.test", text).await;
    assert!(answer.starts_with("550 5.7.26 ") && answer.contains("bank.test"), "{answer}");
    assert!(filtered.queued().await.is_empty());
    let filtered =
        start(|config| config.authentication.dmarc_reject = ::filters::DmarcAction::Quarantine).await;
    assert!(filtered.send("ann@good.test", text).await.starts_with("250 "));
    let (listed, _) = filtered.only().await;
    assert_eq!(listed.lane, Lane::Quarantine);
    assert_eq!(listed.envelope.filtered.unwrap().reasons, ["dmarc: fail, bank.test says reject"]);
}

#[tokio::test]
async fn attack_from_fields_that_two_programs_read_differently() {
    let filtered = start(|_| {}).await;
    for from in [
        "From: ann@good.test\r\nFrom: boss@bank.test",
        "From: ann@good.test, boss@bank.test",
        "From: <ann@good.test><boss@bank.test>",
        "From:",
        "X: y",
    ] {
        let answer = filtered.send("ann@good.test", &format!("{from}\r\nSubject: x\r\n\r\nHello.")).await;
        assert!(answer.starts_with("550 5.7.1 Message refused:"), "{from}: {answer}");
    }
    assert!(filtered.queued().await.is_empty());
}

#[tokio::test]
async fn a_dns_that_does_not_answer_decides_as_configured() {
    let text = "From: x@down.test\r\nSubject: hi\r\n\r\nHello.";
    let filtered = start(|_| {}).await;
    assert!(filtered.send("x@down.test", text).await.starts_with("250 "));
    let filtered = start(|config| config.authentication.tempfail_on_temperror = true).await;
    let answer = filtered.send("x@down.test", text).await;
    assert!(answer.starts_with("451 4.7.24 "), "{answer}");
}

#[tokio::test]
async fn rules_decide() {
    let filtered = start(|_| {}).await;
    assert_eq!(filtered.subject("refuse").await, "550 5.7.1 Not that word");
    assert_eq!(filtered.subject("later").await, "451 4.7.1 Come back");
    assert!(filtered.subject("drop").await.starts_with("250 "));
    assert!(filtered.queued().await.is_empty(), "refused and discarded mail is nowhere");
    assert!(filtered.subject("keep").await.starts_with("250 "));
    let (listed, _) = filtered.only().await;
    assert_eq!(listed.lane, Lane::Quarantine);
    assert_eq!(listed.envelope.filtered.unwrap().reasons, ["keep: to be looked at"]);
}

#[tokio::test]
async fn rules_change() {
    let filtered = start(|_| {}).await;
    assert!(filtered.subject("mark").await.starts_with("250 "));
    let (_, content) = filtered.only().await;
    assert!(
        content.contains("\r\nX-Sluice-Tags: marked\r\n") && content.contains("\r\nX-Rule: mark\r\n"),
        "{content}"
    );

    let recipients = async |subject: &str| {
        let filtered = start(|_| {}).await;
        assert!(filtered.subject(subject).await.starts_with("250 "));
        let (listed, _) = filtered.only().await;
        listed.envelope.recipients.iter().map(|one| one.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(recipients("copy").await, ["alice@example.test", "bob@example.test"]);
    assert_eq!(recipients("redirect").await, ["bob@example.test"]);
    assert_eq!(recipients("shadow").await, ["alice@example.test"]);
}

#[tokio::test]
async fn a_journal_report_is_queued_before_the_message() {
    let queue = Arc::new(GatedQueue::new());
    let filtered = start_over(Arc::clone(&queue) as Arc<dyn Queue>, |_| {}, |_| {}).await;
    let (answer, report) = tokio::join!(filtered.subject("journal"), async {
        queue.arrived.acquire().await.unwrap().forget();
        assert!(filtered.queued().await.is_empty());
        queue.gate.add_permits(1);
        queue.arrived.acquire().await.unwrap().forget();
        let (report, _) = filtered.only().await;
        queue.gate.add_permits(1);
        report.envelope
    });
    assert!(answer.starts_with("250 "), "{answer}");
    assert_eq!(filtered.queued().await.len(), 2);
    assert_eq!(report.reverse_path.address(), None);
    assert_eq!(report.recipients[0].address.to_string(), "postmaster@example.test");
    let content = filtered.node.queue.content(report.id).await.unwrap().unwrap();
    let content = String::from_utf8(content.to_vec()).unwrap();
    for line in ["Sender: ann@good.test", "Recipient: alice@example.test", "Subject: journal"] {
        assert!(content.contains(&format!("\r\n{line}\r\n")), "{line}: {content}");
    }
}

#[tokio::test]
async fn without_its_report_a_message_is_not_accepted() {
    let queue = Arc::new(GatedQueue::new());
    let filtered = start_over(
        Arc::clone(&queue) as Arc<dyn Queue>,
        |_| {},
        |config| config.timeouts.publish = Span::millis(50),
    )
    .await;
    let answer = filtered.subject("journal").await;
    assert!(answer.starts_with("451 4.3.0 "), "{answer}");
    queue.arrived.acquire().await.unwrap().forget();
    assert!(queue.arrived.try_acquire().is_err(), "only the report was tried");
}

#[tokio::test]
async fn checks_that_take_too_long_end_the_session() {
    let queue = Arc::new(GatedQueue::new());
    let filtered = start_over(queue, |_| {}, |config| config.timeouts.check = Span::millis(50)).await;
    let mut peer = filtered.node.greeted("mx").await;
    peer.up_to_data().await;
    peer.send(b"From: a@b.test\r\nSubject: journal\r\n\r\nHello.\r\n.\r\n").await;
    peer.expect("421 4.3.0 ").await;
    peer.expect_close().await;
    assert!(filtered.queued().await.is_empty());
    assert_eq!(filtered.node.metric("refused_total"), 1.0);
}

/// Answers every command of a milter's conversation, and DATA with `said`.
async fn milter_that_refuses_data(said: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(length) = peer.read_u32().await {
                    let mut packet = vec![0; length as usize];
                    peer.read_exact(&mut packet).await?;
                    let answer = match packet[0] {
                        // Version 6, no changes, every command with an answer.
                        b'O' => b"O\0\0\0\x06\0\0\0\0\0\0\0\0".to_vec(),
                        b'T' => format!("y{said}\0").into_bytes(),
                        b'D' | b'A' | b'Q' | b'K' => continue,
                        _ => b"c".to_vec(),
                    };
                    peer.write_u32(u32::try_from(answer.len()).unwrap()).await?;
                    peer.write_all(&answer).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_milter_refuses_at_data() {
    let refusing = async |said| {
        let address = milter_that_refuses_data(said).await;
        let milter = serde_json::json!({ "name": "early", "address": address });
        start(|config| config.milters = vec![serde_json::from_value(milter).unwrap()]).await
    };
    let filtered = refusing("451 4.7.1 Not now").await;
    for listener in ["mx", "lmtp"] {
        let mut peer = filtered.node.greeted(listener).await;
        peer.ask("MAIL FROM:<ann@good.test>", "250").await;
        for recipient in ["alice", "bob"] {
            peer.ask(&format!("RCPT TO:<{recipient}@example.test>"), "250").await;
        }
        peer.ask("DATA", "451 4.7.1 Not now").await;
        // One answer, whoever serves: the next one is to the next command.
        peer.ask("RSET", "250 ").await;
        peer.ask("NOOP", "250 2.0.0 OK").await;
    }
    let filtered = refusing("421 4.7.0 Go away").await;
    for listener in ["mx", "lmtp"] {
        let mut peer = filtered.node.greeted(listener).await;
        peer.ask("MAIL FROM:<ann@good.test>", "250").await;
        peer.ask("RCPT TO:<alice@example.test>", "250").await;
        peer.ask("DATA", "421 4.7.0 Go away").await;
        peer.expect_close().await;
    }
    assert!(filtered.queued().await.is_empty());
}

#[tokio::test]
async fn large_messages_are_judged_and_changed_too() {
    let filtered = start(|_| {}).await;
    let line = format!("{}\r\n", "x".repeat(98));
    let text = format!("From: ann@good.test\r\nSubject: mark\r\n\r\n{}end", line.repeat(10_000));
    assert!(filtered.send("ann@good.test", &text).await.starts_with("250 "));
    let (listed, content) = filtered.only().await;
    assert_eq!(listed.envelope.size, content.len() as u64);
    assert!(
        content.contains("\r\nX-Rule: mark\r\n")
            && content.ends_with("xx\r\nend\r\n")
            && content.len() > 1_000_000
    );
}

#[tokio::test]
async fn who_is_added_by_a_rule_may_be_elsewhere() {
    let filtered = start(|_| {}).await;
    assert!(filtered.subject("away").await.starts_with("250 "));
    let (listed, _) = filtered.only().await;
    let [only] = listed.envelope.recipients.as_slice() else { panic!("{listed:?}") };
    assert_eq!(only.address.to_string(), "soc@elsewhere.test");
    assert_eq!(only.expanded_from.len(), 1, "the worker lets it leave");
    assert_eq!((only.notify, listed.lane), (None, Lane::Local), "its sender hears when it fails");

    let filtered = start(|_| {}).await;
    assert!(filtered.subject("duplicate").await.starts_with("250 "));
    let (listed, _) = filtered.only().await;
    let [_, copy] = listed.envelope.recipients.as_slice() else { panic!("{listed:?}") };
    assert_eq!(copy.notify, Some(envelope::Notify::default()), "a copy is nobody's business");
}

#[tokio::test]
async fn fields_are_removed_as_they_are_by_then() {
    let filtered = start(|_| {}).await;
    let text = "From: ann@good.test\r\nX-Spam: theirs\r\nSubject: strip\r\nx-spam: too\r\n\r\nHello.";
    assert!(filtered.send("ann@good.test", text).await.starts_with("250 "));
    let (_, content) = filtered.only().await;
    assert!(!content.to_lowercase().contains("x-spam"), "{content}");
    assert_eq!(content.matches("Authentication-Results: mx.example.test;").count(), 1, "{content}");
}

#[tokio::test]
async fn with_authentication_off_forged_results_go_all_the_same() {
    let filtered = start(|config| config.authentication.enabled = false).await;
    let text = "Authentication-Results: mx.example.test; dmarc=pass header.from=boss.test\r\n\
                From: ann@good.test\r\nSubject: hi\r\n\r\nHello.";
    assert!(
        filtered.send("ann@good.test", text).await.starts_with("250 "),
        "rules do not see what is removed"
    );
    let (_, content) = filtered.only().await;
    assert!(!content.contains("Authentication-Results"), "{content}");
}

#[tokio::test]
async fn filters_know_who_logged_in() {
    let filtered = start(|_| {}).await;
    let mut peer = filtered.node.logged_in().await;
    for expected in ["250 ", "550 5.7.1 Too many"] {
        peer.ask("MAIL FROM:<alice@example.test>", "250").await;
        peer.ask("RCPT TO:<bob@example.test>", "250").await;
        peer.ask("DATA", "354").await;
        peer.send(b"From: alice@example.test\r\nSubject: account\r\n\r\nHello.\r\n.\r\n").await;
        peer.expect(expected).await;
    }
}
