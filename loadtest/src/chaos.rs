//! What is done to the system while it works: commands at times, marked in the report.
//!
//! ```abnf
//! order = span SP label ":" SP command       ; 60s kill a worker: systemctl kill -s KILL sluice-worker@2
//! ```
//! Commands run in a shell, as whoever runs the load test; nothing of a server's answers gets into them.

use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use units::Span;

use crate::report::Mark;

/// Orders of one run.
pub const ORDERS_MAX: usize = 1000;
/// How long commands may still run when the load is over.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// Octets of what a failed command said.
const SAID_MAX: usize = 200;

/// A command at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    at: Duration,
    label: String,
    command: String,
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = "an order is like `60s kill a worker: kill -9 4711`";
        let Some((at, rest)) = text.trim().split_once(' ') else { bail!("`{text}`: {shape}") };
        let at: Span = at.parse().ok().with_context(|| format!("`{at}` in `{text}` is no time: {shape}"))?;
        let Some((label, command)) = rest.split_once(": ") else { bail!("`{text}`: {shape}") };
        let (label, command) = (label.trim(), command.trim());
        if label.is_empty() || command.is_empty() {
            bail!("`{text}`: {shape}");
        }
        Ok(Self { at: at.as_duration(), label: label.to_owned(), command: command.to_owned() })
    }
}

/// Orders from lines; empty ones and those that begin with `#` say nothing.
pub fn orders(text: &str) -> anyhow::Result<Vec<Order>> {
    let lines = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let orders: Vec<Order> = lines
        .map(|(number, line)| line.parse().with_context(|| format!("line {number}")))
        .collect::<anyhow::Result<_>>()?;
    if orders.len() > ORDERS_MAX {
        bail!("{} orders; a run takes at most {ORDERS_MAX}", orders.len());
    }
    Ok(orders)
}

/// Carries the orders out, each at its time; those whose time has not come when the load is over are not.
pub(crate) fn spawn(
    orders: Vec<Order>,
    begun: Instant,
    mut over: watch::Receiver<bool>,
) -> JoinHandle<Vec<Mark>> {
    tokio::spawn(async move {
        let marks: Arc<Mutex<Vec<Mark>>> = Arc::default();
        let mut running = JoinSet::new();
        for order in orders {
            running.spawn(carry_out(order, begun, Arc::clone(&marks), over.clone()));
        }
        let _ = over.wait_for(|over| *over).await;
        let all = async { while running.join_next().await.is_some() {} };
        // Dropping the set ends what still runs.
        let _ = tokio::time::timeout(FINISH_MAX, all).await;
        drop(running);
        let mut marks = std::mem::take(&mut *marks.lock().await);
        marks.sort_by(|one, other| one.at.total_cmp(&other.at));
        marks
    })
}

async fn carry_out(
    order: Order,
    begun: Instant,
    marks: Arc<Mutex<Vec<Mark>>>,
    mut over: watch::Receiver<bool>,
) {
    tokio::select! {
        () = tokio::time::sleep_until((begun + order.at).into()) => {}
        _ = over.wait_for(|over| *over) => return,
    }
    let at = begun.elapsed().as_secs_f64();
    let place = {
        let mut marks = marks.lock().await;
        marks.push(Mark { at, label: order.label, outcome: None });
        marks.len() - 1
    };
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(&order.command).stdin(Stdio::null()).kill_on_drop(true);
    let outcome = match command.output().await {
        Ok(output) if output.status.success() => output.status.to_string(),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(SAID_MAX).collect();
            format!("{}: {said}", output.status)
        }
        Err(error) => format!("did not start: {error}"),
    };
    if let Some(mark) = marks.lock().await.get_mut(place) {
        mark.outcome = Some(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_lines() {
        let found =
            orders("# what fails\n\n60s kill a worker: kill -9 4711\n  1500ms  cut: iptables -A X: y\n")
                .unwrap();
        let order = |at, label: &str, command: &str| Order {
            at: Duration::from_millis(at),
            label: label.to_owned(),
            command: command.to_owned(),
        };
        assert_eq!(
            found,
            [order(60_000, "kill a worker", "kill -9 4711"), order(1500, "cut", "iptables -A X: y")]
        );
        for bad in ["60s", "soon kill: kill 1", "60s kill", "60s : kill 1", "60s kill: "] {
            let error = format!("{:#}", orders(bad).unwrap_err());
            assert!(error.contains("line 1") && error.contains("an order is like"), "{error}");
        }
        assert!(orders(&"1s a: b\n".repeat(ORDERS_MAX + 1)).is_err());
    }

    #[tokio::test]
    async fn they_are_carried_out_at_their_times_and_marked() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("done");
        let text = format!(
            "50ms write: echo yes > {}\n10ms fail: echo no >&2; exit 3\n1h never: true\n",
            file.display()
        );
        let (over, ending) = watch::channel(false);
        let working = spawn(orders(&text).unwrap(), Instant::now(), ending);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&file).is_ok_and(|text| text == "yes\n") {
            assert!(Instant::now() < deadline, "the order was not carried out");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        over.send_replace(true);
        let marks = working.await.unwrap();
        let [failed, written] = marks.as_slice() else { panic!("{marks:?}") };
        assert_eq!((failed.label.as_str(), failed.outcome.as_deref()), ("fail", Some("exit status: 3: no")));
        assert_eq!((written.label.as_str(), written.outcome.as_deref()), ("write", Some("exit status: 0")));
        assert!(failed.at >= 0.01 && written.at >= 0.05);
    }
}
