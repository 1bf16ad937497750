//! What was there before there were organisations.

use super::*;
use crate::domain::{ExecutionId, WorkflowId};

const BEFORE: [&str; 6] = [
    "INSERT INTO workflows VALUES ('flow', 'Flow', '', '{}', 1, 1, 1, 1)",
    "INSERT INTO workflow_versions VALUES ('flow', 1, '{}', NULL, 'h', 1)",
    "INSERT INTO workflows VALUES ('workflow-data-pipeline', 'Pipe', '', '{}', 1, 1, 1, 1)",
    "INSERT INTO workflow_versions VALUES ('workflow-data-pipeline', 1, '{}', NULL, 'h', 1)",
    "INSERT INTO executions (id, workflow_id, workflow_version, status, input, labels, subject, caller,
        create_time) VALUES ('e', 'flow', 1, 'running', '{}', '{}', 'local', '{}', 1)",
    "INSERT INTO journal VALUES (1, 'e', '{}')",
];

#[tokio::test]
async fn what_was_there_belongs_to_the_first_organization_and_samples_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let old = Database::open(&settings, "workflows", &MIGRATIONS[..2]).await.unwrap();
    for statement in BEFORE {
        old.execute(statement, params![]).await.unwrap();
    }
    old.close().await;

    let store = Store::open(&settings).await.unwrap();
    let flow = WorkflowId::parse("flow").unwrap();
    let sample = WorkflowId::parse("workflow-data-pipeline").unwrap();
    let execution = ExecutionId::parse("e").unwrap();
    assert!(!store.workflow("default", &flow).await.unwrap().shared);
    assert_eq!(store.version("default", &flow, 1).await.unwrap().hash, "h");
    assert!(store.workflow("other", &flow).await.is_err());
    assert!(store.workflow("other", &sample).await.unwrap().shared);
    assert_eq!(store.workflows("other", None, true, None, 9).await.unwrap().len(), 1);
    assert_eq!(store.workflows("default", None, true, None, 9).await.unwrap().len(), 2);
    assert_eq!(store.execution("default", &execution).await.unwrap().organization_id, "default");
    assert!(store.execution("other", &execution).await.is_err());
    assert_eq!(store.journal("default", &execution).await.unwrap().len(), 1);
    assert_eq!(store.open_executions().await.unwrap().len(), 1);
}
