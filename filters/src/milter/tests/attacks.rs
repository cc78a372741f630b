//! A milter that is slow, silent, dead or lies. Whatever it does, `on_failure` is what happens, in time, and the next message knows nothing of it.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use units::{ByteSize, Span};

use super::*;
use crate::peer::{BreakerConfig, Outcome};

const STEPS: [&str; 10] = ["O", "C", "H", "M", "R", "T", "L", "N", "B", "E"];

const UNAVAILABLE: (u16, &str) = (451, "a filter does not answer, try again later");

fn short(mut config: MilterConfig) -> MilterConfig {
    (config.connect_max, config.command_max, config.message_max) =
        (Span::millis(300), Span::millis(300), Span::millis(300));
    config
}

/// The verdict of a whole message, a refusal on the way included.
fn ended(result: Result<Verdict, Refusal>) -> (Option<(u16, String)>, Vec<Change>) {
    match result {
        Ok(verdict) => (refused(&verdict).map(|(code, text)| (code, text.to_owned())), verdict.changes),
        Err(refusal) => (Some((refusal.code, refusal.text)), Vec::new()),
    }
}

/// A milter whose first connection answers a step like this and whose others are content: refused for now, or accepted without it; never a change of it, and the
/// next message is judged as if nothing had been.
async fn check(step: &'static str, does: Vec<Say>, outcome: Outcome) {
    for on_failure in [OnFailure::Tempfail, OnFailure::Accept] {
        let does = does.clone();
        let fake =
            Fake::new(
                move |connection, line| {
                    if connection == 1 && line.starts_with(step) { does.clone() } else { say(b"c") }
                },
            )
            .await;
        let mut config = MilterConfig { on_failure, ..short(fake.config("bad")) };
        // A second way to wait is not a second way to fail.
        config.limits.progress_max = u32::MAX;
        let milters = milters(&[config]);
        let mut session = milters.session(&connection());
        let begun = Instant::now();
        // As a gateway would: a refused client may try on.
        let _ = session.connect().await;
        let _ = session.helo("a").await;
        let (refusal, changes) = ended(next(&mut session).await);
        assert!(begun.elapsed() < Duration::from_secs(5), "{step}: {:?}", begun.elapsed());
        let early = ["O", "C", "H"].contains(&step);
        let expected =
            (on_failure == OnFailure::Tempfail && !early).then(|| (UNAVAILABLE.0, UNAVAILABLE.1.to_owned()));
        assert_eq!(refusal, expected, "{step} {on_failure:?} {outcome:?}");
        assert_eq!(changes, [], "{step}: nothing of a failed milter counts");
        assert_eq!(milters.milters[0].figures.counted(outcome), 1, "{step} {outcome:?}");
        assert_eq!(ended(next(&mut session).await), (None, vec![]), "{step}: the next message");
        assert_eq!(fake.connections.load(Ordering::SeqCst), 2, "{step}: on a new connection");
    }
}

#[tokio::test]
async fn silent_at_each_step() {
    for step in STEPS {
        check(step, Vec::new(), Outcome::Timeout).await;
    }
}

#[tokio::test]
async fn closed_at_each_step() {
    for step in STEPS {
        check(step, vec![Say::Close], Outcome::Closed).await;
    }
}

#[tokio::test]
async fn garbage_at_each_step() {
    for step in STEPS {
        check(step, vec![Say::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())], Outcome::Protocol).await;
        check(step, says(&[b"\0"]), Outcome::Protocol).await;
    }
}

#[tokio::test]
async fn a_length_of_four_gigabytes_at_each_step() {
    for step in STEPS {
        check(step, vec![Say::Raw(b"\xff\xff\xff\xffh".to_vec())], Outcome::Protocol).await;
    }
}

#[tokio::test]
async fn a_packet_that_never_ends() {
    check("E", vec![Say::Raw(b"\0\0\x10\0hX\0".to_vec())], Outcome::Timeout).await;
}

#[tokio::test]
async fn wrong_answers() {
    for step in ["C", "H", "M", "R", "T", "L", "N", "B"] {
        check(step, says(&[b"hX-Early\0no\0", b"c"]), Outcome::Protocol).await;
        check(step, says(&[b"O\0\0\0\x06\0\0\0\0\0\0\0\0"]), Outcome::Protocol).await;
    }
    check("O", says(&[b"O\0\0\0\x63\0\0\0\0\0\0\0\0"]), Outcome::Protocol).await;
    check("O", says(&[b"O\0\0\0\x06\xff\xff\xff\xff\0\0\0\0"]), Outcome::Protocol).await;
    check("M", says(&[b"y250 2.0.0 ok\0"]), Outcome::Protocol).await;
    check("M", says(&[b"y550 5.7.1 no\r\n250 ok\0"]), Outcome::Protocol).await;
    check("E", says(&[b"f"]), Outcome::Closed).await;
}

#[tokio::test]
async fn changes_that_would_break_out() {
    for change in [
        &b"hX\0a\r\nBcc: evil@c.test\0"[..],
        b"hX\0a\n\nbody\0",
        b"hX\r\nY\0a\0",
        b"i\0\0\0\x01\0a\0",
        b"m\0\0\0\x01Subject\0a\rb\0",
        b"bbare\nfeed",
        b"bnul\0",
        b"+<a@b.test>\r\nRCPT\0",
        b"+nobody\0",
        b"e<a b@c.test>\0",
    ] {
        check("E", says(&[b"hX-Good\0a\0", change, b"c"]), Outcome::Protocol).await;
    }
}

#[tokio::test]
async fn a_million_fields() {
    check("E", vec![Say::Flood(b"hX\0a\0".to_vec())], Outcome::Protocol).await;
}

#[tokio::test]
async fn changes_without_end_in_size() {
    let fake = Fake::new(|_, line| {
        if line == "E" { vec![Say::Flood([&b"b"[..], &[b'x'; 60_000]].concat())] } else { say(b"c") }
    })
    .await;
    let mut config = fake.config("bad");
    config.limits.modifications_size_max = ByteSize::mib(1);
    let verdict = whole(&mut milters(&[config]).session(&connection())).await.unwrap();
    assert_eq!(refused(&verdict), Some(UNAVAILABLE));
}

#[tokio::test]
async fn progress_for_ever() {
    let slowly = |max| async move {
        let fake =
            Fake::new(|_, line| if line == "E" { vec![Say::Flood(b"p".to_vec())] } else { say(b"c") }).await;
        let mut config = short(fake.config("bad"));
        config.limits.progress_max = max;
        let milters = milters(&[config]);
        let verdict = whole(&mut milters.session(&connection())).await.unwrap();
        assert_eq!(refused(&verdict), Some(UNAVAILABLE));
        milters
    };
    let counted = slowly(1000).await;
    assert_eq!(counted.milters[0].figures.counted(Outcome::Protocol), 1);
    let in_time = slowly(u32::MAX).await;
    assert_eq!(in_time.milters[0].figures.counted(Outcome::Timeout), 1);
}

#[tokio::test]
async fn changes_after_the_answer_reach_no_message() {
    let fake = Fake::new(|connection, line| {
        if connection == 1 && line == "E" { says(&[b"c", b"hX-Late\0a\0", b"r"]) } else { say(b"c") }
    })
    .await;
    let milters = milters(&[fake.config("bad")]);
    let mut session = milters.session(&connection());
    assert_eq!(whole(&mut session).await, Ok(Verdict::default()));
    assert_eq!(next(&mut session).await, Ok(Verdict::default()));
    assert_eq!(
        fake.connections.load(Ordering::SeqCst),
        2,
        "a connection that speaks unasked is not used again"
    );
}

#[tokio::test]
async fn what_was_not_negotiated() {
    for change in [&b"hX\0a\0"[..], b"bx\r\n", b"+<a@b.test>\0", b"qx\0", b"m\0\0\0\x01A\0\0"] {
        let fake =
            Fake::with(0, 0, move |_, line| if line == "E" { says(&[change, b"c"]) } else { say(b"c") })
                .await;
        let verdict = whole(&mut milters(&[fake.config("bad")]).session(&connection())).await.unwrap();
        assert_eq!(refused(&verdict), Some(UNAVAILABLE), "{change:?}");
    }
}

#[tokio::test]
async fn slow_answers_pass_one_by_one_and_not_all_together() {
    let pause = Duration::from_millis(20);
    let late = move |line: &str| {
        if line.starts_with('L') { vec![Say::Late(pause, b"c".to_vec())] } else { say(b"c") }
    };
    let fake = Fake::new(move |_, line| late(line)).await;
    let mut config = fake.config("slow");
    assert_eq!(whole(&mut milters(&[config.clone()]).session(&connection())).await, Ok(Verdict::default()));

    config.message_max = Span::millis(200);
    let milters = milters(&[config]);
    let mut session = milters.session(&connection());
    session.connect().await.unwrap();
    session.mail(&sender(), &[]).await.unwrap();
    let begun = Instant::now();
    let message = "A: b\r\n".repeat(1000);
    assert_eq!(refused(&session.message("1", &message.into()).await), Some(UNAVAILABLE));
    assert!(begun.elapsed() < pause * 500);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (on_failure, expected) in [(OnFailure::Tempfail, Some(UNAVAILABLE)), (OnFailure::Accept, None)] {
        let milters = milters(&[MilterConfig { on_failure, ..config("gone", port) }]);
        let mut session = milters.session(&connection());
        let (refusal, _) = ended(whole(&mut session).await);
        assert_eq!(refusal.as_ref().map(|(code, text)| (*code, text.as_str())), expected);
        assert!(milters.milters[0].figures.counted(Outcome::Unreachable) > 0);
    }
    let gone = MilterConfig { on_failure: OnFailure::Accept, ..config("gone", port) };
    let verdict = whole(&mut milters(&[gone]).session(&connection())).await.unwrap();
    assert_eq!(verdict.reasons, ["milter gone: failed, passed"], "passing unseen is said");
}

#[tokio::test]
async fn a_milter_that_went_away_between_two_messages() {
    let fake = Fake::new(|connection, line| match (connection, line) {
        (1, "E") => vec![Say::Packet(b"c".to_vec()), Say::Close],
        _ => say(b"c"),
    })
    .await;
    let milters = milters(&[fake.config("restarted")]);
    let mut session = milters.session(&connection());
    assert_eq!(whole(&mut session).await, Ok(Verdict::default()));
    assert_eq!(next(&mut session).await, Ok(Verdict::default()));
    assert_eq!(fake.letters(), "CHMRTLLNBECHMRTLLNBE", "told of the client again");
}

#[tokio::test]
async fn a_call_given_up() {
    let fake = Fake::new(|connection, line| match (connection, line) {
        (1, "E") => Vec::new(),
        _ => say(b"c"),
    })
    .await;
    let milters = milters(&[fake.config("slow")]);
    let mut session = milters.session(&connection());
    tokio::select! {
        _ = whole(&mut session) => panic!("it does not answer"),
        () = fake.hears(|heard| heard.last().is_some_and(|line| line == "E")) => {}
    }
    assert_eq!(next(&mut session).await, Ok(Verdict::default()));
    assert_eq!(fake.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_field_over_the_limit_of_milters() {
    let fake = Fake::content().await;
    let milters = milters(&[MilterConfig { on_failure: OnFailure::Accept, ..fake.config("one") }]);
    for (length, expected) in
        [(65_531, None), (65_532, Some((552, "a header field is longer than 65535 octets")))]
    {
        let mut session = milters.session(&connection());
        session.connect().await.unwrap();
        session.mail(&sender(), &[]).await.unwrap();
        let message = format!("A: {}\r\n\r\n", "x".repeat(length));
        let verdict = session.message("1", &message.into()).await;
        assert_eq!(refused(&verdict), expected, "{length}");
    }
}

#[tokio::test]
async fn a_thousand_fields_and_a_thousand_changes() {
    let fake = Fake::new(|_, line| {
        if line != "E" {
            return say(b"c");
        }
        let mut packets = vec![Say::Packet(b"hX-A\0b\0".to_vec()); 1000];
        packets.extend(vec![Say::Packet(b"m\0\0\0\x01X-A\0\0".to_vec()); 1000]);
        packets.extend(says(&[b"c"]));
        packets
    })
    .await;
    let milters = milters(&[fake.config("busy")]);
    let mut session = milters.session(&connection());
    session.connect().await.unwrap();
    session.mail(&sender(), &[]).await.unwrap();
    let message: Bytes = ["X-B: c\r\n".repeat(1000), "\r\ntext\r\n".to_owned()].concat().into();
    let verdict = session.message("1", &message).await;
    assert_eq!(verdict.changes.len(), 2000);
    assert_eq!(apply(&message, &verdict.changes), message);
}

#[tokio::test]
async fn the_breaker_spares_a_dead_milter_and_finds_it_again() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    let well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&well);
    let fake = Fake::new(move |_, line| {
        if line.starts_with('M') && !seen.load(Ordering::SeqCst) { vec![Say::Close] } else { say(b"c") }
    })
    .await;
    let mut config = fake.config("sick");
    config.breaker = BreakerConfig { failures_before_open: 3, open_for: Span::millis(400) };
    let milters = milters(&[config]);
    let figures = &milters.milters[0].figures;
    for _ in 0..3 {
        assert_eq!(whole(&mut milters.session(&connection())).await.unwrap_err().code, 451);
    }
    assert_eq!((figures.open.get(), fake.connections.load(Ordering::SeqCst)), (1, 3));
    for _ in 0..5 {
        let refusal = milters.session(&connection()).connect().await.unwrap_err();
        assert_eq!((refusal.code, refusal.enhanced), (451, (4, 7, 1)));
    }
    assert_eq!(fake.connections.load(Ordering::SeqCst), 3, "it is not asked");
    assert_eq!(figures.counted(Outcome::NotAsked), 5);
    well.store(true, Ordering::SeqCst);
    let mended = async {
        while whole(&mut milters.session(&connection())).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), mended).await.unwrap();
    assert_eq!(figures.open.get(), 0);
    assert_eq!(fake.connections.load(Ordering::SeqCst), 4, "one tried for all");
}
