use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::ReversePath;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;

use super::*;
use crate::dns::zone::Zone;

const HOST: &str = "mx.ours.test";

/// An ed25519 key (RFC 8463 appendix A.2) and its record.
fn key() -> (Ed25519Key, String) {
    let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
    let public = STANDARD.decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
    let key = Ed25519Key::from_seed_and_public_key(&seed, &public).unwrap();
    (key, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned())
}

fn signed(message: &str, domain: &str, fields: &[&str]) -> String {
    let signature = DkimSigner::from_key(key().0)
        .domain(domain)
        .selector("s")
        .headers(fields.iter().copied())
        .sign(message.as_bytes())
        .unwrap();
    format!("{}{message}", signature.to_header())
}

fn zone() -> Zone {
    let (_, record) = key();
    Zone::default()
        .with("TXT", "s._domainkey.a.test", &record)
        .with("TXT", "s._domainkey.mail.a.test", &record)
        .with("TXT", "s._domainkey.other.test", &record)
        .with("TXT", "a.test", "v=spf1 ip4:192.0.2.1 -all")
        .with("TXT", "other.test", "v=spf1 ip4:192.0.2.1 -all")
        .with("TXT", "_dmarc.a.test", "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:d@a.test")
        .with("A", "here.a.test", "192.0.2.9")
}

const MESSAGE: &str = "From: Ann <ann@a.test>\r\nTo: bob@ours.test\r\nSubject: hi\r\n\r\nHello.\r\n";

async fn check(zone: Zone, peer: &str, sender: &str, message: &str) -> Authentication {
    let reverse_path =
        if sender.is_empty() { ReversePath::Null } else { ReversePath::Address(sender.parse().unwrap()) };
    let origin = Origin {
        peer: peer.parse().unwrap(),
        helo: "helo.test",
        reverse_path: &reverse_path,
        hostname: HOST,
        now: 1_700_000_000,
    };
    let authenticator = Authenticator::new(AuthenticationConfig::default(), Arc::new(zone)).unwrap();
    authenticator.check(origin, message.as_bytes()).await
}

fn words(found: &Authentication) -> (Word, Vec<Word>, Word) {
    (found.spf.result, found.dkim.iter().map(|one| one.result).collect(), found.dmarc.result)
}

#[tokio::test]
async fn what_aligns_passes() {
    let message = signed(MESSAGE, "a.test", &["From", "Subject"]);
    let found = check(zone(), "192.0.2.1", "ann@a.test", &message).await;
    assert_eq!(words(&found), (Word::Pass, vec![Word::Pass], Word::Pass));
    assert!(found.dmarc.spf_aligned && found.dmarc.dkim_aligned);
    assert_eq!((found.dmarc.policy, found.dmarc.domain.as_str()), (DmarcPolicy::Reject, "a.test"));
    let published = found.dmarc.published.as_ref().unwrap();
    assert_eq!(published.reports_to[0].address, "d@a.test");
    let published = found.dmarc.published.unwrap();
    assert_eq!((published.domain.as_str(), published.policy), ("a.test", DmarcPolicy::Reject));
    let below = MESSAGE.replace("ann@a.test", "ann@missing.a.test");
    let found = check(zone(), "198.51.100.1", "", &below).await;
    assert_eq!(
        found.dmarc.published.as_ref(),
        Some(&published),
        "as it stands in the DNS, whatever holds of it"
    );
    assert_eq!(published.subdomain_policy, DmarcPolicy::Quarantine);

    let found = check(zone(), "198.51.100.1", "list@other.test", &message).await;
    assert_eq!(words(&found), (Word::Fail, vec![Word::Pass], Word::Pass), "the signature is enough");
    let found = check(zone(), "192.0.2.1", "ann@a.test", MESSAGE).await;
    assert_eq!(words(&found), (Word::Pass, vec![], Word::Pass), "SPF is enough");
    let below = signed(MESSAGE, "mail.a.test", &["From"]);
    let found = check(zone(), "198.51.100.1", "", &below).await;
    assert_eq!(words(&found), (Word::None, vec![Word::Pass], Word::Pass), "a domain of the same owner");
}

#[tokio::test]
async fn what_does_not_align_fails() {
    let message = signed(MESSAGE, "other.test", &["From"]);
    let found = check(zone(), "192.0.2.1", "ann@other.test", &message).await;
    assert_eq!(words(&found), (Word::Pass, vec![Word::Pass], Word::Fail));
    let changed = signed(MESSAGE, "a.test", &["From"]).replace("Hello", "Hallo");
    let found = check(zone(), "198.51.100.1", "ann@a.test", &changed).await;
    assert_eq!(found.dmarc.result, Word::Fail);
    assert_ne!(found.dkim[0].result, Word::Pass);
    assert!(found.dkim[0].reason.contains("hash"), "{found:?}");
}

#[tokio::test]
async fn policies_of_subdomains_and_of_names_that_do_not_exist() {
    let of = async |domain: &str| {
        let message = MESSAGE.replace("ann@a.test", &format!("ann@{domain}"));
        check(zone(), "198.51.100.1", "x@other.test", &message).await.dmarc
    };
    let below = of("here.a.test").await;
    assert_eq!((below.result, below.policy), (Word::Fail, DmarcPolicy::Quarantine));
    let missing = of("nowhere.a.test").await;
    assert_eq!((missing.result, missing.policy), (Word::Fail, DmarcPolicy::Reject));
    assert_eq!(of("without.example").await.result, Word::None);
}

#[tokio::test]
async fn a_silent_dns_is_neither_pass_nor_fail() {
    let message = signed(MESSAGE, "a.test", &["From"]);
    let found =
        check(zone().failing("s._domainkey.a.test"), "198.51.100.1", "ann@other.test", &message).await;
    assert_eq!((found.dkim[0].result, found.dmarc.result), (Word::TempError, Word::TempError));
    let found = check(zone().failing("_dmarc.a.test"), "198.51.100.1", "ann@other.test", MESSAGE).await;
    assert_eq!(found.dmarc.result, Word::TempError);
}

#[tokio::test]
async fn attack_a_thousand_signatures() {
    let message =
        "DKIM-Signature: v=1; a=rsa-sha256; d=x.test; s=s; h=from; bh=AA==; b=AA==\r\n".repeat(1000);
    let message = format!("{message}{MESSAGE}");
    let zone = zone();
    let found = check(zone, "192.0.2.1", "ann@a.test", &message).await;
    assert_eq!((found.dkim.len(), found.signatures_ignored), (5, 995));
}

#[tokio::test]
async fn attack_signatures_that_prove_nothing() {
    let without_from = signed(MESSAGE, "a.test", &["Subject"]);
    let found = check(zone(), "198.51.100.1", "", &without_from).await;
    assert_ne!(found.dkim[0].result, Word::Pass, "{found:?}");
    assert_eq!(found.dmarc.result, Word::Fail);
    let part = DkimSigner::from_key(key().0)
        .domain("a.test")
        .selector("s")
        .headers(["From"])
        .body_length(true)
        .sign(MESSAGE.as_bytes())
        .unwrap();
    let found =
        check(zone(), "198.51.100.1", "", &format!("{}{MESSAGE}and more\r\n", part.to_header())).await;
    assert_ne!(found.dkim[0].result, Word::Pass, "{found:?}");
    assert_eq!(found.dmarc.result, Word::Fail);
}

#[tokio::test]
async fn attack_a_second_from_field() {
    let message = signed(MESSAGE, "a.test", &["From"]);
    let message = format!("From: boss@bank.test\r\n{message}");
    let found = check(zone(), "192.0.2.1", "ann@a.test", &message).await;
    assert_eq!(found.author.fault, Some(AuthorFault::SeveralFields));
    assert_eq!(found.dmarc.result, Word::None);
}

/// Never answers.
struct Silence;

#[async_trait::async_trait]
impl Dns for Silence {
    async fn a(&self, _: &str) -> Result<Vec<std::net::Ipv4Addr>, crate::DnsError> {
        std::future::pending().await
    }
    async fn aaaa(&self, _: &str) -> Result<Vec<std::net::Ipv6Addr>, crate::DnsError> {
        std::future::pending().await
    }
    async fn mx(&self, _: &str) -> Result<Vec<String>, crate::DnsError> {
        std::future::pending().await
    }
    async fn ptr(&self, _: IpAddr) -> Result<Vec<String>, crate::DnsError> {
        std::future::pending().await
    }
    async fn txt(&self, _: &str) -> Result<Vec<Vec<u8>>, crate::DnsError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn attack_a_dns_that_never_answers() {
    let reverse_path = ReversePath::Address("ann@a.test".parse().unwrap());
    let peer = "192.0.2.1".parse().unwrap();
    let origin = Origin { peer, helo: "h.test", reverse_path: &reverse_path, hostname: HOST, now: 0 };
    let authenticator = Authenticator::new(AuthenticationConfig::default(), Arc::new(Silence)).unwrap();
    let message = signed(MESSAGE, "a.test", &["From"]);
    let began = tokio::time::Instant::now();
    let found = authenticator.check(origin, message.as_bytes()).await;
    assert_eq!(words(&found), (Word::TempError, vec![Word::TempError], Word::TempError));
    assert!(began.elapsed() < Duration::from_secs(65), "{:?}", began.elapsed());
}
