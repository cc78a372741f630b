//! What every backend must do: two nodes that share it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::{Change, CounterKey, Event, SharedState};

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
