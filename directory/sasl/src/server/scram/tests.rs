use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::scram::tests::pencil;
use crate::scram::{client_proof, salted_keys};
use crate::server::Mechanism;

const LIMITS: Limits = Limits { response_octets_max: 1024, login_octets_max: 64, password_octets_max: 64 };

fn nonce(text: &str) -> ServerNonce {
    ServerNonce(text.to_owned())
}

fn b64(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode(text)
}

fn plain(challenge: &str) -> String {
    String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap()
}

/// A connection over TLS 1.3, on which the mechanism with binding was announced.
fn bound() -> Channel {
    Channel {
        tls_exporter: Some(vec![0xee; 32]),
        tls_server_end_point: Some(vec![0xaa; 32]),
        plus_offered: true,
    }
}

fn begin(mechanism: Mechanism, channel: &Channel, first: &str) -> Result<ScramStart, SaslError> {
    match mechanism.begin(Some(b64(first).as_bytes()), &LIMITS, channel)? {
        Step::Secret(start) => Ok(start),
        other => panic!("{other:?}"),
    }
}

/// The exchange after the first message `first`, and what the server answered.
fn challenged(mechanism: Mechanism, channel: &Channel, first: &str) -> (Exchange, String) {
    let start = begin(mechanism, channel, first).unwrap();
    let Step::Challenge(exchange, text) = start.challenge(pencil(), &nonce("server")) else { panic!() };
    (exchange, plain(&text))
}

/// The proof of a client that knows the password.
fn proof(auth_message: &str) -> String {
    let (client_key, secret) =
        salted_keys(&envelope::Secret::new("pencil".to_owned()), &pencil().salt, pencil().iterations);
    b64(client_proof(&client_key, &secret, auth_message))
}

fn judge(exchange: Exchange, client_final: &str) -> Result<ScramProof, SaslError> {
    match exchange.respond(b64(client_final).as_bytes(), &LIMITS)? {
        Step::Proof(proof) => Ok(proof),
        other => panic!("{other:?}"),
    }
}

/// RFC 7677 §3, octet by octet.
#[test]
fn the_example_of_rfc_7677() {
    let start =
        begin(Mechanism::ScramSha256, &Channel::default(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(start.login(), "user");
    let Step::Challenge(exchange, text) = start.challenge(pencil(), &nonce("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"))
    else {
        panic!()
    };
    assert_eq!(
        plain(&text),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let proof = judge(
        exchange,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    )
    .unwrap();
    assert!(proof.is_right(&pencil()));
    assert!(!proof.acts_for_another());
    let Step::Challenge(exchange, text) = proof.accepted() else { panic!() };
    assert_eq!(plain(&text), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(exchange.clone().respond(b"", &LIMITS), Ok(Step::Proven));
    assert!(exchange.respond(b"AA==", &LIMITS).is_err());
    let other = ScramSecret::new(&envelope::Secret::new("Pencil".to_owned()), &[7; 16], 4096);
    assert!(!proof.is_right(&other));
    assert!(!proof.is_right(&ScramSecret::of_nobody(&[7; 32], "user", 4096)));
    assert_eq!(format!("{proof:?}"), "ScramProof { login: \"user\", .. }");
}

#[test]
fn the_client_may_begin_without_a_message() {
    let step = Mechanism::ScramSha256.begin(None, &LIMITS, &Channel::default()).unwrap();
    let Step::Challenge(exchange, text) = step else { panic!() };
    assert_eq!(text, "");
    assert!(matches!(exchange.respond(b64("n,,n=user,r=x").as_bytes(), &LIMITS), Ok(Step::Secret(_))));
}

#[test]
fn first_messages() {
    let check = |first: &str, expected: &str| {
        let found = begin(Mechanism::ScramSha256, &Channel::default(), first);
        let found = found.map_or_else(
            |error| format!("{error:?}"),
            |start| format!("{} {}", start.login, start.authorization_identity.unwrap_or_default()),
        );
        assert!(found.starts_with(expected), "{first}: {found}");
    };
    check("n,,n=user,r=x", "user ");
    check("n,a=other,n=user,r=x", "user other");
    check("n,,n=a=2Cb=3D@c.test,r=x", "a,b=@c.test ");
    check("n,,n=user,r=x,t=unknown,z=1", "user ");
    check("y,,n=user,r=x", "user ");
    check("n,,n=b\u{fc}rgerin,r=x", "b\u{fc}rgerin ");
    check(&format!("n,,n={},r=x", "a".repeat(64)), "aaaa");
    check(&format!("n,,n={},r=x", "a".repeat(65)), "TooLong");
    for wrong in [
        "",
        "n=user,r=x",
        "n,,r=x,n=user",
        "n,,n=user",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{e4}",
        "n,,n=us=er,r=x",
        "n,,n=us\u{0}er,r=x",
        "n,,m=x,n=user,r=x",
        "n,,n=user,r=x,m=1",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,tt",
        "n,,n=user,r=x,1=2",
        "n,a=,n=user,r=x",
    ] {
        check(wrong, "Malformed");
    }
}

#[test]
fn final_messages() {
    let check = |client_final: &str, expected: SaslError| {
        let (exchange, _) = challenged(Mechanism::ScramSha256, &Channel::default(), "n,,n=user,r=client");
        assert_eq!(judge(exchange, client_final).err(), Some(expected), "{client_final}");
    };
    let form = SaslError::Malformed("a final message of SCRAM is c=binding,r=nonce,p=proof");
    let good = b64([0; 32]);
    for (wrong, expected) in [
        (String::new(), form),
        ("c=biws,r=clientserver".to_owned(), form),
        ("c=biws,r=clientserver,p=".to_owned(), form),
        (format!("r=clientserver,c=biws,p={good}"), form),
        (format!("c=biws,p={good}"), form),
        (format!("c=biws,r=clientserver,p={good},x=y"), form),
        (format!("c=biws,r=clientserver,p={}", b64([0; 31])), form),
        (format!("c=biws,r=clientserver,p={}", b64([0; 33])), form),
        (format!("c=b,r=clientserver,p={good}"), form),
        (
            format!("c=biws,r=clientserver,m=1,p={good}"),
            SaslError::Malformed("an extension is mandatory and not known"),
        ),
        // Another header than the first message's, and an authorization identity that comes later.
        (format!("c={},r=clientserver,p={good}", b64("y,,")), SaslError::ChannelBinding),
        (format!("c={},r=clientserver,p={good}", b64("n,a=root,")), SaslError::ChannelBinding),
        (format!("c={},r=clientserver,p={good}", b64("n,,x")), SaslError::ChannelBinding),
        // A nonce of another exchange, the client's alone, and a longer one.
        (format!("c=biws,r=clientother,p={good}"), SaslError::Malformed("the nonce is another exchange's")),
        (format!("c=biws,r=client,p={good}"), SaslError::Malformed("the nonce is another exchange's")),
        (format!("c=biws,r=clientserverx,p={good}"), SaslError::Malformed("the nonce is another exchange's")),
    ] {
        check(&wrong, expected);
    }
    // Well-formed, with an extension, and wrong.
    let (exchange, _) = challenged(Mechanism::ScramSha256, &Channel::default(), "n,,n=user,r=client");
    let proof = judge(exchange, &format!("c=biws,r=clientserver,x=y,p={good}")).unwrap();
    assert!(!proof.is_right(&pencil()));
}

#[test]
fn a_proof_that_was_seen_is_worth_nothing() {
    let channel = Channel::default();
    let (exchange, server_first) = challenged(Mechanism::ScramSha256, &channel, "n,,n=user,r=client");
    let without = "c=biws,r=clientserver";
    let seen = format!("{without},p={}", proof(&format!("n=user,r=client,{server_first},{without}")));
    assert!(judge(exchange, &seen).unwrap().is_right(&pencil()));
    // The same first message meets another nonce: the old final message is refused, and with the nonce put right it is wrong.
    let start = begin(Mechanism::ScramSha256, &channel, "n,,n=user,r=client").unwrap();
    let Step::Challenge(exchange, _) = start.challenge(pencil(), &nonce("second")) else { panic!() };
    assert!(judge(exchange.clone(), &seen).is_err());
    let mended = judge(exchange, &seen.replace("clientserver", "clientsecond")).unwrap();
    assert!(!mended.is_right(&pencil()));
}

#[test]
fn what_is_bound_to_a_channel_holds_on_that_channel_only() {
    for (name, octet) in [("tls-exporter", 0xee), ("tls-server-end-point", 0xaa)] {
        let header = format!("p={name},,");
        let first = format!("{header}n=user,r=client");
        let with = |data: &[u8]| {
            let (exchange, server_first) = challenged(Mechanism::ScramSha256Plus, &bound(), &first);
            let without = format!("c={},r=clientserver", b64([header.as_bytes(), data].concat()));
            let auth_message = format!("n=user,r=client,{server_first},{without}");
            judge(exchange, &format!("{without},p={}", proof(&auth_message)))
        };
        assert!(with(&[octet; 32]).unwrap().is_right(&pencil()), "{name}");
        for wrong in [&[][..], &[0x11; 32], &[octet; 31], &[octet; 33]] {
            assert_eq!(with(wrong).err(), Some(SaslError::ChannelBinding), "{name} {wrong:?}");
        }
    }
}

#[test]
fn who_was_told_less_than_we_said_is_refused() {
    let (plus, simple) = (Mechanism::ScramSha256Plus, Mechanism::ScramSha256);
    let check = |mechanism: Mechanism, channel: &Channel, flag: &str, good: bool| {
        let found = begin(mechanism, channel, &format!("{flag},,n=user,r=x"));
        assert_eq!(found.err(), (!good).then_some(SaslError::ChannelBinding), "{mechanism:?} {flag}");
    };
    let unbound = Channel::default();
    // The client could bind and heard nothing of it: somebody took it out of the announcement.
    check(simple, &bound(), "y", false);
    check(simple, &unbound, "y", true);
    check(simple, &bound(), "n", true);
    check(simple, &unbound, "n", true);
    check(simple, &bound(), "p=tls-exporter", false);
    check(plus, &bound(), "p=tls-exporter", true);
    check(plus, &bound(), "p=tls-server-end-point", true);
    check(plus, &bound(), "p=tls-unique", false);
    check(plus, &bound(), "n", false);
    check(plus, &bound(), "y", false);
    check(plus, &unbound, "p=tls-exporter", false);
    check(plus, &Channel { tls_exporter: None, ..bound() }, "p=tls-exporter", false);
}

#[test]
fn acting_for_somebody_else_shows() {
    let acts = |identity: &str| {
        let first = format!("n,{identity},n=user,r=client");
        let (exchange, _) = challenged(Mechanism::ScramSha256, &Channel::default(), &first);
        let c = b64(format!("n,{identity},"));
        judge(exchange, &format!("c={c},r=clientserver,p={}", b64([0; 32]))).unwrap().acts_for_another()
    };
    assert!(!acts(""));
    assert!(!acts("a=USER"));
    assert!(acts("a=root"));
}

#[test]
fn a_nonce_is_printable_and_of_its_randomness() {
    let one = ServerNonce::new(&[0xff; NONCE_OCTETS]);
    assert_ne!(one, ServerNonce::new(&[0xfe; NONCE_OCTETS]));
    assert!(is_printable(&one.0) && one.0.len() == 24, "{one:?}");
}
