//! What every backend must do: two nodes that share it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::{Change, CounterKey, Event, Held, KeyPrefix, SharedState, Value};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn change(number: u32) -> Change {
    Change { account: format!("user{number}@example.test").parse().unwrap(), mailbox: "INBOX".to_owned() }
}

pub(crate) async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    tokio::time::timeout(DEADLINE, events.recv()).await.expect("an event in time").expect("it goes on")
}

/// Both nodes are fresh.
pub(crate) async fn all(first: Arc<dyn SharedState>, second: Arc<dyn SharedState>) {
    a_change_is_told_to_the_others_and_not_to_oneself(&*first, &*second).await;
    a_counter_is_the_same_for_everybody_and_ends(&*first, &*second).await;
    many_count_at_once(&first, &second).await;
    a_counter_is_looked_at_and_forgotten(&*first, &*second).await;
    a_value_is_the_same_for_everybody_and_ends(&*first, &*second).await;
    what_begins_alike_is_listed(&*first, &*second).await;
    first.close().await;
    second.close().await;
}

async fn a_change_is_told_to_the_others_and_not_to_oneself(
    first: &dyn SharedState,
    second: &dyn SharedState,
) {
    let (mut here, mut there) = (first.subscribe(), second.subscribe());
    assert_eq!((next(&mut here).await, next(&mut there).await), (Event::Attached, Event::Attached));
    first.signal(change(1));
    assert_eq!(next(&mut there).await, Event::Changed(change(1)));
    second.signal(change(2));
    assert_eq!(next(&mut here).await, Event::Changed(change(2)), "and nothing of its own before");
}

async fn a_counter_is_the_same_for_everybody_and_ends(first: &dyn SharedState, second: &dyn SharedState) {
    let key = CounterKey::new("test", "counter", "a").unwrap();
    let window = Duration::from_millis(300);
    let began = std::time::Instant::now();
    assert_eq!(first.count(&key, window, 2).await, Ok(2));
    let sum = second.count(&key, window, 3).await.unwrap();
    assert!(sum == 5 || began.elapsed() >= window, "{sum}");
    let other = CounterKey::new("test", "counter", "b").unwrap();
    assert_eq!(first.count(&other, window, 1).await, Ok(1));
    let over = async {
        while second.count(&key, window, 0).await.unwrap() != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, over).await.expect("the window ends");
}

async fn many_count_at_once(first: &Arc<dyn SharedState>, second: &Arc<dyn SharedState>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let state = Arc::clone(if number % 2 == 0 { first } else { second });
        tasks.spawn(async move {
            let key = CounterKey::new("test", "many", "a").unwrap();
            state.count(&key, Duration::from_secs(60), 1).await.unwrap()
        });
    }
    let mut sums = tasks.join_all().await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=100).collect::<Vec<u64>>(), "each sum once");
}

async fn a_counter_is_looked_at_and_forgotten(first: &dyn SharedState, second: &dyn SharedState) {
    let key = CounterKey::new("test", "look", "a").unwrap();
    let window = Duration::from_secs(600);
    assert_eq!(second.counted(&key).await, Ok(None));
    assert_eq!(first.count(&key, window, 7).await, Ok(7));
    for _ in 0..2 {
        let counted = second.counted(&key).await.unwrap().expect("it was counted");
        assert_eq!(counted.sum, 7, "looking counts nothing");
        assert!(counted.remaining <= window && counted.remaining > window / 2, "{counted:?}");
    }
    assert_eq!(second.forget(&key).await, Ok(true));
    assert_eq!(second.forget(&key).await, Ok(false));
    assert_eq!(first.counted(&key).await, Ok(None));
    assert_eq!(first.count(&key, window, 1).await, Ok(1));
}

async fn a_value_is_the_same_for_everybody_and_ends(first: &dyn SharedState, second: &dyn SharedState) {
    let key = CounterKey::new("test", "value", "2001:db8::1").unwrap();
    let value = |text: &str| Value::new(text).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(first.kept(&key).await, Ok(None));
    assert_eq!(first.keep(&key, &value("one \"Ä\" \r\n"), hour).await, Ok(()));
    let kept = second.kept(&key).await.unwrap().expect("it is kept");
    assert_eq!(kept.value, value("one \"Ä\" \r\n"));
    assert!(kept.remaining <= hour && kept.remaining > hour / 2, "{kept:?}");
    let long = value(&"x".repeat(1024));
    assert_eq!(second.keep(&key, &long, hour * 2).await, Ok(()));
    let kept = first.kept(&key).await.unwrap().expect("another one in its place");
    assert!(kept.value == long && kept.remaining > hour, "{:?}", kept.remaining);
    assert_eq!(first.count(&key, hour, 1).await, Ok(1), "a counter of this name is something else");
    assert_eq!(first.forget(&key).await, Ok(true));
    assert_eq!((second.kept(&key).await, second.counted(&key).await), (Ok(None), Ok(None)));
    assert_eq!(first.keep(&key, &value("short"), Duration::from_millis(50)).await, Ok(()));
    let over = async {
        while second.kept(&key).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, over).await.expect("its time ends");
}

async fn what_begins_alike_is_listed(first: &dyn SharedState, second: &dyn SharedState) {
    let hour = Duration::from_secs(3600);
    for number in 0..20 {
        let key = CounterKey::new("test", "listed", &format!("n{number:02}")).unwrap();
        assert_eq!(first.count(&key, hour, number).await, Ok(number));
    }
    let key = CounterKey::new("test", "listed", "v").unwrap();
    assert_eq!(first.keep(&key, &Value::new("x").unwrap(), hour).await, Ok(()));
    let list = async |whom: &str, limit| {
        let prefix = KeyPrefix::new("test", "listed", whom).unwrap();
        let listing = second.list(&prefix, limit).await.unwrap();
        let names: Vec<String> = listing.entries.iter().map(|entry| entry.key.whom().to_owned()).collect();
        (names, listing)
    };
    let (names, listing) = list("", 100).await;
    assert_eq!((names.len(), listing.whole), (21, true));
    assert!(names.is_sorted());
    let last = listing.entries.last().unwrap();
    assert_eq!((&last.key, &last.held), (&key, &Held::Value(Value::new("x").unwrap())));
    assert_eq!(listing.entries.get(19).unwrap().held, Held::Count(19));
    assert!(listing.entries.iter().all(|entry| entry.remaining <= hour && entry.remaining > hour / 2));
    let (names, listing) = list("n1", 100).await;
    assert_eq!((names.len(), listing.whole), (10, true));
    assert_eq!((names.first().unwrap().as_str(), names.last().unwrap().as_str()), ("n10", "n19"));
    for (limit, whole) in [(0, false), (1, false), (9, false), (10, true), (11, true)] {
        let (names, listing) = list("n1", limit).await;
        assert_eq!((names.len(), listing.whole), (limit.min(10), whole), "{limit}");
    }
    let (names, listing) = list("nothing", 100).await;
    assert_eq!((names.len(), listing.whole), (0, true));
}
