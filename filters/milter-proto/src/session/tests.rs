use proptest::prelude::*;

use super::*;
use crate::command::Peer;
use crate::macros::Stage;
use crate::options::Actions;
use crate::packet::{self, frame};

const LIMITS: Limits =
    Limits { packet_max: 1 << 17, modifications_max: 4, modifications_octets_max: 64, progress_max: 3 };

fn offer(version: u32, actions: u32, steps: u32) -> Vec<u8> {
    [version, actions, steps].iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn session(actions: u32, steps: u32) -> Session {
    let mut out = Vec::new();
    let mut session = Session::open(LIMITS, &mut out);
    let answer = offer(6, actions, steps);
    assert_eq!(session.receive(Packet { code: b'O', data: &answer }), Ok(Event::Negotiated));
    session
}

/// Sends a command and gives what went out, letters only.
fn send(session: &mut Session, command: &Command<'_>) -> Result<(String, bool), Misuse> {
    let mut out = Vec::new();
    let due = session.send(command, &Macros::default(), &mut out)?;
    Ok((letters(&out), due))
}

fn letters(mut out: &[u8]) -> String {
    let mut letters = String::new();
    while let Some((packet, taken)) = frame(out, usize::MAX).unwrap() {
        letters.push(char::from(packet.code));
        out = &out[taken..];
    }
    letters
}

fn say(session: &mut Session, packet: &[u8]) -> Result<Event, Fault> {
    session.receive(Packet { code: packet[0], data: &packet[1..] })
}

fn ask(session: &mut Session, command: &Command<'_>, packet: &[u8]) -> Result<Event, Fault> {
    let (sent, due) = send(session, command).unwrap();
    assert!(due && !sent.is_empty(), "{command:?} was to be asked");
    say(session, packet)
}

fn mail() -> Command<'static> {
    Command::Mail(vec![b"<a@b.test>"])
}

fn rcpt() -> Command<'static> {
    Command::Rcpt(vec![b"<c@d.test>"])
}

fn connect() -> Command<'static> {
    Command::Connect { hostname: b"h", peer: Peer::Unknown }
}

/// All commands of a message up to the one, which is left to the caller.
fn up_to(step: Step, actions: u32, steps: u32) -> Session {
    let mut session = session(actions, steps);
    let script = script();
    for command in script.iter().take_while(|command| command.step() != Some(step)) {
        assert_eq!(ask(&mut session, command, b"c"), Ok(Event::Answer(Answer::Continue)));
    }
    session
}

fn script() -> Vec<Command<'static>> {
    vec![
        connect(),
        Command::Helo(b"h"),
        mail(),
        rcpt(),
        Command::Data,
        Command::Header(b"A", b" b"),
        Command::EndOfHeaders,
        Command::Body(b"x"),
        Command::EndOfMessage,
    ]
}

#[test]
fn a_message_and_another() {
    let mut session = session(0, 0);
    for command in script() {
        assert_eq!(ask(&mut session, &command, b"c"), Ok(Event::Answer(Answer::Continue)), "{command:?}");
    }
    assert!(!session.in_message());
    for command in script().iter().skip(2) {
        assert_eq!(ask(&mut session, command, b"c"), Ok(Event::Answer(Answer::Continue)), "{command:?}");
    }
    let mut out = Vec::new();
    session.abort(&mut out).unwrap();
    session.quit(&mut out);
    assert_eq!(letters(&out), "Q");
    assert_eq!(send(&mut session, &mail()), Err(Misuse::OutOfStep));
}

/// Each step, each reply: whether it is legal.
#[test]
fn which_reply_is_legal_when() {
    let everywhere = "cart4y";
    for command in script() {
        let step = command.step().unwrap();
        for (packet, letter) in [
            (&b"c"[..], 'c'),
            (b"a", 'a'),
            (b"r", 'r'),
            (b"t", 't'),
            (b"4", '4'),
            (b"y451 4.7.1 later\0", 'y'),
            (b"d", 'd'),
            (b"s", 's'),
            (b"p", 'p'),
            (b"f", 'f'),
            (b"hA\0b\0", 'h'),
            (b"i\0\0\0\0A\0b\0", 'i'),
            (b"m\0\0\0\x01A\0b\0", 'm'),
            (b"bx", 'b'),
            (b"e<>\0", 'e'),
            (b"+<a@b.test>\0", '+'),
            (b"2<a@b.test>\0X\0", '2'),
            (b"-<a@b.test>\0", '-'),
            (b"qwhy\0", 'q'),
            (b"O\0\0\0\x06\0\0\0\0\0\0\0\0", 'O'),
            (b"l", 'l'),
        ] {
            let mut session = up_to(step, Actions::ALL.bits(), Steps::SKIP.bits());
            let legal = everywhere.contains(letter)
                || letter == 'p'
                || (letter == 'd' && !matches!(step, Step::Connect | Step::Helo))
                || (letter == 's' && matches!(step, Step::Rcpt | Step::Header | Step::Body))
                || ("himbe+2-q".contains(letter) && step == Step::EndOfMessage);
            let got = ask(&mut session, &command, packet);
            assert_eq!(got.is_ok(), legal, "{letter} to {step:?}: {got:?}");
            if !legal {
                assert_eq!(
                    send(&mut session, &mail()),
                    Err(Misuse::OutOfStep),
                    "broken after {letter} to {step:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_is_said_unasked() {
    let mut ready = session(Actions::ALL.bits(), 0);
    assert_eq!(say(&mut ready, b"c"), Err(Fault::Unasked(b'c')));
    let mut after_the_end = up_to(Step::EndOfMessage, Actions::ALL.bits(), 0);
    ask(&mut after_the_end, &Command::EndOfMessage, b"c").unwrap();
    assert_eq!(say(&mut after_the_end, b"hA\0b\0"), Err(Fault::Unasked(b'h')));
}

#[test]
fn a_second_command_waits_for_the_answer_to_the_first() {
    let mut session = session(0, 0);
    send(&mut session, &connect()).unwrap();
    assert_eq!(send(&mut session, &Command::Helo(b"h")), Err(Misuse::OutOfStep));
    assert_eq!(session.abort(&mut Vec::new()), Err(Misuse::OutOfStep));
}

#[test]
fn commands_in_their_order_only() {
    for command in
        [rcpt(), Command::Data, Command::Header(b"a", b"b"), Command::Body(b"x"), Command::EndOfMessage]
    {
        assert_eq!(send(&mut session(0, 0), &command), Err(Misuse::OutOfStep), "{command:?}");
    }
    let mut open = up_to(Step::Rcpt, 0, 0);
    assert_eq!(send(&mut open, &mail()), Err(Misuse::OutOfStep));
    assert_eq!(send(&mut open, &Command::Helo(b"h")), Err(Misuse::OutOfStep));
    assert_eq!(send(&mut open, &Command::Abort), Err(Misuse::OutOfStep));
    assert!(ask(&mut open, &Command::Unknown(b"FROB"), b"c").is_ok());
}

#[test]
fn accepted_connections_are_let_alone() {
    let mut session = session(0, 0);
    assert_eq!(ask(&mut session, &connect(), b"a"), Ok(Event::Answer(Answer::Accept)));
    assert!(session.is_done());
    for command in script() {
        assert_eq!(send(&mut session, &command), Ok((String::new(), false)));
    }
    let mut out = Vec::new();
    session.quit_new_connection(&mut out).unwrap();
    assert_eq!(letters(&out), "K");
    assert!(ask(&mut session, &connect(), b"c").is_ok());
}

#[test]
fn accepted_messages_are_let_alone_until_the_next() {
    for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Header, Step::EndOfHeaders, Step::Body] {
        for packet in [b"a", b"d"] {
            let mut session = up_to(step, 0, 0);
            let asked = script().into_iter().find(|command| command.step() == Some(step)).unwrap();
            ask(&mut session, &asked, packet).unwrap();
            assert!(session.in_message() && !session.wants_message());
            assert_eq!(send(&mut session, &Command::EndOfMessage), Ok((String::new(), false)));
            let mut out = Vec::new();
            session.abort(&mut out).unwrap();
            assert_eq!(letters(&out), "A", "{step:?}");
            assert!(ask(&mut session, &mail(), b"c").is_ok());
        }
    }
}

#[test]
fn a_refused_recipient_is_one() {
    let mut session = up_to(Step::Rcpt, 0, 0);
    for packet in [&b"r"[..], b"t", b"y550 5.7.1 no\0", b"c"] {
        ask(&mut session, &rcpt(), packet).unwrap();
        assert!(session.wants_message());
    }
    ask(&mut session, &Command::Data, b"r").unwrap();
    assert!(!session.wants_message());
}

#[test]
fn a_refused_client_can_not_go_on() {
    let mut session = session(0, 0);
    ask(&mut session, &connect(), b"r").unwrap();
    assert_eq!(send(&mut session, &mail()), Err(Misuse::OutOfStep));
}

#[test]
fn steps_that_are_left_out() {
    let mut quiet = session(0, 0x37f);
    for command in script() {
        let expected =
            if command == Command::EndOfMessage { ("E".to_owned(), true) } else { (String::new(), false) };
        assert_eq!(send(&mut quiet, &command), Ok(expected), "{command:?}");
    }
    let mut unanswered = session(0, 0xf_f080);
    for command in script() {
        let (sent, due) = send(&mut unanswered, &command).unwrap();
        assert_eq!((sent.len(), due), (1, command == Command::EndOfMessage), "{command:?}");
    }
}

#[test]
fn skipping_lasts_for_one_message() {
    let mut session = up_to(Step::Body, 0, Steps::SKIP.bits());
    ask(&mut session, &Command::Body(b"x"), b"s").unwrap();
    assert_eq!(send(&mut session, &Command::Body(b"y")), Ok((String::new(), false)));
    ask(&mut session, &Command::EndOfMessage, b"c").unwrap();
    ask(&mut session, &mail(), b"c").unwrap();
    assert!(ask(&mut session, &Command::Body(b"x"), b"c").is_ok());
    let mut not_agreed = up_to(Step::Body, 0, 0);
    let illegal = Fault::Illegal { code: b's', step: Step::Body };
    assert_eq!(ask(&mut not_agreed, &Command::Body(b"x"), b"s"), Err(illegal));
}

#[test]
fn changes_must_be_negotiated() {
    for (packet, needs) in [
        (&b"hA\0b\0"[..], Actions::ADD_HEADERS),
        (b"i\0\0\0\0A\0b\0", Actions::ADD_HEADERS),
        (b"m\0\0\0\x01A\0b\0", Actions::CHANGE_HEADERS),
        (b"bx", Actions::CHANGE_BODY),
        (b"e<>\0", Actions::CHANGE_FROM),
        (b"+<a@b.test>\0", Actions::ADD_RECIPIENTS),
        (b"2<a@b.test>\0X\0", Actions::ADD_RECIPIENTS_WITH_PARAMETERS),
        (b"-<a@b.test>\0", Actions::REMOVE_RECIPIENTS),
        (b"qwhy\0", Actions::QUARANTINE),
    ] {
        let mut with = up_to(Step::EndOfMessage, needs.bits(), 0);
        assert!(matches!(ask(&mut with, &Command::EndOfMessage, packet), Ok(Event::Modification(_))));
        assert_eq!(say(&mut with, b"c"), Ok(Event::Answer(Answer::Continue)));
        let mut without = up_to(Step::EndOfMessage, Actions::ALL.bits() & !needs.bits(), 0);
        assert_eq!(ask(&mut without, &Command::EndOfMessage, packet), Err(Fault::NotNegotiated(packet[0])));
    }
}

#[test]
fn limits_at_one_less_and_one_more() {
    let mut session = up_to(Step::EndOfMessage, Actions::ALL.bits(), 0);
    ask(&mut session, &Command::EndOfMessage, b"hA\0b\0").unwrap();
    for _ in 1..LIMITS.modifications_max {
        say(&mut session, b"hA\0b\0").unwrap();
    }
    assert_eq!(say(&mut session, b"hA\0b\0"), Err(Fault::TooManyModifications(4)));

    let mut session = up_to(Step::EndOfMessage, Actions::ALL.bits(), 0);
    ask(&mut session, &Command::EndOfMessage, &[b'b'; 1 + 64]).unwrap();
    assert_eq!(say(&mut session, b"bx"), Err(Fault::ModificationsTooLarge(64)));

    let mut session = up_to(Step::Mail, 0, 0);
    ask(&mut session, &mail(), b"p").unwrap();
    for _ in 1..LIMITS.progress_max {
        say(&mut session, b"p").unwrap();
    }
    assert_eq!(say(&mut session, b"p"), Err(Fault::TooMuchProgress(3)));
}

#[test]
fn the_next_message_has_its_own_budget() {
    let mut session = up_to(Step::EndOfMessage, Actions::ALL.bits(), 0);
    for _ in 0..2 {
        send(&mut session, &Command::EndOfMessage).unwrap();
        for _ in 0..LIMITS.modifications_max {
            say(&mut session, b"hA\0b\0").unwrap();
        }
        say(&mut session, b"c").unwrap();
        ask(&mut session, &mail(), b"c").unwrap();
    }
}

#[test]
fn long_fields_are_not_sent() {
    let mut session = up_to(Step::Header, 0, 0);
    let value = |length: usize| vec![b'x'; length];
    assert_eq!(send(&mut session, &Command::Header(b"A", &value(DATA_MAX - 2))), Err(Misuse::TooLong));
    assert!(ask(&mut session, &Command::Header(b"A", &value(DATA_MAX - 3)), b"c").is_ok());
}

#[test]
fn the_space_behind_the_colon() {
    let sent = |steps: u32, value: &[u8]| {
        let mut session = up_to(Step::Header, 0, steps);
        let mut out = Vec::new();
        session.send(&Command::Header(b"A", value), &Macros::default(), &mut out).unwrap();
        frame(&out, 100).unwrap().unwrap().0.data.to_vec()
    };
    assert_eq!(sent(0, b" b\r\n\tc"), b"A\0b\n\tc\0");
    assert_eq!(sent(0, b"b"), b"A\0b\0");
    assert_eq!(sent(0, b"  b"), b"A\0 b\0");
    assert_eq!(sent(Steps::LEADING_SPACE.bits(), b" b\r\n c"), b"A\0 b\n c\0");

    let received = |steps: u32, packet: &[u8]| {
        let mut session = up_to(Step::EndOfMessage, Actions::ALL.bits(), steps);
        match ask(&mut session, &Command::EndOfMessage, packet) {
            Ok(Event::Modification(
                Modification::AddHeader { value, .. } | Modification::ChangeHeader { value, .. },
            )) => value,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(received(0, b"hA\0b\0"), " b");
    assert_eq!(received(0, b"m\0\0\0\x01A\0\0"), "");
    assert_eq!(received(Steps::LEADING_SPACE.bits(), b"hA\0b\0"), "b");
    assert_eq!(received(Steps::LEADING_SPACE.bits(), b"hA\0 b\0"), " b");
}

#[test]
fn macros_go_first_and_only_if_there_are_any() {
    let mut macros = Macros::default();
    macros.set("i", Some("1".to_owned()));
    let mut session = session(0, 0);
    let mut out = Vec::new();
    session.send(&mail(), &macros, &mut out).unwrap();
    assert_eq!(letters(&out), "DM");
    assert!(out.windows(4).any(|part| part == b"Mi\x001"));
    assert_eq!(session.options().macros.names(Stage::Data), ["i"]);
}

#[test]
fn old_peers() {
    let mut session = Session::open(LIMITS, &mut Vec::new());
    say(&mut session, &[&b"O"[..], &offer(2, 0x3f, 0)].concat()).unwrap();
    ask(&mut session, &connect(), b"c").unwrap();
    ask(&mut session, &mail(), b"c").unwrap();
    assert_eq!(send(&mut session, &Command::Data), Ok((String::new(), false)));
    assert_eq!(send(&mut session, &Command::Unknown(b"x")), Ok((String::new(), false)));
    for wrong in [&b"c"[..], b"O", b"p", b"O\0\0\0\x07\0\0\0\0\0\0\0\0"] {
        let mut session = Session::open(LIMITS, &mut Vec::new());
        assert!(say(&mut session, wrong).is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_answers(input: Vec<u8>) {
        fuzz(&input);
    }

    #[test]
    fn likely_answers(actions in 0u32..0x1ff, steps: u32, packets in proptest::collection::vec("[carts4pfdO]|hA\0b\0|bx|qx\0|m\0\0\0\u{1}A\0\0|y550 x\0", 0..60)) {
        let mut input = Vec::new();
        packet::write(&mut input, b'O', |out| out.extend(offer(6, actions, steps & Steps::ALL.bits())));
        for text in &packets {
            packet::write(&mut input, text.as_bytes()[0], |out| out.extend_from_slice(&text.as_bytes()[1..]));
        }
        fuzz(&input);
    }
}
