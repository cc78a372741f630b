//! A short soak, and the proof that it finds what is lost.

use super::{Arguments, Backend, Unsynced, means, run};

fn short(backend: Backend, seed: u64) -> Arguments {
    // Beside the test program; it was built with the tests of everything.
    let built = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("sluice");
    Arguments {
        seconds: 1,
        seed: Some(seed),
        backend: Some(backend),
        round: 12,
        program: built.exists().then_some(built),
        early: false,
        unsynced: None,
        kills: false,
        unpoisoned: false,
    }
}

#[test]
fn nothing_is_lost_or_doubled_on_one_machine() {
    run(&short(Backend::Embedded, 1)).unwrap();
}

#[test]
fn nothing_is_lost_or_doubled_around_a_broker() {
    // What ends a worker is tried with the other backend, and in the queue's own tests with this one.
    run(&Arguments { unpoisoned: true, ..short(Backend::Broker, 2) }).unwrap();
}

#[test]
fn a_system_that_breaks_its_promise_is_found_out() {
    // Where no power can be cut, something that says 250 too early breaks it.
    let disks = means().unwrap().disks;
    let unsynced = disks.then_some(Unsynced::Gateway);
    let control = Arguments { unsynced, early: !disks, ..short(Backend::Embedded, 1) };
    run(&control).unwrap();
}
