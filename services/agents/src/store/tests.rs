//! What was there before there were organisations.

use super::*;
use crate::domain::AgentId;

const BEFORE: [&str; 4] = [
    "INSERT INTO agents (id, template_id, status, version, revision, create_time, update_time)
        VALUES ('ada', NULL, 'deployed', 1, 2, 1, 1)",
    "INSERT INTO agent_versions (agent_id, version, revision, status, name, description, agent_type,
        model, instructions, temperature, max_output_tokens, config, labels, workflow_id, create_time)
        VALUES ('ada', 1, 1, 'draft', 'Ada', '', 'custom', 'm', '', NULL, NULL, '{}', '{}', NULL, 1)",
    "INSERT INTO deployments (id, agent_id, agent_version, environment, replicas, status, create_time)
        VALUES ('d', 'ada', 1, 'production', 8, 'active', 1)",
    "INSERT INTO idempotency_keys (scope, key, fingerprint, reply, create_time)
        VALUES ('local CreateAgent', 'k', 'f', '', 1)",
];

#[tokio::test]
async fn what_was_there_belongs_to_the_first_organization() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    let old = Database::open(&settings, "agents", &MIGRATIONS[..2]).await.unwrap();
    for statement in BEFORE {
        old.execute(statement, params![]).await.unwrap();
    }
    old.close().await;

    let store = Store::open(&settings).await.unwrap();
    let id = AgentId::parse("ada").unwrap();
    let agent = store.agent("default", &id).await.unwrap();
    assert_eq!((agent.design.name.as_str(), agent.owner_id.as_str()), ("Ada", ""));
    assert_eq!(agent.permissions, crate::domain::DEFAULT_PERMISSIONS);
    let active = store.active_deployment("default", &id, "production").await.unwrap();
    assert_eq!(active.unwrap().deployment.id.as_str(), "d");
    assert!(matches!(store.agent("other", &id).await, Err(Error::AgentNotFound { .. })));
    assert_eq!(store.counts().await.unwrap(), Counts { agents: 1, deployments_active: 1 });
    // Children still go with their agent.
    assert_eq!(store.delete_agent(&agent).await.unwrap(), Some(1));
    assert_eq!(store.counts().await.unwrap(), Counts { agents: 0, deployments_active: 0 });
    assert!(store.versions("default", &id, i64::MAX, 9).await.unwrap().is_empty());
}
