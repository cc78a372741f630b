use super::{Action, Offer, Session};
use crate::{Maildrop, Message};

const OPEN: Offer<'_> =
    Offer { starttls: true, login: true, passwords: true, mechanisms: &["PLAIN", "LOGIN"] };
const CLOSED: Offer<'_> = Offer { login: false, ..OPEN };
const TLS: Offer<'_> = Offer { starttls: false, ..OPEN };

fn maildrop() -> Maildrop {
    let messages = [(3, 120), (5, 200), (8, 10)].map(|(uid, size)| Message { uid, size });
    Maildrop::new(42, messages.to_vec())
}

fn shown(action: &Action) -> String {
    match action {
        Action::Reply(reply) => String::from_utf8_lossy(reply.as_bytes()).trim_end().to_owned(),
        Action::Close(reply) => format!("close {}", String::from_utf8_lossy(reply.as_bytes()).trim_end()),
        Action::StartTls(_) => "starttls".to_owned(),
        Action::Login { login, password } => {
            format!("login {} {}", String::from_utf8_lossy(login), String::from_utf8_lossy(password.expose()))
        }
        Action::SaslBegin { mechanism, initial } => {
            let initial =
                initial.as_ref().map(|initial| String::from_utf8_lossy(initial.expose()).into_owned());
            format!("sasl {} {initial:?}", String::from_utf8_lossy(mechanism))
        }
        Action::SaslRespond(line) => format!("respond {}", String::from_utf8_lossy(line.expose())),
        other => format!("{other:?}"),
    }
}

/// Gives the lines to a session; each with the action expected, or its beginning before `…`.
fn check(mut session: Session, offer: Offer<'_>, lines: &[(&str, &str)]) -> Session {
    for (line, expected) in lines {
        let (next, action) = session.step(line.as_bytes(), offer);
        let got = shown(&action);
        match expected.strip_suffix('…') {
            Some(start) => assert!(got.starts_with(start), "{line}: {got}"),
            None => assert_eq!(got, *expected, "{line}"),
        }
        session = next;
    }
    session
}

#[test]
fn authorization() {
    let session = check(
        Session::new(),
        OPEN,
        &[
            ("NOOP", "-ERR log in first"),
            ("STAT", "-ERR log in first"),
            ("DELE 1", "-ERR log in first"),
            ("PASS x", "-ERR USER comes first"),
            ("APOP a b", "-ERR APOP is not offered"),
            ("LAST", "-ERR unknown command"),
            ("USER", "-ERR wrong arguments"),
            ("USER alice", "+OK now the password"),
            ("CAPA", "+OK what this server can do…"),
            ("USER bob", "+OK now the password"),
            ("PASS a b ", "login bob a b "),
        ],
    );
    assert_eq!(session, Session::Checking);
    assert_eq!(check(Session::refused(), OPEN, &[("PASS x", "-ERR USER comes first")]), Session::new());
    assert_eq!(check(Session::new(), OPEN, &[("QUIT", "close +OK bye")]), Session::Ended);
}

#[test]
fn no_password_without_tls() {
    let refusal = "-ERR begin TLS first: no passwords on this connection";
    let session = check(
        Session::new(),
        CLOSED,
        &[
            ("USER a", refusal),
            ("PASS b", refusal),
            ("AUTH PLAIN", refusal),
            ("AUTH PLAIN AGEAYg==", refusal),
        ],
    );
    assert_eq!(session, Session::new());
    let (_, action) = Session::new().step(b"CAPA", CLOSED);
    let text = shown(&action);
    assert!(text.contains("STLS") && !text.contains("SASL") && !text.contains("USER"), "{text}");
    let (_, action) = Session::new().step(b"CAPA", TLS);
    let text = shown(&action);
    assert!(
        !text.contains("STLS") && text.contains("SASL PLAIN LOGIN\r\n") && text.contains("USER\r\n"),
        "{text}"
    );
}

#[test]
fn no_passwords_where_only_proofs_are_taken() {
    let offer = Offer { passwords: false, mechanisms: &["SCRAM-SHA-256"], ..TLS };
    let refusal = "-ERR log in with AUTH: no passwords here";
    check(
        Session::new(),
        offer,
        &[
            ("USER a", refusal),
            ("PASS b", refusal),
            ("AUTH", "+OK mechanisms\r\nSCRAM-SHA-256\r\n."),
            ("AUTH SCRAM-SHA-256", "sasl SCRAM-SHA-256 None"),
        ],
    );
    let (_, action) = Session::new().step(b"CAPA", offer);
    let text = shown(&action);
    assert!(text.contains("SASL SCRAM-SHA-256\r\n") && !text.contains("USER"), "{text}");
}

#[test]
fn tls_forgets_the_name() {
    let session =
        check(Session::new(), OPEN, &[("USER alice", "+OK now the password"), ("STLS", "starttls")]);
    check(
        session,
        TLS,
        &[("PASS x", "-ERR USER comes first"), ("STLS", "-ERR TLS is active or not available")],
    );
}

#[test]
fn sasl() {
    check(
        Session::new(),
        OPEN,
        &[("AUTH", "+OK mechanisms\r\nPLAIN\r\nLOGIN\r\n."), ("AUTH x y", "sasl x Some(\"y\")")],
    );
    let (session, reply) = Session::challenged("");
    assert_eq!(reply.as_bytes(), b"+ \r\n");
    // Whatever the line looks like, in an exchange it is a response.
    assert_eq!(check(session, OPEN, &[("QUIT", "respond QUIT")]), Session::Checking);
}

#[test]
fn transaction() {
    let (session, reply) = Session::opened(maildrop());
    assert_eq!(reply.as_bytes(), b"+OK 3 messages, 330 octets\r\n");
    let session = check(
        session,
        TLS,
        &[
            ("STAT", "+OK 3 330"),
            ("LIST 2", "+OK 2 200"),
            ("LIST 4", "-ERR no such message"),
            ("LIST 0", "-ERR no such message"),
            ("LIST", "List(Sizes)"),
            ("UIDL", "List(UniqueIds)"),
            ("UIDL 3", "+OK 3 42.8"),
            ("RETR 1", "Retrieve { message: Message { uid: 3, size: 120 }, lines: None }"),
            ("TOP 2 7", "Retrieve { message: Message { uid: 5, size: 200 }, lines: Some(7) }"),
            ("RETR 99999999999", "-ERR no such message"),
            ("DELE 2", "+OK message 2 deleted"),
            ("DELE 2", "-ERR no such message"),
            ("RETR 2", "-ERR no such message"),
            ("TOP 2 0", "-ERR no such message"),
            ("UIDL 2", "-ERR no such message"),
            ("STAT", "+OK 2 130"),
            ("RSET", "+OK 3 messages, 330 octets"),
            ("NOOP", "+OK nothing done"),
            ("USER x", "-ERR already logged in"),
            ("AUTH PLAIN", "-ERR already logged in"),
            ("STLS", "-ERR already logged in"),
            ("DELE 3", "+OK message 3 deleted"),
            ("DELE 1", "+OK message 1 deleted"),
            ("QUIT", "Update { deleted: [3, 8] }"),
        ],
    );
    assert_eq!(session, Session::Ended);
}

#[test]
fn lines_out_of_turn_end_the_session() {
    for state in [Session::Checking, Session::Ended] {
        assert_eq!(check(state, TLS, &[("NOOP", "close -ERR not now")]), Session::Ended);
    }
}
