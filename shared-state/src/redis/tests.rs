//! Against a real Redis.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;
use units::Span;

use super::*;
use crate::RedisConfig;
use crate::suite::{self, change, next};

/// A server on a socket of its own, ended with the test.
struct Server {
    folder: TempDir,
    process: Option<Child>,
    password: &'static str,
}

impl Server {
    fn start(password: &'static str) -> Self {
        let mut server = Self { folder: tempfile::tempdir().unwrap(), process: None, password };
        server.begin();
        server
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn begin(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.socket())
            .args(["--requirepass", self.password])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(child.expect("the tests need Debian's package redis-server; ./test installs it"));
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "redis does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    fn config(&self) -> Config {
        let redis = RedisConfig {
            address: self.socket().to_str().unwrap().to_owned(),
            call_max: Span::millis(500),
            ping_interval: Span::millis(200),
            reconnect_wait_min: Span::millis(20),
            reconnect_wait_max: Span::millis(100),
            ..RedisConfig::default()
        };
        Config { redis, ..Config::default() }
    }

    fn open(&self) -> Arc<RedisState> {
        let opened = RedisState::open(&self.config(), always(self.password), &prometheus::Registry::new());
        Arc::new(opened.unwrap())
    }
}

fn always(password: &'static str) -> Password {
    Box::new(move || Ok(Some(Secret::new(password.to_owned()))))
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_behaves() {
    let server = Server::start("a secret");
    suite::all(server.open(), server.open()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_a_gap_and_nobody_waits_for_it() {
    let mut server = Server::start("a secret");
    let (here, there) = (server.open(), server.open());
    let mut events = there.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    server.kill();
    assert_eq!(next(&mut events).await, Event::Gap);
    let began = Instant::now();
    for number in 0..1000 {
        here.signal(change(number));
    }
    let key = CounterKey::new("test", "gone", "a").unwrap();
    assert!(here.count(&key, Duration::from_secs(1), 1).await.is_err());
    // A bound, not a figure: the call's own deadline is half a second.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    server.begin();
    assert_eq!(next(&mut events).await, Event::Attached);
    // What could not be told is told now, or whoever attached looks for itself; new changes are told in any case.
    here.signal(change(5000));
    while next(&mut events).await != Event::Changed(change(5000)) {}
    here.close().await;
    there.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_a_gap_too() {
    let server = Server::start("a secret");
    let state = server.open();
    let mut events = state.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    server.signal("STOP");
    assert_eq!(next(&mut events).await, Event::Gap);
    server.signal("CONT");
    assert_eq!(next(&mut events).await, Event::Attached);
    state.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_polled_over_and_garbage_is_ignored() {
    let server = Server::start("a secret");
    let shut_out =
        RedisState::open(&server.config(), always("another"), &prometheus::Registry::new()).unwrap();
    let mut nothing = shut_out.subscribe();
    let (here, there) = (server.open(), server.open());
    let mut events = there.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    let mut manager = here.shared.manager();
    for garbage in ["", "{}", "\u{0}\u{1}", &"x".repeat(100_000)] {
        let _: i64 =
            redis::cmd("PUBLISH").arg("sluice.changes").arg(garbage).query_async(&mut manager).await.unwrap();
    }
    here.signal(change(1));
    assert_eq!(next(&mut events).await, Event::Changed(change(1)));
    assert!(nothing.try_recv().is_err());
    for state in [&*here, &*there, &shut_out] {
        state.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_about_one_mailbox_is_one_signal_at_a_time() {
    let server = Server::start("a secret");
    let (here, there) = (server.open(), server.open());
    let mut events = there.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    for _ in 0..10_000 {
        here.signal(change(1));
    }
    here.signal(change(2));
    let mut same = 0;
    loop {
        match next(&mut events).await {
            Event::Changed(told) if told == change(1) => same += 1,
            Event::Changed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(same < 10_000, "{same}");
    here.close().await;
    there.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_to_tell_is_told_as_a_gap() {
    let server = Server::start("a secret");
    let none = Config { signals_max: 0, ..server.config() };
    let here = RedisState::open(&none, always("a secret"), &prometheus::Registry::new()).unwrap();
    let there = server.open();
    let mut events = there.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    here.signal(change(1));
    assert_eq!((next(&mut events).await, next(&mut events).await), (Event::Gap, Event::Attached));
    here.close().await;
    there.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_count_after_a_restart_counts() {
    let mut server = Server::start("a secret");
    let state = server.open();
    let key = CounterKey::new("test", "again", "a").unwrap();
    let count = async || state.count(&key, Duration::from_secs(60), 1).await;
    assert_eq!(count().await.unwrap(), 1);
    server.kill();
    server.begin();
    assert!(count().await.unwrap() >= 1);
    state.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_changed_needs_no_restart() {
    let mut server = Server::start("a secret");
    let known = Arc::new(Mutex::new("a secret"));
    let password: Password = {
        let known = Arc::clone(&known);
        Box::new(move || Ok(Some(Secret::new((*known.lock().unwrap()).to_owned()))))
    };
    let state = RedisState::open(&server.config(), password, &prometheus::Registry::new()).unwrap();
    let mut events = state.subscribe();
    assert_eq!(next(&mut events).await, Event::Attached);
    server.kill();
    assert_eq!(next(&mut events).await, Event::Gap);
    server.password = "another";
    server.begin();
    let key = CounterKey::new("test", "changed", "a").unwrap();
    assert!(state.count(&key, Duration::from_secs(60), 1).await.is_err(), "the old one is refused");
    *known.lock().unwrap() = "another";
    assert_eq!(next(&mut events).await, Event::Attached);
    assert_eq!(state.count(&key, Duration::from_secs(60), 1).await.unwrap(), 1);
    state.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_put_into_redis_is_not_believed_and_many_keys_are_listed() {
    let server = Server::start("a secret");
    let state = server.open();
    let mut manager = state.shared.manager();
    for (name, text) in [
        ("sluice.value.test:odd:long", "x".repeat(100_000)),
        ("sluice.value.test:odd:empty", String::new()),
        ("sluice.value.test:odd:a b", "x".to_owned()),
        ("sluice.value.test:odd:", "x".to_owned()),
        ("sluice.count.test:odd:text", "many".to_owned()),
        ("sluice.count.test:odd:*", "1".to_owned()),
        ("other.count.test:odd:other", "1".to_owned()),
    ] {
        let _: () = redis::cmd("SET").arg(name).arg(text).query_async(&mut manager).await.unwrap();
    }
    let key = |whom: &str| CounterKey::new("test", "odd", whom).unwrap();
    assert_eq!(state.kept(&key("long")).await, Ok(None));
    assert!(state.counted(&key("text")).await.is_err());
    let prefix = KeyPrefix::new("test", "odd", "").unwrap();
    let listing = state.list(&prefix, 100).await.unwrap();
    assert_eq!(listing, Listing { entries: Vec::new(), whole: true });
    for whom in ["text", "long", "empty"] {
        assert_eq!(state.forget(&key(whom)).await, Ok(true));
    }
    // More than Redis looks at in one call.
    let mut pipeline = redis::pipe();
    for number in 0..5000 {
        pipeline.cmd("SET").arg(format!("sluice.count.test:odd:n{number}")).arg(number).arg("PX").arg(60_000);
    }
    pipeline.query_async::<()>(&mut manager).await.unwrap();
    for (limit, expected) in [(4999, false), (5000, true), (10_000, true)] {
        let listing = state.list(&prefix, limit).await.unwrap();
        assert_eq!((listing.entries.len(), listing.whole), (limit.min(5000), expected), "{limit}");
    }
    state.close().await;
}
