//! Addresses as written, and names that change what they stand for.

use std::sync::Mutex;

use tonic::Code;

use super::*;
use crate::{
    channel::{
        balance::{Balance, EndpointFigures, Target},
        tests::{Outcome, Replica, call, config},
    },
    task,
};

#[test]
fn an_address_is_a_plain_http_authority() {
    let literal = |text: &str| Address::parse(text).unwrap().literal();
    assert_eq!(literal("http://10.0.0.7:8001"), Some("10.0.0.7:8001".parse().unwrap()));
    assert_eq!(literal("http://[::1]:8001"), Some("[::1]:8001".parse().unwrap()));
    assert_eq!(literal("http://10.0.0.7"), Some("10.0.0.7:80".parse().unwrap()));
    assert_eq!(literal("https://10.0.0.7"), Some("10.0.0.7:443".parse().unwrap()));
    assert_eq!(literal("http://agents:8001"), None);
    assert!(Address::parse("https://a:1").unwrap().is_secure());
    for wrong in ["", "agents:8001", "ftp://a:1", "http://a:1/x", "http://a:1?x", "http://u@a:1"] {
        assert_eq!(Address::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_peer_has_one_address_or_several() {
    let read = |json: &str| serde_json::from_str::<Addresses>(json);
    assert_eq!(read(r#""http://a:1""#).unwrap(), "http://a:1".into());
    let several = read(r#"["http://a:1", "nowhere"]"#).unwrap();
    assert_eq!(several.iter().collect::<Vec<_>>(), ["http://a:1", "nowhere"]);
    assert_eq!(several.faulty(), Some("nowhere"));
    assert_eq!(read("[]").unwrap().faulty(), Some(""));
    assert_eq!(read(r#"["http://a:1", "http://b:2"]"#).unwrap().faulty(), None);
    let error = read("1").unwrap_err().to_string();
    assert!(error.contains("http://host:port"), "{error}");
}

const GET: &str = "/lightning.agents.v1.AgentService/GetAgent";

/// Answers what a test wrote down last; nothing is a failure.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<SocketAddr>>>);

impl Book {
    fn write(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }
}

impl Resolve for Book {
    fn resolve(&self, name: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        assert_eq!((name, port), ("agents.test", 8001));
        let found = self.0.lock().unwrap().clone();
        Box::pin(async move {
            if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
        })
    }
}

fn named(book: &Book, interval: Duration) -> Balance {
    let mut config = config();
    config.balance.resolve_interval = interval;
    let addresses = Addresses::from("http://agents.test:8001").parsed();
    let target = Target::Addresses(addresses);
    let resolver = Arc::new(book.clone());
    Balance::new("agents", target, None, &config, resolver, &EndpointFigures::default())
}

fn endpoints(balance: &Balance) -> Vec<String> {
    let endpoints = balance.shared().endpoints();
    endpoints.iter().map(|endpoint| endpoint.name.clone()).collect()
}

#[tokio::test]
async fn a_change_of_the_name_is_followed_and_what_vanished_finishes_its_calls() {
    let (old, old_address) = Replica::bind().await;
    let (new, new_address) = Replica::bind().await;
    let book = Book::default();
    book.write(&[old_address]);
    let balance = named(&book, Duration::ZERO);
    assert!(*balance.readiness().borrow());
    assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
    assert_eq!(endpoints(&balance), [old_address.to_string()]);

    old.answers(Code::Ok, Duration::from_millis(2_500));
    let slow = task::spawn("slow", {
        let balance = balance.clone();
        async move { call(&balance, GET).await }
    });
    while old.calls() < 2 {
        tokio::task::yield_now().await;
    }
    book.write(&[new_address]);
    let mut changes = balance.shared().changes();
    while endpoints(&balance) != [new_address.to_string()] {
        changes.changed().await.unwrap();
    }
    for _ in 0..10 {
        assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
    }
    assert_eq!((old.calls(), new.calls()), (2, 10));
    assert_eq!(slow.await.unwrap(), Outcome::Code(Code::Ok));
}

#[tokio::test]
async fn a_failure_looks_the_name_up_again() {
    let (mut old, old_address) = Replica::bind().await;
    let (new, new_address) = Replica::bind().await;
    let book = Book::default();
    book.write(&[old_address]);
    let balance = named(&book, Duration::from_secs(3_600));
    assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));
    book.write(&[new_address]);
    old.die().await;
    let mut ready = balance.readiness();
    while new.calls() == 0 {
        call(&balance, GET).await;
        ready.wait_for(|ready| *ready).await.unwrap();
    }
    assert_eq!(endpoints(&balance), [new_address.to_string()]);
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_keeps_its_last_addresses() {
    let (replica, address) = Replica::bind().await;
    let book = Book::default();
    let balance = named(&book, Duration::from_secs(3_600));
    // Nothing was ever known: not ready, and looked up again soon.
    assert_eq!(call(&balance, GET).await, Outcome::NotSent);
    let mut ready = balance.readiness();
    assert!(!*ready.borrow());
    book.write(&[address]);
    ready.wait_for(|ready| *ready).await.unwrap();
    assert_eq!(call(&balance, GET).await, Outcome::Code(Code::Ok));

    let addresses = Addresses::from("http://agents.test:8001").parsed();
    let mut known = BTreeMap::new();
    assert!(look_up(&book, &addresses, &mut known).await);
    let before = known.clone();
    book.write(&[]);
    assert!(!look_up(&book, &addresses, &mut known).await);
    assert_eq!((known, replica.calls()), (before, 1));
}
