//! Figures about the process itself, and panics.

use std::fs;
use std::panic;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::disable_transparent_huge_pages;

/// Lets the process open as many files as it may: what it is given at first is meant for programs that wait with `select` (1,024 of them), and a
/// burst of mail opens more. Gives how many that is; none where there is no bound.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if raised.is_ok() { maximum } else { current }
}

/// Has the kernel give this process, and what it starts, memory in small pages. The allocator asks for pages of 2 MiB, of which a burst of short work on many threads
/// touches little: answers wait until all of one is cleared, and all of it counts as used.
pub fn decline_huge_pages() {
    // A kernel that does not know of this gives them, and all works as well.
    let _ = disable_transparent_huge_pages(true);
}

/// Registers memory, open files, threads and start time, and counts panics from now on. Once a process.
pub fn observe(registry: &Registry) -> Result<(), prometheus::Error> {
    let start = Gauge::with_opts(Opts::new(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
    ))?;
    start.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()));
    registry.register(Box::new(start))?;
    registry.register(Box::new(Process::new()?))?;
    let panics = IntCounter::with_opts(Opts::new(
        "sluice_runtime_panics_total",
        "Panics: each killed one connection or one try of a message.",
    ))?;
    registry.register(Box::new(panics.clone()))?;
    panic::set_hook(Box::new(move |panicked| {
        panics.inc();
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let reason = panicked.payload_as_str().unwrap_or("no text");
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(place, reason, %backtrace, "panic");
    }));
    Ok(())
}

/// Read when asked.
struct Process {
    memory: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    threads: IntGauge,
}

impl Process {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            memory: IntGauge::new("process_resident_memory_bytes", "Memory in use.")?,
            open_files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            open_files_max: IntGauge::new("process_max_fds", "File descriptors that it may open.")?,
            threads: IntGauge::new("process_threads", "Threads.")?,
        })
    }

    const fn gauges(&self) -> [&IntGauge; 4] {
        [&self.memory, &self.open_files, &self.open_files_max, &self.threads]
    }

    fn read(&self) {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        self.memory.set(field(&status, "VmRSS:").saturating_mul(1024));
        self.threads.set(field(&status, "Threads:"));
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_files.set(i64::try_from(open).unwrap_or(i64::MAX));
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        self.open_files_max.set(i64::try_from(most).unwrap_or(i64::MAX));
    }
}

/// The number behind `name` in /proc/self/status.
fn field(status: &str, name: &str) -> i64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_as_many_files_as_it_may() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        assert_eq!(raise_open_files(), maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);
    }

    #[test]
    fn gets_small_pages() {
        decline_huge_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }

    #[test]
    fn counts_panics_and_reads_the_process() {
        let registry = Registry::new();
        observe(&registry).unwrap();
        let value = |name: &str| {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = family.get_metric().first().unwrap();
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
        let _ = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(value("sluice_runtime_panics_total") >= 1.0);
        drop(panic::take_hook());
    }
}
