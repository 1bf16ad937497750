//! Rows of tasks across restarts.

use lightning_mesh::identity::Caller;

use super::*;
use crate::domain::Wish;

fn begun(agent: &str) -> Task {
    let wish = Wish { task: "sort".to_owned(), agent_id: None, context: BTreeMap::new() };
    let owner = Owner::of(&Caller::new("user:7", "grace", ["*"]).member_of("other"));
    Task::begun(TaskId::generate(), wish, agent.to_owned(), owner, Timestamp::from_micros(1))
}

#[tokio::test]
async fn a_task_that_runs_over_a_restart_is_failed_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let store = Store::open(&settings).await.unwrap();
    let (running, done) = (begun("a"), begun("b"));
    store.insert(&running).await.unwrap();
    store.insert(&done).await.unwrap();
    let done = done.ended(Ok("sorted".to_owned()), Timestamp::from_micros(2));
    store.end(&done).await.unwrap();
    store.db.close().await;

    let store = Store::open(&settings).await.unwrap();
    assert_eq!(store.interrupt(Timestamp::from_micros(3)).await.unwrap(), 1);
    let error = Err("interrupted by a restart".to_owned());
    let interrupted = running.clone().ended(error, Timestamp::from_micros(3));
    assert_eq!(store.get("other", &running.id).await.unwrap(), interrupted);
    assert_eq!(store.get("other", &done.id).await.unwrap(), done);

    // Another process may still be at it: what really came of it wins.
    let late = running.ended(Ok("sorted".to_owned()), Timestamp::from_micros(4));
    store.end(&late).await.unwrap();
    assert_eq!(store.get("other", &late.id).await.unwrap(), late);
    let elsewhere = store.get("default", &late.id).await;
    assert!(matches!(elsewhere, Err(Error::TaskNotFound { .. })));
}
