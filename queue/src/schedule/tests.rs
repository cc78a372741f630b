use super::*;

fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_unix_milliseconds(milliseconds)
}

fn arrival(lane: Lane, due: u64) -> Arrival<()> {
    let (flow, priority) =
        (Flow::from_parts(None, &envelope::ReversePath::Null, None), Priority::Interactive);
    Arrival {
        lane,
        due: at(due),
        attempts: 0,
        received_at: at(due),
        held: false,
        flow,
        priority,
        payload: (),
    }
}

#[test]
fn takes_by_due_time_then_by_arrival_and_only_in_its_lane() {
    let mut schedule = Schedule::new();
    for (number, lane, due) in
        [(1, Lane::Local, 20), (2, Lane::Local, 10), (3, Lane::Local, 10), (4, Lane::Remote, 5)]
    {
        assert!(schedule.insert(id(number), arrival(lane, due)));
    }
    assert!(!schedule.insert(id(1), arrival(Lane::Local, 1)), "the same id is one message");
    assert_eq!(schedule.take(Lane::Local, at(9)), Take::Due(at(10)));
    assert_eq!(schedule.take(Lane::Local, at(10)), Take::Leased(id(2)));
    assert_eq!(schedule.take(Lane::Local, at(10)), Take::Leased(id(3)));
    assert_eq!(schedule.take(Lane::Local, at(10)), Take::Due(at(20)));
    assert_eq!(schedule.take(Lane::Quarantine, at(10)), Take::Empty);
    schedule.put_back(id(3));
    schedule.put_back(id(2));
    assert_eq!(schedule.take(Lane::Local, at(30)), Take::Leased(id(2)), "back to its old turn");
}

#[test]
fn counts_follow_every_move() {
    let mut schedule = Schedule::new();
    schedule.insert(id(1), arrival(Lane::Local, 1000));
    schedule.insert(id(2), arrival(Lane::Local, 100_000));
    let count = |schedule: &mut Schedule<()>, lane| {
        let stats = schedule.stats(at(50_000));
        let stats = stats.iter().find(|stats| stats.lane == lane).unwrap();
        (stats.ready, stats.leased, stats.deferred, stats.oldest.map(Timestamp::unix_milliseconds))
    };
    assert_eq!(count(&mut schedule, Lane::Local), (1, 0, 1, Some(1000)));
    assert_eq!(schedule.take(Lane::Local, at(50_000)), Take::Leased(id(1)));
    assert_eq!(count(&mut schedule, Lane::Local), (0, 1, 1, Some(1000)));
    schedule.change(id(1), |slot| slot.lane = Lane::Dead);
    assert_eq!(count(&mut schedule, Lane::Local), (0, 0, 1, Some(100_000)));
    assert_eq!(count(&mut schedule, Lane::Dead), (1, 0, 0, Some(1000)));
    schedule.change(id(2), |slot| slot.due = at(40_000));
    assert_eq!(count(&mut schedule, Lane::Local), (1, 0, 0, Some(100_000)));
    let ages: Vec<_> = schedule.by_age(None).map(|(id, _)| id).collect();
    assert_eq!(ages, [id(1), id(2)]);
    assert_eq!(schedule.by_age(Some(Lane::Local)).count(), 1);
    schedule.remove(id(1));
    schedule.remove(id(2));
    assert_eq!(count(&mut schedule, Lane::Dead), (0, 0, 0, None));
    assert_eq!(schedule.by_age(None).count(), 0);
}

#[test]
fn who_waits_goes_on_waiting_as_long_when_the_clock_is_set() {
    let hour = Duration::from_secs(3600);
    let mut schedule = Schedule::new();
    schedule.looked.0 = at(10_000_000);
    schedule.insert(id(1), arrival(Lane::Local, 10_005_000));
    schedule.look(at(10_001_000), Duration::from_secs(1));
    assert_eq!(schedule.take(Lane::Local, at(10_001_000)), Take::Due(at(10_005_000)), "it runs as it should");
    schedule.look(at(10_002_000).minus(hour), Duration::from_secs(1));
    assert_eq!(schedule.take(Lane::Local, at(6_402_000)), Take::Due(at(6_405_000)), "set back");
    schedule.look(at(6_403_000).plus(hour), Duration::from_secs(1));
    assert_eq!(schedule.take(Lane::Local, at(10_003_000)), Take::Due(at(10_005_000)), "set forward");
    assert_eq!(schedule.take(Lane::Local, at(10_005_000)), Take::Leased(id(1)));
}

#[test]
fn what_comes_back_after_the_clock_was_set_is_due_as_before() {
    let hour = Duration::from_secs(3600);
    let mut schedule = Schedule::new();
    schedule.looked.0 = at(10_000_000);
    for number in 1..=2 {
        schedule.insert(id(number), arrival(Lane::Local, 10_000_000));
    }
    assert_eq!(schedule.take(Lane::Local, at(10_000_000)), Take::Leased(id(1)));
    schedule.look(at(10_001_000).minus(hour), Duration::from_secs(1));
    let now = at(6_401_000);
    schedule.put_back(id(1));
    assert_eq!(schedule.take(Lane::Local, now), Take::Leased(id(1)), "a worker had it");
    assert_eq!(schedule.take(Lane::Local, now), Take::Leased(id(2)), "it was due");
    schedule.put_back(id(2));
    assert_eq!(schedule.take(Lane::Local, now), Take::Leased(id(2)));
}
