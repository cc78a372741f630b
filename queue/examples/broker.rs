//! How fast the queue on RabbitMQ is, beside a bare loop of the client library on the same broker, in turns:
//! `cargo run --release -p queue --example broker -- ADDRESS [RUNS] [MESSAGES] [OCTETS] [PUBLISHERS]`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program for people who measure"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use envelope::{Entrance, Envelope, MessageId, Origin, Priority, ReversePath, Secret, Timestamp};
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use queue::rabbitmq::{Credentials, RabbitQueue};
use queue::{Body, Config, Lane, Queue, RabbitConfig};

#[derive(Clone, Copy)]
struct Load {
    messages: u64,
    octets: usize,
    publishers: u64,
}

fn envelope(number: u64) -> Envelope {
    Envelope {
        id: MessageId::from_bytes((u128::from(std::process::id()) << 64 | u128::from(number)).to_be_bytes()),
        received_at: Timestamp::from(std::time::SystemTime::now()),
        reverse_path: ReversePath::Address("sender@example.org".parse().unwrap()),
        recipients: vec!["a@example.test".parse::<envelope::Address>().unwrap().into()],
        origin: Origin {
            entrance: Entrance::Mx,
            peer: None,
            helo: String::new(),
            authenticated: None,
            tls: false,
        },
        size: 0,
        smtp_utf8: false,
        envelope_id: None,
        returned: None,
        require_tls: false,
        list: None,
        filtered: None,
        priority: Priority::Interactive,
    }
}

/// Messages a second.
fn rate(load: Load, began: Instant) -> f64 {
    load.messages as f64 / began.elapsed().as_secs_f64()
}

/// The library alone: one channel, so many publishers that each wait for their confirmation; then one consumer that acknowledges each.
async fn bare(address: &str, load: Load) -> (f64, f64) {
    let uri = format!("amqp://guest:guest@{address}/%2f");
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let name = "bench.bare";
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    channel.queue_declare(name.into(), QueueDeclareOptions::durable(), table).await.unwrap();
    // As large as ours is on the wire.
    let payload = Arc::new(vec![b'x'; load.octets + 350]);
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks = (0..load.publishers).map(|_| {
        let (channel, payload, next) = (channel.clone(), Arc::clone(&payload), Arc::clone(&next));
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < load.messages {
                let properties = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions::default();
                let confirm = channel.basic_publish("".into(), name.into(), options, &payload, properties);
                assert!(confirm.await.unwrap().await.unwrap().is_ack());
            }
        })
    });
    futures_util::future::join_all(tasks).await;
    let published = rate(load, began);
    let consuming = connection.create_channel().await.unwrap();
    consuming.basic_qos(64, BasicQosOptions::default()).await.unwrap();
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut stream = consuming.basic_consume(name.into(), "".into(), options, none).await.unwrap();
    let began = Instant::now();
    for _ in 0..load.messages {
        let delivery = stream.next().await.unwrap().unwrap();
        delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    }
    let consumed = rate(load, began);
    connection.close(200, "done".into()).await.unwrap();
    (published, consumed)
}

/// The queue as gateways and workers use it.
async fn ours(config: &Config, load: Load) -> (f64, f64) {
    let credentials = Credentials { password: Secret::new("guest".to_owned()), roots: None };
    let queue = RabbitQueue::open(config, &credentials, &prometheus::Registry::new()).await.unwrap();
    let queue = Arc::new(queue);
    let body = Bytes::from(vec![b'x'; load.octets]);
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks = (0..load.publishers).map(|_| {
        let (queue, body, next) = (Arc::clone(&queue), body.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= load.messages {
                    return;
                }
                queue.publish(Lane::Local, envelope(number), Body::Memory(body.clone())).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(tasks).await;
    let published = rate(load, began);
    let began = Instant::now();
    for _ in 0..load.messages {
        queue.lease(Lane::Local).await.unwrap().ack().await.unwrap();
    }
    let consumed = rate(load, began);
    queue.close().await;
    (published, consumed)
}

fn middle(mut rates: Vec<f64>) -> String {
    rates.sort_by(f64::total_cmp);
    format!("{:.0}/s ({:.0}-{:.0})", rates[rates.len() / 2], rates[0], rates[rates.len() - 1])
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |index: usize, other: u64| arguments.get(index).map_or(other, |text| text.parse().unwrap());
    let address = arguments.get(1).cloned().unwrap_or_else(|| "127.0.0.1:5672".to_owned());
    let runs = number(2, 5);
    let load = Load {
        messages: number(3, 20_000),
        octets: usize::try_from(number(4, 5000)).unwrap(),
        publishers: number(5, 64),
    };
    let folder = std::env::temp_dir().join(format!("sluice-broker-bench-{}", std::process::id()));
    let rabbitmq = RabbitConfig {
        addresses: vec![address.clone()],
        prefix: "bench".to_owned(),
        replicas: 1,
        spool_dir: folder.clone(),
        ..RabbitConfig::default()
    };
    let config = Config { rabbitmq, ..Config::default() };
    let mut rates: [Vec<f64>; 4] = Default::default();
    for run in 1..=runs {
        let (bare, ours) = (bare(&address, load).await, ours(&config, load).await);
        println!(
            "run {run}: publish {:.0} of {:.0} ({:.0} %), consume {:.0} of {:.0} ({:.0} %)",
            ours.0,
            bare.0,
            100.0 * ours.0 / bare.0,
            ours.1,
            bare.1,
            100.0 * ours.1 / bare.1
        );
        for (place, rate) in [bare.0, ours.0, bare.1, ours.1].into_iter().enumerate() {
            rates[place].push(rate);
        }
    }
    let [bare_published, published, bare_consumed, consumed] = rates.map(middle);
    println!("publish: {published}, the library alone {bare_published}");
    println!("consume: {consumed}, the library alone {bare_consumed}");
    let _ = std::fs::remove_dir_all(folder);
}
