//! A thread that writes lines which others hand over without waiting.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// Octets that are gathered before they are written.
const BATCH_BYTES: usize = 64 << 10;
/// How long the thread sleeps while lines gather: to wake it for each would cost whoever hands one over more than the line itself.
const GATHER: Duration = Duration::from_millis(5);
/// How long the end of the process waits for the last lines.
const FINISH_MAX: Duration = Duration::from_secs(2);
/// How often the end looks whether the last lines are written.
const FINISH_POLL: Duration = Duration::from_millis(2);

/// Where the lines go: gets whole lines only.
pub(crate) trait Output: Send + 'static {
    /// Writes them all.
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Output for io::Stderr {
    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_all(lines)
    }
}

enum Message {
    Line(Vec<u8>),
    Stop,
}

/// Takes lines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sink {
    sender: SyncSender<Message>,
    dropped: IntCounter,
}

/// Ends the thread when dropped, after the last line.
pub(crate) struct SinkGuard {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts the thread. At most `waiting_max` lines wait; none waits longer than `flush`.
    pub(crate) fn start<O: Output>(
        name: &str,
        output: O,
        waiting_max: usize,
        flush: Duration,
        dropped: IntCounter,
    ) -> io::Result<(Self, SinkGuard)> {
        let (sender, receiver) = sync_channel(waiting_max);
        let writer_dropped = dropped.clone();
        let thread = thread::Builder::new()
            .name(format!("sluice-{name}"))
            .spawn(move || write(&receiver, output, flush, &writer_dropped))?;
        let guard = SinkGuard { sender: sender.clone(), thread: Some(thread) };
        Ok((Self { sender, dropped }, guard))
    }

    /// Hands a line over, newline included; drops and counts it when too many wait.
    pub(crate) fn line(&self, line: Vec<u8>) {
        if self.sender.try_send(Message::Line(line)).is_err() {
            self.dropped.inc();
        }
    }
}

fn write<O: Output>(receiver: &Receiver<Message>, mut output: O, flush: Duration, dropped: &IntCounter) {
    let mut batch: Vec<u8> = Vec::new();
    let mut lines: u64 = 0;
    loop {
        let mut received = receiver.recv().map_err(|_| TryRecvError::Disconnected);
        let due = Instant::now() + flush;
        let last = loop {
            match received {
                Ok(Message::Line(line)) => {
                    batch.extend_from_slice(&line);
                    lines += 1;
                }
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => break true,
                Err(TryRecvError::Empty) => {
                    thread::sleep(GATHER.min(due.saturating_duration_since(Instant::now())));
                }
            }
            if batch.len() >= BATCH_BYTES || Instant::now() >= due {
                break false;
            }
            received = receiver.try_recv();
        };
        // There is no other place to tell of a failure to log than the metric.
        if !batch.is_empty() && output.write_lines(&batch).is_err() {
            dropped.inc_by(lines);
        }
        batch.clear();
        lines = 0;
        if last {
            return;
        }
    }
}

impl Drop for SinkGuard {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let end = Instant::now() + FINISH_MAX;
        while let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Stop) {
            if Instant::now() >= end {
                return;
            }
            thread::sleep(FINISH_POLL);
        }
        while !thread.is_finished() && Instant::now() < end {
            thread::sleep(FINISH_POLL);
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

/// Collects one line for a [`Sink`].
pub(crate) struct LineWriter {
    line: Vec<u8>,
    sink: Sink,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.sink.line(std::mem::take(&mut self.line));
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        LineWriter { line: Vec::new(), sink: self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Output for Memory {
        fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().extend_from_slice(lines);
            Ok(())
        }
    }

    /// Writes nothing before somebody meets it at the barrier, twice.
    struct Stuck(Arc<Barrier>);

    impl Output for Stuck {
        fn write_lines(&mut self, _: &[u8]) -> io::Result<()> {
            self.0.wait();
            self.0.wait();
            Ok(())
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "Dropped.").unwrap()
    }

    #[test]
    fn writes_every_line_before_the_end() {
        let memory = Memory::default();
        let (sink, guard) =
            Sink::start("test", memory.clone(), 1000, Duration::from_secs(3600), counter()).unwrap();
        for number in 0..500 {
            sink.line(format!("{number}\n").into_bytes());
        }
        drop(guard);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 500);
        assert!(text.ends_with("499\n"));
    }

    #[test]
    fn a_full_channel_drops_and_counts() {
        let barrier = Arc::new(Barrier::new(2));
        let dropped = counter();
        let (sink, guard) =
            Sink::start("test", Stuck(Arc::clone(&barrier)), 2, Duration::ZERO, dropped.clone()).unwrap();
        sink.line(b"being written\n".to_vec());
        barrier.wait();
        for _ in 0..5 {
            sink.line(b"waiting\n".to_vec());
        }
        assert_eq!(dropped.get(), 3);
        let release = thread::spawn(move || {
            for _ in 0..5 {
                barrier.wait();
            }
        });
        drop(guard);
        drop(sink);
        release.join().unwrap();
    }
}
