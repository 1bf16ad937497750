//! The suite of buses.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use lightning_store::{Bus, Error, MemoryBus, Notice};

fn message(subject: &str, payload: &str) -> Notice {
    Notice::Message {
        subject: subject.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

async fn send(bus: &dyn Bus, subject: &str, payload: &str) {
    bus.publish(subject, Bytes::copy_from_slice(payload.as_bytes())).await.unwrap();
}

async fn next(stream: &mut BoxStream<'static, Notice>) -> Notice {
    stream.next().await.unwrap()
}

async fn delivers_what_fits(bus: &dyn Bus) {
    send(bus, "agents.created", "too early").await;
    let mut all = bus.subscribe("agents.>").await.unwrap();
    let mut one = bus.subscribe("agents.*").await.unwrap();
    let mut exact = bus.subscribe("agents.deleted").await.unwrap();
    send(bus, "agents.created", "1").await;
    send(bus, "agents.a.deployed", "2").await;
    send(bus, "models.created", "3").await;
    send(bus, "agents.deleted", "4").await;
    assert_eq!(next(&mut all).await, message("agents.created", "1"));
    assert_eq!(next(&mut all).await, message("agents.a.deployed", "2"));
    assert_eq!(next(&mut all).await, message("agents.deleted", "4"));
    assert_eq!(next(&mut one).await, message("agents.created", "1"));
    assert_eq!(next(&mut one).await, message("agents.deleted", "4"));
    assert_eq!(next(&mut exact).await, message("agents.deleted", "4"));
}

async fn refuses_what_is_malformed(bus: &dyn Bus) {
    assert!(matches!(bus.publish("a.*", Bytes::new()).await, Err(Error::Subject(_))));
    assert!(matches!(bus.subscribe("a.>.b").await.err(), Some(Error::Subject(_))));
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    assert!(matches!(bus.publish("a", large).await, Err(Error::TooLarge { .. })));
}

/// The bus whose subscribers have queues of a known length.
fn memory() -> Arc<dyn Bus> {
    Arc::new(MemoryBus::new())
}

#[tokio::test]
async fn memory_delivers_what_fits() {
    delivers_what_fits(&*memory()).await;
}

#[tokio::test]
async fn memory_refuses_what_is_malformed() {
    refuses_what_is_malformed(&*memory()).await;
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_and_is_told() {
    let bus = memory();
    let mut slow = bus.subscribe("flood").await.unwrap();
    let mut other = bus.subscribe("quiet").await.unwrap();
    send(&*bus, "quiet", "heard").await;
    for number in 0..1_034 {
        send(&*bus, "flood", &number.to_string()).await;
    }
    assert_eq!(next(&mut slow).await, Notice::Lagged(10));
    assert_eq!(next(&mut slow).await, message("flood", "10"));
    assert_eq!(next(&mut other).await, message("quiet", "heard"));
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded() {
    let bus = memory();
    let mut slow = bus.subscribe("flood").await.unwrap();
    for _ in 0..10 {
        bus.publish("flood", Bytes::from(vec![0; 1 << 20])).await.unwrap();
    }
    assert_eq!(next(&mut slow).await, Notice::Lagged(7));
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken_and_ends_with_the_bus() {
    let bus = memory();
    let mut stream = bus.subscribe("a").await.unwrap();
    assert!(stream.next().now_or_never().is_none());
    let (received, ()) = tokio::join!(next(&mut stream), send(&*bus, "a", "1"));
    assert_eq!(received, message("a", "1"));
    drop(bus);
    assert_eq!(stream.next().await, None);
}
