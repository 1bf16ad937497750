//! The bound of the cache in this process.

use std::time::Duration;

use bytes::Bytes;

use super::{Cache, MemoryCache};

#[tokio::test]
async fn the_cache_stays_within_its_bytes() {
    let cache = MemoryCache::new(64 << 10);
    for number in 0..1_000 {
        let value = Bytes::from(vec![0; 1_024]);
        cache.set(&format!("key-{number}"), value, Duration::from_secs(60)).await.unwrap();
    }
    cache.entries.run_pending_tasks().await;
    assert!(cache.entries.weighted_size() <= 64 << 10);
    assert!(cache.entries.entry_count() > 0);
}

#[tokio::test]
async fn small_entries_are_bounded_too() {
    let cache = MemoryCache::new(16 << 10);
    for number in 0..10_000 {
        cache.set(&number.to_string(), Bytes::new(), Duration::from_secs(60)).await.unwrap();
    }
    cache.entries.run_pending_tasks().await;
    assert!(cache.entries.entry_count() <= 128);
}
