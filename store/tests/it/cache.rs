//! The suite of caches. A form of the cache that time cannot be moved for skips `expires`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use lightning_store::{Cache, Error, MemoryCache};

const MINUTE: Duration = Duration::from_secs(60);

async fn text(cache: &dyn Cache, key: &str) -> Option<String> {
    let value = cache.get(key).await.unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

async fn keeps_and_forgets(cache: &dyn Cache) {
    assert_eq!(text(cache, "a").await, None);
    cache.set("a", Bytes::from_static(b"1"), MINUTE).await.unwrap();
    cache.set("b", Bytes::new(), MINUTE).await.unwrap();
    cache.set("a", Bytes::from_static(b"2"), MINUTE).await.unwrap();
    assert_eq!(text(cache, "a").await.as_deref(), Some("2"));
    assert_eq!(text(cache, "b").await.as_deref(), Some(""));
    cache.delete("a").await.unwrap();
    cache.delete("absent").await.unwrap();
    assert_eq!(text(cache, "a").await, None);
}

async fn counts(cache: &dyn Cache) {
    assert_eq!(cache.add("n", 5, MINUTE).await.unwrap(), 5);
    assert_eq!(cache.add("n", -7, MINUTE).await.unwrap(), -2);
    assert_eq!(text(cache, "n").await.as_deref(), Some("-2"));
    cache.set("n", Bytes::from_static(b"40"), MINUTE).await.unwrap();
    assert_eq!(cache.add("n", 2, MINUTE).await.unwrap(), 42);
    cache.set("word", Bytes::from_static(b"word"), MINUTE).await.unwrap();
    assert!(matches!(cache.add("word", 1, MINUTE).await, Err(Error::NotANumber)));
    cache.add("most", i64::MAX, MINUTE).await.unwrap();
    assert!(matches!(cache.add("most", 1, MINUTE).await, Err(Error::NotANumber)));
    assert_eq!(text(cache, "most").await, Some(i64::MAX.to_string()));

    let sums = join_all((0..100).map(|_| cache.add("shared", 1, MINUTE))).await;
    let mut sums: Vec<i64> = sums.into_iter().map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=100).collect::<Vec<_>>());
}

async fn bounds(cache: &dyn Cache) {
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    assert!(matches!(cache.set("a", large.clone(), MINUTE).await, Err(Error::TooLarge { .. })));
    assert!(cache.set("a", large.slice(1..), MINUTE).await.is_ok());
    let key = "k".repeat(513);
    assert!(matches!(cache.set(&key, Bytes::new(), MINUTE).await, Err(Error::TooLarge { .. })));
    assert!(matches!(cache.add(&key, 1, MINUTE).await, Err(Error::TooLarge { .. })));
}

async fn expires(cache: &dyn Cache) {
    cache.set("a", Bytes::from_static(b"1"), MINUTE).await.unwrap();
    cache.add("n", 1, MINUTE).await.unwrap();
    tokio::time::advance(MINUTE / 2).await;
    assert_eq!(text(cache, "a").await.as_deref(), Some("1"));
    // The window is not prolonged by a later addition.
    assert_eq!(cache.add("n", 1, MINUTE).await.unwrap(), 2);
    tokio::time::advance(MINUTE / 2).await;
    assert_eq!(text(cache, "a").await, None);
    assert_eq!(text(cache, "n").await, None);
    assert_eq!(cache.add("n", 1, MINUTE).await.unwrap(), 1);
}

/// As the program holds it: chosen at start, behind a pointer.
fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::default())
}

#[tokio::test]
async fn memory_keeps_and_forgets() {
    keeps_and_forgets(&memory()).await;
}

#[tokio::test]
async fn memory_counts() {
    counts(&memory()).await;
}

#[tokio::test]
async fn memory_is_bounded() {
    bounds(&memory()).await;
}

#[tokio::test(start_paused = true)]
async fn memory_expires() {
    expires(&memory()).await;
}
