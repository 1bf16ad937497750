//! The chain in a database that somebody else writes to, and what is left when it is shortened.

use lightning_mesh::clock::Timestamp;
use lightning_store::{Settings, params};

use super::Head;
use crate::{
    audit::{Entry, Event, Link, Outcome},
    store::{Slice, Store},
};

/// A database with five events, one at each of the first seconds.
async fn five(folder: &tempfile::TempDir) -> Store {
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let store = Store::open(&settings).await.unwrap();
    for second in 1..=5 {
        let event = Event::new("test.happened", Outcome::Success, "user:1");
        let entry = Entry::of(&event, Timestamp::from_micros(second * 1_000_000));
        let head = store.head().await.unwrap();
        let link = Link::forge(entry, head.sequence + 1, head.hash.clone());
        assert!(store.append_events(&head, std::slice::from_ref(&link)).await.unwrap());
        assert!(!store.append_events(&head, &[link]).await.unwrap(), "the end is elsewhere now");
    }
    store
}

#[tokio::test]
async fn a_chain_that_was_changed_is_found_out() {
    let check = |sql: &'static str, broken: i64| async move {
        let folder = tempfile::tempdir().unwrap();
        let store = five(&folder).await;
        let whole = store.verify_events(0).await.unwrap();
        assert_eq!((whole.count, whole.broken), (5, None));
        store.0.execute(sql, params![]).await.unwrap();
        let found = store.verify_events(0).await.unwrap();
        assert_eq!(found.broken, Some(broken), "{sql}");
    };
    check("UPDATE audit_events SET subject = 'user:x' WHERE sequence = 2", 2).await;
    check("UPDATE audit_events SET content = '{}' WHERE sequence = 2", 2).await;
    check("UPDATE audit_events SET hash = 'x' WHERE sequence = 4", 4).await;
    check("DELETE FROM audit_events WHERE sequence = 3", 3).await;
    check("DELETE FROM audit_events WHERE sequence = 5", 5).await;
    check("DELETE FROM audit_events WHERE sequence = 1", 1).await;
    check("UPDATE audit_chain SET hash = 'x'", 5).await;
}

#[tokio::test]
async fn a_chain_without_its_old_events_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = five(&folder).await;
    store.forget_events(Timestamp::from_micros(3_000_000)).await.unwrap();
    let verdict = store.verify_events(0).await.unwrap();
    assert_eq!((verdict.count, verdict.broken), (3, None));
    assert_eq!(verdict.hash, store.head().await.unwrap().hash);
    let part = store.verify_events(5).await.unwrap();
    assert_eq!((part.count, part.broken), (1, None));
    store.forget_events(Timestamp::from_micros(i64::MAX)).await.unwrap();
    let verdict = store.verify_events(0).await.unwrap();
    let head = store.head().await.unwrap();
    assert_eq!((verdict.count, verdict.broken, verdict.hash), (0, None, head.hash.clone()));
    assert_eq!(head.sequence, 5);
    assert_ne!(head, Head { sequence: 0, hash: String::new() });
}

#[test]
fn a_part_of_a_list_in_memory_is_that_of_the_database() {
    let slice = |after, newest_first| Slice { after, newest_first, limit: 2 };
    let all = || vec![(2, "b".to_owned()), (1, "a".to_owned()), (3, "c".to_owned())];
    let check = |slice: Slice, expected: &[i64]| {
        let found = slice.cut(all(), Clone::clone);
        assert_eq!(found.into_iter().map(|(time, _)| time).collect::<Vec<_>>(), expected);
    };
    check(slice(None, true), &[3, 2]);
    check(slice(None, false), &[1, 2]);
    check(slice(Some((2, "b".to_owned())), true), &[1]);
    check(slice(Some((2, "b".to_owned())), false), &[3]);
}
