use std::borrow::Borrow;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::AccountId;
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MX, MessageAuthenticator, Parameters, RecordSet, ResolverCache, Txt,
};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _};
use sha2::Digest as _;

use super::*;
use crate::worker::fakes::{address, envelope};

/// What the DNS says, for the library's verifier: it asks nobody.
struct Zone<V>(Mutex<HashMap<Box<str>, V>>);

impl<V: Clone> ResolverCache<Box<str>, V> for Zone<V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<V>
    where
        Box<str>: Borrow<Q>,
    {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<V>
    where
        Box<str>: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: V, _: Instant) {}
}

struct Nothing;

impl ResolverCache<IpAddr, RecordSet<Box<str>>> for Nothing {
    fn get<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
    {
        None
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<RecordSet<Box<str>>>
    where
        IpAddr: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: IpAddr, _: RecordSet<Box<str>>, _: Instant) {}
}

/// Keys of both kinds for a.test, and what the DNS says of them.
fn keys(folder: &std::path::Path) -> (Signatures, Zone<Txt>) {
    let pairs = [
        ("edw", KeyPair::generate_for(&PKCS_ED25519).unwrap()),
        ("rsa", KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()),
    ];
    let mut zone = HashMap::new();
    let configs = pairs.iter().map(|(selector, pair)| {
        let key_file = folder.join(selector);
        std::fs::write(&key_file, pair.serialize_pem()).unwrap();
        let spki = pair.subject_public_key_info();
        let record = if *selector == "edw" {
            format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(&spki[spki.len() - 32..]))
        } else {
            format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(&spki))
        };
        let key = DomainKey::parse(record.as_bytes()).unwrap();
        zone.insert(format!("{selector}._domainkey.a.test.").into(), Txt::DomainKey(key.into()));
        DkimConfig { domains: vec!["A.test".to_owned()], selector: (*selector).to_owned(), key_file }
    });
    let configs: Vec<_> = configs.collect();
    assert!(DkimConfig::faults(&configs).is_empty());
    (Signatures::load(&configs).unwrap(), Zone(Mutex::new(zone)))
}

/// How many signatures there are, and how many of them hold.
async fn verified(zone: &Zone<Txt>, message: &[u8]) -> (usize, usize) {
    let authenticator =
        MessageAuthenticator::new(ResolverConfig::from_name_servers(Vec::new()), ResolverOpts::default());
    let message = AuthenticatedMessage::parse(message).unwrap();
    let mx: Zone<RecordSet<MX>> = Zone(Mutex::default());
    let (v4, v6): (Zone<RecordSet<Ipv4Addr>>, Zone<RecordSet<Ipv6Addr>>) =
        (Zone(Mutex::default()), Zone(Mutex::default()));
    let parameters = Parameters {
        params: &message,
        cache_txt: Some(zone),
        cache_mx: Some(&mx),
        cache_ptr: Some(&Nothing),
        cache_ipv4: Some(&v4),
        cache_ipv6: Some(&v6),
    };
    let found = authenticator.unwrap().verify_dkim(parameters).await;
    (found.len(), found.iter().filter(|one| *one.result() == DkimResult::Pass).count())
}

const TEXT: &str = "From: Ann <ann@a.test>\r\nTo: x@b.test\r\nSubject: Hello\r\n  there\r\n\r\nText  with\tspace\r\n\r\n.\r\n";

#[tokio::test]
async fn both_kinds_of_keys_sign_and_no_field_can_be_slipped_in() {
    let folder = tempfile::tempdir().unwrap();
    let (signatures, zone) = keys(folder.path());
    let signed = signatures.sign("a.test", &Bytes::from_static(TEXT.as_bytes())).unwrap();
    let signed = String::from_utf8(signed.to_vec()).unwrap();
    assert!(signed.ends_with(TEXT));
    assert_eq!(verified(&zone, signed.as_bytes()).await, (2, 2), "{signed}");
    for changed in [
        signed.replace("Ann <ann@a.test>", "Eve <ann@a.test>"),
        signed.replace("Text", "Test"),
        format!("From: Eve <eve@c.test>\r\n{signed}"),
        signed.replace("To: x@b.test", "To: x@b.test\r\nFrom: eve@c.test"),
    ] {
        assert_eq!(verified(&zone, changed.as_bytes()).await, (2, 0), "{changed}");
    }
    // What servers on the way do to white space breaks nothing.
    let folded = signed
        .replace("Subject: Hello\r\n  there", "Subject:  Hello there")
        .replace("with\tspace", "with  space");
    assert_eq!(verified(&zone, folded.as_bytes()).await, (2, 2));
}

#[test]
fn lines_of_white_space_at_the_end_are_no_part_of_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let (signatures, _) = keys(folder.path());
    // RFC 6376 §3.4.4, by hand.
    for (text, canonical) in [
        ("a \r\n \t\r\n", "a\r\n"),
        ("a\r\n\r\n \r\n\r\n", "a\r\n"),
        (" \r\n", ""),
        ("", ""),
        ("a\r\n b\r\n", "a\r\n b\r\n"),
        ("a", "a\r\n"),
    ] {
        let message = Bytes::from(format!("From: ann@a.test\r\n\r\n{text}"));
        let signed = signatures.sign("a.test", &message).unwrap();
        let signed: String = String::from_utf8(signed.to_vec()).unwrap().split_whitespace().collect();
        let hash = STANDARD.encode(sha2::Sha256::digest(canonical));
        assert_eq!(signed.matches(&format!("bh={hash};")).count(), 2, "{text:?}: {signed}");
    }
}

#[test]
fn only_what_people_here_wrote_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (signatures, _) = keys(folder.path());
    let stranger = envelope(1, "s", &["x@b.test"]);
    let mut ours = stranger.clone();
    ours.origin.authenticated = Some(AccountId::new(&address("ann@a.test")));
    let mut report = stranger.clone();
    report.origin.entrance = Entrance::Internal;
    let signer = |envelope: &Envelope, text: &str| signatures.signer(envelope, text.as_bytes());
    assert_eq!(signer(&ours, TEXT).as_deref(), Some("a.test"));
    assert_eq!(signer(&report, TEXT).as_deref(), Some("a.test"));
    assert_eq!(signer(&stranger, TEXT), None);
    assert_eq!(signer(&ours, "From: ann@b.test\r\n\r\n"), None, "no key of that domain");
    assert_eq!(signer(&ours, "Subject: x\r\n\r\n"), None);
}

#[test]
fn says_what_is_wrong_with_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let config = || DkimConfig {
        domains: vec!["a.test".to_owned()],
        selector: "s".to_owned(),
        key_file: file.clone(),
    };
    let error = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Signatures::load(&[config()]).err().unwrap().to_string()
    };
    for text in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(error(text).contains("holds no ed25519 or RSA key"), "{text}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(Signatures::load(&[config()]).err().unwrap().to_string().contains("failed to read"));
    let wrong = DkimConfig { domains: vec!["a b".to_owned()], selector: "s;x".to_owned(), ..config() };
    assert_eq!(DkimConfig::faults(&[wrong, DkimConfig { domains: Vec::new(), ..config() }]).len(), 3);
}
