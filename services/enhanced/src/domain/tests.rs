//! Who may see a task.

use super::*;

#[test]
fn a_task_is_seen_by_its_giver_and_by_whoever_may_change_agents() {
    let mut key = Caller::new("api-key:k", "ci", ["agents.invoke"]);
    key.owner_id = Some("7".to_owned());
    let wish = Wish { task: "t".to_owned(), agent_id: None, context: BTreeMap::new() };
    let now = Timestamp::from_micros(1);
    let task = Task::begun(TaskId::generate(), wish, "a".to_owned(), Owner::of(&key), now);
    let check = |caller: &Caller, sees| assert_eq!(task.is_visible_to(caller), sees, "{caller:?}");
    check(&key, true);
    check(&Caller::new("user:7", "grace", ["agents.read"]), true);
    check(&Caller::new("user:8", "mallory", ["agents.read", "agents.invoke"]), false);
    check(&Caller::new("user:9", "admin", ["agents.*"]), true);
    check(&Caller::new("api-key:other", "ci", ["agents.read"]), false);
    check(&key.member_of("other"), false);
    check(&Caller::new("user:9", "admin", ["*"]).member_of("other"), false);
}

#[test]
fn a_task_ends_with_a_result_or_an_error() {
    let wish =
        Wish { task: "t".to_owned(), agent_id: Some("a".to_owned()), context: BTreeMap::new() };
    let owner = Owner::of(&Caller::local());
    let now = Timestamp::from_micros(1);
    let task = Task::begun(TaskId::generate(), wish, "a".to_owned(), owner, now);
    assert_eq!((task.status, task.selection), (Status::Running, Selection::Given));
    let done = task.clone().ended(Ok("r".to_owned()), now);
    assert_eq!(
        (done.status, done.result.as_str(), done.end_time),
        (Status::Completed, "r", Some(now))
    );
    let failed = task.ended(Err("e".to_owned()), now);
    assert_eq!((failed.status, failed.error.as_str()), (Status::Failed, "e"));
}
