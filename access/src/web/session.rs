//! Who is signed in: a table in this process's memory.
//!
//! A session's name is 256 random bits, known to the browser only; the table holds its hash, so that looking it up
//! tells nothing by its timing. The table is bounded in all and per account, and every session ends by idleness, by age,
//! by signing out or with the process. Sessions are local to a node: a balancer keeps a browser on one node.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::LoginStamp;
use envelope::AccountId;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many sessions and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    pub(super) per_account: usize,
    pub(super) idle: Duration,
    pub(super) age: Duration,
    pub(super) live_updates: usize,
}

/// A password, overwritten when the last user lets go of it. Needed to submit mail as the person.
pub(super) struct Password(Vec<u8>);

impl Password {
    pub(super) fn new(password: &str) -> Self {
        Self(password.as_bytes().to_vec())
    }

    /// The password itself, for the submission client alone.
    pub(super) fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.fill(0);
        black_box(&self.0);
    }
}

/// One signed-in browser.
pub(super) struct Session {
    pub(super) account: AccountId,
    /// What the person typed as their name; submission logs in with it.
    pub(super) login: String,
    pub(super) password: Arc<Password>,
    /// Travels in every form.
    pub(super) csrf: String,
    pub(super) live_updates: Arc<Semaphore>,
    /// What the sign-in rested on.
    pub(super) stamp: LoginStamp,
    /// Cancelled when the session ends.
    pub(super) ended: CancellationToken,
    created: Instant,
    used: Mutex<Instant>,
    checked: Mutex<Instant>,
    notice: Mutex<Option<Notice>>,
    /// Sheets that are being sent or were sent, newest last.
    sent: Mutex<VecDeque<String>>,
}

/// How many sent sheets a session remembers.
const SENT_MAX: usize = 64;

/// What the next page says once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) bad: bool,
    pub(super) undo: Option<Undo>,
}

/// How to take back a move: these messages of that mailbox go to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undo {
    pub(super) mailbox: String,
    pub(super) uid_validity: u32,
    pub(super) uids: Vec<u32>,
    pub(super) target: String,
}

impl Session {
    /// Leaves a word for the next page.
    pub(super) fn tell(&self, text: impl Into<String>) {
        self.leave(Notice { text: text.into(), bad: false, undo: None });
    }

    /// Leaves bad news for the next page.
    pub(super) fn warn(&self, text: impl Into<String>) {
        self.leave(Notice { text: text.into(), bad: true, undo: None });
    }

    pub(super) fn leave(&self, notice: Notice) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }

    pub(super) fn take_notice(&self) -> Option<Notice> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a sheet for sending; false when it is being sent or was sent.
    pub(super) fn claim(&self, sheet: &str) -> bool {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sheet.is_empty() || sent.iter().any(|other| other == sheet) {
            return false;
        }
        if sent.len() >= SENT_MAX {
            sent.pop_front();
        }
        sent.push_back(sheet.chars().take(64).collect());
        true
    }

    /// Gives a sheet back that was not sent.
    pub(super) fn release(&self, sheet: &str) {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != sheet);
    }

    /// Whether it is time to ask the directory again; one of those who ask this at once is told so.
    pub(super) fn is_check_due(&self, interval: Duration, now: Instant) -> bool {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now.saturating_duration_since(*checked) >= interval;
        if due {
            *checked = now;
        }
        due
    }

    fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, limits: &SessionLimits, now: Instant) -> bool {
        now.saturating_duration_since(self.last_used()) >= limits.idle
            || now.saturating_duration_since(self.created) >= limits.age
    }
}

/// The table.
pub(super) struct Sessions {
    limits: SessionLimits,
    table: Mutex<HashMap<[u8; 32], Arc<Session>>>,
    gauge: prometheus::IntGauge,
    made: AtomicU64,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits, gauge: prometheus::IntGauge) -> Self {
        Self { limits, table: Mutex::default(), gauge, made: AtomicU64::new(0) }
    }

    /// Makes a session and gives its new name for the cookie. None when the system has no randomness.
    pub(super) fn begin(
        &self,
        account: AccountId,
        login: &str,
        password: &str,
        stamp: LoginStamp,
        now: Instant,
    ) -> Option<(String, Arc<Session>)> {
        let name = random_name()?;
        let session = Arc::new(Session {
            account,
            login: login.to_owned(),
            password: Arc::new(Password::new(password)),
            csrf: random_name()?,
            stamp,
            live_updates: Arc::new(Semaphore::new(self.limits.live_updates)),
            ended: CancellationToken::new(),
            created: now,
            used: Mutex::new(now),
            checked: Mutex::new(now),
            notice: Mutex::new(None),
            sent: Mutex::default(),
        });
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Sweeping costs a look at every session: now and then, and when the table is full.
        if self.made.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) || table.len() >= self.limits.total {
            retain(&mut table, |session| !session.is_over(&self.limits, now));
        }
        while table.values().filter(|other| other.account == session.account).count()
            >= self.limits.per_account
        {
            remove_oldest(&mut table, |other| other.account == session.account);
        }
        while table.len() >= self.limits.total {
            remove_oldest(&mut table, |_| true);
        }
        table.insert(key(&name), Arc::clone(&session));
        self.gauge.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        Some((name, session))
    }

    /// The session of that name, if it has not ended; counts as use.
    pub(super) fn find(&self, name: &str, now: Instant) -> Option<Arc<Session>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(name);
        let session = Arc::clone(table.get(&key)?);
        if session.is_over(&self.limits, now) {
            table.remove(&key);
            self.gauge.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
            session.ended.cancel();
            return None;
        }
        *session.used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Some(session)
    }

    /// Ends a session whose name is not at hand.
    pub(super) fn revoke(&self, session: &Arc<Session>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        retain(&mut table, |other| !std::ptr::eq(other, &raw const **session));
        self.gauge.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
    }

    /// Ends the session of that name.
    pub(super) fn end(&self, name: &str) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = table.remove(&key(name)) {
            session.ended.cancel();
        }
        self.gauge.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
    }
}

fn retain(table: &mut HashMap<[u8; 32], Arc<Session>>, keep: impl Fn(&Session) -> bool) {
    table.retain(|_, session| {
        let kept = keep(session);
        if !kept {
            session.ended.cancel();
        }
        kept
    });
}

fn remove_oldest(table: &mut HashMap<[u8; 32], Arc<Session>>, among: impl Fn(&Session) -> bool) {
    let oldest =
        table.iter().filter(|(_, s)| among(s)).min_by_key(|(_, s)| s.last_used()).map(|(key, _)| *key);
    if let Some(session) = oldest.and_then(|key| table.remove(&key)) {
        session.ended.cancel();
    }
}

fn key(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// 256 random bits as text.
pub(super) fn random_name() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Compares without telling by its timing where two texts differ.
pub(super) fn same(left: &str, right: &str) -> bool {
    let (left, right) = (Sha256::digest(left.as_bytes()), Sha256::digest(right.as_bytes()));
    black_box(left.iter().zip(right.iter()).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(total: usize, per_account: usize) -> Sessions {
        let limits = SessionLimits {
            total,
            per_account,
            idle: Duration::from_secs(60),
            age: Duration::from_secs(100),
            live_updates: 1,
        };
        Sessions::new(limits, prometheus::IntGauge::new("sessions", "test").unwrap())
    }

    fn begin(sessions: &Sessions, account: &str, now: Instant) -> String {
        sessions.begin(account.parse().unwrap(), account, "secret", LoginStamp::of("hash"), now).unwrap().0
    }

    #[test]
    fn ends_by_idleness_by_age_and_by_signing_out() {
        let (table, start) = (sessions(10, 10), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let idle = begin(&table, "a@x.test", start);
        assert!(table.find(&idle, at(59)).is_some());
        assert!(table.find(&idle, at(99)).is_some());
        assert!(table.find(&idle, at(100)).is_none(), "too old, though used");
        let other = begin(&table, "a@x.test", start);
        let session = table.find(&other, start).unwrap();
        assert!(table.find(&other, at(60)).is_none(), "too long unused");
        assert!(session.ended.is_cancelled());
        let third = begin(&table, "a@x.test", start);
        table.end(&third);
        assert!(table.find(&third, start).is_none());
        assert!(table.find("", start).is_none());
    }

    #[test]
    fn is_bounded_per_account_and_in_all() {
        let (table, start) = (sessions(3, 2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = begin(&table, "a@x.test", at(0));
        let second = begin(&table, "a@x.test", at(1));
        let third = begin(&table, "a@x.test", at(2));
        assert!(table.find(&first, at(3)).is_none());
        assert!(table.find(&second, at(3)).is_some() && table.find(&third, at(4)).is_some());
        let fourth = begin(&table, "b@x.test", at(5));
        let fifth = begin(&table, "c@x.test", at(6));
        assert!(table.find(&second, at(7)).is_none(), "the one longest unused goes");
        for name in [third, fourth, fifth] {
            assert!(table.find(&name, at(7)).is_some());
        }
    }

    #[test]
    fn names_differ_and_compare() {
        let (one, two) = (random_name().unwrap(), random_name().unwrap());
        assert_eq!(one.len(), 43);
        assert!(same(&one, &one.clone()) && !same(&one, &two) && !same(&one, "") && same("", ""));
    }
}
