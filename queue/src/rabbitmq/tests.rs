//! Against a real broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use envelope::Secret;
use tempfile::TempDir;
use units::{ByteSize, Span};

use super::{Credentials, RabbitQueue};
use crate::{Config, Queue, RabbitConfig, suite};

mod broker;
mod failures;
mod spill;
mod tls;

use broker::Cluster;

/// Many queues at one broker: each test of the suite has a set of its own.
pub(crate) struct Site {
    cluster: Cluster,
    folder: TempDir,
    sets: AtomicU32,
}

impl Site {
    pub(crate) fn start(nodes: usize) -> Self {
        Self { cluster: Cluster::start(nodes), folder: tempfile::tempdir().unwrap(), sets: AtomicU32::new(0) }
    }

    /// A fresh set of queues.
    pub(crate) fn config(&self) -> Config {
        let set = self.sets.fetch_add(1, Ordering::Relaxed);
        let rabbitmq = RabbitConfig {
            addresses: self.cluster.addresses(),
            prefix: format!("set{set}"),
            spool_dir: self.folder.path().join(format!("spool{set}")),
            reconnect_wait_max: Span::millis(500),
            heartbeat: Span::secs(2),
            watchdog_interval: Span::millis(500),
            ..RabbitConfig::default()
        };
        Config { rabbitmq, free_space_min: ByteSize::bytes(0), ..Config::default() }
    }
}

fn credentials() -> Credentials {
    Credentials { password: Secret::new("guest".to_owned()), roots: None }
}

async fn open(config: &Config) -> Arc<RabbitQueue> {
    Arc::new(RabbitQueue::open(config, &credentials(), &prometheus::Registry::new()).await.unwrap())
}

macro_rules! all {
    ($site:expr; $($name:ident)*) => {
        $(
            let queue = open(&$site.config()).await;
            println!("{}", stringify!($name));
            suite::$name(Arc::clone(&queue) as Arc<dyn Queue>).await;
            suite::soon(queue.close()).await;
        )*
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_s_queue_behaves_as_the_others_do() {
    let site = Site::start(1);
    all!(site;
        what_is_published_is_leased_once_whole_and_in_order
        a_dropped_lease_is_to_be_had_again_at_once
        the_same_id_twice_is_one_message
        lanes_do_not_wait_for_each_other
        those_who_wait_come_back_alone_when_due
        a_deferred_message_does_not_hold_up_others
        dead_letters_wait_for_an_operator
        a_wait_that_is_dropped_takes_nothing
        a_due_message_finds_a_worker_though_another_gave_up_waiting_for_it
        list_filters_and_stops_at_its_limit
        bodies_around_the_spool_threshold_are_kept_whole
        many_publishers_and_workers_move_every_message_once
        an_operator_holds_and_releases
        an_operator_has_it_tried_at_once
        an_operator_moves_it_to_another_lane
        an_operator_deletes_messages_or_recipients
        what_a_worker_has_is_not_touched_by_an_order
        the_content_of_a_waiting_message_is_shown
        a_closed_queue_says_so
    );
}
